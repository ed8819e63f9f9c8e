"""Charges waiting to whoever had the resource meanwhile: the arithmetic of blame for IO and memory.

Owns two integrals and one union, over arrays. Refuses kernels, processes and units other than nanoseconds. Invariant:
what is charged for a wait never exceeds the wait, and equals it where the resource was in use throughout by owners who
are known: the shares of all owners at a moment add up to one.

A resource is described by intervals of use, each with an owner and a weight: the requests a device had in flight, or
the pages a process took. At a moment an owner has the share (its weights) / (all weights). ``Use.served`` is the
integral of that share, so that a wait is charged its difference between the wait's end and its begin: exact, and no
loop over pairs of waits and requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The owner of use that nobody is known to own: it takes its share, and nobody is charged for it.
UNKNOWN = -1


class Use:
    """Intervals of use of one resource. Times are of any origin; ``weight`` is a whole number above 0, or 1."""

    def __init__(self, begin: Ints, end: Ints, owner: Ints, weight: Ints | None = None) -> None:
        kept = end > begin
        begin, end, owner = begin[kept], end[kept], owner[kept]
        size = np.ones(len(begin), np.int64) if weight is None else weight[kept]
        times = np.concatenate((begin, end))
        order = np.argsort(times, kind="stable")
        self._origin = int(times[order[0]]) if len(times) else 0
        self._times: Floats = (times[order] - self._origin).astype(np.float64)
        self._change: Ints = np.concatenate((size, -size))[order]
        self._owner: Ints = np.concatenate((owner, owner))[order]
        weights = np.cumsum(self._change)  # after each change; whole numbers, so that idle is exactly 0
        # progress: what an owner with weight 1 has been served up to each change
        steps = np.zeros(len(times))
        if len(times):
            busy = weights[:-1] > 0
            steps[1:][busy] = np.diff(self._times)[busy] / weights[:-1][busy]
        self._progress: Floats = np.cumsum(steps)
        self._by_owner = np.argsort(self._owner, kind="stable")
        self.owners: Ints
        self.owners, first = np.unique(self._owner[self._by_owner], return_index=True)
        self._bounds = np.append(first, len(times))

    def progress(self, at: Ints) -> Floats:
        """What ``served`` needs to know of the moments ``at``; the same for all owners."""
        if not len(self._times):
            return np.zeros(len(at))
        return np.interp((at - self._origin).astype(np.float64), self._times, self._progress)

    def served(self, number: int, at: Ints, progress: Floats) -> Floats:
        """Nanoseconds of the resource that ``owners[number]`` has had up to each moment of ``at``."""
        mine = self._by_owner[self._bounds[number] : self._bounds[number + 1]]
        own_progress, weight = self._progress[mine], np.cumsum(self._change[mine])
        had = np.concatenate(([0.0], np.cumsum(weight[:-1] * np.diff(own_progress))))
        last = np.searchsorted(self._times[mine], (at - self._origin).astype(np.float64), side="right") - 1
        known = np.maximum(last, 0)
        return np.where(last < 0, 0.0, had[known] + weight[known] * (progress - own_progress[known]))


def sum_by(number: Ints, amount: Ints | Floats, size: int) -> Floats:
    """The sum of the amounts under each number below ``size``."""
    # of nothing at all numpy makes whole numbers
    return np.bincount(number, amount.astype(np.float64), size).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Disjoint parts of waits that together cover what the waits cover. ``of`` is the wait each part was taken from."""

    of: Ints
    begin: Ints
    end: Ints


def union(lane: Ints, begin: Ints, end: Ints) -> Pieces:
    """The union of intervals within each lane. Where waits overlap, the moment belongs to the one that began first."""
    order = np.lexsort((end, begin, lane))
    lanes, begins, ends = lane[order], begin[order], end[order]
    if not len(order):
        return Pieces(order, begins, ends)
    starts = np.append(True, lanes[1:] != lanes[:-1])
    # one running maximum for all lanes: each is lifted above everything that came before it
    base = int(begins.min())
    lift = (np.cumsum(starts) - 1) * (int(ends.max()) - base + 1)
    lifted = np.maximum.accumulate(ends - base + lift)
    covered = np.where(starts, begins, np.append(0, lifted[:-1]) - lift + base)
    begins = np.maximum(begins, covered)
    kept = ends > begins
    return Pieces(order[kept], begins[kept], ends[kept])


def nonidle(stall_ns: Floats, own_ns: Floats, others_ns: Floats, window_ns: int) -> Floats:
    """How long a CPU was not idle for a group: it waited, ran in between, or ran others of the group.

    What a thread runs between its waits excludes its waiting. Of what others ran it is not known how much fell into the
    waiting, so it is taken to be spread evenly over all the time in which the waiting threads did not run.
    """
    rest = np.maximum(window_ns - own_ns, 1.0)
    outside = np.maximum(0.0, 1 - stall_ns / rest)
    return np.minimum(stall_ns + own_ns + others_ns * outside, np.maximum(float(window_ns), stall_ns))


def psi_weights(group: Ints, nonidle_ns: Floats, elsewhere_ns: Floats) -> Floats:
    """How PSI averages over CPUs (kernel/sched/psi.c, collect_percpu_times): by how long each was not idle for a group.

    One entry a group and CPU on which it waited; ``elsewhere_ns`` is how long all other CPUs were not idle for the
    group, the same in all its entries. Returns the factor of each entry.
    """
    groups, number = np.unique(group, return_inverse=True)
    total = sum_by(number, nonidle_ns, len(groups))[number] + elsewhere_ns
    return np.divide(nonidle_ns, total, out=np.zeros_like(nonidle_ns), where=total > 0)
