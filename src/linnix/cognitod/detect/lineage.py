"""Who made whom: from the processes that act to the one whose stopping ends it.

Owns the walk up the process tree. Refuses thresholds. Invariant: pid 1, kernel threads, the dead and Linnix's own
processes are never chosen; a link to a parent is followed only to a process that is not younger than its child.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        self.rows = rows[np.lexsort((rows["start_ns"], rows["pid"]))]
        self._pids = np.ascontiguousarray(self.rows["pid"])
        self._starts = np.ascontiguousarray(self.rows["start_ns"])
        parents = self.indices(self.rows["ppid"], self.rows["parent_start_ns"])
        older = (parents >= 0) & (self._starts[parents] <= self._starts)
        older &= parents != np.arange(len(parents))
        self.parents: list[int] = np.where(older, parents, -1).tolist()
        # Children after their parents in time: one pass from the youngest sums whole subtrees, however deep.
        self._youngest_first: list[int] = np.argsort(self._starts, kind="stable")[::-1].tolist()

    def indices(self, pids: NDArray[np.uint32], starts: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Index into ``rows`` of each (pid, start_ns), -1 unknown. A start of 0, or one not found, means the youngest
        process of that pid.
        """
        if not len(self._pids):
            return np.full(len(pids), -1, np.intp)
        youngest = np.searchsorted(self._pids, pids, side="right") - 1
        at = youngest.copy()
        stray = (at >= 0) & (self._pids[at] == pids) & (starts != 0) & (self._starts[at] != starts)
        while stray.any():
            at[stray] -= 1
            stray &= (at >= 0) & (self._pids[at] == pids)
            stray &= self._starts[at] != starts
        at = np.where((at >= 0) & (self._pids[at] == pids), at, youngest)
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

    def holder(self, weights: NDArray[np.float64]) -> Holder | None:
        """The eligible process lowest in the tree that, with its descendants, holds more than half of all weight;
        None where there is none.
        """
        whole = float(weights.sum())
        if whole <= 0:
            return None
        totals = np.array(self.totals(weights))
        candidates = np.flatnonzero(self.eligible() & (totals > whole / 2))
        if not len(candidates):
            return None
        # Two subtrees cannot both hold more than half, so the candidates are one line of descent: the youngest is
        # the lowest.
        at = int(candidates[np.argmax(self._starts[candidates])])
        return Holder(self.rows[at], float(totals[at]) / whole)

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
