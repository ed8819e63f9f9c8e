"""Waits for memory are charged to who took memory meanwhile, or to the limit of the waiter itself."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.blame_memory import BlameMemory
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL, STALL_KINDS, StallReading
from support.stalled import Group, answer, cgroup_mount, new_group, running, start

OWN_QUOTA = STALL_KINDS.index("own_quota")
LIMIT_BYTES = 48 << 20

# Reads more of a file at random than its cgroup may keep of it; prints the nanoseconds it took.
READER = """
import os, random, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
fd = os.open(path, os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
pieces = os.fstat(fd).st_size >> 16
print("ready", flush=True); sys.stdin.readline()
began = time.monotonic_ns()
while time.monotonic_ns() - began < seconds * 1e9:
    os.pread(fd, 1 << 16, random.randrange(pieces) << 16)
print(time.monotonic_ns() - began)
"""
# Takes memory and gives it back, over and over, with no limit and no need to wait.
TAKER = """
import mmap, sys, time
seconds, pages = float(sys.argv[1]), 0
print("ready", flush=True); sys.stdin.readline()
end = time.monotonic() + seconds
while time.monotonic() < end:
    with mmap.mmap(-1, 8 << 20) as memory:
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1
            pages += 1
print(pages)
"""


@pytest.fixture
def meter(ebpf: None) -> Iterator[BlameMemory]:
    made = BlameMemory()
    made.load()
    yield made
    made.close()


@pytest.fixture
def group() -> Iterator[Group]:
    """A cgroup that may hold LIMIT_BYTES: by its own controller, or beside it in the v1 hierarchy."""
    with new_group() as made:
        own = made.path / "memory.max"
        controllers = (made.path.parent / "cgroup.controllers").read_text().split()
        if "memory" in controllers:
            (made.path.parent / "cgroup.subtree_control").write_text("+memory")
            own.write_text(str(LIMIT_BYTES))
            yield made
            return
        mount = cgroup_mount("memory")
        if mount is None:
            pytest.skip("no memory controller is mounted")
        beside = mount / made.path.name
        beside.mkdir()
        (beside / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
        made.beside = (beside,)
        try:
            yield made
        finally:
            with suppress(OSError):
                beside.rmdir()


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    with path.open("wb") as file:
        for _ in range(2 * LIMIT_BYTES >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    if os.major(path.stat().st_dev) == 0:
        pytest.skip(f"{tmp_path} is not on a block device")
    return path


def collect(meter: BlameMemory) -> StallReading:
    reading = meter.collect(time.monotonic_ns())
    assert reading is not None
    return reading


def rows_of(readings: list[StallReading]) -> Array:
    return np.concatenate([np.empty(0, STALL), *(reading.pairs for reading in readings)])


def test_a_process_above_the_limit_of_its_cgroup_waits_for_its_own_quota(
    meter: BlameMemory, group: Group, large_file: Path
) -> None:
    readings = []
    with running(READER, large_file, 3, group=group, pinned=True) as reader, running(TAKER, 3) as taker:
        time.sleep(2.5)  # PSI's own period
        before_us = group.pressure_us("memory")
        meter.attach()
        start(reader, taker)
        while reader.poll() is None:
            time.sleep(0.25)
            readings.append(collect(meter))
        spent_ns = answer(reader)
        time.sleep(2.5)
        psi_ns = (group.pressure_us("memory") - before_us) * 1000

    rows = rows_of(readings)
    of_process = rows[(rows["level"] == PROCESS_LEVEL) & (rows["victim_pid"] == reader.pid)]
    of_group = rows[(rows["level"] == CGROUP_LEVEL) & (rows["victim_cgroup"] == group.id)]
    # Others took far more pages meanwhile: they are not to blame for a limit that is not theirs.
    assert {(int(row["offender_pid"]), int(row["kind"])) for row in of_process} == {(reader.pid, OWN_QUOTA)}
    assert 0 < int(of_process["task_ns"].sum()) < spent_ns
    # PSI also counts the CPU time of asking for pages that had been evicted, which no tracepoint shows.
    assert 0.6 * psi_ns < int(of_group["stall_ns"].sum()) < 1.1 * psi_ns


def test_who_takes_memory_without_waiting_is_nobodys_victim(meter: BlameMemory) -> None:
    with running(TAKER, 0.5) as taker:
        meter.attach()
        start(taker)
        taker.wait()
        rows = rows_of([collect(meter)])

    assert len(rows[rows["victim_pid"] == taker.pid]) == 0


def test_what_is_charged_is_never_more_than_what_was_waited_and_never_measured(
    meter: BlameMemory, group: Group, large_file: Path
) -> None:
    readings = []
    with running(READER, large_file, 1, group=group) as reader:
        meter.attach()
        start(reader)
        while reader.poll() is None:
            time.sleep(0.25)
            readings.append(collect(meter))

    for reading in readings:
        processes = reading.pairs[reading.pairs["level"] == PROCESS_LEVEL]
        assert int(processes["task_ns"].sum()) == reading.attributed_ns <= reading.waited_ns
        assert reading.lost_ns == 0
        assert STALL_KINDS.index("measured") not in reading.pairs["kind"]


def test_nothing_of_an_earlier_epoch_is_seen_in_a_later_one(meter: BlameMemory, group: Group, large_file: Path) -> None:
    assert meter.collect(time.monotonic_ns()) is None
    with running(READER, large_file, 0.5, group=group) as reader:
        meter.attach()
        start(reader)
        reader.wait()
        meter.detach()
    assert meter.collect(time.monotonic_ns()) is None
    meter.attach()
    rows = rows_of([collect(meter)])

    assert len(rows[rows["victim_pid"] == reader.pid]) == 0
    assert (meter.state().state, meter.state().attachments) == ("on", 2)
