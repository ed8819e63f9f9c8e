"""How often it was right, over many runs, and how sure that is.

Owns the sums. Refuses to judge a run, which ``grade`` does, and intervals, which are of ``intervals``. Invariant: the
same runs give the same numbers. A run whose daemon failed is a miss in every figure that it belongs to.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from operator import and_

import msgspec

from linnix.faultlab.grade import Graded
from linnix.faultlab.intervals import Measure, Sums
from linnix.insight.classes import CLASSES


class OfClass(msgspec.Struct, frozen=True, rename={"cls": "class"}):
    """What became of the runs of a class. Two-fault runs are in none."""

    cls: str
    runs: int
    hit: Measure
    precision: Measure
    recall: Measure
    f1: Measure
    found: Measure
    delay_s: Measure


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is added up. Shares are 0 to 1, delays seconds."""

    runs: int
    failed: int  # of these: the daemon failed while they were recorded
    scenarios: int
    hit: Measure  # the culprit first, of runs with one fault
    hit_plain: Measure  # of those without a decoy that is busier than the culprit
    hit_busier: Measure  # of those with one
    both: Measure  # of runs with several faults: all culprits within the first three
    macro_f1: Measure
    quiet_runs: Measure  # look-alikes without an alarm in any tick
    quiet_normal: Measure  # ticks without an alarm, of look-alikes
    quiet_warm_up: Measure  # and of the warm-up of faults
    found: Measure  # runs with one fault in which its culprit was named first in at least one tick
    delay_s: Measure  # median over runs with one fault, infinite where it never was; JSON has null for that
    classes: tuple[OfClass, ...]
    confusion: dict[str, dict[str, int]]  # true class, then the class that was told
    misses: tuple[Graded, ...]


def score(graded: Sequence[Graded]) -> Score:
    """Add up what became of runs; at least one."""
    sums = Sums([run.scenario for run in graded])
    hits = [run.hit for run in graded]
    quiet = [run.quiet_ticks for run in graded]
    faulty = [run.faults == 1 for run in graded]
    found = [run.delay_s is not None for run in graded]
    delays = [math.inf if run.delay_s is None else run.delay_s for run in graded]
    rows = {cls: ([_is_of(run, cls) for run in graded], [_is_called(run, cls) for run in graded]) for cls in CLASSES}
    classes = [cls for cls in CLASSES if any(_is_of(run, cls) for run in graded)]
    confusion = {cls: Counter(run.said.cls for run in graded if _is_of(run, cls)) for cls in classes}
    return Score(
        runs=len(graded),
        failed=sum(bool(run.failed) for run in graded),
        scenarios=len({run.scenario for run in graded}),
        hit=sums.share(hits, faulty),
        hit_plain=sums.share(hits, [run.faults == 1 and not run.busier_decoy for run in graded]),
        hit_busier=sums.share(hits, [run.faults == 1 and run.busier_decoy for run in graded]),
        both=sums.share(hits, [run.faults > 1 for run in graded]),
        macro_f1=sums.macro_f1([rows[cls] for cls in classes], [run.faults < 2 for run in graded]),
        quiet_runs=sums.share(hits, [run.faults == 0 for run in graded]),
        quiet_normal=sums.share(quiet, [run.calm_ticks * (run.faults == 0) for run in graded]),
        quiet_warm_up=sums.share(quiet, [run.calm_ticks * (run.faults > 0) for run in graded]),
        found=sums.share(found, faulty),
        delay_s=sums.median(delays, faulty),
        classes=tuple(
            OfClass(
                cls=cls,
                runs=confusion[cls].total(),
                hit=sums.share(hits, rows[cls][0]),
                precision=sums.share(*rows[cls]),
                recall=sums.share(*rows[cls][::-1]),
                f1=sums.f1(*rows[cls]),
                found=sums.share(found, list(map(and_, rows[cls][0], faulty))),
                delay_s=sums.median(delays, list(map(and_, rows[cls][0], faulty))),
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
