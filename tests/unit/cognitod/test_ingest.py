"""The ingest thread, with a sight that replays batches where the kernel would be."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pytest
from cognitod_make import NO_TEXTS, SECOND, batch, event, process, text

from linnix.cognitod.events import Array, Batch, Counters, Instrument, Kind, ProbeState
from linnix.cognitod.ingest import LATENCY_S, UNHEARD_S, Ingest
from linnix.cognitod.model import Sample, Snapshot

ROWS = process(1, 1, comm=b"init")


class Replay:
    """A sight that tells one of its batches at a time."""

    name = "replay"
    degraded: tuple[str, ...] = ()

    def __init__(self, batches: list[Batch], fail: Exception | None = None) -> None:
        self.batches = batches
        self.fail = fail
        self.closed = 0
        self.threads: set[str] = set()
        self.woken = threading.Event()
        self.gathered_s: list[float] = []

    def wait(self, timeout_s: float) -> None:
        if not self.batches:
            self.woken.wait(timeout_s)

    def gather(self, timeout_s: float) -> None:
        self.gathered_s.append(timeout_s)
        self.woken.wait(timeout_s)

    def wake(self) -> None:
        self.woken.set()

    def drain(self) -> Batch:
        self.threads.add(threading.current_thread().name)
        if self.fail:
            raise self.fail
        return self.batches.pop(0) if self.batches else batch()

    def sample(self) -> Array:
        return ROWS

    def counters(self) -> Counters:
        return Counters()

    def close(self) -> None:
        self.closed += 1


class Keeper:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.queue_dropped = 0
        self.queue_floods: Mapping[tuple[int, int], int] = {}
        self.accounts_dropped = 0
        self.batches: list[Batch] = []
        self.samples: list[Sample] = []
        self.readings: list[object] = []
        self.threads: set[str] = set()

    def on_batch(self, batch: Batch, now_ns: int) -> None:
        self.threads.add(threading.current_thread().name)
        self.batches.append(batch)

    def on_reading(self, reading: object) -> None:
        self.readings.append(reading)

    def on_sample(self, sample: Sample) -> None:
        self.samples.append(sample)


def forks(n: int) -> Batch:
    return batch(*[event(Kind.FORK, 100 + at, SECOND) for at in range(n)])


def make(
    sight: Replay,
    keeper: Keeper,
    on_failure: Callable[[BaseException], None] = lambda _: None,
    redact: Callable[[Array], Array] = lambda texts: texts,
    is_heard: Callable[[], bool] = lambda: True,
    instruments: Sequence[Instrument] = (),
    interval_s: float = 60,
    **more: int,
) -> Ingest:
    return Ingest(
        sight,
        keeper,
        asyncio.get_running_loop(),
        read_snapshot=partial(Snapshot, timestamp=1.0, ts_ns=SECOND),
        read_texts=lambda rows: text(1, 1, 0, "init"),
        redact=redact,
        interval_s=interval_s,
        on_failure=on_failure,
        is_heard=is_heard,
        instruments=instruments,
        **more,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_batches_arrive_on_the_loops_thread_in_order_and_the_first_sample_brings_texts() -> None:
    async def story() -> None:
        sight, keeper = Replay([forks(n) for n in (3, 1, 2)]), Keeper()
        ingest = make(sight, keeper)
        ingest.start()
        await until(lambda: len(keeper.batches) == 3)

        assert ingest.stop()
        assert [len(each.events) for each in keeper.batches] == [3, 1, 2]
        assert (keeper.threads, sight.threads) == ({threading.current_thread().name}, {"ingest"})
        assert [sample.rows.tolist() for sample in keeper.samples] == [ROWS.tolist()]
        assert keeper.samples[0].texts["pid"].tolist() == [1]
        assert sight.closed >= 1

    asyncio.run(story())


@pytest.mark.parametrize(
    ("heard", "waits_s"),
    [(True, [LATENCY_S, LATENCY_S, 2 * LATENCY_S, LATENCY_S]), (False, [UNHEARD_S, UNHEARD_S, UNHEARD_S, LATENCY_S])],
    ids=["somebody listens", "nobody listens"],
)
def test_events_gather_for_longer_when_nobody_listens_and_never_long_in_a_flood(
    heard: bool, waits_s: list[float]
) -> None:
    async def story() -> None:
        sight, keeper = Replay([forks(n) for n in (1, 200, 4000, 1)]), Keeper()
        ingest = make(sight, keeper, is_heard=lambda: heard)
        ingest.start()
        await until(lambda: len(keeper.batches) == 4)

        assert ingest.stop()
        assert sight.gathered_s[: len(waits_s)] == pytest.approx(waits_s)

    asyncio.run(story())


def test_texts_are_redacted_before_anyone_gets_them() -> None:
    def hide(texts: Array) -> Array:
        hidden = texts.copy()
        hidden["argv"] = np.zeros((), hidden["argv"].dtype)
        return hidden

    async def story() -> None:
        keeper = Keeper()
        ingest = make(Replay([batch(event(Kind.EXEC, 5, 1), texts=text(5, 1, 1, "secret"))]), keeper, redact=hide)
        ingest.start()
        await until(lambda: bool(keeper.batches and keeper.samples))
        ingest.stop()

        for texts in (keeper.batches[0].texts, keeper.samples[0].texts):
            assert texts["argv"][0].tobytes().strip(b"\0") == b""

    asyncio.run(story())


def test_stopping_delivers_what_was_still_in_the_ring() -> None:
    async def story() -> None:
        sight, keeper = Replay([]), Keeper()
        ingest = make(sight, keeper)
        ingest.start()
        await until(lambda: bool(keeper.samples))
        sight.batches.append(forks(7))

        assert ingest.stop()
        assert sum(len(each.events) for each in keeper.batches) == ingest.drained == 7

    asyncio.run(story())


def test_a_loop_that_is_held_up_loses_events_by_number_and_never_grows() -> None:
    async def story() -> None:
        sight, keeper = Replay([forks(4) for _ in range(5)]), Keeper()
        ingest = make(sight, keeper, max_queued=10)
        ingest.start()
        while sight.batches:  # the loop does not run: nothing is taken off the queue
            threading.Event().wait(0.01)

        assert ingest.stop()
        processed = sum(len(each.events) for each in keeper.batches)
        assert (processed, keeper.queue_dropped, ingest.drained) == (5, 15, 20)

    asyncio.run(story())


def test_a_sight_that_fails_is_reported_and_closed() -> None:
    async def story() -> None:
        failures: list[BaseException] = []
        sight = Replay([], fail=OSError("ring is gone"))
        ingest = make(sight, Keeper(), on_failure=failures.append)
        ingest.start()
        await until(lambda: bool(failures))

        assert [str(failure) for failure in failures] == ["ring is gone"]
        assert ingest.stop()
        assert sight.closed >= 1

    asyncio.run(story())


def test_a_step_that_fails_is_reported() -> None:
    class Fragile(Keeper):
        def on_batch(self, batch: Batch, now_ns: int) -> None:
            raise ZeroDivisionError

    async def story() -> None:
        failures: list[BaseException] = []
        ingest = make(Replay([forks(1)]), Fragile(), on_failure=failures.append)
        ingest.start()
        await until(lambda: bool(failures))
        ingest.stop()

        assert isinstance(failures[0], ZeroDivisionError)

    asyncio.run(story())


def test_twenty_rounds_leave_no_thread_behind() -> None:
    async def story() -> None:
        before = threading.active_count()
        for _ in range(20):
            ingest = make(Replay([forks(1)]), keeper := Keeper())
            ingest.start()
            await until(lambda keeper=keeper: bool(keeper.batches))
            assert ingest.stop()

        assert threading.active_count() == before

    asyncio.run(story())


def test_batches_without_anything_are_not_handed_over() -> None:
    async def story() -> None:
        keeper = Keeper()
        ingest = make(Replay([Batch(forks(0).events, NO_TEXTS)]), keeper)
        ingest.start()
        await until(lambda: bool(keeper.samples))
        ingest.stop()

        assert keeper.batches == []

    asyncio.run(story())


class Restless:
    """An instrument that looks between samples, so often, and then breaks or has enough."""

    due_ns = 0

    def __init__(self, looks: int, fail: bool = False) -> None:
        self.left = looks
        self.fail = fail
        self.looked: list[int] = []
        self.collected = 0
        self.glance_ns = 0

    def open(self) -> None:
        self.glance_ns = time.monotonic_ns() + 20_000_000

    def collect(self, now_ns: int) -> int:
        self.collected += 1
        return len(self.looked)

    def glance(self, now_ns: int) -> None:
        if self.fail:
            raise OSError("nothing to see")
        self.looked.append(now_ns)
        self.left -= 1
        self.glance_ns = now_ns + 20_000_000 if self.left else 0

    def states(self) -> tuple[ProbeState, ...]:
        return ()

    def close(self) -> None:
        pass


def test_who_wants_to_look_between_samples_is_woken_for_and_only_as_long_as_he_wants() -> None:
    async def story() -> None:
        sight, restless = Replay([]), Restless(3)
        ingest = make(sight, Keeper(), instruments=[restless])
        ingest.start()
        await until(lambda: restless.left == 0)
        waited = len(sight.gathered_s)
        await asyncio.sleep(0.2)

        assert ingest.stop()
        assert len(restless.looked) == 3
        assert min(np.diff(restless.looked)) >= 20_000_000
        assert len(sight.gathered_s) <= waited + 1  # nobody wakes for who wants no more
        assert restless.collected == 0  # which samples do: the next is a minute away

    asyncio.run(story())


def test_who_breaks_between_samples_is_still_asked_at_samples(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        keeper, restless = Keeper(), Restless(1, fail=True)
        ingest = make(Replay([]), keeper, instruments=[restless], interval_s=0.05)
        ingest.start()
        await until(lambda: len(keeper.readings) > 2)

        assert ingest.stop()
        assert restless.glance_ns > 0
        assert [record.message for record in caplog.records] == [
            "Restless failed between samples and looks at samples only"
        ]

    asyncio.run(story())
