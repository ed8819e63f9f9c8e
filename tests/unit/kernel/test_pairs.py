"""Waits are cut at the moments of collection, and become pairs of victim and offender."""

import numpy as np

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.charge import UNKNOWN, Ints, Use
from linnix.cognitod.kernel.pairs import ITSELF, NOBODY, OWNER, PART, Waits, drop_lost, owners_of, pair
from linnix.cognitod.kernel.stalls import RECORD, SERVED, WAIT, Seen
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL

ROOT, SLICE, LEAF, OTHER = 1, 10, 11, 12
PARENTS = {SLICE: ROOT, LEAF: SLICE, OTHER: SLICE}
MEASURED, INFERRED, OWN_QUOTA = 0, 1, 2


def record(**fields: int) -> Array:
    made = np.zeros(1, RECORD)
    for name, value in fields.items():
        made[name] = value
    return made


def wait(begin_ns: int, ts_ns: int = 0, tid: int = 5, ran: int = 0) -> Array:
    return record(kind=WAIT, begin_ns=begin_ns, ts_ns=ts_ns, pid=5, tid=tid, start_ns=50, cgroup_id=LEAF, key=ran)


def seen(ended: list[Array], ongoing: list[Array]) -> Seen:
    empty = np.empty(0, RECORD)
    return Seen(np.concatenate([empty, *ended]), np.concatenate([empty, *ongoing]), None, 0, 0, {})


def told(parts: Array) -> list[tuple[int, int, int]]:
    return [(int(part["begin_ns"]), int(part["end_ns"]), int(part["active_ns"])) for part in parts]


def test_a_wait_that_ended_is_handed_out_whole() -> None:
    assert told(Waits().take(seen([wait(10, 30, ran=7)], []), 100)) == [(10, 30, 7)]


def test_a_wait_that_goes_on_is_handed_out_in_parts_that_meet() -> None:
    waits = Waits()
    taken = [
        waits.take(seen([], [wait(10, ran=7)]), 100),
        waits.take(seen([], [wait(10, ran=7)]), 200),
        waits.take(seen([wait(10, 250, ran=7)], []), 300),
        waits.take(seen([], []), 400),
    ]

    assert [told(parts) for parts in taken] == [[(10, 100, 7)], [(100, 200, 0)], [(200, 250, 0)], []]


def test_a_wait_seen_open_and_ended_in_one_look_counts_once() -> None:
    assert told(Waits().take(seen([wait(10, 90)], [wait(10)]), 100)) == [(10, 90, 0)]


def test_a_wait_told_before_its_end_was_due_is_split_there() -> None:
    waits = Waits()

    assert told(waits.take(seen([wait(10, 150)], []), 100)) == [(10, 100, 0)]
    assert told(waits.take(seen([], []), 200)) == [(100, 150, 0)]


def test_an_open_wait_that_one_look_missed_is_not_counted_twice() -> None:
    waits = Waits()
    waits.take(seen([], [wait(10)]), 100)

    assert told(waits.take(seen([], []), 200)) == []
    assert told(waits.take(seen([wait(10, 250)], []), 300)) == [(100, 250, 0)]


def test_threads_that_begin_to_wait_in_the_same_nanosecond_are_told_apart() -> None:
    waits = Waits()
    waits.take(seen([], [wait(10, tid=5)]), 100)

    assert told(waits.take(seen([wait(10, 150, tid=5), wait(10, 150, tid=6)], []), 200)) == [
        (100, 150, 0),
        (10, 150, 0),
    ]


def test_owners_are_told_apart_by_whether_they_were_observed_or_inferred() -> None:
    nobody = record(kind=SERVED)
    observed = record(kind=SERVED, pid=7, start_ns=70, cgroup_id=OTHER)
    inferred = record(kind=SERVED, pid=7, start_ns=70, cgroup_id=OTHER, inferred=1)
    owners, number = owners_of(np.concatenate((observed, nobody, inferred, observed)))

    assert number[0] == number[3] != number[2]
    assert number[1] == UNKNOWN
    assert owners["inferred"][number[[0, 2]]].tolist() == [0, 1]


def part(begin_ns: int, end_ns: int, pid: int = 5, cgroup: int = LEAF, cpu: int = 0, ran: int = 0) -> Array:
    made = np.zeros(1, PART)
    made["begin_ns"], made["end_ns"], made["active_ns"] = begin_ns, end_ns, ran
    made["pid"], made["start_ns"], made["cgroup_id"], made["cpu"] = pid, pid * 10, cgroup, cpu
    return made


def owner(pid: int, inferred: int = 0) -> Array:
    made = np.zeros(1, OWNER)
    made["pid"], made["start_ns"], made["cgroup_id"], made["inferred"] = pid, pid * 10, OTHER, inferred
    return made


def use(*intervals: tuple[int, int, int]) -> Use:
    return Use(*np.array(intervals, np.int64).reshape(-1, 3).T)


def rows_of(
    parts: list[Array],
    source: list[int],
    uses: list[Use],
    owners: list[Array],
    ran: dict[int, Ints] | None = None,
) -> dict[tuple[int, ...], tuple]:  # type: ignore[type-arg]
    rows = pair(np.concatenate(parts), np.array(source), uses, np.concatenate(owners), PARENTS, ran or {}, 1, 400)
    assert set(rows["resource"].tolist()) <= {1}
    key = ("level", "victim_pid", "victim_cgroup", "offender_pid", "kind")
    return {tuple(int(row[name]) for name in key): (int(row["task_ns"]), int(row["stall_ns"])) for row in rows}


def test_a_wait_blames_its_offender_for_the_process_and_for_each_cgroup_around_it() -> None:
    assert rows_of([part(0, 100)], [0], [use((0, 100, 0))], [owner(7)]) == {
        (PROCESS_LEVEL, 5, LEAF, 7, MEASURED): (100, 100),
        (CGROUP_LEVEL, 0, LEAF, 7, MEASURED): (0, 100),
        (CGROUP_LEVEL, 0, SLICE, 7, MEASURED): (0, 100),
    }


def test_threads_that_wait_together_on_one_cpu_are_summed_as_tasks_and_united_as_stall() -> None:
    rows = rows_of([part(0, 100), part(50, 150)], [0, 0], [use((0, 200, 0))], [owner(7)])

    assert rows[PROCESS_LEVEL, 5, LEAF, 7, MEASURED] == (200, 150)


def test_processes_of_one_cgroup_are_united_there_and_those_of_two_above_them() -> None:
    parts = [part(0, 100, pid=5), part(0, 100, pid=6, cgroup=OTHER)]
    rows = rows_of(parts, [0, 0], [use((0, 100, 0))], [owner(7)])

    assert rows[PROCESS_LEVEL, 6, OTHER, 7, MEASURED] == (100, 100)
    assert (rows[CGROUP_LEVEL, 0, LEAF, 7, MEASURED], rows[CGROUP_LEVEL, 0, SLICE, 7, MEASURED]) == ((0, 100), (0, 100))


def test_stall_is_averaged_over_the_cpus_by_their_activity() -> None:
    # CPU 0 waited for 100 of 100, CPU 1 for 60 of 300: (100 * 100 + 60 * 300) / 400
    rows = rows_of([part(0, 100, cpu=0), part(0, 60, cpu=1, ran=240)], [0, 0], [use((0, 100, 0))], [owner(7)])

    assert rows[PROCESS_LEVEL, 5, LEAF, 7, MEASURED] == (160, 70)


def test_what_others_of_a_cgroup_ran_weighs_too_but_not_what_they_ran_while_it_waited() -> None:
    # In LEAF CPU 0 waited for 100 of 400 and others ran for 400, that is for 300 beside the wait: it was never idle.
    # CPU 1 waited for 60 and did nothing else: (100 * 400 + 60 * 60) / 460
    parts = [part(0, 100, cpu=0), part(0, 60, cpu=1)]
    rows = rows_of(parts, [0, 0], [use((0, 100, 0))], [owner(7)], {LEAF: np.array([400, 0])})

    assert rows[CGROUP_LEVEL, 0, LEAF, 7, MEASURED] == (0, 94)
    assert rows[CGROUP_LEVEL, 0, SLICE, 7, MEASURED] == (0, 94)
    assert rows[PROCESS_LEVEL, 5, LEAF, 7, MEASURED] == (160, 85)  # (100 * 100 + 60 * 60) / 160


def test_a_cpu_on_which_a_cgroup_only_ran_dilutes_its_stall() -> None:
    # 100 on CPU 0, which did nothing else, beside 300 of running on CPU 1: 100 * 100 / 400
    rows = rows_of([part(0, 100, cpu=0)], [0], [use((0, 100, 0))], [owner(7)], {OTHER: np.array([0, 300])})

    assert rows[CGROUP_LEVEL, 0, LEAF, 7, MEASURED] == (0, 100)
    assert rows[CGROUP_LEVEL, 0, SLICE, 7, MEASURED] == (0, 25)


def test_nobody_is_charged_for_waits_that_reach_beyond_what_was_told() -> None:
    parts, source = np.concatenate((part(0, 100), part(50, 130))), np.zeros(2, np.int64)

    assert (drop_lost(parts, source, None), source.tolist()) == (0, [0, 0])
    assert (drop_lost(parts, source, 100), source.tolist()) == (80, [0, NOBODY])


def test_what_was_observed_and_what_was_inferred_of_one_offender_are_two_rows() -> None:
    rows = rows_of([part(0, 100)], [0], [use((0, 100, 0), (0, 100, 1))], [owner(7), owner(7, inferred=1)])

    assert rows[PROCESS_LEVEL, 5, LEAF, 7, MEASURED] == (50, 50)
    assert rows[PROCESS_LEVEL, 5, LEAF, 7, INFERRED] == (50, 50)


def test_nobody_is_charged_for_a_wait_without_a_source_or_for_service_to_somebody_unknown() -> None:
    rows = rows_of([part(0, 100), part(100, 200)], [NOBODY, 0], [use((0, 200, UNKNOWN), (100, 200, 0))], [owner(7)])

    assert rows[PROCESS_LEVEL, 5, LEAF, 7, MEASURED] == (50, 50)


def test_a_wait_for_a_limit_of_its_own_is_the_victims_own_quota() -> None:
    assert rows_of([part(0, 100)], [ITSELF], [use()], [owner(7)]) == {
        (PROCESS_LEVEL, 5, LEAF, 5, OWN_QUOTA): (100, 100),
        (CGROUP_LEVEL, 0, LEAF, 5, OWN_QUOTA): (0, 100),
        (CGROUP_LEVEL, 0, SLICE, 5, OWN_QUOTA): (0, 100),
    }


def test_a_process_in_the_root_cgroup_has_no_row_of_a_cgroup() -> None:
    assert list(rows_of([part(0, 100, cgroup=ROOT)], [0], [use((0, 100, 0))], [owner(7)])) == [
        (PROCESS_LEVEL, 5, ROOT, 7, MEASURED)
    ]


def test_without_waits_there_are_no_pairs() -> None:
    rows = pair(np.empty(0, PART), np.empty(0, np.int64), [use((0, 9, 0))], owner(7), PARENTS, {}, 1, 400)

    assert len(rows) == 0
