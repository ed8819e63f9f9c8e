"""Where the host's totals are going.

Owns the samples of the last minute and the directions computed from them. Refuses processes: the table keeps their
trends. Invariant: a direction is only told from at least ``MIN_WINDOW_S`` of samples, and a change smaller than its
metric's noise is ``steady``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import fmean

from linnix.cognitod.model import Snapshot
from linnix.insight.facts import Trend

WINDOW_S = 60.0
MIN_WINDOW_S = 10.0
_KEPT = 600

_Read = Callable[[Snapshot], float | None]

#: Metric, how it is read, and the change in its unit (percentage points) below which it is steady.
METRICS: tuple[tuple[str, _Read, float], ...] = (
    ("cpu_pct", lambda s: s.cpu_pct, 10.0),
    ("mem_pct", lambda s: s.mem_pct, 2.0),
    ("psi_cpu", lambda s: s.psi_cpu_some_avg10, 5.0),
    ("psi_memory", lambda s: s.psi_memory_full_avg10, 2.0),
    ("psi_io", lambda s: s.psi_io_full_avg10, 5.0),
)


class History:
    """Snapshots of the last minute."""

    def __init__(self) -> None:
        self._snapshots: deque[Snapshot] = deque(maxlen=_KEPT)

    def add(self, snapshot: Snapshot) -> None:
        """Take in a sample; one of the same moment as the last is not another."""
        if self._snapshots and self._snapshots[-1].ts_ns == snapshot.ts_ns:
            return
        self._snapshots.append(snapshot)
        while self._snapshots[0].ts_ns < snapshot.ts_ns - WINDOW_S * 1e9:
            self._snapshots.popleft()

    def trends(self) -> list[Trend]:
        """Direction of each metric: the mean of the last third of the window against that of the first."""
        taken = list(self._snapshots)
        if not taken or (window_s := (taken[-1].ts_ns - taken[0].ts_ns) / 1e9) < MIN_WINDOW_S:
            return []
        third = max(1, len(taken) // 3)
        trends = []
        for metric, read, noise in METRICS:
            first = [value for s in taken[:third] if (value := read(s)) is not None]
            last = [value for s in taken[-third:] if (value := read(s)) is not None]
            if not first or not last:
                continue
            delta = round(fmean(last) - fmean(first), 1)
            direction = "steady" if abs(delta) < noise else "rising" if delta > 0 else "falling"
            trends.append(Trend(id="", metric=metric, direction=direction, delta=delta, window_s=round(window_s, 1)))
        return trends
