"""200,000 events a second, of which the kernel's double knows that all but a few are one flooder's."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

import numpy as np
from cognitod_make import NO_TEXTS, process

from linnix.cognitod import footprint
from linnix.cognitod.detect import Alerts, Engine, rules
from linnix.cognitod.events import EVENT, Array, Batch, Counters, Kind
from linnix.cognitod.hub import Hub
from linnix.cognitod.ingest import Ingest
from linnix.cognitod.model import Snapshot
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.processes import Table

RATE, SECONDS = 200_000, 4
FLOODER, OTHER = (7, 1000), (9, 0)
OTHERS_A_BATCH = 11
#: Between two looks at the ring.
BATCH_S = 0.05
PER_BATCH = int(RATE * BATCH_S)


def made(number: int) -> Array:
    """A batch: processes that live and die at once, pids in turns as the kernel gives them, a few in another cgroup."""
    events = np.zeros(PER_BATCH, EVENT)
    ids = np.arange(number * PER_BATCH, (number + 1) * PER_BATCH) // 2
    events["pid"] = 1000 + ids % 30_000
    events["start_ns"] = ids + 10**9
    events["ppid"], events["parent_start_ns"] = 999, 1
    events["kind"] = np.where(np.arange(PER_BATCH) % 2, Kind.EXIT, Kind.FORK)
    events["ts_ns"] = time.monotonic_ns()
    events["cgroup_id"], events["uid"] = FLOODER
    theirs = slice(0, 2 * OTHERS_A_BATCH)
    events["cgroup_id"][theirs], events["uid"][theirs] = OTHER
    events["comm"] = b"job"
    return events


class Torrent:
    """A sight that tells a batch every 50 ms, whether or not the loop keeps up."""

    name = "replay"
    degraded: tuple[str, ...] = ()

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.told = 0
        self.due_s = time.monotonic()

    def wait(self, timeout_s: float) -> None:
        time.sleep(min(timeout_s, max(self.due_s - time.monotonic(), 0)))

    def gather(self, timeout_s: float) -> None:
        self.wait(timeout_s)

    def wake(self) -> None:
        self.due_s = 0.0

    def drain(self) -> Batch:
        if self.told == self.batches or time.monotonic() < self.due_s:
            return Batch(np.zeros(0, EVENT), NO_TEXTS)
        self.due_s += BATCH_S
        self.told += 1
        return Batch(made(self.told), NO_TEXTS)

    def sample(self) -> Array:
        return process(1, 1, comm=b"init")

    def counters(self) -> Counters:
        return Counters()

    def close(self) -> None:
        pass


def test_a_torrent_costs_bounded_memory_and_no_event_of_others_though_the_loop_is_held_up() -> None:
    async def story() -> tuple[Pipeline, Ingest, Torrent, int, int]:
        active = rules.defaults()
        pipeline = Pipeline(
            table=Table(), engine=Engine(active), gate=Alerts(active, "box"), hub=Hub(), sight_name="replay"
        )
        torrent = Torrent(int(SECONDS / BATCH_S))
        ingest = Ingest(
            torrent,
            pipeline,
            asyncio.get_running_loop(),
            read_snapshot=partial(Snapshot, timestamp=1.0, ts_ns=time.monotonic_ns()),
            read_texts=lambda rows: NO_TEXTS,
            redact=lambda texts: texts,
            interval_s=60,
            on_failure=lambda error: threading.excepthook(
                threading.ExceptHookArgs((type(error), error, error.__traceback__, None))
            ),
        )
        before = footprint.read_rss_bytes()
        ingest.start()
        most = 0
        while torrent.told < torrent.batches:
            await asyncio.sleep(0)
            time.sleep(0.4)  # somebody holds up the loop
            most = max(most, footprint.read_rss_bytes())
        await asyncio.sleep(0.1)
        assert ingest.stop()
        return pipeline, ingest, torrent, before, most

    pipeline, ingest, torrent, before, most = asyncio.run(story())

    assert ingest.drained == torrent.told * PER_BATCH
    assert pipeline.events_total + ingest.dropped == ingest.drained
    assert {(each.cgroup_id, each.uid) for each in pipeline.flooders()} <= {FLOODER}
    assert sum(sum(each.lost.values()) for each in pipeline.flooders()) == ingest.dropped
    assert ingest.dropped > 0
    assert most - before < 60 << 20
