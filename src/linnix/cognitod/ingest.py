"""The ingest thread: the only one that touches the kernel's memory.

Owns the ``Sight`` while it runs, and the hand-over to the event loop. Refuses meaning: batches are redacted and passed
on as they are. Invariant: drained = delivered + dropped + queued. The queue is bounded by events, whose room
``fairness`` shares out, and samples go through a latest-wins slot, so that a loop that is held up costs no memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from linnix.cognitod.books import Books
from linnix.cognitod.events import EXEC_TEXT, NO_ACCOUNTS, Array, Batch, Glancing, Instrument, Sight
from linnix.cognitod.fairness import Fairness, Group
from linnix.cognitod.model import Sample, Snapshot

#: How long events may wait in the ring before they are drained, while somebody listens to them.
LATENCY_S = 0.05
#: And while nobody does: a batch costs most of its time whatever is in it, so a few events a second would cost as much
#: as thousands.
UNHEARD_S = 0.2
#: When this many came at once, one more wait of the shorter length costs nobody anything: half as many batches.
MANY = range(200, 4_000)
#: What does not wake this thread, such as final accounts, waits no longer than this, however rare samples are.
LONGEST_S = 1.0
#: Events that may wait for the event loop, and likewise final accounts: some 25 MB with texts.
MAX_QUEUED = 65_536
#: Groups whose losses in the queue are told one by one.
MAX_FLOODS = 64

#: Readings of instruments that may wait for the event loop.
MAX_READINGS = 256

_NO_TEXTS = np.zeros(0, EXEC_TEXT)

log = logging.getLogger(__name__)


def _no_books() -> None:
    return None


@dataclass(slots=True)
class _Passed:
    """How much has passed one end of the queue."""

    batches: int = 0
    events: int = 0
    accounts: int = 0

    def add(self, batch: Batch) -> None:
        self.batches += 1
        self.events += len(batch.events)
        self.accounts += len(batch.accounts)


class Receiver(Protocol):
    """Takes what was seen, on the event loop's thread; the pipeline is one."""

    queue_dropped: int  # events
    queue_floods: Mapping[Group, int]  # those of them whose group is known
    accounts_dropped: int

    def on_batch(self, batch: Batch, now_ns: int) -> None:
        """A drained batch."""
        ...

    def on_reading(self, reading: object) -> None:
        """What an instrument saw."""
        ...

    def on_sample(self, sample: Sample) -> None:
        """A sample of the whole host."""
        ...


class Ingest:
    """Runs a sight. Start it once, stop it once; it closes the sight."""

    def __init__(
        self,
        sight: Sight,
        receiver: Receiver,
        loop: asyncio.AbstractEventLoop,
        *,
        read_snapshot: Callable[[], Snapshot],
        read_texts: Callable[[Array], Array],
        redact: Callable[[Array], Array],
        interval_s: float,
        on_failure: Callable[[BaseException], None],
        max_queued: int = MAX_QUEUED,
        instruments: Sequence[Instrument] = (),
        read_books: Callable[[], Books | None] = _no_books,
        is_heard: Callable[[], bool] = lambda: True,
    ) -> None:
        """``is_heard``: whether somebody follows the events as they come; asked on the ingest thread."""
        self._sight = sight
        self._receiver = receiver
        self._loop = loop
        self._read_snapshot = read_snapshot
        self._read_texts = read_texts
        self._read_books = read_books
        self._is_heard = is_heard
        self._redact = redact
        self._interval_s = interval_s
        self._on_failure = on_failure
        self._max_queued = max_queued
        self._instruments = list(instruments)
        self._asked: list[Instrument] = []  # those that are open
        self._glancing: list[Glancing] = []  # of these
        self._readings: deque[object] = deque(maxlen=MAX_READINGS)
        self._batches: deque[Batch] = deque()
        self._sample: Sample | None = None
        self._put = _Passed()  # queued ever; only the ingest thread writes it
        self._taken = _Passed()  # taken off ever; only the loop's thread writes it
        self._scheduled = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._fairness = Fairness(max_queued)
        self.drained = 0
        self.dropped = 0
        self.floods: Mapping[Group, int] = {}
        self.accounts_dropped = 0

    def start(self) -> None:
        """Begin to drain and to sample."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> bool:
        """Drain once more, hand over, close the sight; False if the thread did not end in time.

        Call it on the loop's thread: what was still queued has been delivered when it returns.
        """
        self._stop.set()
        self._sight.wake()
        self._thread.join(timeout_s)
        self._deliver()
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # whatever it is, a daemon without eyes must go down loudly
            self._tell_loop(partial(self._on_failure, error))
        finally:
            for instrument in self._instruments:
                instrument.close()
            self._sight.close()

    def _work(self) -> None:
        next_sample_s = time.monotonic()
        first = True
        came = 0
        unopened = deque(self._instruments)
        while not self._stop.is_set():
            now_s = time.monotonic()
            if now_s >= next_sample_s:
                self._collect()
                self._take_sample(first)
                first = False
                next_sample_s = max(next_sample_s + self._interval_s, now_s)
            wake_s = min(next_sample_s, self._glance())
            if unopened:  # one at a time, after the first sample: programs take a while to load, and events do not wait
                instrument = unopened.popleft()
                instrument.open()
                self._asked.append(instrument)
                if isinstance(instrument, Glancing):
                    self._glancing.append(instrument)
                came = self._drain()
                continue
            self._sight.wait(self._until(wake_s, LONGEST_S))
            # Woken by an event: let a few more gather. A storm then costs ten batches a second, not one an event.
            self._sight.gather(self._until(wake_s, self._patience_s(came)))
            came = self._drain()
        self._drain()

    def _patience_s(self, came: int) -> float:
        if came >= MANY.stop:
            return LATENCY_S
        if not self._is_heard():
            return UNHEARD_S
        return 2 * LATENCY_S if came in MANY else LATENCY_S

    @staticmethod
    def _until(wake_s: float, longest_s: float) -> float:
        return max(0.0, min(longest_s, wake_s - time.monotonic()))

    def _take_sample(self, first: bool) -> None:
        rows = self._sight.sample()
        books = self._read_books()  # at once: run times of the living are those of the sample
        snapshot = self._read_snapshot()
        offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        texts = self._redact(self._read_texts(rows)) if first else _NO_TEXTS
        if (missed := self._sample) is not None:  # its successor must not cost it its texts
            texts = np.concatenate([missed.texts, texts])
        if books is not None:
            disks = snapshot.disk_read_bytes, snapshot.disk_write_bytes
            books = replace(books, disk_read_bytes=disks[0], disk_write_bytes=disks[1])
        self._sample = Sample(rows, snapshot, offset_ns, texts, books)
        self._schedule()

    def _collect(self) -> None:
        """Ask every instrument that is due. One that breaks is left out from then on: the daemon can do without it."""
        now_ns = time.monotonic_ns()
        for instrument in [each for each in self._asked if each.due_ns <= now_ns]:
            try:
                reading = instrument.collect(time.monotonic_ns())
            except Exception:
                log.exception("%s failed and is switched off", type(instrument).__name__)
                self._asked.remove(instrument)
                if isinstance(instrument, Glancing):
                    self._glancing.remove(instrument)
                instrument.close()
                continue
            if reading is not None:
                self._readings.append(reading)

    def _glance(self) -> float:
        """Have those look who look between samples, where it is time; when it will be next, in seconds."""
        now_ns = time.monotonic_ns()
        next_ns = []
        for one in [each for each in self._glancing if each.glance_ns]:
            if one.glance_ns <= now_ns:
                try:
                    one.glance(now_ns)
                except Exception:
                    log.exception("%s failed between samples and looks at samples only", type(one).__name__)
                    self._glancing.remove(one)
                    continue
            if one.glance_ns:
                next_ns.append(one.glance_ns)
        return min(next_ns, default=math.inf) / 10**9

    def _drain(self) -> int:
        """Hand over what is there; how many events that is."""
        batch = self._sight.drain()
        events = len(batch.events)
        if not events and not len(batch.texts) and not len(batch.accounts):
            return 0
        self.drained += events
        batch = self._fit(batch)
        self._put.add(batch)
        self._batches.append(replace(batch, texts=self._redact(batch.texts)))
        self._schedule()
        return events

    def _fit(self, batch: Batch) -> Batch:
        """What of a batch finds room in the queue. The rest is counted."""
        events, accounts = batch.events, batch.accounts
        waiting = self._put.events - self._taken.events
        self._fairness.leave(self._taken.batches)
        may, away = self._fairness.admit(events, self._put.batches, waiting)
        if may is not None:
            self.dropped += sum(away.values())
            named = Counter(self.floods) + away
            self.floods = dict(named.most_common(MAX_FLOODS))
            lost = events["text_seq"][~may]
            batch = replace(batch, events=events[may], texts=batch.texts[~np.isin(batch.texts["seq"], lost[lost > 0])])
        if self._put.accounts - self._taken.accounts + len(accounts) > self._max_queued:
            self.accounts_dropped += len(accounts)
            batch = replace(batch, accounts=NO_ACCOUNTS)
        return batch

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._tell_loop(self._deliver)

    def _tell_loop(self, what: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)

    def _deliver(self) -> None:
        """On the loop's thread: everything queued, batches first, since a sample is younger than what it follows."""
        self._scheduled = False
        self._receiver.queue_dropped = self.dropped
        self._receiver.queue_floods = self.floods
        self._receiver.accounts_dropped = self.accounts_dropped
        try:
            while self._batches:
                batch = self._batches.popleft()
                self._taken.add(batch)
                self._receiver.on_batch(batch, time.monotonic_ns())
            while self._readings:
                self._receiver.on_reading(self._readings.popleft())
            sample, self._sample = self._sample, None
            if sample is not None:
                self._receiver.on_sample(sample)
        except Exception as error:  # half a step was taken: what is known is no longer true, so do not go on with it
            self._on_failure(error)
