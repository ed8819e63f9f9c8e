"""Which slot of the process table a pid has.

Owns one number for each pid there can be, in memory that is only there where a pid has touched it. Refuses to know what
a slot is. Invariant: ``tidy`` loses no number of a pid it was told of.

Pids are handed out in a circle over up to four million. So an hour of churn touches every page once, a page for each
thousand processes, and without ``tidy`` the 16 MB would be resident in the end, most of them zero.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.handles import distinct

#: The kernel's upper bound of pid_max on 64 bits (include/linux/threads.h).
PID_LIMIT = 1 << 22
_NUMBER = np.dtype("<i4")
_PER_PAGE = mmap.PAGESIZE // _NUMBER.itemsize


class Pids:
    """``numbers[pid]`` is 0 where nothing was written."""

    def __init__(self) -> None:
        pages = -(-(PID_LIMIT + 1) // _PER_PAGE)
        self._memory = mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # One pid must not take two megabytes, as it would where huge pages are always used, or in an array of numpy's.
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.numbers: NDArray[np.int32] = np.frombuffer(self._memory, _NUMBER)[: PID_LIMIT + 1]

    def tidy(self, kept: NDArray[np.uint32]) -> None:
        """Give back every page in which none of the pids ``kept`` lies. All others must be 0 by now."""
        pages = distinct(kept // np.uint32(_PER_PAGE)).tolist()
        for before, after in zip([-1, *pages], [*pages, len(self._memory) // mmap.PAGESIZE], strict=True):
            if (gap := after - before - 1) > 0:
                self._memory.madvise(mmap.MADV_DONTNEED, (before + 1) * mmap.PAGESIZE, gap * mmap.PAGESIZE)
