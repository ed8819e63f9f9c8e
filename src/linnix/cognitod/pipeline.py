"""The hot loop: what the ingest thread saw becomes state, findings and news.

Owns the order of one step and everything the API reads. Refuses clocks, files and HTTP: batches and samples are
handed in with their time. Invariant: one step costs numpy calls per batch and Python objects only for processes whose
tags changed, findings and alerts; never one per event.

All of it runs on the event loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from linnix.cognitod import records
from linnix.cognitod.conservation import Ledger
from linnix.cognitod.detect import Alerts, Engine, facts, tags, told
from linnix.cognitod.detect.baseline import Baseline
from linnix.cognitod.detect.growing import Growing
from linnix.cognitod.detect.history import History as Trends
from linnix.cognitod.detect.jobs import Tally
from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.detect.rules import Rule
from linnix.cognitod.events import EVENT, EXEC_TEXT, Array, Batch, Counters, Kind
from linnix.cognitod.floods import Floods
from linnix.cognitod.history import History
from linnix.cognitod.host.cgroup import Cgroups
from linnix.cognitod.host.homes import AGAIN_NS, SETTLED_NS, HomeReading, Homes
from linnix.cognitod.hub import Hub
from linnix.cognitod.judging import Judging, Tell
from linnix.cognitod.model import (
    ENDED,
    QUIET,
    Activity,
    Alert,
    Flooder,
    Frames,
    Home,
    Losses,
    Rows,
    Sample,
    Snapshot,
    Tag,
    TagChange,
    text,
)
from linnix.cognitod.processes import Table, Update
from linnix.cognitod.senses import NOTHING, Senses
from linnix.cognitod.totals import rates
from linnix.cognitod.trends import Sliding
from linnix.insight.facts import Facts

ACTIVITY_WINDOW_S = 10
#: Detectors are asked no more often than this between samples: in a storm there are ten batches a second.
JUDGE_EVERY_NS = 450_000_000

_FORK, _EXEC, _EXIT, _SHORT, _FAILED = range(5)


class Pipeline:
    """The daemon's state, and the one way it changes."""

    def __init__(
        self,
        *,
        table: Table,
        engine: Engine,
        gate: Alerts,
        hub: Hub,
        sight_name: str,
        degraded: tuple[str, ...] = (),
        clock: Callable[[], int] = time.monotonic_ns,
        homes: Homes | None = None,
        read_counters: Callable[[], Counters] = Counters,
        on_alert: tuple[Callable[[Alert], None], ...] = (),
        on_reading: Mapping[type, Callable[[Any], None]] = MappingProxyType({}),
        senses: Callable[[Snapshot], Senses] = lambda _snapshot: NOTHING,
        on_known: tuple[Callable[[Facts], None], ...] = (),
    ) -> None:
        """``senses`` tells what instruments know at the moment of a sample; ``on_known`` hears the facts of each
        sample, without findings, before anything is judged.
        """
        self.table = table
        self.judging = Judging(engine, gate, self.home_of)
        self.hub = hub
        self.sight_name = sight_name
        self.degraded = degraded
        self.now_ns = clock
        self.homes = homes or Homes(Cgroups())
        self.started_ns = clock()
        self.snapshot: Snapshot | None = None  # until the first sample is there
        self.trends = Trends()
        self._baseline = Baseline()
        self._growing = Growing()
        self._jobs = Tally()
        self.activity = Activity()
        self.history = History()
        self.events_total = 0
        self.queue_dropped = 0
        self.queue_floods: Mapping[tuple[int, int], int] = {}
        self.accounts_dropped = 0
        self.samples_total = 0
        self.ledger = Ledger()
        self._floods = Floods()
        self._read_counters = read_counters
        self._on_alert = on_alert
        self._on_reading: dict[type, Callable[[Any], None]] = {HomeReading: self._take_homes, **on_reading}
        self._senses = senses
        self._on_known = on_known
        self._known: Facts | None = None  # of the last sample, without findings
        self._tell: Tell | None = None  # facts of the last sample
        self._rates = Sliding(ACTIVITY_WINDOW_S)
        self._rates.resize(5)
        self._unjudged: list[Batch] = []
        self._judged_ns = self.started_ns

    @property
    def counters(self) -> Counters:
        """The kernel side's books, read now."""
        return self._read_counters()

    def losses(self) -> Losses:
        """Everything that was lost, by cause."""
        counters = self.counters
        return Losses(
            ring=dict(counters.lost),
            flood=dict(counters.flood),
            queue=self.queue_dropped,
            accounts=self.accounts_dropped,
            subscribers=self.hub.dropped,
        )

    def flooders(self) -> list[Flooder]:
        """Who lost events by attempting more than a share, who lost most first."""
        floods = self.counters.floods
        if floods or self.queue_floods:
            self._floods.take(floods, self.queue_floods)
        return self._floods.flooders()

    def place(self, cgroup_id: int, number: int = 0) -> Home:
        """Where whoever is in this group lives; ``number`` is ROW's ``home`` or that of Frames."""
        return self.homes.home(cgroup_id, number)

    def home_of(self, pid: int, start_ns: int, cgroup_id: int = 0) -> Home:
        """Where a process lives or lived; of one that is forgotten, what its group tells."""
        row = self.table.find(pid)
        if row is None or int(row["start_ns"]) != start_ns:
            return self.place(cgroup_id)
        return self.place(int(row["cgroup_id"]), int(row["home"]))

    def name_of(self, pid: int, start_ns: int) -> str | None:
        """What a process is or was called, None of one that is forgotten."""
        row = self.table.find(pid)
        return None if row is None or int(row["start_ns"]) != start_ns else text(bytes(row["comm"]))

    def facts(self) -> Facts:
        """What there was to explain about this host at the last sample, and what is wrong now. ``LookupError`` while
        there is no sample yet.
        """
        if self._tell is None:
            raise LookupError("the first sample of the host is not there yet")
        causes = self.judging.causes
        known = self._tell([cause.who for cause in causes if cause.who is not None])
        return msgspec.structs.replace(known, findings=told.findings(causes, known))

    def on_batch(self, batch: Batch, now_ns: int) -> None:
        """Take in a drained batch."""
        events = batch.events
        update = self.table.update(batch)
        self.table.settle(batch.accounts)
        self._count(events, update, now_ns)
        self._retag(self.table.at(update.changed), now_ns)
        if len(events):
            self.homes.meet(events)
            frames = self._frames(batch, update)
            self.history.extend(frames)
            self.hub.publish_events(frames)
        self._unjudged.append(batch)
        if self.snapshot is not None and now_ns - self._judged_ns >= JUDGE_EVERY_NS:
            self._judge(self.snapshot, now_ns)

    def use_rules(self, rules: Sequence[Rule]) -> None:
        """Go by these rules from now on, and keep what is known of those that stay the same."""
        self.judging.use(rules)

    def on_reading(self, reading: object) -> None:
        """Hand what an instrument saw to whoever keeps readings of its type."""
        self._on_reading[type(reading)](reading)

    def on_sample(self, sample: Sample) -> None:
        """Take in a sample of the whole host."""
        now_ns = sample.snapshot.ts_ns
        before, self.snapshot = self.snapshot, sample.snapshot
        self.trends.add(sample.snapshot)
        self.samples_total += 1
        if sample.books is not None:
            self.ledger.add(sample.books)
        self.flooders()  # before the kernel forgets them
        self.table.sample(
            sample.rows,
            now_ns,
            sample.snapshot.mem_total_bytes,
            swap_total_bytes=sample.snapshot.swap_total_bytes,
            boot_offset_ns=sample.boot_offset_ns,
            texts=sample.texts,
        )
        self.table.expire(now_ns)
        self._ask_homes(sample.rows, now_ns)
        rows = self.table.rows()
        present = rows["alive"] | (rows["state"] == b"Z") | ((rows["tags"] & Tag.ZOMBIE) != 0)
        self._retag(rows if present.all() else rows.compress(present), now_ns)
        self._refresh_activity(now_ns)
        self.judging.sampled(sample.snapshot.timestamp, len(sample.rows), now_ns)
        known, moment = self._know(before, sample.snapshot)
        self._judge(sample.snapshot, now_ns, known, moment.tree)

    def _know(self, before: Snapshot | None, snapshot: Snapshot) -> tuple[Facts, Moment]:
        """Gather what is known at this sample, once for all who judge or tell it."""
        rows = self.table.rows()
        living = rows.compress(rows["alive"])
        usage = self.table.usage(rows["slot"].astype(np.intp))
        elapsed_ns = snapshot.ts_ns - before.ts_ns if before else 0
        moment = Moment.of(rows, usage, self._senses(snapshot))
        moment = replace(moment, grown=self._growing.observe(moment, snapshot.ts_ns))
        self._tell = partial(
            facts.build,
            moment,
            snapshot,
            self.activity,
            own_pids=frozenset(living["pid"][living["own"]].tolist()),
            rates=rates(before.totals if before else None, snapshot.totals, elapsed_ns),
            trends=self.trends.trends(),
            ran=self._jobs.take(moment, lambda slots: self.table.started_with(slots)[1]),
            lost_events=self.losses().events,
            degraded=self.degraded,
            place=self.place,
        )
        known = self._tell(())
        unusual = self._baseline.observe(known)
        self._tell = partial(self._tell, unusual=unusual)
        known = self._known = msgspec.structs.replace(known, unusual=unusual)
        for hear in self._on_known:
            hear(known)
        return known, moment

    def _ask_homes(self, rows: Array, now_ns: int) -> None:
        self.homes.meet(rows)
        if self.homes.by_process:
            asked = self.table.unhoused(now_ns, SETTLED_NS, AGAIN_NS)
            if len(asked[0]):
                self.homes.asked.append(asked)

    def _take_homes(self, reading: HomeReading) -> None:
        numbers = self.homes.learn(reading)
        self.table.set_homes(reading.pid, reading.start_ns, numbers, self.now_ns())

    def _count(self, events: Array, update: Update, now_ns: int) -> None:
        self.events_total += len(events)
        ts_ns = events["ts_ns"]
        self._rates.add(_RATE_OF_KIND[np.minimum(events["kind"], Kind.EXIT)], ts_ns)
        self._rates.add(np.full(np.count_nonzero(update.short), _SHORT), ts_ns[update.short])
        self._rates.add(np.full(np.count_nonzero(update.failed), _FAILED), ts_ns[update.failed])
        self._refresh_activity(now_ns)

    def _refresh_activity(self, now_ns: int) -> None:
        self._rates.advance(now_ns)
        window_s = max(min(self._rates.span_ns(now_ns), now_ns - self.started_ns), 10**9) / 10**9
        forks, execs, exits, short, failed = (self._rates.counts(slice(None)) / window_s).tolist()
        self.activity = Activity(
            window_s=window_s,
            forks_per_s=forks,
            execs_per_s=execs,
            exits_per_s=exits,
            short_jobs_per_s=short,
            failed_exits_per_s=failed,
        )

    def _retag(self, rows: Rows, now_ns: int) -> None:
        """Compute the tags of these rows anew, and tell of living processes whose tags changed."""
        before = rows["tags"]
        after = tags.compute(rows, now_ns, self.snapshot.cores if self.snapshot else 1)
        changed = np.flatnonzero(after != before)
        if not len(changed):
            return
        rows, before, after = rows.take(changed), before[changed], after[changed]
        rows["tags"] = after
        self.table.set_tags(rows["slot"].astype(np.intp), after)
        news = (rows["alive"] | (rows["state"] == b"Z")) & (((before ^ after) & ~np.uint32(QUIET)) != 0)
        if news.any():
            gained, lost = after & ~before, before & ~after
            self.hub.publish_tag_change(TagChange(now_ns, rows.compress(news), gained[news], lost[news]))

    def _frames(self, batch: Batch, update: Update) -> Frames:
        events = batch.events
        rows: Rows = self.table.at(update.slots)
        known = update.slots >= 0
        bits = np.where(known, rows["tags"], np.uint32(0))
        bits = np.where(events["kind"] == Kind.EXIT, bits, bits & ~np.uint32(ENDED))  # an exit later in the batch
        first = self.events_total - len(events) + 1
        return Frames(
            events,
            np.arange(first, first + len(events), dtype=np.uint64),
            bits.astype(np.uint32),
            np.where(known, rows["first_ns"], np.uint64(0)),
            update.text_at,
            batch.texts,
            np.where(known, rows["home"], np.uint32(0)),
        )

    def _judge(
        self, snapshot: Snapshot, now_ns: int, known: Facts | None = None, lineage: Lineage | None = None
    ) -> None:
        """Ask the detectors about everything since they were last asked. ``known`` comes with a new sample, and the
        tree of those who live at it.
        """
        batches, self._unjudged = self._unjudged, []
        self._judged_ns = now_ns
        events = records.join([batch.events for batch in batches]) if batches else _NO_EVENTS
        texts = records.join([batch.texts for batch in batches]) if batches else _NO_TEXTS
        rows = self.table.rows()
        found = self.judging.engine.observe(
            events, rows, snapshot, self.activity, now_ns, texts, self.home_of, known=known, lineage=lineage
        )
        for alert in self.judging.weigh(found, self._known, self._tell, now_ns):
            self.hub.publish_alert(alert)
            for tell in self._on_alert:
                tell(alert)


_RATE_OF_KIND = np.array([_EXEC, _FORK, _EXIT], np.intp)  # by events.Kind
_NO_EVENTS = np.zeros(0, EVENT)
_NO_TEXTS = np.zeros(0, EXEC_TEXT)
