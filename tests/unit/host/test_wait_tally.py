"""A lock and an idle pool look alike: many threads that sleep on one word. Here they are told apart."""

from __future__ import annotations

import pytest

from linnix.cognitod.host.locks import look as look_at_locks
from linnix.cognitod.host.syscalls import Kind, Wait
from linnix.cognitod.host.wait_tally import WINDOW_NS, Look, Tally, together
from linnix.cognitod.senses import Waits

S = 10**9
WHO = (7, 70)
WORD = 0x1000
MUTEX = Wait(Kind.MUTEX, 7, WORD)
SEMAPHORE = Wait(Kind.SEMAPHORE, 7, WORD)
BESIDE = Wait(Kind.SEMAPHORE, 7, WORD + 4)
TIMED = Wait(Kind.TIMED, 7, WORD)
FOUR = frozenset((1, 2, 3, 4))
SYNC = Wait(Kind.SYNC, 7, 0)


def of_two_looks(first: dict[Wait, list[int]], second: dict[Wait, list[int]], runs_per_s: int = 0) -> Waits:
    """What two looks at a process of four threads come to, of which those that waited ran so often in between."""
    tally = Tally()
    for at_ns, waits in ((S, first), (2 * S, second)):
        tally.add(WHO, Look(at_ns, FOUR, waits))
        for tid in {tid for tids in waits.values() for tid in tids}:
            tally.add_runs(tid, at_ns, runs_per_s * at_ns // S)
    return tally.summary()[WHO]


@pytest.mark.parametrize(
    ("first", "second", "runs_per_s", "told"),
    [
        pytest.param({MUTEX: [1, 2, 3]}, {MUTEX: [1, 2]}, 0, Waits(62.5, 3, 0.0), id="a mutex"),
        pytest.param({MUTEX: [1]}, {MUTEX: [2]}, 0, Waits(25.0, 1, 0.0), id="two who pass it on"),
        pytest.param({MUTEX: [1]}, {MUTEX: [1]}, 0, Waits(0.0, 0, 0.0), id="nobody else wants it"),
        pytest.param({SEMAPHORE: [1, 2, 3]}, {SEMAPHORE: [1, 2, 4]}, 5, Waits(75.0, 3, 0.0), id="a Python lock"),
        pytest.param({SEMAPHORE: [1, 2, 3]}, {SEMAPHORE: [1, 2, 3]}, 5, Waits(0.0, 0, 0.0), id="nobody has it"),
        pytest.param({SEMAPHORE: [1, 2, 3]}, {SEMAPHORE: [1, 2, 3]}, 0, Waits(0.0, 0, 0.0), id="an idle pool"),
        pytest.param(
            {SEMAPHORE: [1, 2], BESIDE: [3]}, {SEMAPHORE: [1, 2, 3]}, 50, Waits(0.0, 0, 0.0), id="a pool at work"
        ),
        pytest.param({TIMED: [1, 2, 3]}, {TIMED: [2, 3]}, 200, Waits(62.5, 3, 0.0), id="an interpreter lock"),
        pytest.param({TIMED: [1, 2, 3]}, {TIMED: [2, 3]}, 2, Waits(0.0, 0, 0.0), id="a pool that wakes at times"),
        pytest.param({SYNC: [1], MUTEX: [2, 3]}, {}, 0, Waits(25.0, 2, 50.0), id="one syncs, and others wait for it"),
    ],
)
def test_what_counts_as_a_lock(
    first: dict[Wait, list[int]], second: dict[Wait, list[int]], runs_per_s: int, told: Waits
) -> None:
    assert of_two_looks(first, second, runs_per_s) == told


def test_of_several_locks_the_one_that_is_waited_for_most_is_told() -> None:
    other = MUTEX._replace(key=0x2000)
    assert of_two_looks({MUTEX: [1, 2], other: [3, 4]}, {MUTEX: [1, 2, 3]}) == Waits(62.5, 3, 0.0)


def test_semaphores_may_be_shared_between_processes_of_one_thread() -> None:
    tally, shared = Tally(), Wait(Kind.SEMAPHORE, 0, WORD)
    for at_ns, holder in ((S, 7), (2 * S, 8), (3 * S, 9)):
        for pid in (7, 8, 9):
            tally.add((pid, 70), Look(at_ns, frozenset((pid,)), {} if pid == holder else {shared: [pid]}))
            tally.add_runs(pid, at_ns, at_ns)

    assert tally.summary() == dict.fromkeys(((7, 70), (8, 70), (9, 70)), Waits(pytest.approx(200 / 3), 2, 0.0))


def test_what_is_older_than_the_window_is_forgotten() -> None:
    tally = Tally()
    tally.add(WHO, Look(S, FOUR, {MUTEX: [1, 2]}))
    tally.add((8, 80), Look(2 * S, frozenset((8,)), {}))
    tally.forget(S + WINDOW_NS)
    both = tally.summary()
    tally.forget(2 * S + WINDOW_NS)

    assert both == {WHO: Waits(50.0, 2, 0.0), (8, 80): Waits(0.0, 0, 0.0)}
    assert tally.summary() == {(8, 80): Waits(0.0, 0, 0.0)}


def test_who_waits_for_a_lock_of_a_file_is_told_with_who_holds_it() -> None:
    tally = Tally()
    for at_ns, held in ((S, False), (2 * S, True), (3 * S, True), (4 * S, False)):
        text = "1: FLOCK ADVISORY WRITE 5 0:1:2 0 EOF\n" + "1: -> FLOCK ADVISORY WRITE 6 0:1:2 0 EOF\n" * (2 * held)
        tally.add_locks(look_at_locks(text, at_ns))

    assert tally.file_waits({6: 4}) == {5: Waits(0.0, 2, None), 6: Waits(pytest.approx(100 / 3), 2, None)}


def test_the_more_telling_of_two_accounts_is_taken() -> None:
    assert together(Waits(0.0, 0, 5.0), Waits(40.0, 2, None)) == Waits(40.0, 2, 5.0)
