"""What facts told of single processes in the last seconds.

Owns a bounded history by (pid, start_ns). Refuses verdicts. Invariant: a span is only told where its whole length was
seen, so a value is never held against a threshold before its time; memory is that of the processes facts mention.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from linnix.cognitod.detect.view import NS
from linnix.insight.facts import Facts, Process

Identity = tuple[int, int]
Read = Callable[[Process], float | None]

#: A process that facts leave out for less than this is still the same story.
_GAP_NS = 5 * NS
#: Of the samples of a span, this share must have told of the process.
_SEEN = 0.7
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
    """Histories that reach ``window_s`` seconds back, or ``least`` intervals where samples are far apart."""

    def __init__(self, window_s: float, least: int = 1) -> None:
        self._window_ns = round(window_s * NS)
        self._least = least
        self._times: deque[int] = deque()
        self._seen: dict[Identity, deque[Moment]] = {}
        self._spans: dict[float, _Span] = {}  # those that were asked for since the last sample

    def add(self, known: Facts) -> None:
        """Take in a sample."""
        now_ns = known.ts_ns
        self._times.append(now_ns)
        self._spans = {}
        horizon = now_ns - self._reach_ns(self._window_ns) - 2 * NS
        while self._times[0] < horizon:
            self._times.popleft()
        for process in known.processes:
            self._seen.setdefault((process.pid, process.start_ns), deque()).append(Moment(now_ns, process))
        for key, moments in list(self._seen.items()):
            while moments and moments[0].ts_ns < horizon:
                moments.popleft()
            if not moments or now_ns - moments[-1].ts_ns > _GAP_NS:
                del self._seen[key]

    def last(self, process: Process, seconds: float) -> Sequence[Moment]:
        """Its moments of the last seconds, oldest first; none unless all of that time was seen."""
        span = self._spans.get(seconds)
        if span is None:
            span = self._spans[seconds] = self._span(seconds)
        seen = self._seen[process.pid, process.start_ns]
        if seen[0].ts_ns > span.latest_begin_ns or len(seen) < span.least:
            return []
        moments = [moment for moment in seen if moment.ts_ns >= span.begin_ns]
        return moments if moments[0].ts_ns <= span.latest_begin_ns and len(moments) >= span.least else []

    def oldest(self, process: Process) -> Process:
        """As it was at the first moment that is remembered, which may be two seconds before those of ``last``."""
        return self._seen[process.pid, process.start_ns][0].process

    def _span(self, seconds: float) -> _Span:
        begin_ns = self._times[-1] - self._reach_ns(round(seconds * NS))
        slack_ns = round(self._interval_ns() * _SLACK)
        expected = sum(1 for ts_ns in self._times if ts_ns >= begin_ns - slack_ns)
        return _Span(begin_ns - slack_ns, begin_ns + slack_ns, max(2, _SEEN * expected))

    def _interval_ns(self) -> int:
        return self._times[-1] - self._times[-2] if len(self._times) > 1 else NS

    def _reach_ns(self, window_ns: int) -> int:
        return max(window_ns, self._least * self._interval_ns())


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
