"""A figure over many runs, and the interval of 95 % that goes with it.

Owns both kinds of interval. Refuses to know what a run is: it is given numbers, and of which scenario each of them is.
Runs of one scenario are alike, so scenarios are what is counted. Invariant: the same runs give the same numbers,
intervals included, and no interval of a share has the width zero.

Where it can, the interval is that of a cluster bootstrap (Field and Welsh 2007): percentiles of resamples of scenarios,
each with all of its runs. That has no width where all scenarios agree, and too little where they are few. There a share
has the score interval of Wilson (1927), as if each scenario were one observation: wide, but true at 0 and at 100 %. A
median of few scenarios has no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import msgspec
import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
#: Of fewer scenarios than this a bootstrap is not to be believed.
LEAST = 10
_SEED = 20_240_229
_QUANTILES = (2.5, 97.5)
_Z = 1.959964  # of the normal distribution, two-sided, 95 %
Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Measure(msgspec.Struct, frozen=True):
    """A number, out of how many, and its interval; None where there is nothing to say."""

    value: float | None
    count: int
    low: float | None = None
    high: float | None = None
    interval: str = ""  # bootstrap or wilson


def wilson(share: float, number: int) -> tuple[float, float]:
    """The interval of a share of so many observations, at least one."""
    middle = share + _Z**2 / (2 * number)
    reach = _Z * sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    whole = 1 + _Z**2 / number
    return max((middle - reach) / whole, 0.0), min((middle + reach) / whole, 1.0)


class Sums:
    """What is measured of runs as they are, and of each resample: a row of weights, one a run. ``scenarios``: of each
    run.
    """

    def __init__(self, scenarios: Sequence[str]) -> None:
        names = sorted(set(scenarios))
        self._which = np.array([names.index(name) for name in scenarios], dtype=np.intp)
        drawn = np.random.default_rng(_SEED).integers(0, len(names), (RESAMPLES, len(names)))
        times = np.stack([np.bincount(draw, minlength=len(names)) for draw in drawn])
        as_they_are = np.ones((1, len(scenarios)))
        self._weights: Numbers = np.vstack([as_they_are, times[:, self._which].astype(np.float64)])

    def share(self, part: Sequence[float], whole: Sequence[float]) -> Measure:
        """The sum of the one over the sum of the other, of the runs that are in the other."""
        below = np.asarray(whole, dtype=np.float64)
        above = np.asarray(part, dtype=np.float64) * (below > 0)
        return self._share(_ratio(self._weights @ above, self._weights @ below), int(below.sum()), below > 0)

    def f1(self, true: Sequence[bool], said: Sequence[bool]) -> Measure:
        """Of a class: 2 TP / (2 TP + FP + FN)."""
        of, called = np.array(true), np.array(said)
        return self._share(self._f1(of, called), int(of.sum()), of)

    def macro_f1(self, classes: Sequence[tuple[Sequence[bool], Sequence[bool]]], of: Sequence[bool]) -> Measure:
        """The mean of that over classes; of a resample, over those that it has."""
        total, count = np.zeros(len(self._weights)), np.zeros(len(self._weights))
        for true, said in classes:
            there = self._weights @ np.array(true) > 0
            total += np.where(there, self._f1(np.array(true), np.array(said)), 0.0)
            count += there
        return self._share(_ratio(total, count), int(np.sum(of)), np.array(of))

    def median(self, values: Sequence[float], of: Sequence[bool]) -> Measure:
        """The median of some of the runs; a value may be infinite."""
        there = np.array(of, dtype=bool)
        known = np.array(values, dtype=np.float64)[there]
        if not known.size:
            return Measure(None, 0)
        median = float(np.median(known))
        if self._scenarios(there) < LEAST:
            return Measure(median, known.size)
        repeats = self._weights[1:, there].astype(np.intp)
        drawn = [float(np.median(np.repeat(known, times))) for times in repeats if times.any()]
        # A value that was drawn, not one between two: nothing is halfway to never.
        low, high = np.percentile(drawn, _QUANTILES, method="inverted_cdf")
        return Measure(median, known.size, float(low), float(high), "bootstrap")

    def _f1(self, true: Mask, said: Mask) -> Numbers:
        return _ratio(2 * self._weights @ (true & said), self._weights @ true + self._weights @ said)

    def _scenarios(self, of: Mask) -> int:
        return int(np.unique(self._which[of]).size)

    def _share(self, found: Numbers, count: int, of: Mask) -> Measure:
        """The first is of the runs as they are; the others are of resamples."""
        if count == 0 or np.isnan(found[0]):
            return Measure(None, count)
        value, number = float(found[0]), self._scenarios(of)
        low, high = np.percentile(found[1:][~np.isnan(found[1:])], _QUANTILES) if number >= LEAST else (value, value)
        if low == high:
            return Measure(value, count, *wilson(min(value, 1.0), number), "wilson")
        return Measure(value, count, float(low), float(high), "bootstrap")


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    ratio: Numbers = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return ratio
