"""Children, descendants and what whole trees use, for every process at once.

Owns the sums over the process tree that facts tell. Refuses to choose anybody. Invariant: everything is aligned with
the rows it was made from, and is 0, or -1 of an index, for those that have exited.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.handles import Index
from linnix.cognitod.model import Rows

#: A process one of whose children has more than this share of all its descendants, or of what they use, only stands
#: above the one that matters: shells, supervisors of supervisors, the session.
PASSED_ON = 0.8

_Number = TypeVar("_Number", np.int64, np.float64, np.bool_)


class Family(NamedTuple):
    """One entry a row."""

    parents: Index  # the living parent's place among the rows, -1 none
    children: NDArray[np.int64]  # living
    descendants: NDArray[np.int64]  # living, children included
    zombies: NDArray[np.int64]  # dead and not reaped
    subtree_cpu_pct: NDArray[np.float64]  # with all living descendants
    #: Those whose descendants, and whose subtree's CPU, are not nearly all those of one child. The first of a control
    #: group stands for its descendants even so: each generation of a tree that runs away may have a single child.
    branches: NDArray[np.bool_]
    spreads_cpu: NDArray[np.bool_]


def of_living(rows: Rows) -> tuple[Lineage, Index]:
    """The tree of those among rows of dtype ROW that live, and where each row of the tree is among them."""
    living = np.flatnonzero(rows["alive"])
    # As a tree sorts its rows, so that its indices are those of ``living``.
    living = living[np.lexsort((rows["start_ns"][living], rows["pid"][living]))]
    return Lineage(rows.take(living)), living


def family(rows: Rows, tree: Lineage, living: Index) -> Family:
    """Of rows of dtype ROW, living and exited, and what ``of_living`` makes of them."""
    parents = np.array(tree.parents, np.intp)
    has = parents >= 0
    people = np.array(tree.totals(np.ones(len(living))))
    cpu = np.array(tree.totals(tree.rows["cpu_pct"].astype(np.float64)))
    biggest, busiest = np.zeros(len(living)), np.zeros(len(living))
    np.maximum.at(biggest, parents[has], people[has])
    np.maximum.at(busiest, parents[has], cpu[has])
    homes = tree.rows["cgroup_id"]
    heads = has & (homes[parents] != homes)
    zombies = rows.compress(rows["state"] == b"Z")
    of = tree.indices(zombies["ppid"], zombies["parent_start_ns"])

    def aligned(values: NDArray[_Number], elsewhere: int = 0) -> NDArray[_Number]:
        all_of_them = np.full(len(rows), elsewhere, values.dtype)
        all_of_them[living] = values
        return all_of_them

    return Family(
        parents=aligned(np.where(has, living[parents], -1) if len(living) else parents, -1),
        children=aligned(np.bincount(parents[has], minlength=len(living))),
        descendants=aligned(people.astype(np.int64) - 1),
        zombies=aligned(np.bincount(of[of >= 0], minlength=len(living))),
        subtree_cpu_pct=aligned(cpu),
        branches=aligned(heads | (biggest <= PASSED_ON * (people - 1))),
        spreads_cpu=aligned(busiest <= PASSED_ON * cpu),
    )
