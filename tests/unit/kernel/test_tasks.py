"""Threads are summed to processes."""

from __future__ import annotations

import mmap
import os
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.events import COUNTERS, PROCESS, TASK, UNKNOWN, Array
from linnix.cognitod.kernel.tasks import PF_KTHREAD, read_walk, state_letters, sum_threads

S, Z = 1, 0x20


def make_tasks(*tasks: dict[str, object]) -> Array:
    made = np.zeros(len(tasks), TASK)
    for at, task in enumerate(tasks):
        for name, value in {"threads": 1, "state": S, "comm": b"x", **task}.items():
            made[name][at] = value
    return made


@pytest.mark.parametrize(
    ("state", "letter"),
    [
        (0x0, b"R"),
        (0x1, b"S"),
        (0x2, b"D"),
        (0x4, b"T"),
        (0x8, b"t"),
        (0x10, b"X"),
        (0x20, b"Z"),
        (0x40, b"P"),
        (0x402, b"I"),
        (0x102, b"D"),  # killable
        (0x2001, b"S"),  # freezable
        (0x8000, b"D"),  # frozen
        (0x1000, b"D"),  # a lock of a real-time kernel
        (0x200, b"R"),  # waking
        (0x30, b"Z"),
    ],
)
def test_a_state_has_the_letter_of_proc(state: int, letter: bytes) -> None:
    assert state_letters(np.array([state], np.uint32)).tolist() == [letter]


def test_no_tasks_are_no_processes() -> None:
    assert sum_threads(np.empty(0, TASK)).tolist() == []


def test_what_threads_used_is_summed_and_what_the_process_holds_is_not() -> None:
    used = {name: 10 * place for place, name in enumerate(TASK.names[: len(COUNTERS)], 1)}
    holds = {
        "file_pages": 2,
        "anon_pages": 3,
        "shmem_pages": 5,
        "swap_pages": 7,
        "pgtables_bytes": 11,
        "open_files": 13,
    }
    of_both = {"threads": 2, "oom_score_adj": -17, "nice": 19}
    leader = {"pid": 7, "tid": 7, "comm": b"leader", **used, **holds, **of_both}
    thread = {"pid": 7, "tid": 9, "comm": b"thread", **dict.fromkeys(used, 1), **of_both}
    (row,) = sum_threads(make_tasks(thread, leader))

    assert [row[name].item() for name in COUNTERS] == [amount + 1 for amount in used.values()]
    assert {name: row[name].item() for name in PROCESS.names[len(COUNTERS) :] if name != "_pad"} == {
        "rss_file_bytes": 2 * mmap.PAGESIZE,
        "rss_anon_bytes": 3 * mmap.PAGESIZE,
        "rss_shmem_bytes": 5 * mmap.PAGESIZE,
        "swap_bytes": 7 * mmap.PAGESIZE,
        "rss_bytes": 10 * mmap.PAGESIZE,
        "pgtables_bytes": 11,
        "open_files": 13,
        **of_both,
        "pid": 7,
        "ppid": 0,
        "uid": 0,
        "gid": 0,
        "start_ns": 0,
        "cgroup_id": 0,
        "kthread": False,
        "state": b"S",
        "comm": b"leader",
    }


@pytest.mark.parametrize("name", ["run_delay_ns", "read_bytes", "cancelled_write_bytes"])
def test_a_counter_that_the_kernel_does_not_keep_is_unknown_for_all(name: str) -> None:
    rows = sum_threads(make_tasks(*({"pid": pid, "tid": tid, name: UNKNOWN} for pid, tid in ((1, 1), (1, 2), (3, 3)))))

    assert rows[name].tolist() == [UNKNOWN, UNKNOWN]
    assert rows["cpu_ns"].tolist() == [0, 0]


def test_a_process_whose_leader_is_gone_is_shown_by_a_living_thread_under_its_leaders_name() -> None:
    leader = {"pid": 7, "tid": 7, "state": Z, "uid": 0, "comm": b"leader", "threads": 2}
    thread = {"pid": 7, "tid": 9, "anon_pages": 3, "uid": 5, "comm": b"thread", "threads": 2}
    (row,) = sum_threads(make_tasks(leader, thread))

    assert (row["state"], row["uid"], row["comm"], row["rss_bytes"]) == (b"S", 5, b"leader", 3 * mmap.PAGESIZE)


def test_a_process_all_of_whose_threads_are_gone_is_a_zombie() -> None:
    (row,) = sum_threads(make_tasks({"pid": 7, "tid": 7, "state": Z}))

    assert row["state"] == b"Z"


def test_kernel_threads_are_told_from_the_flags() -> None:
    rows = sum_threads(make_tasks({"pid": 2, "tid": 2, "flags": PF_KTHREAD | 1}, {"pid": 3, "tid": 3, "flags": 1}))

    assert rows["kthread"].tolist() == [True, False]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "pid": st.integers(1, 5),
                "tid": st.integers(1, 12),
                "run_ns": st.integers(0, 2**40),
                "anon_pages": st.integers(0, 9),
                "state": st.sampled_from([0, S, 2, Z]),
            }
        ),
        unique_by=lambda task: task["tid"],
    )
)
def test_the_sums_are_those_of_the_plain_loop(tasks: list[dict[str, int]]) -> None:
    groups = defaultdict(list)
    for task in tasks:
        groups[task["pid"]].append(task)
    rows = sum_threads(make_tasks(*tasks))

    assert rows.dtype == PROCESS
    assert rows["pid"].tolist() == sorted(groups)
    for row in rows:
        group = groups[int(row["pid"])]
        assert row["cpu_ns"] == sum(task["run_ns"] for task in group)
        assert row["rss_bytes"] == max(task["anon_pages"] for task in group) * mmap.PAGESIZE
        assert (row["state"] == b"Z") == all(task["state"] == Z for task in group)


def test_a_walk_is_read_to_its_end_however_it_is_cut() -> None:
    tasks = make_tasks(*({"pid": pid, "tid": pid} for pid in range(1, 1000)))
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as read_end, os.fdopen(writer, "wb") as write_end:
        raw = tasks.tobytes()[: 300 * TASK.itemsize]  # within a pipe's buffer
        write_end.write(raw)
        write_end.close()

        assert read_walk(read_end.fileno()).tolist() == tasks[:300].tolist()
