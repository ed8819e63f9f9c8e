"""How often it was right, over many runs, and how sure that is.

Owns the sums and their intervals. Refuses to judge a run: ``grade`` does. Intervals are 95 % percentile intervals of a
cluster bootstrap (Field and Welsh 2007): scenarios are drawn with all of their runs, since runs of one scenario are
alike. Invariant: the same runs give the same numbers, intervals included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from linnix.faultlab.grade import Graded
from linnix.insight.classes import CLASSES

RESAMPLES = 2000
_SEED = 20_240_229
_QUANTILES = (2.5, 97.5)
Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Measure(msgspec.Struct, frozen=True):
    """A number, out of how many, and its interval; None where there is nothing to say."""

    value: float | None
    count: int
    low: float | None = None
    high: float | None = None


class OfClass(msgspec.Struct, frozen=True, rename={"cls": "class"}):
    """What became of the runs of a class. Two-fault runs are in none."""

    cls: str
    runs: int
    hit: Measure
    precision: Measure
    recall: Measure
    f1: Measure
    delay_s: Measure


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is added up. Shares are 0 to 1, delays seconds."""

    runs: int
    scenarios: int
    hit: Measure  # the culprit first, of runs with one fault
    hit_plain: Measure  # of those without a decoy that is busier than the culprit
    hit_busier: Measure  # of those with one
    both: Measure  # of runs with several faults: all culprits within the first three
    macro_f1: Measure
    quiet_normal: Measure  # ticks without an alarm, of look-alikes
    quiet_warm_up: Measure  # and of the warm-up of faults
    delay_s: Measure  # median over the runs with a hit
    classes: tuple[OfClass, ...]
    confusion: dict[str, dict[str, int]]  # true class, then the class that was told
    misses: tuple[Graded, ...]


def score(graded: Sequence[Graded]) -> Score:
    """Add up what became of runs; at least one."""
    sums = _Sums(graded)
    hits = [run.hit for run in graded]
    quiet = [run.quiet_ticks for run in graded]
    delays = [run.delay_s for run in graded]
    classes = [cls for cls in CLASSES if any(_is_of(run, cls) for run in graded)]
    confusion = {cls: Counter(run.said.cls for run in graded if _is_of(run, cls)) for cls in classes}
    return Score(
        runs=len(graded),
        scenarios=len({run.scenario for run in graded}),
        hit=sums.share(hits, [run.faults == 1 for run in graded]),
        hit_plain=sums.share(hits, [run.faults == 1 and not run.busier_decoy for run in graded]),
        hit_busier=sums.share(hits, [run.faults == 1 and run.busier_decoy for run in graded]),
        both=sums.share(hits, [run.faults > 1 for run in graded]),
        macro_f1=sums.macro_f1(classes),
        quiet_normal=sums.share(quiet, [run.calm_ticks * (run.faults == 0) for run in graded]),
        quiet_warm_up=sums.share(quiet, [run.calm_ticks * (run.faults > 0) for run in graded]),
        delay_s=sums.median(delays, [run.faults == 1 for run in graded]),
        classes=tuple(
            OfClass(
                cls=cls,
                runs=confusion[cls].total(),
                hit=sums.share(hits, [_is_of(run, cls) for run in graded]),
                precision=sums.share([_is_of(run, cls) for run in graded], [_is_called(run, cls) for run in graded]),
                recall=sums.share([_is_called(run, cls) for run in graded], [_is_of(run, cls) for run in graded]),
                f1=sums.f1(cls),
                delay_s=sums.median(delays, [_is_of(run, cls) for run in graded]),
            )
            for cls in classes
        ),
        confusion={cls: dict(row.most_common()) for cls, row in confusion.items()},
        misses=tuple(run for run in graded if not run.right),
    )


def _is_of(run: Graded, cls: str) -> bool:
    return run.faults < 2 and run.cls == cls


def _is_called(run: Graded, cls: str) -> bool:
    return run.faults < 2 and run.said.cls == cls


class _Sums:
    """What is measured of the runs as they are, and of each resample: a row of weights, one a run."""

    def __init__(self, graded: Sequence[Graded]) -> None:
        self._graded = graded
        names = sorted({run.scenario for run in graded})
        self._which = np.array([names.index(run.scenario) for run in graded], dtype=np.intp)
        drawn = np.random.default_rng(_SEED).integers(0, len(names), (RESAMPLES, len(names)))
        times = np.stack([np.bincount(draw, minlength=len(names)) for draw in drawn])
        as_they_are = np.ones((1, len(graded)))
        self._weights: Numbers = np.vstack([as_they_are, times[:, self._which].astype(np.float64)])

    def share(self, part: Sequence[float], whole: Sequence[float]) -> Measure:
        """The sum of the one over the sum of the other, of the runs that are in the other."""
        below = np.asarray(whole, dtype=np.float64)
        above = np.asarray(part, dtype=np.float64) * (below > 0)
        return self._measure(_ratio(self._weights @ above, self._weights @ below), int(below.sum()), below > 0)

    def f1(self, cls: str) -> Measure:
        """Of a class: 2 TP / (2 TP + FP + FN)."""
        true, f1 = self._f1(cls)
        return self._measure(f1, int(true.sum()), true)

    def macro_f1(self, classes: Sequence[str]) -> Measure:
        """The mean over the classes that are there; of a resample, over those that it has."""
        of = np.array([run.faults < 2 for run in self._graded])
        total, count = np.zeros(len(self._weights)), np.zeros(len(self._weights))
        for cls in classes:
            true, f1 = self._f1(cls)
            there = self._weights @ true > 0
            total += np.where(there, f1, 0.0)
            count += there
        return self._measure(_ratio(total, count), int(of.sum()), of)

    def median(self, values: Sequence[float | None], of: Sequence[bool]) -> Measure:
        """The median of the values that there are, of some of the runs."""
        there = np.array([one and value is not None for value, one in zip(values, of, strict=True)], dtype=bool)
        known = np.array([value if value is not None else np.nan for value in values], dtype=np.float64)[there]
        repeats = self._weights[:, there].astype(np.intp)
        found = [np.median(np.repeat(known, times)) if times.any() else np.nan for times in repeats]
        return self._measure(np.array(found), known.size, there)

    def _f1(self, cls: str) -> tuple[Mask, Numbers]:
        true = np.array([_is_of(run, cls) for run in self._graded])
        said = np.array([_is_called(run, cls) for run in self._graded])
        return true, _ratio(2 * self._weights @ (true & said), self._weights @ true + self._weights @ said)

    def _measure(self, found: Numbers, count: int, of: Mask) -> Measure:
        """The first is of the runs as they are; the others make the interval, if two scenarios are in it."""
        if count == 0 or np.isnan(found[0]):
            return Measure(None, count)
        drawn = found[1:][~np.isnan(found[1:])]
        if np.unique(self._which[of]).size < 2 or not drawn.size:
            return Measure(float(found[0]), count)
        low, high = np.percentile(drawn, _QUANTILES)
        return Measure(float(found[0]), count, float(low), float(high))


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)
