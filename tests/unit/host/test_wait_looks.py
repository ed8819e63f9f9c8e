"""Looks at threads, in a tree of files as /proc has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from linnix.cognitod.host.waits import LOOK_NS, MAX_THREADS, NO_FILE, NO_NUMBERS, NOT_ALLOWED, WaitLooks, WaitsReading
from linnix.cognitod.senses import Waits
from support.known import facts, process

S = 10**9
MUTEX = "202 0x1000 0x80 0x2 0x0 0x0 0x0 0x7ffe 0x7faa\n"
FSYNC = "74 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7faa\n"
RUNNING = "running\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Of a host with one process that may look at all others."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/syscall").write_text(RUNNING)
    (tmp_path / "self/status").write_text("Name:\tcognitod\nCapEff:\t0000000000080000\n")
    (tmp_path / "locks").write_text("")
    return tmp_path


@pytest.fixture
def looks(proc: Path) -> Iterator[WaitLooks]:
    instrument = WaitLooks(proc, "x86_64")
    instrument.open()
    yield instrument
    instrument.close()


def threads(proc: Path, pid: int, *lines: str) -> None:
    """Give a process threads, numbered from its pid on, in these system calls."""
    for tid, line in enumerate(lines, pid):
        place = proc / str(pid) / "task" / str(tid)
        place.mkdir(parents=True, exist_ok=True)
        (place / "syscall").write_text(line)
        (place / "schedstat").write_text("0 0 1\n")


def told(reading: object) -> dict[int, Waits]:
    assert isinstance(reading, WaitsReading)
    return {pid: waits for (pid, _), waits in reading.waits.items()}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_where_nobody_is_suspected_nobody_is_looked_at_and_nothing_is_told(looks: WaitLooks) -> None:
    looks.watch(facts(process(40, threads=9)))

    assert [looks.collect(second * S) for second in (1, 2)] == [None, None]
    assert looks.glance_ns == 0


def test_a_suspect_is_looked_at_four_times_a_second_until_it_is_none(looks: WaitLooks, proc: Path) -> None:
    threads(proc, 40, MUTEX, MUTEX, RUNNING, RUNNING)
    looks.watch(facts(process(40, threads=4, voluntary_switches_per_s=900.0)))
    looks.collect(S)
    next_ns = looks.glance_ns
    threads(proc, 40, MUTEX, MUTEX, MUTEX, RUNNING)
    looks.glance(next_ns)
    reading = looks.collect(2 * S)
    looks.watch(facts(process(40, threads=4)))
    later = looks.collect(3 * S)

    assert next_ns == S + LOOK_NS
    assert told(reading) == {40: Waits(pytest.approx(100 * 8 / 12), 3, 0.0)}
    assert told(later) == told(reading)  # of the last ten seconds
    assert looks.glance_ns == 0
    assert looks.collect(20 * S) == WaitsReading(20 * S, {}, {})  # told once that there is nothing any more
    assert looks.collect(21 * S) is None


def test_who_switches_seldom_is_looked_at_once_a_second(looks: WaitLooks, proc: Path) -> None:
    threads(proc, 40, MUTEX, MUTEX, MUTEX, RUNNING)
    looks.watch(facts(process(40, threads=4, voluntary_switches_per_s=9.0)))

    assert told(looks.collect(S)) == {40: Waits(75.0, 3, 0.0)}
    assert looks.glance_ns == 0


def test_syncs_and_writes_that_sync_are_told_and_other_writes_are_not(looks: WaitLooks, proc: Path) -> None:
    for pid, line, flags in ((40, FSYNC, ""), (50, "1 0x3 0x0 0x200 0x0 0x0 0x0 0x7ffe 0x7faa\n", "0110001"),
                             (60, "1 0x4 0x0 0x200 0x0 0x0 0x0 0x7ffe 0x7faa\n", "0100001")):  # fmt: skip
        threads(proc, pid, line)
        (proc / str(pid) / "fdinfo").mkdir()
        for fd in (3, 4):
            (proc / str(pid) / "fdinfo" / str(fd)).write_text(f"pos:\t0\nflags:\t{flags}\nmnt_id:\t1\n")
    busy = {"voluntary_switches_per_s": 50.0, "write_bytes_per_s": 1e6}
    looks.watch(facts(*(process(pid, **busy) for pid in (40, 50, 60))))

    assert told(looks.collect(S)) == {
        40: Waits(0.0, 0, 100.0),
        50: Waits(0.0, 0, 100.0),
        60: Waits(0.0, 0, 0.0),
    }


def test_of_many_threads_all_are_seen_in_turn_and_no_file_stays_open(looks: WaitLooks, proc: Path) -> None:
    before = open_files()
    threads(proc, 40, *[RUNNING] * MAX_THREADS, *[MUTEX] * MAX_THREADS)
    for second in (1, 2):
        looks.watch(facts(process(40, threads=2 * MAX_THREADS, voluntary_switches_per_s=9000.0)))
        reading = looks.collect(second * S)
        assert open_files() == before + MAX_THREADS
    looks.close()

    assert told(reading) == {40: Waits(50.0, MAX_THREADS, 0.0)}
    assert open_files() == before


def test_a_process_that_is_gone_is_passed_over(looks: WaitLooks) -> None:
    looks.watch(facts(process(40, state="D")))

    assert looks.collect(S) is None


def test_locks_of_files_are_told_of_everybody_by_pid_where_facts_do_not_name_him(looks: WaitLooks, proc: Path) -> None:
    (proc / "locks").write_text("1: FLOCK ADVISORY WRITE 5 0:1:2 0 EOF\n1: -> FLOCK ADVISORY WRITE 6 0:1:2 0 EOF\n")
    looks.watch(facts(process(5)))

    assert looks.collect(S) == WaitsReading(S, {(5, 50): Waits(0.0, 1, None)}, {6: Waits(100.0, 1, None)})


def test_what_it_cannot_see_is_told(proc: Path) -> None:
    def reason(machine: str) -> str:
        instrument = WaitLooks(proc, machine)
        instrument.open()
        [state] = instrument.states()
        assert (state.name, state.state) == ("waits", "on")
        return state.reason

    whole, strange = reason("aarch64"), reason("pdp11")
    (proc / "self/status").write_text("CapEff:\t0000000000000000\n")
    weak = reason("x86_64")
    (proc / "self/syscall").unlink()

    assert (whole, strange, weak, reason("x86_64")) == ("", NO_NUMBERS, NOT_ALLOWED, NO_FILE)
