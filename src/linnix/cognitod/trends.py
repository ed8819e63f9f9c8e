"""Short histories of every process, one row a slot of the process table.

Owns sliding counts over whole seconds and the trend of resident memory. Refuses identity: the table says which slot
is whose and clears a slot when it changes hands. Invariant: both are bounded by the number of slots, never by the
number of events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.handles import Index

_SECOND_NS = 1_000_000_000


class Sliding:
    """Events, or amounts, per slot over the last ``seconds`` seconds, the running second included, kept as one bucket a
    second.

    The sum of a slot's buckets is kept beside them: it is asked for far more often than a second passes.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._buckets = np.zeros((seconds, 0), np.uint32)
        self._sums = np.zeros(0, np.uint32)
        self._head = 0

    def resize(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        buckets, sums = np.zeros((self._seconds, slots), np.uint32), np.zeros(slots, np.uint32)
        buckets[:, : len(self._sums)], sums[: len(self._sums)] = self._buckets, self._sums
        self._buckets, self._sums = buckets, sums

    def clear(self, slots: Index) -> None:
        """These slots have new owners."""
        counted = slots[self._sums[slots] > 0]
        self._buckets[:, counted] = 0
        self._sums[counted] = 0

    def advance(self, now_ns: int) -> bool:
        """Let time pass; True when a second ended, so that every count may have changed."""
        second = now_ns // _SECOND_NS
        passed = second - self._head
        if passed <= 0:
            return False
        for ago in range(min(passed, self._seconds)):
            bucket = self._buckets[(second - ago) % self._seconds]
            self._sums -= bucket
            bucket[:] = 0
        self._head = second
        return True

    def add(self, slots: Index, ts_ns: NDArray[np.uint64], amounts: NDArray[np.uint32] | None = None) -> None:
        """One event for each entry of ``slots``, or its amount; a slot may occur often. What is older than the window
        is left out. Sums wrap around at 2^32.
        """
        if not len(slots):
            return
        self.advance(int(ts_ns.max()))
        second = (ts_ns // np.uint64(_SECOND_NS)).astype(np.int64)
        recent = second > self._head - self._seconds
        slots, second = slots[recent], second[recent]
        more = np.uint32(1) if amounts is None else amounts[recent]
        np.add.at(self._buckets.reshape(-1), second % self._seconds * len(self._sums) + slots, more)
        np.add.at(self._sums, slots, more)

    def span_ns(self, now_ns: int) -> int:
        """How much time the counts cover at ``now_ns``: the whole seconds before, and what has passed of this one."""
        return (self._seconds - 1) * _SECOND_NS + now_ns % _SECOND_NS

    def counts(self, slots: Index | slice) -> NDArray[np.uint32]:
        """How many in the window, per slot."""
        counts: NDArray[np.uint32] = self._sums[slots].copy()
        return counts


class RssTrend:
    """Resident memory every ``STEP_NS``, ``STEPS`` times: about a minute."""

    STEP_NS = 5 * _SECOND_NS
    STEPS = 13  # twelve steps of five seconds span the minute

    def __init__(self) -> None:
        self._kib = np.zeros((0, self.STEPS), np.uint32)
        self._known = np.zeros(0, np.uint8)
        self._times_ns = np.zeros(self.STEPS, np.uint64)
        self._column = 0

    def resize(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        kib = np.zeros((slots, self.STEPS), np.uint32)
        kib[: len(self._kib)] = self._kib
        known = np.zeros(slots, np.uint8)
        known[: len(self._known)] = self._known
        self._kib, self._known = kib, known

    def clear(self, slots: Index) -> None:
        """These slots have new owners."""
        self._known[slots] = 0

    def record(
        self, slots: Index, rss_bytes: NDArray[np.uint64], now_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Take a sample of these slots. Their growth in bytes and the nanoseconds it spans, both 0 when too young."""
        kib = (rss_bytes >> np.uint64(10)).astype(np.uint32)
        if now_ns >= int(self._times_ns[self._column]) + self.STEP_NS or not self._times_ns.any():
            self._column = (self._column + 1) % self.STEPS
            self._times_ns[self._column] = now_ns
            self._kib[slots, self._column] = kib
            self._known[slots] = np.minimum(self._known[slots] + 1, self.STEPS)
        known = self._known[slots].astype(np.int64)
        oldest = (self._column - np.maximum(known, 1) + 1) % self.STEPS
        growth = (kib.astype(np.int64) - self._kib[slots, oldest].astype(np.int64)) << 10
        window = np.uint64(now_ns) - self._times_ns[oldest]
        young = known == 0
        return np.where(young, 0, growth), np.where(young, np.uint64(0), window)

    def history(self, slot: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Times (CLOCK_MONOTONIC ns) and resident bytes of one slot, oldest first."""
        columns = (self._column - np.arange(int(self._known[slot]))[::-1]) % self.STEPS
        return self._times_ns[columns], self._kib[slot, columns].astype(np.uint64) << np.uint64(10)
