"""Folding loses detail, never an amount."""

from __future__ import annotations

import numpy as np
from blame_make import group_waits, waits
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.blame.fold import NO_ROWS, OTHERS, fold, merge, parties
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, Rows


def total(rows: Rows) -> dict[tuple[int, int], tuple[int, int]]:
    """Task and stall time by level and kind, the slow way."""
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    for row in rows:
        task_ns, stall_ns = sums.get((int(row["level"]), int(row["kind"])), (0, 0))
        sums[int(row["level"]), int(row["kind"])] = task_ns + int(row["task_ns"]), stall_ns + int(row["stall_ns"])
    return sums


pids = st.integers(1, 12)
amounts = st.integers(0, 10**6)
process_rows = st.builds(
    lambda victim, offender, task, stall, kind: waits(victim, offender, task, stall, kind=kind),
    pids,
    st.integers(0, 12),
    amounts,
    amounts,
    st.sampled_from(["measured", "inferred", "own_quota"]),
)
group_rows = st.builds(
    lambda victim, offender, stall, kind: group_waits(victim, offender, stall, kind=kind),
    st.integers(2, 6),
    pids,
    amounts,
    st.sampled_from(["measured", "inferred"]),
)


@given(st.lists(process_rows | group_rows, max_size=60), st.integers(1, 40))
def test_every_nanosecond_that_goes_in_comes_out_at_its_level_and_kind(rows: list[Rows], room: int) -> None:
    given_rows = np.concatenate([NO_ROWS, *rows])
    folded = fold(given_rows, room)
    assert total(folded) == total(given_rows)
    for level in (PROCESS_LEVEL, CGROUP_LEVEL):
        # what was kept in three steps, and one row a kind for the rest
        assert np.count_nonzero(folded["level"] == level) <= room + max(room // 2, 1) + max(room // 4, 1) + 3


@given(st.lists(process_rows, max_size=40))
def test_merged_rows_are_of_different_pairs(rows: list[Rows]) -> None:
    merged = merge(np.concatenate([NO_ROWS, *rows]))
    keys = [(row["victim_pid"], row["offender_pid"], row["kind"]) for row in merged]
    assert len(set(keys)) == len(keys)


def test_the_most_painful_rows_stay_as_they_are() -> None:
    rows = np.concatenate([waits(1, offender, offender) for offender in range(1, 101)])
    folded = fold(rows, 10)
    named = folded[folded["offender_pid"] != OTHERS]
    assert sorted(named["offender_pid"].tolist()) == list(range(91, 101))


def test_many_small_offenders_of_one_group_are_one_row_that_still_names_the_group() -> None:
    rows = np.concatenate([waits(1, offender, 1, offender_cgroup=77) for offender in range(1000, 2000)])
    folded = fold(rows, 10)
    others = folded[folded["offender_pid"] == OTHERS]
    assert others[["victim_pid", "offender_cgroup", "task_ns"]].tolist() == [(1, 77, 990 * 10**6)]


def test_parties_are_listed_once_and_found_again() -> None:
    rows = np.concatenate([waits(100, 200, 1), waits(200, 100, 2), waits(100, 100, 3)])
    everybody, victims, offenders = parties(rows)
    assert everybody["pid"].tolist() == [100, 200]
    assert everybody["pid"][victims].tolist() == rows["victim_pid"].tolist()
    assert everybody["pid"][offenders].tolist() == rows["offender_pid"].tolist()
