"""What is usual on this host, and what is far from it: one robust, forgetting histogram for each series.

Owns the series, what was learned of them, and when a value is unusual. Refuses causes: that something is rare is not
that it is wrong. Invariant: memory and work of a step are fixed, and what was learned survives nothing: a new daemon
knows no host.

The histogram has bins of constant relative width above ``unit`` and of constant width below (C. Masson, J. E. Rim,
H. K. Lee, "DDSketch", VLDB 2019: quantiles with bounded relative error), and its weights halve every ``HALF_LIFE_S``
seconds, so that the past counts less the older it is (G. Cormode et al., "Forward decay", ICDE 2009). Typical is the
median; the spread is 1.4826 times the median absolute deviation, which estimates the standard deviation and which half
of all values may not move (P. J. Rousseeuw, C. Croux, JASA 88, 1993), at least a share of the median and at least the
series' ``unit``.

A value is unusual if it is ``SPREADS`` spreads above the median, and by half above what all but ``TAIL`` of the time
was below, without a break for ``HOLD_S`` seconds; it stays so until it has come back half of the way, or has become
usual. Values are learned ``DELAY_S`` late, so that this takes as long at least. Only more than usual is told: a host
with little to do is not in trouble.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnix.insight.facts import Facts, Unusual

HALF_LIFE_S = 3 * 86_400.0
DELAY_S = 600.0
#: Nothing is said of a series before so much of it was learned.
WARM_UP_S = 600.0
HOLD_S = 10.0
SPREADS = 6.0
#: The share of time that is left out of what was usual at most: nine seconds of a day.
TAIL = 1e-4
_ABOVE_TAIL = 1.5
_STILL = 1.1  # and more than the width of a bin above it to stay unusual
#: A spread is at least this share of the median.
_RELATIVE = 0.1
#: A value stands for the time since the last one, but a daemon that slept has seen nothing meanwhile.
_LONGEST_S = 60.0
#: How often limits are computed anew; learning is not less often.
_REFRESH_S = 10.0

_BINS = 240
_WIDTH = 0.1  # relative, of a bin
_MAD = 1.4826
_NS = 1e9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """A figure of the host. ``unit``: differences smaller than this mean nothing."""

    name: str
    read: Callable[[Facts], float | None]
    unit: float


#: Figures and their units: percentage points, events a second, bytes a second, processes, microseconds.
SERIES: tuple[Series, ...] = (
    Series("cpu_pct", lambda f: f.host.cpu_pct, 4),
    Series("psi_cpu_some", lambda f: f.pressure.cpu_some_pct, 4),
    Series("psi_memory_some", lambda f: f.pressure.memory_some_pct, 1),
    Series("psi_memory_full", lambda f: f.pressure.memory_full_pct, 1),
    Series("psi_io_some", lambda f: f.pressure.io_some_pct, 3),
    Series("psi_io_full", lambda f: f.pressure.io_full_pct, 2),
    Series("forks_per_s", lambda f: f.activity.forks_per_s, 5),
    Series("failed_exits_per_s", lambda f: f.activity.failed_exits_per_s, 1),
    Series("processes_total", lambda f: f.processes_total, 10),
    Series("blocked", lambda f: f.host.blocked, 1),
    Series("disk_busy_pct", lambda f: f.host.disk_busy_pct, 4),
    Series("disk_read_bytes_per_s", lambda f: f.host.disk_read_bytes_per_s, 1e6),
    Series("disk_write_bytes_per_s", lambda f: f.host.disk_write_bytes_per_s, 1e6),
    Series("net_rx_bytes_per_s", lambda f: f.host.net_rx_bytes_per_s, 2e5),
    Series("net_tx_bytes_per_s", lambda f: f.host.net_tx_bytes_per_s, 2e5),
    Series("swap_in_bytes_per_s", lambda f: f.host.swap_in_bytes_per_s, 1e5),
    Series("swap_out_bytes_per_s", lambda f: f.host.swap_out_bytes_per_s, 1e5),
    Series("major_faults_per_s", lambda f: f.host.major_faults_per_s, 10),
    Series("runqueue_p99_us", lambda f: f.host.runqueue_p99_us, 1000),
    Series("block_io_p99_us", lambda f: f.host.block_io_p99_us, 5000),
)


class Baseline:
    """What is usual of the host's series."""

    def __init__(self) -> None:
        self._usual = Usual(np.array([series.unit for series in SERIES], np.float64))

    def observe(self, known: Facts) -> tuple[Unusual, ...]:
        """Take in the facts of a moment; what is unusual now, farthest first."""
        values = np.array([series.read(known) for series in SERIES], np.float64)  # None becomes NaN
        usual = self._usual
        at = np.flatnonzero(usual.step(known.ts_ns, values))
        scores = (values[at] - usual.median[at]) / usual.spread[at]
        return tuple(
            Unusual(
                id=f"U{number}",
                series=SERIES[index].name,
                value=float(values[index]),
                typical=round(float(usual.median[index]), 2),
                spread=round(float(usual.spread[index]), 2),
                score=round(float(score), 1),
            )
            for number, (index, score) in enumerate(sorted(zip(at.tolist(), scores, strict=True), key=_farthest), 1)
        )


def _farthest(scored: tuple[int, float]) -> tuple[float, int]:
    return -scored[1], scored[0]


class Usual:
    """The same of any series, by their units: values are at least 0, NaN for one that is not known now."""

    def __init__(self, units: Floats) -> None:
        self._units = units
        number = len(units)
        self.median = np.zeros(number)
        self.spread = units.copy()
        self.limit = np.full(number, np.inf)
        self._stays = self.limit
        self._learned_s = np.zeros(number)
        self._weights = np.zeros((number, _BINS))
        # Bin b holds what is at least unit * sinh(b * width), so they are equal below the unit, and relative above.
        edges = np.sinh(_WIDTH * np.arange(_BINS + 1))
        self._centres = np.outer(units, (edges[:-1] + edges[1:]) / 2)
        self._centres[:, 0] = 0.0
        self._rows = np.arange(number)
        self._waiting: deque[tuple[int, float, Floats]] = deque()
        self._since_ns = np.full(number, -1, np.int64)  # above the limit; -1: is not
        self._unusual = np.zeros(number, np.bool_)
        self._last_ns = -1
        self._refreshed_ns = -1

    def step(self, ts_ns: int, values: Floats) -> NDArray[np.bool_]:
        """Take in the values of a moment (CLOCK_MONOTONIC); which of them are unusual."""
        seconds = min((ts_ns - self._last_ns) / _NS, _LONGEST_S) if self._last_ns >= 0 else 0.0
        self._last_ns = ts_ns
        self._waiting.append((ts_ns, seconds, values))
        while ts_ns - self._waiting[0][0] >= DELAY_S * _NS:
            self._learn(*self._waiting.popleft()[1:])
        if ts_ns - self._refreshed_ns >= _REFRESH_S * _NS or self._refreshed_ns < 0:
            self._refresh(ts_ns)
        above = values > np.where(self._unusual, self._stays, self.limit)  # NaN is not above
        self._since_ns[~above] = -1
        self._since_ns[above & (self._since_ns < 0)] = ts_ns
        self._unusual = above & (self._unusual | (ts_ns - self._since_ns >= HOLD_S * _NS))
        return self._unusual

    def _learn(self, seconds: float, values: Floats) -> None:
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            at = np.minimum(np.arcsinh(values / self._units) / _WIDTH, _BINS - 1)
        self._weights[self._rows[known], at[known].astype(np.intp)] += seconds
        self._learned_s[known] += seconds

    def _refresh(self, ts_ns: int) -> None:
        """Forget a little, and compute the limits anew."""
        if self._refreshed_ns >= 0:
            self._weights *= 0.5 ** ((ts_ns - self._refreshed_ns) / _NS / HALF_LIFE_S)
        self._refreshed_ns = ts_ns
        ready = self._learned_s >= WARM_UP_S
        if not ready.any():
            return
        sums = np.cumsum(self._weights, axis=1)
        whole = sums[:, -1]
        self.median = self._centres[self._rows, (sums < whole[:, None] / 2).sum(axis=1)]
        tail = self._centres[self._rows, (sums < whole[:, None] * (1 - TAIL)).sum(axis=1)]
        away = np.abs(self._centres - self.median[:, None])
        order = np.argsort(away, axis=1)
        sums = np.cumsum(np.take_along_axis(self._weights, order, axis=1), axis=1)
        middle = (sums < whole[:, None] / 2).sum(axis=1)
        deviation = away[self._rows, order[self._rows, middle]]
        self.spread = np.maximum(_MAD * deviation, np.maximum(self._units, _RELATIVE * self.median))
        limit = np.maximum(self.median + SPREADS * self.spread, _ABOVE_TAIL * tail)
        self.limit = np.where(ready, limit, np.inf)
        self._stays = np.maximum((self.median + self.limit) / 2, _STILL * tail)
