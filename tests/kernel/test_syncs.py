"""Syncs in prime numbers, each charged to the process that asked, or to who started it and still lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnix.cognitod.blame.books import Blame
from linnix.cognitod.kernel import BpfSight
from linnix.cognitod.kernel.syncs import NOT_TRACED, Syncs, SyncsReading
from linnix.cognitod.model import Home, Snapshot
from linnix.cognitod.processes import Table
from linnix.cognitod.senses import SyncRates
from linnix.cognitod.sensing import Sensing
from linnix.cognitod.sights import Sights

FSYNCS, DATASYNCS, WRITES, COMMANDS = 101, 53, 31, 13

pytestmark = pytest.mark.usefixtures("ebpf")

_SYNCER = f"""
import os, sys
plain = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for call, times in ((os.fsync, {FSYNCS}), (os.fdatasync, {DATASYNCS})):
    for _ in range(times):
        os.write(plain, b"x")
        call(plain)
synced = os.open(sys.argv[1], os.O_WRONLY | os.O_DSYNC)
for _ in range({WRITES}):
    os.write(synced, b"x")
"""
_LOOP = f"""
for n in $(seq {COMMANDS}); do dd if=/dev/zero of="$0" bs=4k count=1 oflag=dsync conv=notrunc 2>/dev/null; done
echo done; read wait
"""


@pytest.fixture
def syncs() -> Iterator[Syncs]:
    instrument = Syncs()
    instrument.open()
    [line] = instrument.states()
    if line.reason == NOT_TRACED:
        pytest.skip(NOT_TRACED)
    assert (line.state, line.reason) == ("on", "")
    assert instrument.collect(time.monotonic_ns()) is None  # a window begins
    yield instrument
    instrument.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of a file system that traces its syncs."""
    kind = subprocess.check_output(["stat", "-f", "-c", "%T", tmp_path], text=True).strip()
    if kind not in ("ext2/ext3", "xfs", "btrfs", "f2fs"):
        pytest.skip(f"{tmp_path} is on {kind}")
    return tmp_path / "synced"


def calls_of(reading: SyncsReading | None, pid: int) -> list[int]:
    assert reading is not None
    counts: list[int] = reading.calls[reading.keys["pid"] == pid].tolist()
    return counts


def test_every_fsync_and_every_synchronous_write_is_counted_once(syncs: Syncs, file: Path) -> None:
    syncer = subprocess.Popen([sys.executable, "-c", _SYNCER, file])
    assert syncer.wait(60) == 0
    reading, again = (syncs.collect(time.monotonic_ns()) for _ in range(2))

    assert calls_of(reading, syncer.pid) == [FSYNCS + DATASYNCS + WRITES]
    assert calls_of(again, syncer.pid) == []
    assert reading is not None
    assert (reading.total >= FSYNCS + DATASYNCS + WRITES, reading.lost) == (True, 0)


def test_writes_that_nobody_waits_for_are_no_syncs(syncs: Syncs, file: Path) -> None:
    file.write_bytes(b"x" * 65_536)

    assert calls_of(syncs.collect(time.monotonic_ns()), os.getpid()) == []


def test_what_commands_of_a_loop_synced_is_told_of_its_shell(syncs: Syncs, sight: BpfSight, file: Path) -> None:
    table, sights = Table(), Sights()
    table.sample(sight.sample(), time.monotonic_ns(), 1 << 30)
    with subprocess.Popen(["sh", "-c", _LOOP, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"done\n"
        table.update(sight.drain())
        now_ns = time.monotonic_ns()
        table.sample(sight.sample(), now_ns, 1 << 30)
        sights.receivers[SyncsReading](syncs.collect(now_ns))
        told = Sensing(sights, Blame(), table, lambda *_: Home())(Snapshot(timestamp=1e9, ts_ns=now_ns)).syncs

    assert [rates for (pid, _), rates in told.items() if pid == shell.pid] == [SyncRates(None, COMMANDS / 10)]


def test_a_kernel_whose_file_systems_trace_nothing_is_named_as_the_reason(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"\0btf_trace_ext4_sync_fs\0")
    instrument = Syncs(tmp_path)
    instrument.open()

    assert [(line.state, line.reason) for line in instrument.states()] == [("off", NOT_TRACED)]
    assert instrument.collect(1) is None
    instrument.close()
