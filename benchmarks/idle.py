"""Where the CPU time of an idle daemon goes: the parts of one second's work, after a second of rest and at once.

Run as root: ``python benchmarks/idle.py``. The real parts, without threads and HTTP, do what the daemon does once a
second beside ``--processes`` sleeping ones. First they rest a second before each round, so that nothing of what they
touch is in the caches; then they do the same again and again. The difference is not work: it is the machine fetching
back what it had put away. How dear that is here a line of its own says, which has nothing to do with us: the time to
read one byte of each of 4,096 pages.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from common import last_line, sleepers, table

from linnix.cognitod import blaming, instruments
from linnix.cognitod.blame.meter import BlameReading
from linnix.cognitod.bookkeeping import Bookkeeper
from linnix.cognitod.config import Config
from linnix.cognitod.detect import Alerts, Engine, rules
from linnix.cognitod.events import EXEC_TEXT, Instrument
from linnix.cognitod.host.homes import find as find_homes
from linnix.cognitod.hub import Hub
from linnix.cognitod.kernel import open_sight, probes
from linnix.cognitod.model import Sample
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.processes import Table
from linnix.cognitod.sights import Sights
from linnix.cognitod.snapshots import HostReader

PAGES = 4096
NO_TEXTS = np.zeros(0, EXEC_TEXT)
_SECOND_NS = 10**9


class Clock:
    """Adds up what each part took of this thread's CPU time, round by round."""

    def __init__(self) -> None:
        self.taken_us: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Everything inside belongs to this part."""
        began_ns = time.thread_time_ns()
        yield
        self.taken_us[name].append((time.thread_time_ns() - began_ns) / 1000)

    def medians(self) -> dict[str, float]:
        """Microseconds of each part."""
        return {name: round(statistics.median(taken), 1) for name, taken in self.taken_us.items()}


class Idle:
    """The daemon's parts and one second's work of them."""

    def __init__(self, stack: ExitStack) -> None:
        config, found = Config(), rules.defaults()
        self.sight = open_sight()
        stack.callback(self.sight.close)
        homes, home_reader = find_homes(cluster=None)
        optional = instruments.choose(config)
        self.books = Bookkeeper(self.sight.counters, instruments.idle_clock(optional.instruments))
        stack.callback(self.books.close)
        self.host = HostReader()
        stack.callback(self.host.close)
        processes = Table()
        meters = blaming.choose(config, homes.cgroups.mount)
        blame = blaming.keep(meters, processes, homes)
        sights = Sights()
        eyes: list[Instrument] = [home_reader, *meters.engagements, *optional.instruments]
        self.eyes: list[Instrument] = [probes.RunClock(config.probes.stats, eyes), *eyes]
        self.pipeline = Pipeline(
            table=processes,
            engine=Engine(found),
            gate=Alerts(found, "here"),
            hub=Hub(),
            sight_name=self.sight.name,
            homes=homes,
            read_counters=self.sight.counters,
            on_reading={BlameReading: blame.on_reading, **sights.receivers},
        )
        for eye in self.eyes:
            eye.open()
            stack.callback(eye.close)

    def second(self, clock: Clock, now_ns: int) -> None:
        """What the daemon does once a second; ``now_ns`` is what instruments are told."""
        with clock.part("what came in is drained: nothing"):
            batch = self.sight.drain()
            if len(batch.events):
                self.pipeline.on_batch(batch, time.monotonic_ns())
        with clock.part("instruments that are due"):
            due = [eye for eye in self.eyes if eye.due_ns <= now_ns]
            readings = [reading for eye in due if (reading := eye.collect(now_ns)) is not None]
        with clock.part("all tasks, from the kernel, summed to processes"):
            rows = self.sight.sample()
        with clock.part("the books and nine files of /proc"):
            books = self.books.read()
            snapshot = self.host.read_snapshot()
            if books is not None:
                disks = {"disk_read_bytes": snapshot.disk_read_bytes, "disk_write_bytes": snapshot.disk_write_bytes}
                books = replace(books, **disks)
        with clock.part("readings of instruments are kept"):
            for reading in readings:
                self.pipeline.on_reading(reading)
        offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        with clock.part("the sample is taken in: table, tags, detectors"):
            self.pipeline.on_sample(Sample(rows, snapshot, offset_ns, NO_TEXTS, books))


def fetching_us(rest_s: float) -> float:
    """What it takes to read a byte of each of 4,096 pages that were left alone for so long."""
    pages = np.ones((PAGES, 4096), np.uint8)
    taken = []
    for _ in range(7):
        time.sleep(rest_s)
        began_ns = time.perf_counter_ns()
        int(pages[:, 0].sum())
        taken.append((time.perf_counter_ns() - began_ns) / 1000)
    return round(statistics.median(taken), 0)


def measure(rounds: int, second: Callable[[Clock, int], None]) -> tuple[Clock, Clock]:
    """After a rest, and at once."""
    rested, at_once, warm_up = Clock(), Clock(), Clock()
    for _ in range(8):
        second(warm_up, time.monotonic_ns())
    for _ in range(rounds):
        time.sleep(1)
        second(rested, time.monotonic_ns())
    now_ns = time.monotonic_ns()
    for at in range(3 * rounds):
        second(at_once, now_ns + at * _SECOND_NS)
    return rested, at_once


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=300, help="sleeping processes beside it (300)")
    parser.add_argument("--rounds", type=int, default=30, help="seconds measured after a rest; medians count (30)")
    parser.add_argument("--quick", action="store_true", help="eight rounds")
    args = parser.parse_args()
    with sleepers(args.processes), ExitStack() as stack:
        rested, at_once = measure(8 if args.quick else args.rounds, Idle(stack).second)
    parts: dict[str, Any] = {
        name: {"rested_us": us, "at_once_us": at_once.medians()[name]} for name, us in rested.medians().items()
    }
    sums = {column: round(sum(part[column] for part in parts.values()), 1) for column in ("rested_us", "at_once_us")}
    table(
        f"One second of an idle daemon, {args.processes} sleeping processes, microseconds of CPU (medians)",
        ["part", "after a second", "at once"],
        [[name, *part.values()] for name, part in parts.items()]
        + [["all of it", *sums.values()]]
        + [["in percent of a core", *(round(us / 10_000, 2) for us in sums.values())]],
    )
    fetching = {f"{rest_s:g}": fetching_us(rest_s) for rest_s in (0, 0.1, 1)}
    table(
        f"To read one byte of each of {PAGES} pages of memory, microseconds",
        ["left alone for s", *fetching],
        [["", *fetching.values()]],
    )
    last_line(processes=args.processes, parts=parts, sums=sums, fetching_us=fetching)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    sys.exit(main())
