"""A figure of many moments, and how sure it is.

Owns the resampling. Refuses to know what is measured. Intervals are of 95 %: percentiles of a bootstrap over runs,
since moments of one run resemble each other (Field and Welsh 2007). A share of what was never or always seen in N
runs is told as at most 3/N from there (the rule of three). Invariant: the same moments give the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

RESAMPLES, _SEED, _QUANTILES = 2000, 20_261_129, (2.5, 97.5)

Places = NDArray[np.intp]


class Measure(msgspec.Struct, frozen=True):
    """A figure, of how many moments, and its interval; None where there is nothing to say."""

    value: float | None
    count: int
    low: float | None = None
    high: float | None = None


def measured(runs: Sequence[str], of: Callable[[Places], float], *, is_share: bool = False) -> Measure:
    """``runs``: that of each moment. ``of`` is given places among them, some of them several times. ``is_share``: it
    gives the mean of what is 0 or 1.
    """
    if not runs:
        return Measure(None, 0)
    value = of(np.arange(len(runs)))
    names, which = np.unique(np.array(runs), return_inverse=True)
    if len(names) < 2:
        return Measure(value, len(runs))
    places = [np.flatnonzero(which == at) for at in range(len(names))]
    draws = np.random.default_rng(_SEED).integers(0, len(names), (RESAMPLES, len(names)))
    drawn = [of(np.concatenate([places[at] for at in draw.tolist()])) for draw in draws]
    low, high = np.nanpercentile(drawn, _QUANTILES).tolist()
    if is_share and value == 0.0:
        high = min(3 / len(names), 1.0)
    if is_share and value == 1.0:
        low = max(1.0 - 3 / len(names), 0.0)
    return Measure(value, len(runs), low, high)
