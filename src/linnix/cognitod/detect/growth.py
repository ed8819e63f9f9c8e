"""``rss_growth``: memory that keeps growing, told from memory that was taken once.

Owns a short history of the resident memory of the larger processes. Refuses steps: a program that loads 2 GB at start
grows too, but in one part of the window. Invariant: at most ``_TRACKED`` processes are followed, the largest; one
that exits is forgotten.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from linnix.cognitod.detect.params import RssGrowth
from linnix.cognitod.detect.usage import Identity, identities
from linnix.cognitod.detect.view import MIB, NS, Hit, View, Who

_TRACKED = 512
#: The window is looked at in this many parts, and growth is steady if it shows in at least ``_GROWING`` of them.
_PARTS = 6
_GROWING = 4
#: A part grew if it did so by this share of an even split of the threshold.
_PART_SHARE = 0.25


class Growth:
    """The detector. History begins when a process is a quarter of the threshold in size."""

    sampled = True

    def __init__(self, params: RssGrowth) -> None:
        self._params = params
        self._window_ns = round(params.window_seconds * NS)
        self._seen: dict[Identity, deque[tuple[int, int]]] = {}

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process that grew by more than the threshold, in most parts of the window."""
        rows = view.living
        rows = rows.compress((rows["rss_bytes"] >= self._params.threshold * MIB / 4) & ~rows["kthread"])
        if len(rows) > _TRACKED:
            rows = rows.take(np.argsort(rows["rss_bytes"], kind="stable")[-_TRACKED:])
        seen: dict[Identity, deque[tuple[int, int]]] = {}
        hits = []
        for row, key, rss in zip(rows, identities(rows), rows["rss_bytes"].tolist(), strict=True):
            history = seen[key] = self._seen.get(key, deque())
            history.append((view.now_ns, rss))
            # One sample at or before the window's beginning stays: growth is measured against it.
            while len(history) > 1 and history[1][0] <= view.now_ns - self._window_ns:
                history.popleft()
            growth = self._steady_growth(history, view.now_ns)
            if growth is not None and (hit := self._hit(view, row, growth, history[0][0])):
                hits.append(hit)
        self._seen = seen
        return hits

    def _steady_growth(self, history: deque[tuple[int, int]], now_ns: int) -> int | None:
        begin_ns = now_ns - self._window_ns
        growth = history[-1][1] - history[0][1]
        if history[0][0] > begin_ns or growth <= self._params.threshold * MIB:
            return None
        at = [begin_ns + self._window_ns * part // _PARTS for part in range(_PARTS + 1)]
        times, sizes = np.array(history, np.int64).T
        levels = np.interp(at, times, sizes)
        needed = self._params.threshold * MIB / _PARTS * _PART_SHARE
        return growth if np.count_nonzero(np.diff(levels) > needed) >= _GROWING else None

    def _hit(self, view: View, row: np.void, growth: int, begin_ns: int) -> Hit | None:
        span_s = (view.now_ns - begin_ns) / NS
        pace = growth / span_s
        available = view.snapshot.mem_available_bytes
        lasts_s = available / pace
        limit_s = self._params.exhausts_within_seconds
        if limit_s and (not available or lasts_s > limit_s):
            return None
        evidence = {
            "growth_bytes": float(growth),
            "growth_bytes_per_s": float(round(pace)),
            "rss_bytes": float(row["rss_bytes"]),
            "window_s": round(span_s, 1),
            "threshold": self._params.threshold * MIB,
        }
        message = f"pid {row['pid']} grew by {growth / MIB:.0f} MiB in {span_s:.0f} s"
        if available:
            evidence["exhausted_in_s"] = float(round(lasts_s))
            message += f"; at that pace the host's available memory lasts {lasts_s:.0f} s"
        return Hit(cls=self._params.cls, message=message, culprit=Who.of(row), since_ns=begin_ns, evidence=evidence)
