"""Who made whom: from the processes that act to the one whose stopping ends it.

Owns the walk up the process tree. Refuses thresholds. Invariant: pid 1, kernel threads, the dead and Linnix's own
processes are never chosen; a link to a parent is followed only to a process that is not younger than its child.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.model import Rows


@dataclass(frozen=True, slots=True)
class Holder:
    """The nearest common ancestor of more than half of a weight, and the share of it that it holds, 0..1."""

    row: np.void
    share: float


class Lineage:
    """The tree of one set of rows, dtype ROW, living and exited."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows.take(np.lexsort((rows["start_ns"], rows["pid"])))
        self._pids = np.ascontiguousarray(self.rows["pid"])
        self._starts = np.ascontiguousarray(self.rows["start_ns"])
        parents = self.indices(self.rows["ppid"], self.rows["parent_start_ns"])
        older = (parents >= 0) & (self._starts[parents] <= self._starts)
        older &= parents != np.arange(len(parents))
        self.parents: list[int] = np.where(older, parents, -1).tolist()
        # Children after their parents in time: one pass from the youngest sums whole subtrees, however deep.
        self._youngest_first: list[int] = np.argsort(self._starts, kind="stable")[::-1].tolist()
        self._below: dict[int, NDArray[np.bool_]] = {}

    @cached_property
    def _homes(self) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        """The control groups, and which of them each row is in."""
        cgroups, of_each = np.unique(self.rows["cgroup_id"], return_inverse=True)
        return cgroups, of_each

    def indices(self, pids: NDArray[np.uint32], starts: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Index into ``rows`` of each (pid, start_ns), -1 unknown. A start of 0 means the youngest process of that pid;
        one that is not found was of somebody else, who had the pid before.
        """
        if not len(self._pids):
            return np.full(len(pids), -1, np.intp)
        at = np.searchsorted(self._pids, pids, side="right") - 1
        stray = (at >= 0) & (self._pids[at] == pids) & (starts != 0) & (self._starts[at] != starts)
        while stray.any():
            at[stray] -= 1
            stray &= (at >= 0) & (self._pids[at] == pids)
            stray &= self._starts[at] != starts
        return np.where((at >= 0) & (self._pids[at] == pids), at, -1)

    def totals(self, weights: NDArray[np.float64]) -> list[float]:
        """For each row, the weight of it and all its descendants."""
        totals: list[float] = weights.tolist()
        parents = self.parents
        for index in self._youngest_first:
            parent = parents[index]
            if parent >= 0 and totals[index]:
                totals[parent] += totals[index]
        return totals

    def eligible(self) -> NDArray[np.bool_]:
        """Which rows may be held responsible for what others under them do."""
        rows = self.rows
        eligible: NDArray[np.bool_] = rows["alive"] & ~rows["kthread"] & ~rows["own"] & (rows["pid"] > 1)
        return eligible

    def holder(
        self, weights: NDArray[np.float64], *, whole: float | None = None, before: Holder | None = None
    ) -> Holder | None:
        """The eligible process lowest in the tree that, with its descendants, holds more than half of the whole (all
        weight, unless more is known to be elsewhere); None where there is none.

        ``before`` is who was found last time: it stays while it holds a third, so that the answer does not flicker,
        unless one of its descendants turns out to hold more than half.
        """
        whole = float(weights.sum()) if whole is None else whole
        if whole <= 0 or not len(weights):
            return None
        totals = np.array(self.totals(weights))
        eligible = self.eligible()
        candidates = np.flatnonzero(eligible & (totals > whole / 2))
        # Two subtrees cannot both hold more than half, so the candidates are one line of descent: the youngest is
        # the lowest.
        found = int(candidates[np.argmax(self._starts[candidates])]) if len(candidates) else -1
        kept = -1 if before is None else self._at(before.row)
        if kept >= 0 and eligible[kept] and totals[kept] >= whole / 3 and not self._descends(found, kept):
            found = kept
        return None if found < 0 else Holder(self.rows[found], min(float(totals[found]) / whole, 1.0))

    def resident(self, weights: NDArray[np.float64], *, whole: float, before: Holder | None = None) -> Holder | None:
        """``holder``, of the control group with most weight: who started the members of several is no part of them."""
        found = self.holder(weights, whole=whole, before=before)
        if found is None:
            return None
        cgroups, of_each = self._homes
        home = int(np.argmax(np.bincount(of_each, weights)))
        if found.row["cgroup_id"] != cgroups[home]:
            found = self.holder(np.where(of_each == home, weights, 0.0), whole=whole, before=before)
        return found if found is not None and found.row["cgroup_id"] == cgroups[home] else None

    def below(self, row: np.void) -> NDArray[np.bool_]:
        """Which of the rows are this process, or descend from it."""
        at = self._at(row)
        if at in self._below:
            return self._below[at]
        inside = self._below[at] = np.zeros(len(self.rows), np.bool_)
        for index in reversed(self._youngest_first):
            inside[index] = index == at or (self.parents[index] >= 0 and inside[self.parents[index]])
        return inside

    def _at(self, row: np.void) -> int:
        """Index of the same process among these rows, -1 if it is gone."""
        same = np.flatnonzero((self._pids == row["pid"]) & (self._starts == row["start_ns"]))
        return int(same[0]) if len(same) else -1

    def _descends(self, index: int, ancestor: int) -> bool:
        while index >= 0 and index != ancestor:
            index = self.parents[index]
        return index >= 0

    def nearest(self, marked: NDArray[np.bool_]) -> list[int]:
        """Of the marked rows those without a marked descendant, in order of pid."""
        above: set[int] = set()
        indices = np.flatnonzero(marked).tolist()
        for index in indices:
            parent = self.parents[index]
            while parent >= 0 and parent not in above:
                above.add(parent)
                parent = self.parents[parent]
        return [index for index in indices if index not in above]
