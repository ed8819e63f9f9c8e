"""Reads the host's own books and ours at one moment, so that one can be held against the other.

Owns the order of reading. Refuses to judge: that is ``conservation``'s. Invariant: what was born between two readings
of ours is not between the two that a ``Books`` with ``together`` was made of.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from linnix.cognitod.books import Books, IdleTime
from linnix.cognitod.events import Counters
from linnix.cognitod.host import proc

#: How often the kernel's counter is read anew when something was born meanwhile.
ATTEMPTS = 8
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")

ReadIdle = Callable[[int], IdleTime | None]


def _nothing(_now_ns: int) -> None:
    return None


class Bookkeeper:
    """Used by one thread, right after a sample: ``Counters.clocks`` are the sample's."""

    def __init__(self, counters: Callable[[], Counters], idle: ReadIdle = _nothing, root: Path = proc.PROC) -> None:
        """``idle`` says how long the idle task has been on all CPUs, at a time of ``time.monotonic_ns``."""
        self._counters = counters
        self._idle = idle
        self._stat = proc.KeptFile(root / "stat")

    def read(self) -> Books:
        """All books now. Where ``/proc/stat`` cannot be read its figures are 0."""
        ours = self._counters()
        for _ in range(ATTEMPTS):
            before = ours
            now_ns = time.monotonic_ns()
            stat = proc.parse_stat(self._stat.read())
            idle = self._idle(now_ns)
            ours = self._counters()
            if together := _born(before) == _born(ours):
                break
        forks, threads, workers = _born(ours)
        clocks = ours.clocks
        return Books(
            at_ns=now_ns,
            cores=stat.cores,
            run_ns=clocks.living_run_ns + ours.buried_run_ns if clocks else None,
            read_bytes=clocks.read_bytes + ours.buried_read_bytes if clocks else None,
            write_bytes=clocks.write_bytes + ours.buried_write_bytes if clocks else None,
            irq_timed=bool(clocks and clocks.irq_timed),
            idle_task_ns=idle.total_ns if idle else None,
            idle_irq_ns=idle.irq_ns if idle else 0,
            idle_ns=stat.idle_ticks * _TICK_NS,
            steal_ns=stat.steal_ticks * _TICK_NS,
            irq_ns=stat.irq_ticks * _TICK_NS,
            processes=stat.processes,
            forks=forks,
            threads=threads,
            workers=workers,
            together=together,
        )

    def close(self) -> None:
        """Close the file that is kept open. Idempotent."""
        self._stat.close()


def _born(counters: Counters) -> tuple[int, int, int]:
    """Forks, threads and workers; forks whose event was lost happened too."""
    forks = sum(kinds.get("fork", 0) for kinds in (counters.produced, counters.lost, counters.flood))
    return forks, counters.threads, counters.workers
