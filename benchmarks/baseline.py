"""How often the baseline calls something unusual on a host on which nothing is, and what a second of it costs.

``python benchmarks/baseline.py`` makes days of noise of several shapes, from a seed, and counts how often a series
becomes unusual: false alarms a day and series, on the first day and after it. ``--recorded FILE`` does the same with
series that were recorded (``tests/fixtures/host-at-work.json.gz``: a host at work). ``--record URL`` adds to the file
one value a second of each series of a daemon's ``/facts``, until it is interrupted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from common import last_line, percentile, table

from linnix.cognitod.detect.baseline import SERIES, Floats, Usual
from linnix.insight.facts import decode

DAY_S = 86_400
_NS = 10**9

Shape = Callable[[np.random.Generator, int], Floats]


def _sliding(values: Floats, seconds: int = 10) -> Floats:
    """As PSI's averages and rates of events are told: the mean of the last ten seconds."""
    sums = np.cumsum(np.concatenate([np.zeros(seconds), values]))
    return (sums[seconds:] - sums[:-seconds]) / seconds


def steady(rng: np.random.Generator, length: int) -> Floats:
    """A service under even load: normal noise around 20, of 3."""
    return np.maximum(rng.normal(20, 3, length), 0)


def heavy(rng: np.random.Generator, length: int) -> Floats:
    """Sizes of requests and answers: lognormal, one in a thousand is 100 times the median."""
    return rng.lognormal(1, 1.5, length)


def sliding(rng: np.random.Generator, length: int) -> Floats:
    """The same over ten seconds, so that one second's value is felt in ten."""
    return _sliding(heavy(rng, length))


def wandering(rng: np.random.Generator, length: int) -> Floats:
    """Load that comes and goes within minutes, by a factor: the exponential of an autoregression of five minutes."""
    keep = np.exp(-1 / 300)
    noise = rng.normal(0, np.sqrt(1 - keep * keep), length)
    level = np.empty(length)
    at = rng.normal()
    for second, step in enumerate(noise.tolist()):
        at = keep * at + step
        level[second] = at
    return 10 * np.exp(0.6 * level)


def daily(rng: np.random.Generator, length: int) -> Floats:
    """Users: by day five times what is at night, with noise of a fifth."""
    day = 3 - 2 * np.cos(2 * np.pi * (np.arange(length) / DAY_S + rng.uniform()))
    return 10 * day * rng.lognormal(0, 0.2, length)


def cron(rng: np.random.Generator, length: int) -> Floats:
    """A quiet host with jobs: each minute 2 s, each 5 minutes 15 s, each hour 60 s, each night 20 minutes."""
    values = rng.normal(3, 1, length)
    for every, lasts, height in ((60, 2, 20), (300, 15, 40), (3600, 60, 60), (DAY_S, 1200, 90)):
        for begin in range(int(rng.integers(every)), length, every):
            begin += int(rng.integers(-1, 2) + 1)
            end = begin + round(lasts * rng.uniform(0.7, 1.4))
            values[begin:end] += height * rng.uniform(0.7, 1.3)
    return _sliding(np.maximum(values, 0))


def seldom(rng: np.random.Generator, length: int) -> Floats:
    """Nothing at all, but that four times a day somebody does something, for a minute or so, as large as it may be."""
    values = np.zeros(length)
    for begin in np.flatnonzero(rng.random(length) < 4 / DAY_S).tolist():
        values[begin : begin + round(rng.exponential(60)) + 1] = 10 * rng.lognormal(1, 1)
    return values


SHAPES: tuple[Shape, ...] = (steady, heavy, sliding, wandering, daily, cron, seldom)


def alarms(series: Floats, units: Floats) -> tuple[Floats, list[float]]:
    """For each second (rows) which series (columns) became unusual in it; microseconds of each step."""
    usual, before = Usual(units), np.zeros(len(units), np.bool_)
    began, costs = np.zeros(series.shape), []
    for second, values in enumerate(series):
        start = time.thread_time_ns()
        now = usual.step(second * _NS, values)
        costs.append((time.thread_time_ns() - start) / 1000)
        began[second] = now & ~before
        before = now
    return began, costs


def simulate(days: int, copies: int, seed: int) -> list[tuple[str, float, float]]:
    """Of each shape: false alarms a day and series, on the first day and on a later one."""
    rng = np.random.default_rng(seed)
    columns = [shape(rng, days * DAY_S) for shape in SHAPES for _ in range(copies)]
    began, _ = alarms(np.stack(columns, axis=1), np.ones(len(columns)))
    rates = []
    for at, shape in enumerate(SHAPES):
        mine = began[:, at * copies : (at + 1) * copies]
        later = mine[DAY_S:].sum() / copies / (days - 1) if days > 1 else float("nan")
        rates.append((shape.__name__, float(mine[:DAY_S].sum()) / copies, float(later)))
    return rates


def load(path: Path) -> Floats:
    """Seconds by series, in the order of ``SERIES``; NaN where a second does not tell."""
    with gzip.open(path, "rt") as file:
        told = json.load(file)
    length = len(next(iter(told.values())))
    return np.array([told.get(series.name, [None] * length) for series in SERIES], np.float64).T


def seconds(url: str) -> Iterator[list[float | None]]:
    """One second after the other of a daemon."""
    while True:
        began = time.monotonic()
        with urllib.request.urlopen(url + "/facts", timeout=10) as response:
            facts = decode(response.read())
        yield [series.read(facts) for series in SERIES]
        time.sleep(max(0.0, 1 - (time.monotonic() - began)))


def record(url: str, path: Path) -> None:
    """Write what a daemon tells, until interrupted."""
    kept: list[list[float | None]] = []
    try:
        for values in seconds(url):
            kept.append(values)
            print(f"\r{len(kept)} s", end="", flush=True)
    except KeyboardInterrupt:
        pass
    by_name = {series.name: list(column) for series, column in zip(SERIES, zip(*kept, strict=True), strict=True)}
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write(json.dumps(by_name).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--copies", type=int, default=8, help="series of each shape")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two days, two series of each shape")
    parser.add_argument("--recorded", type=Path, metavar="FILE")
    parser.add_argument("--record", metavar="URL", help="write the file instead")
    options = parser.parse_args()
    if options.record:
        record(options.record, options.recorded or Path("host-at-work.json.gz"))
        return
    if options.recorded:
        values = load(options.recorded)
        began, costs = alarms(values, np.array([series.unit for series in SERIES], np.float64))
        rows = [
            (series.name, f"{np.nanmedian(column):g}", f"{np.nanmax(column):g}", int(count))
            for series, column, count in zip(SERIES, values.T, began.sum(axis=0), strict=True)
            if np.isfinite(column).any()
        ]
        table(f"{len(values)} recorded seconds", ("series", "median", "largest", "times unusual"), rows)
        last_line(seconds=len(values), unusual=int(began.sum()), median_us=percentile(costs, 50))
        return
    days, copies = (2, 2) if options.quick else (options.days, options.copies)
    rates = simulate(days, copies, options.seed)
    rows = [(name, f"{first:.2f}", f"{later:.2f}") for name, first, later in rates]
    table(f"False alarms a day and series, {days} days, {copies} series each", ("noise", "first day", "later"), rows)
    rng = np.random.default_rng(options.seed)
    second = rng.lognormal(2, 1, (7200, len(SERIES)))
    _, costs = alarms(second, np.ones(len(SERIES)))
    mean_us = round(float(np.mean(costs[3600:])), 1)
    print(
        f"\nA second of all {len(SERIES)} series: {mean_us} µs on average, {percentile(costs, 99):.0f} µs in one of 100"
    )
    last_line(rates={name: [first, later] for name, first, later in rates}, mean_us=mean_us)


if __name__ == "__main__":
    main()
