"""Families found in hand-made rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.api.graph import Node, family
from linnix.cognitod.model import ROW, Rows


def rows(*processes: tuple[int, int] | tuple[int, int, int] | tuple[int, int, int, int]) -> Rows:
    """(pid, ppid[, start_ns[, parent_start_ns]]) a process; born in the order given unless it says otherwise."""
    table = np.zeros(len(processes), ROW)
    for at, (pid, ppid, *identity) in enumerate(processes):
        start, parent_start = [*identity, *(at + 1, 0)[len(identity) :]]
        table[at]["pid"], table[at]["ppid"] = pid, ppid
        table[at]["start_ns"], table[at]["parent_start_ns"] = start, parent_start
    return table


def shape(nodes: list[Node]) -> list[tuple[int, str, int]]:
    return [(node.pid, node.relationship, node.level) for node in nodes]


def test_a_family_is_self_then_ancestors_then_siblings_then_descendants() -> None:
    nodes, cut = family(rows((1, 0), (10, 1), (11, 10), (12, 10), (20, 11), (30, 20), (40, 1)), 11)
    assert shape(nodes) == [
        (11, "self", 0),
        (10, "ancestor", -1),
        (1, "ancestor", -2),
        (12, "sibling", 0),
        (20, "descendant", 1),
        (30, "descendant", 2),
    ]
    assert not cut


def test_a_parent_that_nobody_knows_is_a_virtual_root() -> None:
    nodes, _ = family(rows((11, 10), (12, 10)), 11)
    assert shape(nodes) == [(11, "self", 0), (10, "virtual_root", -1), (12, "sibling", 0)]


def test_a_pid_known_only_as_a_parent_is_its_own_virtual_root() -> None:
    nodes, _ = family(rows((11, 10), (12, 10)), 10)
    assert shape(nodes) == [(10, "virtual_root", 0), (11, "descendant", 1), (12, "descendant", 1)]


def test_a_pid_nobody_knows_has_no_family() -> None:
    assert family(rows((11, 10)), 99) == ([], False)


def test_an_empty_table_knows_nobody() -> None:
    assert family(rows(), 1) == ([], False)


def test_a_reused_pid_does_not_adopt_the_children_of_the_one_before() -> None:
    table = rows((1, 0, 1), (10, 1, 100, 1), (11, 10, 150, 100), (10, 1, 200, 1), (12, 10, 250, 200))
    assert shape(family(table, 10)[0]) == [
        (10, "self", 0),
        (1, "ancestor", -1),
        (10, "sibling", 0),
        (12, "descendant", 1),
    ]


def test_a_cycle_of_parents_ends() -> None:
    nodes, cut = family(rows((10, 11, 5), (11, 10, 5)), 10)
    assert shape(nodes) == [(10, "self", 0), (11, "ancestor", -1)]
    assert not cut


def test_a_process_that_is_its_own_parent_ends() -> None:
    assert shape(family(rows((10, 10)), 10)[0]) == [(10, "self", 0)]


def test_a_chain_deeper_than_any_stack_is_walked_to_its_end() -> None:
    table = rows(*((pid, pid - 1) for pid in range(1, 3001)))
    nodes, cut = family(table, 1)
    assert [node.level for node in nodes] == list(range(3000))
    assert not cut


def test_a_family_beyond_the_limit_is_cut_and_says_so() -> None:
    nodes, cut = family(rows((1, 0), *((pid, 1) for pid in range(2, 50))), 1, limit=10)
    assert len(nodes) == 10
    assert cut


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12
    )
)
def test_on_any_rows_no_row_is_named_twice_and_the_limit_holds(processes: list[tuple[int, int, int, int]]) -> None:
    table = rows(*processes)
    for pid in range(7):
        nodes, _ = family(table, pid, limit=5)
        named = [node.row for node in nodes if node.row is not None]
        assert len(named) == len(set(named))
        assert len(nodes) <= 6  # a virtual root may stand above the limit
