"""Whose threads are looked at."""

from __future__ import annotations

import pytest

from linnix.cognitod.host.suspects import MAX_SUSPECTS, doubtful, suspects
from support.known import facts, process


@pytest.mark.parametrize(
    ("switches", "threads", "state", "writes", "more", "often", "rarely"),
    [
        pytest.param(100.0, 2, "S", 0.0, {}, True, False, id="threads that pass something on"),
        pytest.param(100.0, 1, "S", 0.0, {}, False, False, id="alone"),
        pytest.param(99.0, 16, "S", 0.0, {}, False, True, id="threads that seldom do"),
        pytest.param(4.0, 16, "S", 0.0, {}, False, False, id="threads that sleep"),
        pytest.param(0.0, 1, "D", None, {}, True, False, id="in uninterruptible sleep"),
        pytest.param(20.0, 1, "S", 4096.0, {}, True, False, id="sleeps often and writes"),
        pytest.param(5.0, 1, "S", 1e9, {}, False, False, id="writes, and does not wait for it"),
        pytest.param(None, 16, "S", None, {}, False, False, id="nothing is known of it"),
        pytest.param(900.0, 9, "D", 1e9, {"own": True}, False, False, id="ourselves"),
        pytest.param(900.0, 9, "D", 1e9, {"kernel_thread": True}, False, False, id="of the kernel"),
    ],
)
def test_who_is_looked_at_and_how_often(
    switches: float | None,
    threads: int,
    state: str,
    writes: float | None,
    more: dict[str, bool],
    often: bool,
    rarely: bool,
) -> None:
    one = process(41, threads=threads, state=state, voluntary_switches_per_s=switches, write_bytes_per_s=writes, **more)
    known = facts(one)

    assert suspects(known) == ([(41, one.start_ns)] if often else [])
    assert doubtful(known) == ([(41, one.start_ns)] if rarely else [])


def test_there_are_never_more_than_so_many_and_those_who_switch_most_come_first() -> None:
    busy = [process(pid, threads=2, voluntary_switches_per_s=100.0 * pid) for pid in range(1, MAX_SUSPECTS)]
    slow = [process(pid, threads=2, voluntary_switches_per_s=9.0) for pid in (50, 51)]
    known = facts(*slow, *busy)

    assert [pid for pid, _ in suspects(known)] == list(range(MAX_SUSPECTS - 1, 0, -1))
    assert [pid for pid, _ in doubtful(known)] == [50]


def test_processes_of_one_program_that_pass_something_on_are_suspects_without_threads() -> None:
    one, other = (process(pid, comm="server", voluntary_switches_per_s=200.0) for pid in (41, 42))
    alone = process(43, comm="client", voluntary_switches_per_s=200.0)

    assert suspects(facts(one, other, alone)) == [(41, 410), (42, 420)]
