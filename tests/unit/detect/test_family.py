"""Children, descendants, and who of a line of parents is the one that matters."""

from __future__ import annotations

from typing import Any

import numpy as np

from linnix.cognitod.detect.family import family, of_living
from linnix.cognitod.model import ROW, Rows


def tree(*people: tuple[int, int, dict[str, Any]]) -> Rows:
    """Pid, parent and columns of each; the smaller the pid, the older."""
    rows = np.zeros(len(people), ROW)
    for at, (pid, ppid, columns) in enumerate(people):
        for name, value in {"pid": pid, "ppid": ppid, "start_ns": pid, "alive": True, "state": b"S", **columns}.items():
            rows[at][name] = value
    return rows


def by_pid(rows: Rows, values: Any) -> dict[int, Any]:
    return dict(zip(rows["pid"].tolist(), values.tolist(), strict=True))


def test_a_family_is_counted_through_all_generations_whatever_the_order_of_its_rows() -> None:
    rows = tree(
        (30, 20, {"cpu_pct": 50.0}),
        (1, 0, {}),
        (10, 1, {"cpu_pct": 1.0}),
        (20, 10, {}),
        (31, 20, {"cpu_pct": 25.0}),
        (40, 30, {"alive": False, "state": b"X"}),
    )
    told = family(rows, *of_living(rows))

    assert by_pid(rows, told.children) == {1: 1, 10: 1, 20: 2, 30: 0, 31: 0, 40: 0}
    assert by_pid(rows, told.descendants) == {1: 4, 10: 3, 20: 2, 30: 0, 31: 0, 40: 0}
    assert by_pid(rows, told.subtree_cpu_pct) == {1: 76.0, 10: 76.0, 20: 75.0, 30: 50.0, 31: 25.0, 40: 0.0}
    assert by_pid(rows, told.parents) == {1: -1, 10: 1, 20: 2, 30: 3, 31: 3, 40: -1}


def test_the_dead_are_their_parents_until_they_are_reaped() -> None:
    dead = {"alive": False, "state": b"Z"}
    rows = tree((1, 0, {}), (10, 1, {}), (20, 10, dead), (21, 10, dead), (22, 1, dead), (23, 99, dead))
    told = family(rows, *of_living(rows))

    assert by_pid(rows, told.zombies) == {1: 1, 10: 2, 20: 0, 21: 0, 22: 0, 23: 0}
    assert by_pid(rows, told.descendants)[10] == 0


def test_who_only_stands_above_the_one_with_the_children_does_not_branch() -> None:
    workers = [(100 + n, 30, {"cpu_pct": 10.0}) for n in range(20)]
    rows = tree((10, 1, {}), (20, 10, {}), (30, 20, {}), *workers)
    told = family(rows, *of_living(rows))

    assert [pid for pid, branches in by_pid(rows, told.branches).items() if branches and pid < 100] == [30]
    assert [pid for pid, spreads in by_pid(rows, told.spreads_cpu).items() if spreads and pid < 100] == [30]


def test_nobody_has_no_family() -> None:
    assert [len(values) for values in family(np.zeros(0, ROW), *of_living(np.zeros(0, ROW)))] == [0] * 7


def test_the_first_of_a_control_group_stands_for_a_chain_of_single_children() -> None:
    chain = [(30 + n, 29 + n, {"cgroup_id": 7}) for n in range(20)]
    rows = tree((10, 1, {"cgroup_id": 5}), (29, 10, {"cgroup_id": 5}), *chain)
    told = family(rows, *of_living(rows))

    # The last but one has one child with all of its one descendant: it is no branch either.
    assert [pid for pid, branches in by_pid(rows, told.branches).items() if branches and pid < 48] == [30]
