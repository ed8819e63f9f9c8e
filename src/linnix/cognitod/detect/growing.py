"""What processes have more of than ten seconds ago: open files, threads, descendants, dead children.

Owns a short memory of these counts. Refuses to choose and to judge: a leak is told by ``leaks``, of those whom facts
name, and ``chosen`` names who grows most as well as who has most. Invariant: memory is that of a few samples, and a
process that was not there then has not grown.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.moment import COUNTS, Moment
from linnix.cognitod.detect.recent import identities
from linnix.cognitod.events import UNKNOWN_FILES
from linnix.cognitod.handles import Index
from linnix.cognitod.model import Rows

WINDOW_NS = 10 * 10**9

_Keys = NDArray[np.uint64]


class Growing:
    """Counts of the last ten seconds, a sample at a time."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, _Keys, Rows]] = deque()

    def observe(self, moment: Moment, ts_ns: int) -> Rows:
        """Take in a sample; by how much each of its processes has grown, dtype COUNTS, in the order of the rows; the
        dead have not.
        """
        living = np.flatnonzero(moment.rows["alive"])
        keys = identities(moment.rows["pid"][living], moment.rows["start_ns"][living])
        counts = _counts(moment, living)
        order = np.argsort(keys)
        self._seen.append((ts_ns, keys[order], counts[order]))
        while len(self._seen) > 2 and ts_ns - self._seen[1][0] >= WINDOW_NS:
            self._seen.popleft()
        _, known, then = self._seen[0]
        grown = np.zeros(len(moment.rows), COUNTS)
        if not len(known):
            return grown
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        same = known[at] == keys
        for name in COUNTS.names or ():
            now, before = counts[name], then[name][at]
            grown[name][living] = np.where(same & (now >= 0) & (before >= 0), now - before, 0)
        return grown


def _counts(moment: Moment, living: Index) -> Rows:
    """Of these processes of a moment; -1 is not known."""
    counts = np.zeros(len(living), COUNTS)
    counts["open_files"] = UNKNOWN_FILES if moment.usage is None else moment.usage["open_files"][living]
    counts["open_files"][counts["open_files"] == UNKNOWN_FILES] = -1
    counts["threads"] = moment.rows["threads"][living]
    counts["descendants"], counts["zombies"] = moment.family.descendants[living], moment.family.zombies[living]
    return counts
