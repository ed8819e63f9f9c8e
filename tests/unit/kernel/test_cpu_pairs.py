"""Rows from what the programs of CPU blame added up: who, how much, and averaged how."""

from __future__ import annotations

import numpy as np

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.cpu_pairs import ANY_CPU, CGROUP, PAIR, QUOTA, RAN, SLEPT, lineage, make_rows
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL_KINDS, Rows

MS = 10**6
WINDOW_NS = 1000 * MS
#: 20 is above 21 and 22; 30 is beside them.
PARENTS = {20: 0, 21: 20, 22: 20, 30: 0}


def pair(what: int, victim: int, offender: int = 0, cpu: int = ANY_CPU, **amounts: int) -> Array:
    made = np.zeros(1, PAIR)
    for name, value in {"what": what, "victim": victim, "offender": offender, "cpu": cpu, **amounts}.items():
        made[name] = value
    return made


def told(rows: Rows) -> list[tuple[int, ...]]:
    names = ("level", "kind", "victim_pid", "victim_cgroup", "offender_pid", "offender_cgroup", "task_ns", "stall_ns")
    return sorted(tuple(int(row[name]) for name in names) for row in rows)


def test_no_pairs_are_no_rows() -> None:
    assert len(make_rows(np.zeros(0, PAIR), {}, WINDOW_NS)) == 0


def test_amounts_of_one_pair_from_several_places_are_one_row() -> None:
    pairs = np.concatenate(
        [
            pair(0, 7, 8, victim_cgroup=21, offender_cgroup=30, task_ns=3, stall_ns=3),
            pair(0, 7, 8, victim_cgroup=21, offender_cgroup=30, task_ns=4, stall_ns=4),
            pair(0, 7, 9, victim_cgroup=21, offender_cgroup=30, task_ns=5, stall_ns=5),
        ]
    )

    assert told(make_rows(pairs, PARENTS, WINDOW_NS)) == [
        (PROCESS_LEVEL, 0, 7, 21, 8, 30, 7, 7),
        (PROCESS_LEVEL, 0, 7, 21, 9, 30, 5, 5),
    ]


def test_a_pid_that_came_back_is_another_process() -> None:
    pairs = np.concatenate(
        [pair(0, 7, 8, task_ns=3, offender_start_ns=1), pair(0, 7, 8, task_ns=4, offender_start_ns=2)]
    )

    assert sorted(make_rows(pairs, {}, WINDOW_NS)["offender_start_ns"].tolist()) == [1, 2]


def test_own_quota_is_a_row_of_its_own() -> None:
    pairs = np.concatenate([pair(0, 7, 7, task_ns=3), pair(QUOTA, 7, 7, task_ns=4)])

    assert told(make_rows(pairs, {}, WINDOW_NS)) == [
        (PROCESS_LEVEL, 0, 7, 0, 7, 0, 3, 0),
        (PROCESS_LEVEL, STALL_KINDS.index("own_quota"), 7, 0, 7, 0, 4, 0),
    ]


def test_a_stall_on_one_cpu_is_told_as_it_was_measured() -> None:
    pairs = np.concatenate(
        [
            pair(CGROUP, 1, 8, cpu=3, victim_cgroup=20, offender_cgroup=30, stall_ns=100 * MS),
            pair(CGROUP | RAN, 1, cpu=3, victim_cgroup=20, stall_ns=5 * MS),
        ]
    )

    assert told(make_rows(pairs, PARENTS, WINDOW_NS)) == [(CGROUP_LEVEL, 0, 0, 20, 8, 30, 0, 100 * MS)]


def test_cpus_count_by_the_time_in_which_the_group_was_not_idle_there() -> None:
    pairs = np.concatenate(
        [
            # on CPU 0 it waited 300 ms for another and ran 300: 600 not idle; on CPU 1 it ran 200
            pair(CGROUP, 1, 8, cpu=0, victim_cgroup=20, offender_cgroup=30, stall_ns=300 * MS),
            pair(CGROUP | RAN, 1, cpu=0, victim_cgroup=20, stall_ns=300 * MS),
            pair(CGROUP | RAN, 1, cpu=1, victim_cgroup=20, stall_ns=200 * MS),
            # but waited for itself meanwhile, which is in the time it ran
            pair(CGROUP, 1, 9, cpu=1, victim_cgroup=20, offender_cgroup=21, stall_ns=100 * MS),
        ]
    )

    assert told(make_rows(pairs, PARENTS, WINDOW_NS)) == [
        (CGROUP_LEVEL, 0, 0, 20, 8, 30, 0, 225 * MS),
        (CGROUP_LEVEL, 0, 0, 20, 9, 21, 0, 25 * MS),
    ]


def test_who_runs_on_and_was_not_told_yet_counts_too() -> None:
    pairs = np.concatenate(
        [
            pair(CGROUP, 1, 8, cpu=0, victim_cgroup=20, offender_cgroup=30, stall_ns=100 * MS),
            pair(CGROUP | RAN, 1, cpu=0, victim_cgroup=20, stall_ns=300 * MS),
            # 350 ms of this were told of last time
            pair(CGROUP | RAN, 1, cpu=1, victim_cgroup=20, stall_ns=450 * MS),
        ]
    )
    running = {(CGROUP | RAN, 20, 1): 300 * MS - 350 * MS, (CGROUP | RAN, 20, 0): 200 * MS}

    assert told(make_rows(pairs, PARENTS, WINDOW_NS, running)) == [(CGROUP_LEVEL, 0, 0, 20, 8, 30, 0, 60 * MS)]


def test_what_runs_or_sleeps_below_a_group_counts_for_it() -> None:
    pairs = np.concatenate(
        [
            pair(CGROUP, 1, 8, cpu=0, victim_cgroup=20, offender_cgroup=30, stall_ns=100 * MS),
            pair(CGROUP | RAN, 2, cpu=0, victim_cgroup=21, stall_ns=100 * MS),
            pair(CGROUP | RAN, 3, cpu=1, victim_cgroup=22, stall_ns=100 * MS),
            pair(CGROUP | SLEPT, 3, cpu=1, victim_cgroup=22, stall_ns=500 * MS),
            pair(CGROUP | RAN, 4, cpu=1, victim_cgroup=30, stall_ns=999 * MS),
        ]
    )

    assert told(make_rows(pairs, PARENTS, WINDOW_NS)) == [(CGROUP_LEVEL, 0, 0, 20, 8, 30, 0, 25 * MS)]


def test_no_cpu_counts_for_more_than_the_time_that_passed() -> None:
    pairs = np.concatenate(
        [
            pair(CGROUP, 1, 8, cpu=0, victim_cgroup=20, offender_cgroup=30, stall_ns=1000 * MS),
            pair(CGROUP | SLEPT, 1, cpu=1, victim_cgroup=20, stall_ns=9000 * MS),
        ]
    )

    assert told(make_rows(pairs, PARENTS, WINDOW_NS)) == [(CGROUP_LEVEL, 0, 0, 20, 8, 30, 0, 500 * MS)]


def test_being_throttled_is_time_in_which_a_group_was_not_idle() -> None:
    pairs = np.concatenate(
        [
            pair(CGROUP | QUOTA, 1, 7, cpu=0, victim_cgroup=20, offender_cgroup=20, stall_ns=300 * MS),
            pair(CGROUP | RAN, 1, cpu=1, victim_cgroup=20, stall_ns=100 * MS),
        ]
    )

    assert told(make_rows(pairs, PARENTS, WINDOW_NS)) == [
        (CGROUP_LEVEL, STALL_KINDS.index("own_quota"), 0, 20, 7, 20, 0, 225 * MS)
    ]


def test_processes_with_threads_are_averaged_as_groups_are() -> None:
    pairs = np.concatenate(
        [
            pair(0, 7, 8, task_ns=500 * MS),
            pair(0, 7, 8, cpu=0, stall_ns=200 * MS),
            pair(0, 7, 7, cpu=0, stall_ns=100 * MS),
            pair(RAN, 7, cpu=0, stall_ns=100 * MS),
            pair(RAN, 7, cpu=1, stall_ns=300 * MS),
        ]
    )

    assert told(make_rows(pairs, {}, WINDOW_NS)) == [
        (PROCESS_LEVEL, 0, 7, 0, 7, 0, 0, 50 * MS),
        (PROCESS_LEVEL, 0, 7, 0, 8, 0, 500 * MS, 100 * MS),
    ]


def test_a_slot_and_a_pid_of_one_number_are_two_victims() -> None:
    pairs = np.concatenate(
        [
            pair(CGROUP, 7, 8, cpu=0, victim_cgroup=20, offender_cgroup=30, stall_ns=100 * MS),
            pair(RAN, 7, cpu=1, stall_ns=300 * MS),
        ]
    )

    assert told(make_rows(pairs, PARENTS, WINDOW_NS)) == [(CGROUP_LEVEL, 0, 0, 20, 8, 30, 0, 100 * MS)]


def test_the_lineage_of_a_group_ends_below_the_root() -> None:
    assert lineage(22, PARENTS) == [22, 20]
    assert lineage(1, PARENTS) == []
