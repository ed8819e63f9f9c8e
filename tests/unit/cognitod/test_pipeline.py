from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
from cognitod_make import NO_TEXTS, SECOND, batch, event, process, text

from linnix.cognitod.detect import Alerts, Engine, rules
from linnix.cognitod.events import Counters, Kind
from linnix.cognitod.hub import Filter, Hub, Item
from linnix.cognitod.model import Alert, Finding, Frames, Sample, Snapshot, Tag, TagChange
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.processes import Table
from linnix.cognitod.senses import Senses, Stuck
from linnix.insight.facts import Facts, Job

RULES = """
- {name: burst, detector: fork_burst, threshold: 20, window_seconds: 5, severity: high, cooldown: 60}
"""
MEMORY = 1 << 30


class Story:
    """A pipeline, and what a subscriber to everything hears of it."""

    def __init__(self, engine: Engine | None = None) -> None:
        found = rules.parse(RULES)
        self.told: list[Alert] = []
        self.known: list[Facts] = []
        self.hub = Hub()
        self.now_ns = 10 * SECOND
        self.pipeline = Pipeline(
            table=Table(),
            engine=engine or Engine(found),
            gate=Alerts(found, "host"),
            hub=self.hub,
            sight_name="replay",
            clock=lambda: self.now_ns,
            read_counters=lambda: Counters(lost={"fork": 2, "exec_text": 5}),
            on_alert=(self.told.append,),
            senses=lambda snapshot: Senses(stuck={(5, 1): Stuck(snapshot.ts_ns / SECOND, None)}),
            on_known=(self.known.append,),
        )
        self.subscription = self.hub.subscribe(Filter(alerts=True))

    def sample(self, *rows: np.ndarray, texts: np.ndarray = NO_TEXTS, cpu_pct: float = 0.0) -> None:
        snapshot = Snapshot(
            timestamp=1000.0 + self.now_ns / SECOND,
            ts_ns=self.now_ns,
            mem_total_bytes=MEMORY,
            cores=4,
            cpu_pct=cpu_pct,
        )
        self.pipeline.on_sample(Sample(np.concatenate(rows), snapshot, 0, texts))

    def batch(self, *events: np.ndarray, texts: np.ndarray = NO_TEXTS) -> None:
        self.pipeline.on_batch(batch(*events, texts=texts), self.now_ns)

    def heard(self) -> list[Item]:
        async def queued() -> list[Item]:
            items = []
            while self.subscription.queued and (item := await self.subscription.get()) is not None:
                items.append(item)
            return items

        return asyncio.run(queued())


def fork(pid: int, ts_ns: int, ppid: int = 1, parent_start_ns: int = 1) -> np.ndarray:
    return event(Kind.FORK, pid, ts_ns, ppid=ppid, parent_start_ns=parent_start_ns)


def test_events_are_numbered_from_one_and_told_with_their_texts_and_tags() -> None:
    story = Story()
    story.batch(fork(5, 10 * SECOND), fork(6, 10 * SECOND))
    story.batch(
        event(Kind.EXEC, 5, 10 * SECOND + 1, start_ns=10 * SECOND, text_seq=3),
        event(Kind.EXIT, 5, 10 * SECOND + 2, start_ns=10 * SECOND, exit_code=1),
        texts=text(5, 10 * SECOND, 3, "job"),
    )

    first, second = story.heard()
    assert isinstance(first, Frames)
    assert isinstance(second, Frames)
    assert (first.seq.tolist(), second.seq.tolist()) == ([1, 2], [3, 4])
    assert (second.text_at.tolist(), second.texts["seq"].tolist()) == ([0, -1], [3])
    assert second.tags.tolist() == [0, int(Tag.SHORT_LIVED | Tag.FAILED_EXIT)]
    assert second.first_ns.tolist() == [10 * SECOND] * 2


def test_a_hog_that_gains_or_loses_its_tag_is_news_once() -> None:
    story = Story()
    news = []
    for cpu_s in (0, 1, 2, 2, 2):
        story.sample(process(5, 1, cpu_ns=cpu_s * SECOND))
        news += [item for item in story.heard() if isinstance(item, TagChange)]
        story.now_ns += SECOND

    assert [(c.rows["pid"].tolist(), c.gained.tolist(), c.lost.tolist()) for c in news] == [
        ([5], [int(Tag.HIGH_CPU)], [0]),
        ([5], [0], [int(Tag.HIGH_CPU)]),
    ]
    assert news[0].rows["tags"].tolist() == [int(Tag.HIGH_CPU)]


def test_rates_are_those_of_the_last_ten_seconds() -> None:
    story = Story()
    story.sample(process(1, 1))
    for second in range(10, 30):
        story.now_ns = second * SECOND
        for number in range(5):
            pid = second * 10 + number
            start_ns = story.now_ns + number
            story.batch(
                fork(pid, start_ns), event(Kind.EXIT, pid, start_ns + 9, start_ns=start_ns, exit_code=number and 1)
            )
    busy = story.pipeline.activity
    story.now_ns = 60 * SECOND
    story.sample(process(1, 1))

    assert (round(busy.forks_per_s, 1), round(busy.exits_per_s, 1), busy.execs_per_s) == (5.6, 5.6, 0.0)
    assert (round(busy.short_jobs_per_s, 1), round(busy.failed_exits_per_s, 1)) == (5.6, 4.4)
    assert story.pipeline.activity.events_per_s == 0


def test_a_finding_becomes_one_alert_that_everyone_hears_of() -> None:
    story = Story()
    story.sample(process(1, 1), process(3, 1, ppid=1, comm=b"make"))
    for round_ in range(10):
        story.now_ns += SECOND // 4
        story.batch(*[fork(100 + 10 * round_ + number, story.now_ns, ppid=3) for number in range(10)])

    alerts = [item for item in story.heard() if isinstance(item, Alert)]
    assert [alert.id for alert in alerts] == ["alert-1"]
    assert (alerts[0].finding.rule, alerts[0].finding.pid, alerts[0].finding.comm) == ("burst", 3, "make")
    assert story.told == alerts == story.pipeline.judging.alerts


def test_losses_are_told_by_cause() -> None:
    story = Story()
    story.pipeline.queue_dropped = 7

    losses = story.pipeline.losses()
    assert (losses.ring, losses.queue, losses.subscribers, losses.events) == ({"fork": 2, "exec_text": 5}, 7, 0, 9)


def test_facts_are_of_the_last_sample_and_mark_our_own() -> None:
    story = Story()
    for cpu_s in (0, 1):
        story.sample(
            process(5, 1, cpu_ns=cpu_s * SECOND, comm=b"hog"), process(6, 1, comm=b"cognitod", rss_bytes=50 << 20)
        )
        story.now_ns += SECOND

    facts = story.pipeline.facts()
    assert [(p.comm, p.own, p.cpu_pct) for p in facts.processes] == [("hog", False, 100.0), ("cognitod", True, 0.0)]
    assert (facts.host.cores, facts.activity.lost_events) == (4, 2)


def test_facts_are_gathered_once_a_sample_and_findings_are_told_with_them() -> None:
    story = Story()
    story.sample(process(3, 1, ppid=1, comm=b"make"), process(5, 1))
    for round_ in range(10):
        story.now_ns += SECOND // 4
        story.batch(*[fork(100 + 10 * round_ + number, story.now_ns, ppid=3) for number in range(10)])
    told = story.pipeline.facts()

    (known,) = story.known
    assert [(p.pid, p.stuck_s) for p in known.processes] == [(5, 10.0)]
    assert [(f.rule, f.process) for f in told.findings] == [("burst", "P1")]
    assert [(p.pid, p.stuck_s) for p in told.processes] == [(3, None), (5, 10.0)]
    assert msgspec.structs.replace(told, findings=(), processes=known.processes) == known


class Attentive(Engine):
    """Remembers the facts that it was handed."""

    def __init__(self) -> None:
        super().__init__(rules.parse(RULES))
        self.handed: list[Facts | None] = []

    def observe(self, *args: Any, **more: Any) -> list[Finding]:
        self.handed.append(more.get("known"))
        return super().observe(*args, **more)


def test_detectors_are_handed_the_facts_of_a_new_sample() -> None:
    engine = Attentive()
    story = Story(engine)
    story.sample(process(5, 1))
    story.now_ns += SECOND
    story.batch(fork(6, story.now_ns))
    story.sample(process(5, 1))

    assert engine.handed == [story.known[0], None, story.known[1]]


def test_history_keeps_everyones_last_events_through_one_parents_storm() -> None:
    story = Story()
    story.sample(process(1, 1), process(2, 1, ppid=1))
    story.batch(*[fork(50 + number, 10 * SECOND, ppid=2) for number in range(20)])
    for round_ in range(20):
        story.batch(*[fork(1000 + 100 * round_ + number, 10 * SECOND) for number in range(100)])

    kept = story.pipeline.history.frames
    assert len(kept) == 270
    assert np.count_nonzero(kept.events["ppid"] == 2) == 20
    assert (np.diff(kept.seq.astype(int)) > 0).all()
    assert kept.seq[-1] == 2020


def test_facts_tell_what_is_far_from_usual_here() -> None:
    story = Story()
    for _ in range(1280):
        story.now_ns += SECOND
        story.sample(process(1, 1), cpu_pct=20.0)
    assert story.pipeline.facts().unusual == ()

    for _ in range(20):
        story.now_ns += SECOND
        story.sample(process(1, 1), cpu_pct=95.0)
    (unusual,) = story.pipeline.facts().unusual
    assert (unusual.id, unusual.series, unusual.value) == ("U1", "cpu_pct", 95.0)


def test_facts_tell_what_children_ran_and_how_it_ended_in_the_last_interval() -> None:
    story = Story()
    shell = process(3, 1, ppid=1, comm=b"svcrun")
    story.sample(process(1, 1), shell)
    for pid in (5, 6):
        born = 10 * SECOND + pid
        child = {"start_ns": born, "ppid": 3, "parent_start_ns": 1, "comm": b"payments"}
        story.batch(
            event(Kind.FORK, pid, born, **child),
            event(Kind.EXEC, pid, born + 1, text_seq=pid, **child),
            event(Kind.EXIT, pid, born + SECOND // 4, exit_code=3, **child),
            texts=text(pid, born, pid, "payments", "--conf", "x"),
        )
    story.now_ns += SECOND
    story.sample(process(1, 1), shell)
    told = story.pipeline.facts()
    story.now_ns += SECOND
    story.sample(process(1, 1), shell)

    (parent,) = (each.id for each in told.processes if each.pid == 3)
    assert told.jobs == (
        Job(
            id="J1",
            parent=parent,
            comm="payments",
            command="payments --conf x",
            ended=2,
            failed=2,
            short=2,
            execs=2,
            same=2,
            same_ended=2,
            code=3,
            median_ms=250.0,
        ),
    )
    assert story.known[1].jobs == told.jobs
    assert story.pipeline.facts().jobs == ()
