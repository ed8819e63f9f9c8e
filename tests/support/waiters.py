"""Processes that want a CPU, in control groups, and what the kernel's own books say of their waiting."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.kernel.blame_cpu import BlameCpu
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL_KINDS, Rows, StallReading
from support.stalled import Group, cgroup_mount, running, start

_BEGIN = """
import os, sys, threading, time
os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
print("ready", flush=True)
sys.stdin.readline()
"""
SPIN = _BEGIN + "while True: pass"
#: Runs 2 ms of every 5 that nobody takes from it.
DUTY = (
    _BEGIN
    + """
while True:
    begin = time.thread_time_ns()
    while time.thread_time_ns() - begin < 2_000_000: pass
    time.sleep(0.003)
"""
)
#: Three threads, two of which spin outside of the interpreter's lock.
THREADS = (
    _BEGIN
    + """
import hashlib
def spin():
    block = bytes(1 << 20)
    while True: hashlib.sha256(block)
for _ in range(3): threading.Thread(target=spin, daemon=True).start()
time.sleep(1000)
"""
)
Process = subprocess.Popen[str]
#: How often meter and pressure are read. PSI averages over CPUs from one of its readings to the next, and so do we: the
#: two agree where they are read together. The kernel's own worker reads every two seconds, too, in the middle of one of
#: our steps. What that is worth depends on the step: of tasks that move between CPUs, steps of a second come out up to
#: 5 % apart, steps of 0.1 s within 2 %.
STEP_S = 0.1


@dataclass(frozen=True)
class Measured:
    """Sums over some seconds, in nanoseconds."""

    rows: Rows
    pressure_ns: dict[int, int]  # by group
    run_delay_ns: dict[int, int]  # by process
    run_ns: dict[int, int]
    readings: list[StallReading]

    def task_ns(self, processes: Sequence[Process]) -> int:
        """What was charged for their waiting."""
        mine = np.isin(self.rows["victim_pid"], [process.pid for process in processes])
        return int(self.rows["task_ns"][mine & (self.rows["level"] == PROCESS_LEVEL)].sum())

    def delay_ns(self, processes: Sequence[Process]) -> int:
        """Their ``sched_info.run_delay``."""
        return sum(self.run_delay_ns[process.pid] for process in processes)

    def stall_ns(self, group: Group, kind: str | None = None, offender: int | None = None) -> int:
        """What was charged for the stalls of a group."""
        rows = self.rows[(self.rows["level"] == CGROUP_LEVEL) & (self.rows["victim_cgroup"] == group.id)]
        if kind is not None:
            rows = rows[rows["kind"] == STALL_KINDS.index(kind)]
        if offender is not None:
            rows = rows[rows["offender_pid"] == offender]
        return int(rows["stall_ns"].sum())


def cpus(count: int = 1) -> str:
    """The last ones that we may use, as an argument of a script."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < count:
        pytest.skip(f"needs {count} CPUs")
    return ",".join(map(str, mine[-count:]))


@contextmanager
def waiters(script: str, where: str, group: Group, count: int = 1) -> Iterator[list[Process]]:
    """So many processes in a group, at work when this is entered."""
    with ExitStack() as stack:
        processes = [stack.enter_context(running(script, where, group=group)) for _ in range(count)]
        start(*processes)
        yield processes


@contextmanager
def hopping(process: Process, where: str, step_s: float = 0.007) -> Iterator[None]:
    """Moves the process from CPU to CPU, whether it waits or not."""
    done = threading.Event()

    def hop() -> None:
        places = [int(cpu) for cpu in where.split(",")]
        while not done.wait(step_s):
            places.append(places.pop(0))
            os.sched_setaffinity(process.pid, [places[0]])

    thread = threading.Thread(target=hop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def schedstat(pid: int) -> tuple[int, int]:
    """What all threads of a process have run and waited, in nanoseconds."""
    run_ns = delay_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            run, delay, _ = map(int, (task / "schedstat").read_text().split())
            run_ns, delay_ns = run_ns + run, delay_ns + delay
    return run_ns, delay_ns


def measure(meter: BlameCpu, groups: Sequence[Group], processes: Sequence[Process], seconds: float) -> Measured:
    """One epoch."""
    time.sleep(0.5)  # everybody is at work
    pids = [process.pid for process in processes]
    meter.attach()
    before = {pid: schedstat(pid) for pid in pids}
    pressure = {group.id: group.pressure_us("cpu") for group in groups}
    readings = []
    for _ in range(round(seconds / STEP_S)):
        time.sleep(STEP_S)
        now = {group.id: group.pressure_us("cpu") for group in groups}
        after = {pid: schedstat(pid) for pid in pids}
        reading = meter.collect(time.monotonic_ns())
        assert reading is not None
        readings.append(reading)
    meter.detach()
    return Measured(
        rows=np.concatenate([reading.pairs for reading in readings]),
        pressure_ns={group: (now[group] - pressure[group]) * 1000 for group in now},
        run_ns={pid: after[pid][0] - before[pid][0] for pid in pids},
        run_delay_ns={pid: after[pid][1] - before[pid][1] for pid in pids},
        readings=readings,
    )


@contextmanager
def quota(group: Group, quota_us: int, period_us: int) -> Iterator[Path]:
    """A CPU quota for the processes of a group, of either version; the file with ``throttled_time`` or its like."""
    old = cgroup_mount("cpu")
    if old is None:
        if not (group.path / "cpu.max").exists():
            (group.path.parent / "cgroup.subtree_control").write_text("+cpu")
        (group.path / "cpu.max").write_text(f"{quota_us} {period_us}")
        yield group.path / "cpu.stat"
        return
    place = old / group.path.name
    place.mkdir()
    try:
        (place / "cpu.cfs_period_us").write_text(str(period_us))
        (place / "cpu.cfs_quota_us").write_text(str(quota_us))
        group.beside = (place,)
        yield place / "cpu.stat"
    finally:
        for _ in range(50):
            with suppress(OSError):
                place.rmdir()
                break
            time.sleep(0.02)


def throttled_ns(stat: Path) -> int:
    """What the kernel counted."""
    told = dict(line.split() for line in stat.read_text().splitlines())
    return int(told["throttled_time"]) if "throttled_time" in told else int(told["throttled_usec"]) * 1000
