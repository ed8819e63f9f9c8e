"""A process in uninterruptible sleep, as vfork(2) has its parent, is found with where it sleeps."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from linnix.cognitod.host.blocked import LOOK_NS, Blocked, BlockedReading, Finder, ProcFinder
from linnix.cognitod.kernel.blocked import BlockedWalk
from workloads.build import compile_c

pytestmark = pytest.mark.usefixtures("ebpf")


def look(blocked: Blocked, at_ns: int) -> BlockedReading:
    reading = blocked.collect(at_ns)
    assert reading is not None
    return reading


@pytest.mark.parametrize("finder", [BlockedWalk, ProcFinder])
def test_who_sleeps_at_two_looks_without_having_run_is_stuck_and_its_stack_is_told(
    finder: type[Finder], tmp_path: Path
) -> None:
    process = subprocess.Popen([compile_c("vfork", tmp_path), "30"])
    blocked = Blocked(finder())
    blocked.open()
    try:
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "D":
            time.sleep(0.01)
        first, second = LOOK_NS, 2 * LOOK_NS
        assert [one for one in look(blocked, first).stuck if one.pid == process.pid] == []
        assert blocked.collect(first + 1) is None
        stuck = [one for one in look(blocked, second).stuck if one.pid == process.pid]
    finally:
        child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        subprocess.run(["kill", *child], check=True)  # frees the parent, which then ends
        process.wait(10)
        blocked.close()

    assert [(one.tid, one.comm, one.since_ns) for one in stuck] == [(process.pid, b"vfork", first)]
    assert stuck[0].start_ns > 0
    assert any("fork" in frame or "clone" in frame for frame in (*stuck[0].stack, stuck[0].wchan))
    assert all("<" not in frame for frame in stuck[0].stack)
