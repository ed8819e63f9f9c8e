"""The home of a process: its own once it was read, until then its nearest forebear's."""

from __future__ import annotations

import numpy as np
from cognitod_make import NO_TEXTS, SECOND, event

from linnix.cognitod.events import PROCESS, Array, Batch, Kind
from linnix.cognitod.processes import Table

NOW = 100 * SECOND


def process(pid: int, ppid: int = 1, *, kthread: bool = False, age_s: int = 50) -> Array:
    row = np.zeros(1, PROCESS)
    row["pid"], row["ppid"], row["start_ns"], row["kthread"] = pid, ppid, NOW - age_s * SECOND, kthread
    row["threads"], row["state"] = 1, b"S"
    return row


def table(*rows: Array) -> Table:
    made = Table()
    made.sample(np.concatenate(rows), NOW, 1 << 30)
    return made


def home(of: Table, pid: int) -> int:
    row = of.find(pid)
    assert row is not None
    return int(row["home"])


def read(of: Table, pid: int, number: int, now_ns: int = NOW) -> None:
    row = of.find(pid)
    assert row is not None
    of.set_homes(np.array([pid], np.uint32), np.array([row["start_ns"]]), np.array([number], np.uint32), now_ns)


def asked(of: Table, now_ns: int) -> list[int]:
    return of.unhoused(now_ns, 5 * SECOND, 300 * SECOND)[0].tolist()


def fork(pid: int, ppid: int, parent_start_ns: int, start_ns: int = NOW) -> Array:
    return event(Kind.FORK, pid, NOW + SECOND, start_ns=start_ns, ppid=ppid, parent_start_ns=parent_start_ns)


def test_a_child_lives_where_its_parent_does_until_it_is_read() -> None:
    one = table(process(10))
    read(one, 10, 7)
    one.update(Batch(fork(11, 10, NOW - 50 * SECOND), NO_TEXTS))
    assert home(one, 11) == 7

    read(one, 11, 8)
    assert (home(one, 10), home(one, 11)) == (7, 8)


def test_a_chain_of_forks_in_one_batch_lives_with_the_first() -> None:
    one = table(process(10))
    read(one, 10, 7)
    chain = [fork(11, 10, NOW - 50 * SECOND), *[fork(at, at - 1, NOW) for at in range(12, 16)]]
    one.update(Batch(np.concatenate(chain), NO_TEXTS))

    assert [home(one, pid) for pid in range(11, 16)] == [7] * 5


def test_a_child_met_in_a_sample_lives_with_its_parent_too() -> None:
    one = table(process(10))
    read(one, 10, 7)
    one.sample(np.concatenate([process(10), process(11, 10, age_s=1)]), NOW + SECOND, 1 << 30)

    assert home(one, 11) == 7


def test_who_has_exited_keeps_its_home() -> None:
    one = table(process(10))
    read(one, 10, 7)
    one.update(Batch(event(Kind.EXIT, 10, NOW + SECOND, start_ns=NOW - 50 * SECOND, ppid=1), NO_TEXTS))

    assert home(one, 10) == 7
    assert asked(one, NOW + 2 * SECOND) == []


def test_another_process_of_the_same_pid_is_not_given_what_was_read() -> None:
    one = table(process(10))
    one.set_homes(np.array([10], np.uint32), np.array([5], np.uint64), np.array([7], np.uint32), NOW)

    assert home(one, 10) == 0


def test_what_could_not_be_read_leaves_what_is_known() -> None:
    one = table(process(10))
    read(one, 10, 7)
    read(one, 10, 0)

    assert home(one, 10) == 7


def test_each_is_asked_at_once_again_when_settled_and_then_seldom() -> None:
    one = table(process(10), process(11, age_s=1), process(2, kthread=True))
    assert sorted(asked(one, NOW)) == [10, 11]

    read(one, 10, 7)
    read(one, 11, 7)
    assert asked(one, NOW + SECOND) == []
    assert asked(one, NOW + 5 * SECOND) == [11]

    read(one, 11, 7, NOW + 5 * SECOND)
    assert asked(one, NOW + 299 * SECOND) == []
    assert asked(one, NOW + 301 * SECOND) == [10]
    assert asked(one, NOW + 306 * SECOND) == [10, 11]
