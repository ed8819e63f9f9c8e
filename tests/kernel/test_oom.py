"""Processes killed for want of memory, in a group with a limit."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.oom import OOM, Ooms
from support.groups import memory_limit

KILLS = 3
LIMIT_BYTES = 48 << 20

pytestmark = pytest.mark.usefixtures("ebpf")

_EAT = """
import os, sys
sys.stdin.readline()
open("/proc/self/oom_score_adj", "w").write("137")
open("/proc/self/comm", "w").write("glutton")
hoard = [bytearray(os.urandom(1 << 16) * 16) for _ in range(200)]
"""


def test_each_kill_is_told_with_victim_invoker_and_what_it_held() -> None:
    ooms = Ooms()
    ooms.open()
    try:
        assert [(state.state, state.reason) for state in ooms.states()] == [("on", "")]
        ooms.collect(0)
        kills: list[Array] = []
        with memory_limit("oom", LIMIT_BYTES) as place:
            pids = []
            for _ in range(KILLS):
                process = subprocess.Popen([sys.executable, "-c", _EAT], stdin=subprocess.PIPE)
                (place / "cgroup.procs").write_text(str(process.pid))
                process.communicate(b"\n", timeout=30)
                assert process.returncode == -9
                pids.append(process.pid)
            time.sleep(0.1)
            reading = ooms.collect(time.monotonic_ns())
            assert reading is not None
            kills.append(reading.kills)
    finally:
        ooms.close()

    told = np.concatenate(kills)
    told = told[np.isin(told["pid"], pids)]
    assert told.dtype == OOM
    assert told["pid"].tolist() == pids
    assert told["invoker_pid"].tolist() == pids  # the glutton asked for more itself
    assert told["invoker_start_ns"].tolist() == told["start_ns"].tolist()
    assert set(told["comm"]) == set(told["invoker_comm"]) == {b"glutton"}
    assert set(told["oom_score_adj"]) == {137}
    assert set(told["uid"]) == {os.getuid()}
    assert set(told["memcg_name"]) == {place.name.encode()}
    resident = (told["anon_pages"] + told["file_pages"] + told["shmem_pages"]) * mmap.PAGESIZE
    # per-CPU remainders are not in the kernel's own figure either
    assert np.all((resident > LIMIT_BYTES * 0.8) & (resident < LIMIT_BYTES * 1.3))
    assert np.all(told["total_pages"] * mmap.PAGESIZE > resident)
    assert np.all(told["pgtables_bytes"] >= mmap.PAGESIZE)
    assert reading.total >= KILLS
    assert reading.lost == 0


def test_nothing_is_told_while_nobody_is_killed() -> None:
    ooms = Ooms()
    ooms.open()
    try:
        assert ooms.collect(time.monotonic_ns()) is None
    finally:
        ooms.close()
        ooms.close()
    assert [state.state for state in ooms.states()] == ["idle"]
