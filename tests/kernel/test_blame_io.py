"""Waits for a block device are charged to those whose requests it served meanwhile."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.blame_io import GONE_NS, BlameIo
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL, StallReading
from support.stalled import Group, answer, new_group, running, start

MEASURED, INFERRED = 0, 1
SECONDS = 3
REQ_OP_WRITE = 1  # include/linux/blk_types.h

# Reads single blocks around the page cache; prints the nanoseconds it spent reading.
READER = """
import mmap, os, random, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
fd, block = os.open(path, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 4096)
blocks, spent = os.fstat(fd).st_size // 4096, 0
print("ready", flush=True); sys.stdin.readline()
end = time.monotonic() + seconds
while time.monotonic() < end:
    began = time.monotonic_ns()
    os.preadv(fd, [block], random.randrange(blocks) * 4096)
    spent += time.monotonic_ns() - began
print(spent)
"""
# Four threads write megabytes around the page cache into a file that is there already; prints the bytes they wrote.
WRITER = """
import mmap, os, sys, threading, time
path, seconds = sys.argv[1], float(sys.argv[2])
fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
places, done = os.fstat(fd).st_size >> 20, []
def write(end):
    block, bytes = mmap.mmap(-1, 1 << 20), 0
    while time.monotonic() < end:
        bytes += os.pwritev(fd, [block], bytes % (places << 20))
    done.append(bytes)
print("ready", flush=True); sys.stdin.readline()
threads = [threading.Thread(target=write, args=(time.monotonic() + seconds,)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(done))
"""
# Writes into the page cache, over and over, and leaves the rest to the kernel.
DIRTIER = """
import os, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
fd, block = os.open(path, os.O_WRONLY), b"x" * (1 << 20)
places, done = os.fstat(fd).st_size >> 20, 0
print("ready", flush=True); sys.stdin.readline()
end = time.monotonic() + seconds
while time.monotonic() < end:
    done += os.pwrite(fd, block, done % (places << 20))
    if done % (places << 20) == 0:
        time.sleep(0.01)
print(done)
"""
# Appends a block and waits for the device, over and over; prints how often.
SYNCER = """
import os, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
fd, times = os.open(path, os.O_WRONLY), 0
print("ready", flush=True); sys.stdin.readline()
end = time.monotonic() + seconds
while time.monotonic() < end:
    os.pwrite(fd, b"x" * 4096, (times % 1000) * 4096); os.fsync(fd); times += 1
print(times)
"""


@pytest.fixture
def meter(ebpf: None) -> Iterator[BlameIo]:
    made = BlameIo()
    made.load()
    yield made
    made.close()


@pytest.fixture
def group() -> Iterator[Group]:
    with new_group() as made:
        yield made


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[[str, int], Path]:
    """Makes files whose blocks are on the device; skips where they would be in memory."""

    def make(name: str, megabytes: int) -> Path:
        path = tmp_path / name
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())
        if os.major(path.stat().st_dev) == 0:
            pytest.skip(f"{tmp_path} is not on a block device")
        return path

    return make


class Account:
    """All that a meter told over a time."""

    def __init__(self, meter: BlameIo) -> None:
        self.meter = meter
        self.readings: list[StallReading] = []
        self.completed: list[Array] = []

    def collect(self) -> None:
        reading = self.meter.collect(time.monotonic_ns())
        assert reading is not None
        self.readings.append(reading)
        self.completed.append(self.meter.completed)

    def follow(self, *processes: subprocess.Popen[str]) -> None:
        """Collect as the daemon does until all have exited, and then what is left."""
        while any(process.poll() is None for process in processes):
            time.sleep(0.2)
            self.collect()
        self.collect()

    @property
    def rows(self) -> Array:
        return np.concatenate([np.empty(0, STALL), *(reading.pairs for reading in self.readings)])

    def task_ns(self, victim: int, offender: int | None = None, kind: int | None = None) -> int:
        rows = self.rows
        chosen = (rows["level"] == PROCESS_LEVEL) & (rows["victim_pid"] == victim)
        if offender is not None:
            chosen &= rows["offender_pid"] == offender
        if kind is not None:
            chosen &= rows["kind"] == kind
        return int(rows["task_ns"][chosen].sum())

    def stall_ns(self, group: Group) -> int:
        rows = self.rows
        return int(rows["stall_ns"][(rows["level"] == CGROUP_LEVEL) & (rows["victim_cgroup"] == group.id)].sum())


def attached(meter: BlameIo) -> Account:
    meter.attach()
    return Account(meter)


def test_a_reader_waits_for_the_writer_whose_requests_the_device_serves(
    meter: BlameIo, make_file: Callable[[str, int], Path]
) -> None:
    read, written = make_file("read", 64), make_file("written", 64)
    with running(READER, read, SECONDS) as reader, running(WRITER, written, SECONDS) as writer:
        account = attached(meter)
        start(reader, writer)
        account.follow(reader, writer)
        spent_ns, _ = answer(reader), answer(writer)

    charged_ns = account.task_ns(reader.pid)
    own_ns, writers_ns = (account.task_ns(reader.pid, who, MEASURED) for who in (reader.pid, writer.pid))
    # What it is charged with it has waited inside its own reads; the rest of them is CPU, run queue and wake-up.
    assert 0.6 * spent_ns < charged_ns <= spent_ns
    # The device had a request of the reader and four of the writer in flight.
    assert writers_ns > own_ns > 0
    assert own_ns + writers_ns > 0.5 * charged_ns


def test_a_reader_alone_waits_for_its_own_requests(meter: BlameIo, make_file: Callable[[str, int], Path]) -> None:
    with running(READER, make_file("read", 16), 2) as reader:
        account = attached(meter)
        start(reader)
        account.follow(reader)
        spent_ns = answer(reader)

    assert account.task_ns(reader.pid, reader.pid, MEASURED) > 0.5 * account.task_ns(reader.pid)
    assert account.task_ns(reader.pid) <= spent_ns


def test_what_is_charged_is_never_more_than_what_was_waited(
    meter: BlameIo, make_file: Callable[[str, int], Path]
) -> None:
    with running(READER, make_file("read", 16), 2) as one, running(READER, make_file("other", 16), 2) as other:
        account = attached(meter)
        start(one, other)
        account.follow(one, other)

    for reading in account.readings:
        processes = reading.pairs[reading.pairs["level"] == PROCESS_LEVEL]
        assert int(processes["task_ns"].sum()) == reading.attributed_ns <= reading.waited_ns
        assert reading.lost_ns == 0
    assert [reading.begin_ns for reading in account.readings[1:]] == [
        reading.end_ns for reading in account.readings[:-1]
    ]
    # Of waits for a device little is left over: the way from a completion to the wake-up it causes.
    assert sum(reading.attributed_ns for reading in account.readings) > 0.7 * sum(
        reading.waited_ns for reading in account.readings
    )


def test_stall_of_a_cgroup_and_of_the_one_above_it_is_what_psi_counts(
    meter: BlameIo, group: Group, make_file: Callable[[str, int], Path]
) -> None:
    below = group.child("below")
    read = make_file("read", 32)
    with (
        running(READER, read, SECONDS, group=below, pinned=True) as one,
        running(READER, read, SECONDS, group=below, pinned=True) as two,
    ):
        time.sleep(2.5)  # PSI's own period, twice: what they waited for while they started is in it now
        before_us = [one_of.pressure_us("io") for one_of in (below, group)]
        account = attached(meter)
        start(one, two)
        account.follow(one, two)
        time.sleep(2.5)
        after_us = [one_of.pressure_us("io") for one_of in (below, group)]

    for which, before, after in zip((below, group), before_us, after_us, strict=True):
        assert after > before
        # what is missing is the way from a completion to the wake-up it causes, where the device served nobody
        assert 0.75 * (after - before) * 1000 < account.stall_ns(which) < 1.05 * (after - before) * 1000


def test_writeback_is_charged_to_who_dirtied_the_pages_and_says_that_this_was_inferred(
    meter: BlameIo, make_file: Callable[[str, int], Path]
) -> None:
    read, dirtied = make_file("read", 32), make_file("dirtied", 64)
    with running(READER, read, SECONDS) as reader, running(DIRTIER, dirtied, SECONDS) as dirtier:
        account = attached(meter)
        start(reader, dirtier)
        for _ in range(SECONDS * 4):
            time.sleep(0.25)
            os.sync()  # the flusher's threads write, on behalf of the one who waits here
            account.collect()
        account.follow(reader, dirtier)

    assert account.task_ns(reader.pid, dirtier.pid, INFERRED) > 0
    assert account.task_ns(reader.pid, dirtier.pid, MEASURED) < account.task_ns(reader.pid, dirtier.pid, INFERRED)


def test_a_storm_of_fsyncs_is_charged_to_who_asked_for_them_as_measured(
    meter: BlameIo, make_file: Callable[[str, int], Path]
) -> None:
    read, synced = make_file("read", 32), make_file("synced", 8)
    with running(READER, read, SECONDS) as reader, running(SYNCER, synced, SECONDS) as syncer:
        account = attached(meter)
        start(reader, syncer)
        account.follow(reader, syncer)

    assert account.task_ns(reader.pid, syncer.pid, MEASURED) > 0
    assert account.task_ns(reader.pid, syncer.pid, INFERRED) == 0


def test_bytes_of_direct_writes_are_those_that_the_process_wrote_exactly(
    meter: BlameIo, make_file: Callable[[str, int], Path]
) -> None:
    with running(WRITER, make_file("written", 32), 1) as writer:
        account = attached(meter)
        start(writer)
        account.follow(writer)
        written = answer(writer)
        time.sleep(GONE_NS / 1e9)  # what the kernel did not tell the end of is looked after then
        account.collect()

    completed = np.concatenate(account.completed)
    own = completed[(completed["pid"] == writer.pid) & (completed["op"] == REQ_OP_WRITE)]
    assert int(own["amount"].sum()) == written


def test_nothing_of_an_earlier_epoch_is_seen_in_a_later_one(
    meter: BlameIo, make_file: Callable[[str, int], Path]
) -> None:
    assert meter.collect(time.monotonic_ns()) is None
    with running(READER, make_file("read", 16), 0.5) as reader:
        meter.attach()
        start(reader)
        reader.wait()
        meter.detach()
    assert meter.collect(time.monotonic_ns()) is None
    account = attached(meter)
    account.collect()

    assert account.task_ns(reader.pid) == 0
    assert (meter.state().state, meter.state().attachments) == ("on", 2)
    assert account.readings[0].end_ns - account.readings[0].begin_ns < 10**9


def test_waits_for_anything_but_io_are_no_concern(meter: BlameIo) -> None:
    script = "import sys, time\nprint('ready', flush=True); sys.stdin.readline(); time.sleep(0.5); print(0)"
    with running(script) as sleeper:
        account = attached(meter)
        start(sleeper)
        account.follow(sleeper)

    assert account.task_ns(sleeper.pid) == 0
