"""Lineage against a plain walk, and the short memory of events."""

from __future__ import annotations

import numpy as np
from detect_world import EVENT, MS, SUSPENDED_NS, S
from hypothesis import given, settings
from hypothesis import strategies as st

from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.detect.recent import FORK, Recent, Ring
from linnix.cognitod.events import Kind
from linnix.cognitod.model import ROW, Rows


def tree(parents: list[int]) -> Rows:
    """Process n+10 is a child of process parents[n]+10 if that is older, else of pid 1."""
    rows = np.zeros(len(parents) + 1, ROW)
    rows["alive"] = True
    rows["pid"][0], rows["start_ns"][0] = 1, 1
    for n, parent in enumerate(parents):
        rows["pid"][n + 1], rows["start_ns"][n + 1] = n + 10, n + 10
        rows["ppid"][n + 1] = parent + 10 if parent < n else 1
    return rows


def plain_totals(rows: Rows, weights: dict[int, float]) -> dict[int, float]:
    """The reference: each weight is carried up to the root, one process at a time."""
    ppid = dict(zip(rows["pid"].tolist(), rows["ppid"].tolist(), strict=True))
    totals = dict.fromkeys(ppid, 0.0)
    for pid, weight in weights.items():
        at = pid
        while at in ppid:
            totals[at] += weight
            at = ppid[at]
    return totals


@given(st.lists(st.integers(0, 30), max_size=40), st.data())
def test_totals_are_those_of_a_plain_walk_to_the_root(parents: list[int], data: st.DataObject) -> None:
    rows = tree(parents)
    shuffled = rows[np.array(data.draw(st.permutations(range(len(rows)))), np.intp)]
    lineage = Lineage(shuffled)
    pids = lineage.rows["pid"].tolist()
    weights = {pid: float(data.draw(st.integers(0, 5))) for pid in pids}
    totals = lineage.totals(np.array([weights[pid] for pid in pids]))
    assert dict(zip(pids, totals, strict=True)) == plain_totals(rows, weights)


@given(st.lists(st.integers(0, 30), max_size=40), st.data())
def test_the_holder_is_the_lowest_process_above_half(parents: list[int], data: st.DataObject) -> None:
    rows = tree(parents)
    lineage = Lineage(rows)
    weights = np.array([float(data.draw(st.integers(0, 5))) for _ in lineage.rows])
    totals = plain_totals(rows, dict(zip(lineage.rows["pid"].tolist(), weights.tolist(), strict=True)))
    half = weights.sum() / 2
    over = [pid for pid, total in totals.items() if total > half and pid != 1]
    ppid = dict(zip(rows["pid"].tolist(), rows["ppid"].tolist(), strict=True))
    lowest = [pid for pid in over if not any(ppid[other] == pid for other in over)]
    holder = lineage.holder(weights)
    assert ([] if holder is None else [int(holder.row["pid"])]) == lowest


def test_a_chain_of_ten_thousand_is_no_deeper_than_any_other_tree() -> None:
    rows = tree([99, *range(9999)])
    lineage = Lineage(rows)
    assert lineage.totals(np.ones(len(rows)))[1] == 10_000
    assert len(lineage.nearest(np.ones(len(rows), np.bool_))) == 1


def test_processes_that_claim_to_be_their_own_ancestors_end_the_walk() -> None:
    rows = np.zeros(3, ROW)
    rows["pid"], rows["ppid"], rows["start_ns"], rows["alive"] = [5, 6, 7], [6, 5, 7], [9, 9, 9], True
    assert Lineage(rows).parents.count(-1) >= 1


def test_a_parent_is_found_by_pid_and_start_and_without_a_start_it_is_the_youngest_of_the_pid() -> None:
    rows = np.zeros(3, ROW)
    rows["pid"], rows["start_ns"] = [5, 5, 9], [100, 200, 50]
    found = Lineage(rows).indices(
        np.array([5, 5, 5, 5, 6, 1], np.uint32), np.array([100, 200, 0, 150, 100, 0], np.uint64)
    )
    assert found.tolist() == [0, 1, 1, -1, -1, -1]


@settings(max_examples=50)
@given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 9))
def test_a_ring_holds_the_last_of_what_came(batches: list[int], capacity: int) -> None:
    ring, told = Ring(FORK, capacity), []
    for size in batches:
        records = np.zeros(size, FORK)
        records["ts_ns"] = np.arange(len(told) + 1, len(told) + size + 1)
        told += records["ts_ns"].tolist()
        ring.extend(records)
        assert sorted(ring.since(0)["ts_ns"].tolist()) == told[-capacity:]
        assert sorted(ring.since(3)["ts_ns"].tolist()) == [ts for ts in told[-capacity:] if ts > 3]


def event(kind: Kind, ts_ns: int, *, pid: int = 50, start_ns: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    events = np.zeros(1, EVENT)
    events["kind"], events["ts_ns"], events["pid"], events["start_ns"], events["ppid"] = kind, ts_ns, pid, start_ns, 7
    return events


def life(recent: Recent, lived_ns: int, *, fork: bool = True) -> list[int]:
    born = 1000 * S
    if fork:
        recent.extend(event(Kind.FORK, born, start_ns=born + SUSPENDED_NS))
    recent.extend(event(Kind.EXEC, born + MS, start_ns=born + SUSPENDED_NS))
    recent.extend(event(Kind.EXIT, born + lived_ns, start_ns=born + SUSPENDED_NS))
    return [int(us) for us in recent.jobs.since(0)["lifetime_us"]]


def test_a_lifetime_is_right_on_a_host_that_was_suspended() -> None:
    recent = Recent(forks=10, jobs=10, max_job_us=500_000)
    assert life(recent, 250 * MS) == [250_000]


def test_a_life_whose_beginning_was_not_seen_on_such_a_host_is_unknown_not_short() -> None:
    recent = Recent(forks=10, jobs=10, max_job_us=500_000)
    assert life(recent, 250 * MS, fork=False) == []


def test_an_exit_of_an_unknown_process_is_no_short_job() -> None:
    recent = Recent(forks=10, jobs=10, max_job_us=500_000)
    recent.extend(event(Kind.EXIT, 1000 * S, start_ns=1000 * S - 5 * MS))
    assert recent.jobs.since(0).tolist() == []
