"""What facts told of single processes in the last seconds.

Owns a bounded history by (pid, start_ns). Refuses verdicts. Invariant: a span is only told where its whole length was
seen, so a value is never held against a threshold before its time; memory is that of the processes facts mention.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from linnix.insight.facts import Facts, Process

NS = 1_000_000_000

Identity = tuple[int, int]
Read = Callable[[Process], float | None]

#: A process that facts leave out for less than this is still the same story.
_GAP_NS = 5 * NS
#: Of the samples of a span, this share must have told of the process.
_SEEN = 0.7
#: Whoever wants to see growth wants so many intervals of it.
LEAST = 5
#: A sample that is late by this share of an interval is in time.
_SLACK = 0.6


def wants_pct(process: Process) -> float:
    """Percent of a core that its threads use or wait for."""
    return process.cpu_pct + (process.run_delay_pct or 0.0)


class Moment(NamedTuple):
    """A process as it was at one sample."""

    ts_ns: int
    process: Process


class _Span(NamedTuple):
    """From when on moments are of it, when the first must have been, and how many there must be."""

    begin_ns: int
    latest_begin_ns: int
    least: float


class Past:
    """Histories that reach ``window_s`` seconds back, or ``LEAST`` intervals where samples are far apart. All detectors
    share one: each of them would remember the same.
    """

    def __init__(self, window_s: float = 0.0) -> None:
        self._window_ns = round(window_s * NS)
        self._times: deque[int] = deque()
        self._seen: dict[Identity, deque[Moment]] = {}
        self._spans: dict[tuple[float, int], _Span] = {}  # those that were asked for since the last sample
        self._told: dict[tuple[Identity, float, int], Sequence[Moment]] = {}

    def grow(self, window_s: float) -> None:
        """Reach as far back from now on, at least."""
        self._window_ns = max(self._window_ns, round(window_s * NS))

    def add(self, known: Facts) -> None:
        """Take in a sample."""
        now_ns = known.ts_ns
        self._times.append(now_ns)
        self._spans, self._told = {}, {}
        horizon = now_ns - self._reach_ns(self._window_ns, LEAST) - 2 * NS
        while self._times[0] < horizon:
            self._times.popleft()
        for process in known.processes:
            self._seen.setdefault((process.pid, process.start_ns), deque()).append(Moment(now_ns, process))
        for key, moments in list(self._seen.items()):
            while moments and moments[0].ts_ns < horizon:
                moments.popleft()
            if not moments or now_ns - moments[-1].ts_ns > _GAP_NS:
                del self._seen[key]

    def last(self, process: Process, seconds: float, least: int = 1) -> Sequence[Moment]:
        """Its moments of the last seconds, or of so many intervals at least, up to ``LEAST``; oldest first. None unless
        all of that time was seen.
        """
        key = (process.pid, process.start_ns), seconds, least
        told = self._told.get(key)
        if told is None:
            told = self._told[key] = self._last(key[0], seconds, least)
        return told

    def _last(self, who: Identity, seconds: float, least: int) -> Sequence[Moment]:
        span = self._spans.get((seconds, least))
        if span is None:
            span = self._spans[seconds, least] = self._span(seconds, least)
        seen = self._seen[who]
        if seen[0].ts_ns > span.latest_begin_ns or len(seen) < span.least:
            return ()
        moments = [moment for moment in seen if moment.ts_ns >= span.begin_ns]
        return moments if moments[0].ts_ns <= span.latest_begin_ns and len(moments) >= span.least else ()

    def _span(self, seconds: float, least: int) -> _Span:
        begin_ns = self._times[-1] - self._reach_ns(round(seconds * NS), least)
        slack_ns = round(self._interval_ns() * _SLACK)
        expected = sum(1 for ts_ns in self._times if ts_ns >= begin_ns - slack_ns)
        return _Span(begin_ns - slack_ns, begin_ns + slack_ns, max(2, _SEEN * expected))

    def _interval_ns(self) -> int:
        return self._times[-1] - self._times[-2] if len(self._times) > 1 else NS

    def _reach_ns(self, window_ns: int, least: int) -> int:
        return max(window_ns, least * self._interval_ns())


def writes(process: Process) -> float:
    """Bytes a second that it writes to block devices, itself or by way of children that have ended."""
    return (process.write_bytes_per_s or 0.0) + process.ended_write_bytes_per_s


def moves(process: Process) -> float:
    """Bytes a second that it reads from block devices and writes to them, likewise."""
    return writes(process) + (process.read_bytes_per_s or 0.0) + process.ended_read_bytes_per_s


def calm(moments: Sequence[Moment], read: Read) -> float | None:
    """``mean`` without the highest: a process that was started lately has loaded itself in one of its seconds."""
    values = sorted(value for moment in moments if (value := read(moment.process)) is not None)
    return fmean(values[:-1]) if len(values) > 1 and len(values) >= _SEEN * len(moments) else None


def mean(moments: Sequence[Moment], read: Read) -> float | None:
    """The average of what was told; None where less than most of it was."""
    values = [value for moment in moments if (value := read(moment.process)) is not None]
    return fmean(values) if values and len(values) >= _SEEN * len(moments) else None
