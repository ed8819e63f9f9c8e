"""The family of a process, found in the table's rows.

Owns who counts as ancestor, sibling and descendant. Refuses to ask anyone: rows in, nodes out. Invariant: it ends, on
any rows, cyclic or deep ones too: no row is visited twice and no more than ``limit`` nodes come back.

A parent is a row with the child's ``ppid`` that is the very process ``parent_start_ns`` names; where that is not
known, the youngest one not younger than the child. So a reused pid does not adopt a stranger's children.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np

from linnix.cognitod.model import Rows

#: Nodes in one answer.
LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Node:
    """One member. ``row`` is None for a process that is only known as someone's parent."""

    pid: int
    row: int | None
    relationship: str
    level: int


class _Kin:
    """Both directions of the parent relation, by binary search."""

    def __init__(self, rows: Rows) -> None:
        self.pid, self.ppid = rows["pid"].astype(np.int64), rows["ppid"].astype(np.int64)
        self.start, self.parent_start = rows["start_ns"], rows["parent_start_ns"]
        self.by_pid = np.lexsort((self.start, self.pid))
        self.by_ppid = np.lexsort((self.start, self.ppid))
        # Lists, since a family asks for thousands of single values and an array takes ten times as long for each.
        self.pids: list[int] = self.pid[self.by_pid].tolist()
        self.ppids: list[int] = self.ppid[self.by_ppid].tolist()

    def named(self, pid: int) -> list[int]:
        """Rows with this pid, oldest first."""
        low, high = bisect_left(self.pids, pid), bisect_right(self.pids, pid)
        return [int(row) for row in self.by_pid[low:high]]

    def parent(self, child: int) -> int | None:
        """The row of a row's parent."""
        known = int(self.parent_start[child])
        for row in reversed(self.named(int(self.ppid[child]))):
            if row != child and (self.start[row] == known if known else self.start[row] <= self.start[child]):
                return row
        return None

    def orphans(self, pid: int) -> list[int]:
        """Rows that say ``pid`` is their parent, oldest first."""
        low, high = bisect_left(self.ppids, pid), bisect_right(self.ppids, pid)
        return [int(row) for row in self.by_ppid[low:high]]

    def children(self, parent: int) -> list[int]:
        """Rows of a row's children, oldest first."""
        claimed = self.orphans(int(self.pid[parent]))
        if not claimed:
            return []
        orphans = np.array(claimed, np.intp)
        known = self.parent_start[orphans]
        sure = known == self.start[parent]
        unsure = known == 0  # only these need a look at who else has had the pid
        return [
            row
            for row, yes, ask in zip(claimed, sure.tolist(), unsure.tolist(), strict=True)
            if row != parent and (self.parent(row) == parent if ask else yes)
        ]


def family(rows: Rows, pid: int, limit: int = LIMIT) -> tuple[list[Node], bool]:
    """Everyone related to ``pid``: itself, ancestors nearest first, siblings, descendants level by level.

    Returns the nodes and whether some were left out. No nodes: nobody knows this pid.
    """
    kin = _Kin(rows)
    own = kin.named(pid)
    if not own:
        children = kin.orphans(pid)
        if not children:
            return [], False
        nodes = [Node(pid, None, "virtual_root", 0)]
        return _descend(kin, children, nodes, set(), limit)
    self_row = own[-1]
    nodes, seen = [Node(pid, self_row, "self", 0)], {self_row}
    parent = kin.parent(self_row)
    child, level = self_row, 0
    while (ancestor := kin.parent(child)) is not None and ancestor not in seen and len(nodes) < limit:
        level -= 1
        nodes.append(Node(int(kin.pid[ancestor]), ancestor, "ancestor", level))
        seen.add(ancestor)
        child = ancestor
    unknown = int(kin.ppid[child])
    if unknown and not kin.named(unknown):
        nodes.append(Node(unknown, None, "virtual_root", level - 1))
    if parent is not None:
        siblings = kin.children(parent)
    else:
        siblings = [row for row in kin.orphans(int(kin.ppid[self_row])) if kin.ppid[row]]
    siblings = [row for row in siblings if row not in seen]
    cut = len(siblings) > max(limit - len(nodes), 0)
    siblings = siblings[: max(limit - len(nodes), 0)]
    nodes += [Node(int(kin.pid[row]), row, "sibling", 0) for row in siblings]
    seen.update(siblings)
    nodes, more = _descend(kin, kin.children(self_row), nodes, seen, limit)
    return nodes, cut or more


def _descend(
    kin: _Kin, generation: list[int], nodes: list[Node], seen: set[int], limit: int
) -> tuple[list[Node], bool]:
    level = 1
    while generation:
        following: list[int] = []
        for row in generation:
            if row in seen:
                continue
            if len(nodes) >= limit:
                return nodes, True
            seen.add(row)
            nodes.append(Node(int(kin.pid[row]), row, "descendant", level))
            following += kin.children(row)
        generation, level = following, level + 1
    return nodes, False
