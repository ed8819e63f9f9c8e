"""Who may wait in a queue that is filling up.

Owns how many events each group has in the ingest queue. Refuses to hold events: it says which of a batch may join.
Invariant: as in the kernel's rings (bpf/flood.bpf.h), below a quarter of the queue everybody may join; above it a
group, which is a cgroup and a user, may have as many waiting as there is room left, so that one flooder cannot take the
room of everybody else.
"""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array

#: cgroup id and user.
Group = tuple[int, int]


class Fairness:
    """For one queue, used by the one thread that fills it."""

    def __init__(self, room: int) -> None:
        """``room``: how many events may wait in all."""
        self._room = room
        self._held: Counter[Group] = Counter()
        self._joined: deque[tuple[int, Counter[Group]]] = deque()

    def leave(self, delivered: int) -> None:
        """Batches with a number below ``delivered`` wait no longer."""
        while self._joined and self._joined[0][0] < delivered:
            self._held -= self._joined.popleft()[1]  # drops what is 0

    def admit(self, events: Array, number: int, waiting: int) -> tuple[NDArray[np.bool_] | None, Counter[Group]]:
        """Which of the events of batch ``number`` may join the ``waiting``: None for all; and who is turned away."""
        away: Counter[Group] = Counter()
        if waiting + len(events) <= self._room // 4:
            return None, away
        order = np.lexsort((events["uid"], events["cgroup_id"]))  # stable: within a group in the order of the ring
        cgroup, uid = events["cgroup_id"][order], events["uid"][order]
        edges = np.flatnonzero((cgroup[1:] != cgroup[:-1]) | (uid[1:] != uid[:-1])) + 1
        first = np.concatenate(([0], edges)) if len(order) else edges
        counts = np.diff(np.concatenate((first, [len(order)])))
        free = self._room - waiting
        may = np.ones(len(events), np.bool_)
        joined: Counter[Group] = Counter()
        for at in np.argsort(counts, kind="stable").tolist():  # those that ask for least come first
            begin, count = int(first[at]), int(counts[at])
            group = int(cgroup[begin]), int(uid[begin])
            granted = min(count, max((free - self._held[group]) // 2, 0))
            if granted < count:
                may[order[begin + granted : begin + count]] = False
                away[group] = count - granted
            joined[group] = granted
            free -= granted
        self._held += joined
        self._joined.append((number, joined))
        return (may if away else None), away
