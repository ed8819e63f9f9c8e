"""The lifecycle events of the last seconds, kept as arrays for the detectors that count.

Owns bounded memory of forks, execs and short jobs. Refuses verdicts. Invariant: memory is fixed at construction; when
events come faster than a ring holds, the oldest go, and the window is as much shorter as they are fewer.

Lifetimes need the distance between boot time (``start_ns``) and CLOCK_MONOTONIC (``ts_ns``), which grows with each
suspend: it is learned from forks, whose two stamps are taken within microseconds of each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import COMM_LEN, Array, Kind

FORK = np.dtype([("ts_ns", "<i8"), ("parent_start_ns", "<u8"), ("ppid", "<u4"), ("_pad", "V4")])
JOB = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("parent_start_ns", "<u8"),
        ("ppid", "<u4"),
        ("lifetime_us", "<u4"),
        ("comm", f"S{COMM_LEN}"),
    ]
)
EXEC = np.dtype([("ts_ns", "<i8"), ("parent_start_ns", "<u8"), ("key", "<u8"), ("ppid", "<u4"), ("_pad", "V4")])

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Ring:
    """The last ``capacity`` records of a dtype that begins with ``ts_ns``."""

    def __init__(self, dtype: np.dtype[np.void], capacity: int) -> None:
        self._data = np.zeros(capacity, dtype)
        self._next = 0
        self._used = 0
        self.none = np.zeros(0, dtype)

    def extend(self, records: Array) -> None:
        """Append, overwriting the oldest."""
        capacity = len(self._data)
        records = records[-capacity:]
        first = min(len(records), capacity - self._next)
        self._data[self._next : self._next + first] = records[:first]
        self._data[: len(records) - first] = records[first:]
        self._next = (self._next + len(records)) % capacity
        self._used = min(self._used + len(records), capacity)

    def grown(self, capacity: int) -> Ring:
        """A ring with room for as many at least that holds the same."""
        if capacity <= len(self._data):
            return self
        larger = Ring(self._data.dtype, capacity)
        wrapped = self._used == len(self._data)
        larger.extend(np.roll(self._data, -self._next) if wrapped else self._data[: self._used])
        return larger

    def since(self, ts_ns: int) -> Array:
        """Records later than ``ts_ns``, in no particular order."""
        data = self._data[: self._used]
        return data.compress(data["ts_ns"] > ts_ns)

    def column(self, name: str, ts_ns: int) -> NDArray[Any]:
        """One field of ``since``, where that is all that is wanted: a copy of far less."""
        data = self._data[: self._used]
        return data[name].compress(data["ts_ns"] > ts_ns)

    def window(self, now_ns: int, seconds: float) -> tuple[Array, float]:
        """Records of the last ``seconds`` seconds, and how many seconds they really span: fewer where more came than
        the ring holds, so that number and time always belong together.
        """
        records = self.since(now_ns - round(seconds * 1e9))
        return records, self._span_s(len(records), now_ns, seconds)

    def count(self, now_ns: int, seconds: float) -> tuple[int, float]:
        """How many ``window`` would give, without a copy of them, and what they span."""
        times = self._data["ts_ns"][: self._used]
        number = int(np.count_nonzero(times > now_ns - round(seconds * 1e9)))
        return number, self._span_s(number, now_ns, seconds)

    def _span_s(self, number: int, now_ns: int, seconds: float) -> float:
        if number < len(self._data):
            return seconds
        return min(seconds, max(round((now_ns - int(self._data["ts_ns"].min())) / 1e9, 3), 0.001))


class Recent:
    """Forks, execs and short jobs of the last seconds. ``max_job_us``: a job that lived longer is not kept."""

    def __init__(self, *, forks: int, jobs: int, max_job_us: int) -> None:
        self.forks = Ring(FORK, max(forks, 1))
        self.jobs = Ring(JOB, max(jobs, 1))
        self._max_job_us = max_job_us
        self.execs = Ring(EXEC, max(forks, 16_384))
        self._boot_offset_ns = 0  # how far boot time is ahead of CLOCK_MONOTONIC

    def grow(self, *, forks: int, jobs: int, max_job_us: int) -> None:
        """Make room for other rules. Rings never shrink: what they hold is what those rules begin with."""
        self.forks, self.jobs = self.forks.grown(forks), self.jobs.grown(jobs)
        self.execs = self.execs.grown(forks)
        self._max_job_us = max_job_us

    def extend(self, events: Array) -> None:
        """Take in a batch of dtype EVENT."""
        if not len(events):
            return
        kind = events["kind"]
        forks = events.compress(kind == Kind.FORK)
        if len(forks):
            ahead = forks["start_ns"].astype(np.int64) - forks["ts_ns"].astype(np.int64)
            self._boot_offset_ns = max(self._boot_offset_ns, int(ahead.max()))
            self.forks.extend(_parents(forks, FORK))
        execs = events.compress(kind == Kind.EXEC)
        taken = _parents(execs, EXEC)
        taken["key"] = identity(execs)
        self.execs.extend(taken)
        if self._max_job_us:
            self._take_jobs(events.compress(kind == Kind.EXIT))

    def _take_jobs(self, exits: Array) -> None:
        if not len(exits):
            return
        ts = exits["ts_ns"].astype(np.int64)
        lifetime_us = (ts + self._boot_offset_ns - exits["start_ns"].astype(np.int64)) // 1000
        # A start after the end is a clock not learned yet: then the lifetime is unknown, not short.
        short = (lifetime_us >= 0) & (lifetime_us <= self._max_job_us)
        if not short.any():
            return
        exits, lifetime_us = exits.compress(short), lifetime_us[short]
        execs = self.execs.column("key", int(ts[short].min()) - (self._max_job_us + 1_000_000) * 1000)
        ran = _among(identity(exits), execs)
        jobs = _parents(exits.compress(ran), JOB)
        jobs["lifetime_us"] = lifetime_us[ran]
        jobs["comm"] = exits["comm"][ran]
        self.jobs.extend(jobs)


def identity(events: Array) -> NDArray[np.uint64]:
    """(pid, start_ns) as one number; two processes share one with a chance of 2^-64."""
    return identities(events["pid"], events["start_ns"])


def identities(pids: NDArray[np.uint32], starts_ns: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """``identity`` of columns."""
    mixed: NDArray[np.uint64] = starts_ns * _GOLDEN + pids.astype(np.uint64)
    return mixed


def _among(keys: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of the keys are known. A fifth of the time of ``np.isin``, which wants both without repetitions."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    known = np.sort(known)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return found


def _parents(events: Array, dtype: np.dtype[np.void]) -> Array:
    out = np.zeros(len(events), dtype)
    for name in ("ts_ns", "parent_start_ns", "ppid"):
        out[name] = events[name]
    return out
