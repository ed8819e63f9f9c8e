"""Histograms against the books that the kernel keeps of the same waits, and against requests in prime numbers."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linnix.cognitod.kernel import latency
from linnix.cognitod.kernel.latency import READ_NS, Latency
from linnix.cognitod.kernel.thrift import MAX_REST_NS, Thrift
from support.groups import cgroup2

SLEEPS = 1009
READS = 101

pytestmark = pytest.mark.usefixtures("ebpf")

#: Says that it is ready, waits for a line, does its part, says so, and waits for the end.
_PART = """
import mmap, os, sys, time
cpu = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {cpu})
print("ready", flush=True)
sys.stdin.readline()
%s
print("done", flush=True)
sys.stdin.readline()
"""
_SLEEP = f"for _ in range({SLEEPS}): time.sleep(0.0001)"
_READ = f"""
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
page = mmap.mmap(-1, 4096)
for at in range({READS}):
    os.preadv(fd, [page], 4096 * at)
"""


@pytest.fixture
def counted_runs() -> Iterator[None]:
    """The kernel counts the runs of programs meanwhile (kernel.bpf_stats_enabled)."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    switch.write_text("1")
    yield
    switch.write_text(before)


@contextmanager
def opened(make: Callable[[], Latency]) -> Iterator[Latency]:
    instrument = make()
    instrument.open()
    try:
        assert [(state.state, state.reason) for state in instrument.states()] == [("on", "")]
        yield instrument
    finally:
        instrument.close()


def of(instrument: Latency, cgroup: int) -> tuple[int, int]:
    """Count and sum in ns of one cgroup so far."""
    reading = instrument.collect(time.monotonic_ns() + READ_NS * 2)
    instrument._read_ns = instrument._judged_ns = instrument.due_ns = 0
    assert reading is not None
    rows = reading.rows[reading.rows["cgroup_id"] == cgroup]
    return (int(rows["counts"].sum()), int(rows["sum_ns"].sum()))


def asleep(pid: int) -> tuple[int, int]:
    """Times that it came on a CPU and its waits for that in ns, by the kernel's own books, once it sleeps."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.01)
    _run, waited, times = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(times), int(waited)


@contextmanager
def part(body: str, place: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _PART % body, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        (place / "cgroup.procs").write_text(str(process.pid))
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def do(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def switches() -> int:
    """Of all CPUs, by the kernel's own count."""
    return int(next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("ctxt")).split()[1])


def runs(instrument: Latency) -> int:
    """How often its program was run."""
    instrument.refresh()
    return instrument.states()[0].runs


#: A sandbox may run no program for switches to or from the tasks that it hides. They are a handful a second, and what
#: waited for such a task is not counted: so what is compared is a run in which every switch was shown.
TRIES = 100


def test_waits_for_a_cpu_are_those_that_the_scheduler_itself_booked(counted_runs: None) -> None:
    for _ in range(TRIES):
        with opened(latency.runqueue) as instrument, cgroup2("wait") as (place, cgroup), part(_SLEEP, place) as process:
            books, counted = asleep(process.pid), of(instrument, cgroup)
            switched, ran = switches(), runs(instrument)
            do(process)
            ran, switched = runs(instrument) - ran, switches() - switched
            books_after, counted_after = asleep(process.pid), of(instrument, cgroup)
        seen = (counted_after[0] - counted[0], counted_after[1] - counted[1])
        booked = (books_after[0] - books[0], books_after[1] - books[1])
        assert (seen[0] <= booked[0], seen[1] <= booked[1]) == (True, True)
        if ran == switched:
            break

    assert ran == switched, "the kernel hid some switch in every try"
    assert seen == booked
    assert seen[0] > SLEEPS // 2  # on a busy CPU some of these short sleeps are over before they begin


def test_requests_that_skip_the_page_cache_are_counted_one_by_one_for_the_group_that_made_them(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(os.urandom(READS * 4096))
    fd = os.open(file, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    try:
        probe = os.open(file, os.O_RDONLY | os.O_DIRECT)
        os.preadv(probe, [mmap.mmap(-1, 4096)], 0)
        os.close(probe)
    except OSError:
        pytest.skip(f"no O_DIRECT in {tmp_path}")
    if os.major(file.stat().st_dev) == 0:
        pytest.skip(f"{tmp_path} is not on a block device")
    with (
        opened(latency.block) as instrument,
        cgroup2("read") as (place, cgroup),
        part(_READ, place, str(file)) as process,
    ):
        before = of(instrument, cgroup)
        do(process)
        count, total_ns = of(instrument, cgroup)

    assert count - before[0] == READS
    assert 0 < total_ns - before[1] < 60 * 10**9


def test_a_program_that_was_detached_leaves_no_file_open(tmp_path: Path) -> None:
    with opened(latency.runqueue):
        pass
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(7):
        with opened(latency.block), opened(latency.runqueue):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_where_switches_never_end_it_rests_and_then_looks_again() -> None:
    switching = "import os\na, b = os.pipe()\nc, d = os.pipe()\nif os.fork():\n    %s\nelse:\n    %s"
    ping = "while os.write(b, b'x') and os.read(c, 1): pass"
    pong = "while os.read(a, 1) and os.write(d, b'x'): pass"
    with opened(latency.runqueue) as instrument:
        instrument._thrift = Thrift(cost_ns=10_000)  # as if a switch cost so much
        now_ns = time.monotonic_ns()
        assert instrument.collect(now_ns) is not None
        process = subprocess.Popen([sys.executable, "-c", switching % (ping, pong)], start_new_session=True)
        time.sleep(0.5)
        os.killpg(process.pid, 9)
        process.wait()
        assert instrument.collect(now_ns + READ_NS) is not None  # what was seen before the rest is told
        resting = instrument.states()[0]
        assert instrument.collect(now_ns + READ_NS + 1) is None
        assert instrument.idle(time.monotonic_ns()) is None
        assert instrument.collect(now_ns + READ_NS + MAX_REST_NS) is None  # attaches again
        again = instrument.states()[0]

    assert (resting.state, resting.reason[:6], resting.attachments) == ("idle", "looks ", 1)
    assert (again.state, again.reason, again.attachments) == ("on", "", 2)
