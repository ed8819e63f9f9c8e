"""What processes used and hold, as the table keeps it. The kernel's part is in tests/kernel/test_accounts.py."""

from __future__ import annotations

import math
import mmap

import numpy as np
import pytest
from cognitod_make import SECOND, batch, event, process, record
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.accounts import oom_scores, split_cpu
from linnix.cognitod.events import ACCOUNT, UNKNOWN_ADJ, UNKNOWN_FILES, Kind
from linnix.cognitod.events import UNKNOWN as UNTOLD
from linnix.cognitod.model import UNKNOWN, UNKNOWN_NICE, USAGE
from linnix.cognitod.processes import Table

MIB = 1 << 20
NAMES = tuple(name for name in USAGE.names or () if name != "_pad")
RATES = tuple(name for name in NAMES if name.endswith(("_pct", "_per_s")))
COUNTED = NAMES[:10]


def sample(table: Table, now_ns: int, *rows: np.ndarray) -> None:
    table.sample(np.concatenate(rows), now_ns, 1 << 30)


def used(table: Table, pid: int) -> dict[str, float | None]:
    """Of the process, None for a rate that is not known."""
    found = table.find(pid)
    assert found is not None
    (row,) = table.usage(np.array([found["slot"]], np.intp))
    values = {name: row[name].item() for name in NAMES}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def final(pid: int, start_ns: int, **fields: int) -> np.ndarray:
    return record(ACCOUNT, pid=pid, start_ns=start_ns, **fields)


FIRST = {
    "cpu_ns": 8 * SECOND,
    "utime_ns": 3 * SECOND,
    "stime_ns": SECOND,
    "run_delay_ns": 100,
    "nvcsw": 11,
    "nivcsw": 13,
    "min_flt": 17,
    "maj_flt": 19,
    "read_bytes": 23,
    "write_bytes": 29,
    "cancelled_write_bytes": 31,
    "rss_file_bytes": 37,
    "rss_anon_bytes": 41,
    "rss_shmem_bytes": 43,
    "swap_bytes": 47,
    "open_files": 53,
    "nice": -7,
}


def test_a_process_that_no_sample_has_seen_is_unknown_in_everything() -> None:
    table = Table()
    table.update(batch(event(Kind.FORK, 5, SECOND)))

    assert used(table, 5) == {
        **dict.fromkeys(NAMES, UNKNOWN),
        **dict.fromkeys(RATES),
        "open_files": UNKNOWN_FILES,
        "oom_score_adj": UNKNOWN_ADJ,
        "nice": UNKNOWN_NICE,
    }


def test_the_first_sample_tells_amounts_and_no_rates() -> None:
    table = Table()
    sample(table, 10 * SECOND, process(5, 1, **FIRST))

    assert used(table, 5) == {
        "cpu_user_ns": 6 * SECOND,
        "cpu_system_ns": 2 * SECOND,
        "run_delay_ns": 100,
        "voluntary_switches": 11,
        "involuntary_switches": 13,
        "minor_faults": 17,
        "major_faults": 19,
        "read_bytes": 23,
        "write_bytes": 29,
        "cancelled_write_bytes": 31,
        "rss_file_bytes": 37,
        "rss_anon_bytes": 41,
        "rss_shmem_bytes": 43,
        "swap_bytes": 47,
        "open_files": 53,
        "oom_score": 0,
        "oom_score_adj": 0,
        "nice": -7,
        **dict.fromkeys(RATES),
    }


def test_rates_are_the_differences_of_two_samples_over_the_time_that_passed() -> None:
    table = Table()
    sample(table, 10 * SECOND, process(5, 1, **FIRST))
    grown = {**FIRST, "run_delay_ns": 5 * SECOND + 100, "nvcsw": 21, "nivcsw": 53, "min_flt": 19, "maj_flt": 119}
    grown |= {"read_bytes": 23 + 8 * MIB, "write_bytes": 29 + MIB}
    grown |= {name: FIRST[name] * 5 // 4 for name in ("cpu_ns", "utime_ns", "stime_ns")}
    sample(table, 12 * SECOND, process(5, 1, **grown))
    told = used(table, 5)

    assert {name: told[name] for name in RATES} == {
        "run_delay_pct": 250.0,
        "voluntary_switches_per_s": 5.0,
        "involuntary_switches_per_s": 20.0,
        "minor_faults_per_s": 1.0,
        "major_faults_per_s": 50.0,
        "read_bytes_per_s": 4.0 * MIB,
        "write_bytes_per_s": 0.5 * MIB,
        "cpu_user_pct": 75.0,
        "cpu_system_pct": 25.0,
    }


def test_one_born_between_two_samples_is_rated_from_its_birth() -> None:
    table = Table()
    sample(table, 10 * SECOND, process(1, 1))
    table.update(batch(event(Kind.FORK, 5, 10 * SECOND + SECOND // 2)))
    sample(table, 11 * SECOND, process(1, 1), process(5, 10 * SECOND + SECOND // 2, nvcsw=40))

    assert used(table, 5)["voluntary_switches_per_s"] == 80.0


def test_run_queue_delay_goes_on_when_a_thread_dies_and_takes_its_own_along() -> None:
    table = Table()
    seen = []
    for second, delay_s in enumerate((5, 9, 2, 3)):
        sample(table, second * SECOND, process(5, 1, run_delay_ns=delay_s * SECOND))
        seen.append(used(table, 5)["run_delay_ns"])

    assert seen == [5 * SECOND, 9 * SECOND, 9 * SECOND, 10 * SECOND]


def test_what_a_sight_cannot_tell_stays_unknown_and_has_no_rate() -> None:
    table = Table()
    for second in (1, 2):
        untold = dict.fromkeys(("run_delay_ns", "nvcsw", "read_bytes", "rss_anon_bytes", "swap_bytes"), UNTOLD)
        sample(table, second * SECOND, process(5, 1, **{**FIRST, **untold, "open_files": UNKNOWN_FILES}))
    told = used(table, 5)

    unknown = ("run_delay_ns", "voluntary_switches", "read_bytes", "rss_anon_bytes", "swap_bytes")
    assert {name for name in NAMES if told[name] == UNKNOWN} == set(unknown)
    assert {name for name in RATES if told[name] is None} == {
        *("run_delay_pct", "voluntary_switches_per_s", "read_bytes_per_s")
    }
    assert told["open_files"] == UNKNOWN_FILES


def test_a_final_account_raises_what_the_samples_saw_and_lowers_nothing() -> None:
    table = Table()
    sample(table, 10 * SECOND, process(5, 1, **FIRST))
    table.update(batch(event(Kind.EXIT, 5, 11 * SECOND, start_ns=1, cpu_ns=9 * SECOND)))
    more = {"nvcsw": 110, "nivcsw": 2, "min_flt": 170, "maj_flt": 190, "read_bytes": 230, "write_bytes": 290}
    account = {**more, "cpu_ns": 12 * SECOND, "utime_ns": 3 * SECOND, "stime_ns": 3 * SECOND, "run_delay_ns": 1000}
    table.settle(np.concatenate([final(5, 1, **account), final(5, 2, nvcsw=999), final(77, 1, nvcsw=999)]))
    found = table.find(5)

    assert found is not None
    assert (bool(found["alive"]), int(found["cpu_ns"])) == (False, 12 * SECOND)
    assert used(table, 5) == {
        "cpu_user_ns": 6 * SECOND,
        "cpu_system_ns": 6 * SECOND,
        "run_delay_ns": 1000,
        "voluntary_switches": 110,
        "involuntary_switches": 13,
        "minor_faults": 170,
        "major_faults": 190,
        "read_bytes": 230,
        "write_bytes": 290,
        "cancelled_write_bytes": 31,
        **dict.fromkeys(("rss_file_bytes", "rss_anon_bytes", "rss_shmem_bytes", "swap_bytes", "open_files"), 0),
        "oom_score": 0,
        "oom_score_adj": 0,
        "nice": -7,
        **dict.fromkeys(RATES),
    }


def test_one_that_lived_between_two_samples_is_known_by_its_final_account_alone() -> None:
    table = Table()
    table.update(batch(event(Kind.FORK, 5, SECOND), event(Kind.EXIT, 5, SECOND + 1, start_ns=SECOND)))
    table.settle(final(5, SECOND, cpu_ns=700, utime_ns=0, stime_ns=0, nvcsw=3, nivcsw=0, min_flt=50))
    told = used(table, 5)

    assert {name: told[name] for name in COUNTED} == {
        "cpu_user_ns": 700,
        "cpu_system_ns": 0,
        "run_delay_ns": 0,
        "voluntary_switches": 3,
        "involuntary_switches": 0,
        "minor_faults": 50,
        "major_faults": 0,
        "read_bytes": 0,
        "write_bytes": 0,
        "cancelled_write_bytes": UNKNOWN,
    }


def test_a_slot_that_changes_hands_takes_nothing_along() -> None:
    table = Table(retention_ns=0)
    sample(table, 10 * SECOND, process(5, 1, **FIRST))
    table.update(batch(event(Kind.EXIT, 5, 11 * SECOND, start_ns=1)))
    table.expire(12 * SECOND)
    table.update(batch(event(Kind.FORK, 6, 13 * SECOND)))

    assert {used(table, 6)[name] for name in COUNTED} == {UNKNOWN}


@given(st.lists(st.tuples(st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, 2**50)), min_size=1, max_size=8))
def test_both_parts_of_cpu_time_grow_and_make_up_the_whole(steps: list[tuple[int, int, int]]) -> None:
    cpu = utime = stime = 0
    user, system = np.array([UNKNOWN]), np.array([UNKNOWN])
    for more_cpu, more_utime, more_stime in steps:
        cpu, utime, stime = cpu + more_cpu, utime + more_utime, stime + more_stime
        spent = split_cpu(np.array([cpu]), np.array([utime]), np.array([stime]), user, system)

        assert spent[0] >= max(int(system[0]), 0)
        assert cpu - spent[0] >= max(int(user[0]), 0)
        user, system = cpu - spent, spent


@pytest.mark.parametrize(
    ("of", "score"),
    [
        ({"pgtables_bytes": 4 * mmap.PAGESIZE}, 666),  # 1000 * 2 / 3
        ({"pgtables_bytes": 1, "rss_bytes": 512 * MIB}, 1000),  # half of memory and of swap together
        ({"pgtables_bytes": 1, "swap_bytes": 512 * MIB}, 1000),
        ({"pgtables_bytes": 512 * MIB}, 1000),
        ({"pgtables_bytes": 1, "oom_score_adj": -999}, 1),
        ({"pgtables_bytes": 1, "oom_score_adj": -1000}, 0),  # never
        ({"pgtables_bytes": 1, "oom_score_adj": 1000}, 1332),  # 262144 pages do not divide by 1000
        ({"pgtables_bytes": 0, "oom_score_adj": 1000}, 0),  # a zombie has nothing to give
        ({"pgtables_bytes": 1, "kthread": True}, 0),
        ({"pgtables_bytes": 1, "pid": 1}, 0),
        ({"pgtables_bytes": UNTOLD}, UNKNOWN),
        ({"pgtables_bytes": 1, "swap_bytes": UNTOLD}, UNKNOWN),
        ({"pgtables_bytes": 1, "oom_score_adj": UNKNOWN_ADJ}, UNKNOWN),
    ],
)
def test_the_oom_score_is_that_of_the_kernel(of: dict[str, int], score: int) -> None:
    row = process(**{"pid": 5, "start_ns": 1, **of})

    assert oom_scores(row, 512 * MIB, 512 * MIB).tolist() == [score]


def ended_used(table: Table, pid: int) -> tuple[int, int, int]:
    """CPU time in us, KiB read and KiB written by children of this process that ended."""
    found = table.find(pid)
    assert found is not None
    return int(found["child_cpu_us"]), int(found["child_read_kib"]), int(found["child_write_kib"])


def command(table: Table, pid: int, at_ns: int, ppid: int = 2, parent_start_ns: int = 1, **account: int) -> None:
    """A child that lived a moment, and its account."""
    kin = {"ppid": ppid, "parent_start_ns": parent_start_ns}
    table.update(
        batch(event(Kind.FORK, pid, at_ns, **kin), event(Kind.EXIT, pid, at_ns + 9, start_ns=at_ns, **kin)),
    )
    table.settle(final(pid, at_ns, **account))


def test_what_a_loops_commands_used_is_told_of_the_loop_for_ten_seconds() -> None:
    table = Table()
    sample(table, 10 * SECOND, process(2, 1))
    for number in range(3):
        moved = {"read_bytes": 3 * 1024, "write_bytes": 7 * MIB}
        command(table, 50 + number, (11 + number) * SECOND, cpu_ns=5_000_000, **moved)
    first = ended_used(table, 2)
    sample(table, 22 * SECOND, process(2, 1))

    assert first == (15_000, 9, 3 * 7 * 1024)
    assert ended_used(table, 2) == (5_000, 3, 7 * 1024)


def test_what_a_sample_saw_of_a_child_was_told_of_the_child() -> None:
    table = Table()
    seen = process(5, 2, ppid=2, cpu_ns=4 * SECOND, write_bytes=100 * MIB, read_bytes=0)
    sample(table, 10 * SECOND, process(2, 1), seen)
    table.update(batch(event(Kind.EXIT, 5, 11 * SECOND, start_ns=2, ppid=2, parent_start_ns=1, cpu_ns=5 * SECOND)))
    table.settle(final(5, 2, cpu_ns=5 * SECOND, write_bytes=101 * MIB))

    assert ended_used(table, 2) == (1_000_000, 0, 1024)


def test_the_nearest_forebear_that_lives_is_told_of() -> None:
    table = Table()
    sample(table, 10 * SECOND, process(2, 1))
    shell = {"ppid": 2, "parent_start_ns": 1}
    table.update(
        batch(
            event(Kind.FORK, 50, 11 * SECOND, **shell),
            event(Kind.FORK, 51, 11 * SECOND + 1, ppid=50, parent_start_ns=11 * SECOND),
            event(Kind.EXIT, 50, 11 * SECOND + 2, start_ns=11 * SECOND, **shell),
            event(Kind.EXIT, 51, 11 * SECOND + 3, start_ns=11 * SECOND + 1, ppid=50, parent_start_ns=11 * SECOND),
        )
    )
    table.settle(final(51, 11 * SECOND + 1, cpu_ns=0, write_bytes=MIB))

    assert ended_used(table, 2) == (0, 0, 1024)
