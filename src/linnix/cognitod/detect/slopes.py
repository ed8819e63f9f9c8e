"""Whether a series grows steadily: told from a step, a ramp that has ended, and noise.

Owns the statistics. Refuses thresholds. Invariant: one sample that is off changes nothing.

The pace is the median of the slopes of all pairs of points (Theil 1950; Sen 1968, J. Am. Stat. Assoc. 63:1379); how
sure it is, the shares of these pairs that rise and fall (Kendall's tau by its parts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MIN_POINTS = 5
#: Of more points so many are looked at, evenly: of all of ten minutes there were 180,000 pairs.
_MAX_POINTS = 64
#: Shares of pairs. What leaks in portions is level in between, but hardly ever falls.
_RISING = 0.75
_FALLING = 0.05
#: A single step holds at most this share of the growth.
_STEP = 0.5
#: In the last quarter of the time it grows at this share of the pace at least, else it has come to its end.
_STILL = 0.5


@dataclass(frozen=True, slots=True)
class Growth:
    """Steady growth: how much, at what pace a second, in how many seconds, and the share of pairs that rise."""

    grown: float
    per_s: float
    span_s: float
    rising: float


def steady(times_ns: Sequence[int], values: Sequence[float]) -> Growth | None:
    """The growth of a series, None where it is not steady. ``times_ns`` rise."""
    if len(values) < _MIN_POINTS:
        return None
    times, levels = (np.array(times_ns, np.int64) - times_ns[0]) / 1e9, np.array(values, np.float64)
    if len(levels) > _MAX_POINTS:
        kept = np.linspace(0, len(levels) - 1, _MAX_POINTS).round().astype(np.int64)  # the first and the last are
        times, levels = times[kept], levels[kept]
    grown, span_s = float(levels[-1] - levels[0]), float(times[-1])
    if grown <= 0 or span_s <= 0:
        return None
    earlier, later = np.triu_indices(len(levels), 1)
    slopes = (levels[later] - levels[earlier]) / np.maximum(times[later] - times[earlier], 1e-3)
    rising, per_s = float(np.mean(slopes > 0)), float(np.median(slopes))
    if rising < _RISING or float(np.mean(slopes < 0)) > _FALLING or float(np.diff(levels).max()) > _STEP * grown:
        return None
    before = float(np.interp(span_s * 3 / 4, times, levels))
    if levels[-1] - before < _STILL * grown / 4:
        return None
    return Growth(grown, per_s, span_s, rising)
