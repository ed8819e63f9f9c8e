from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from cognitod_make import NO_TEXTS, SECOND, event, text
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.events import Kind
from linnix.cognitod.hub import Filter, Hub
from linnix.cognitod.model import ROW, Alert, Finding, Frames, Tag, TagChange

ALERT = Alert(
    id="alert-1",
    finding=Finding(rule="r", cls="normal", severity="low", message="m", key="k", ts_ns=1, timestamp=1.0, evidence={}),
    timestamp=1.0,
    host="h",
)


def frames(*events: np.ndarray, first: int = 1, tags: tuple[int, ...] = (), texts: np.ndarray = NO_TEXTS) -> Frames:
    n = len(events)
    return Frames(
        np.concatenate(events),
        np.arange(first, first + n, dtype=np.uint64),
        np.array(tags or (0,) * n, np.uint32),
        np.zeros(n, np.uint64),
        np.array([at if at < len(texts) else -1 for at in range(n)], np.int32),
        texts,
        np.zeros(n, np.uint32),
    )


def forks(n: int, first: int = 1) -> Frames:
    return frames(*[event(Kind.FORK, 100 + at, SECOND) for at in range(n)], first=first)


def change(*pids: int, tags: int = 0, lost: int = 0) -> TagChange:
    rows = np.zeros(len(pids), ROW)
    rows["pid"], rows["tags"] = pids, tags
    return TagChange(SECOND, rows, np.zeros(len(pids), np.uint32), np.full(len(pids), lost, np.uint32))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_subscriber_gets_what_is_published_from_then_on_in_order() -> None:
    async def story() -> None:
        hub = Hub()
        hub.publish_events(forks(3))
        subscription = hub.subscribe(Filter(alerts=True))
        hub.publish_events(forks(2, first=4))
        hub.publish_alert(ALERT)
        first, second = await subscription.get(), await subscription.get()

        assert isinstance(first, Frames)
        assert first.seq.tolist() == [4, 5]
        assert second == ALERT
        assert await subscription.get(timeout_s=0.01) is None

    run(story)


@given(st.lists(st.one_of(st.integers(1, 9), st.just("read"), st.just("alert"), st.just("close")), max_size=40))
def test_published_is_delivered_dropped_or_queued_whatever_happens(program: list) -> None:
    async def story() -> None:
        hub = Hub(capacity=10)
        subscription = hub.subscribe(Filter(alerts=True))
        delivered = told = 0
        for order in program:
            if order == "read":
                item = await subscription.get(timeout_s=0)
                delivered += 1 if isinstance(item, Alert) else len(item or ())
                told += subscription.take_lost()
            elif order == "alert":
                hub.publish_alert(ALERT)
            elif order == "close":
                subscription.close()
            else:
                hub.publish_events(forks(order))
            assert subscription.published == subscription.delivered + subscription.dropped + subscription.queued
            assert subscription.queued <= 10
        assert (delivered, told + subscription.take_lost()) == (subscription.delivered, subscription.dropped)
        assert hub.dropped == subscription.dropped

    run(story)


def test_a_slow_listener_keeps_the_newest_and_learns_how_many_it_lost() -> None:
    async def story() -> None:
        hub = Hub(capacity=10)
        subscription = hub.subscribe(Filter())
        for first in (1, 5, 9):
            hub.publish_events(forks(4, first=first))
        item = await subscription.get()

        assert isinstance(item, Frames)
        assert (item.seq.tolist(), subscription.take_lost(), subscription.take_lost()) == ([5, 6, 7, 8], 4, 0)

    run(story)


def test_a_batch_larger_than_the_bound_is_cut_to_its_end() -> None:
    async def story() -> None:
        hub = Hub(capacity=10)
        subscription = hub.subscribe(Filter())
        hub.publish_events(forks(25))
        item = await subscription.get()

        assert isinstance(item, Frames)
        assert (item.seq.tolist(), subscription.dropped) == (list(range(16, 26)), 15)

    run(story)


STORY = frames(
    event(Kind.FORK, 5, 1, ppid=1, comm=b"sh"),
    event(Kind.EXEC, 5, 2, ppid=1, comm=b"cc"),
    event(Kind.EXIT, 5, 3, ppid=1, comm=b"cc"),
    event(Kind.EXEC, 6, 4, ppid=2, comm=b"ld"),
    tags=(0, 0, int(Tag.FAILED_EXIT | Tag.SHORT_LIVED), 0),
)


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter(kinds=frozenset({Kind.EXEC, Kind.EXIT})), [2, 3, 4]),
        (Filter(kinds=frozenset()), []),
        (Filter(pids=frozenset({6, 7})), [4]),
        (Filter(ppids=frozenset({1})), [1, 2, 3]),
        (Filter(comms=frozenset({b"cc", b"ld"}), kinds=frozenset({Kind.EXEC})), [2, 4]),
        (Filter(tags=int(Tag.FAILED_EXIT | Tag.HIGH_CPU)), [3]),
        (Filter(tags=int(Tag.HIGH_CPU)), []),
    ],
)
def test_a_filter_lets_through_what_meets_all_its_conditions(wanted: Filter, seqs: list[int]) -> None:
    passed = wanted.frames(STORY)

    assert (passed.seq.tolist() if passed else []) == seqs


def test_a_filtered_batch_keeps_only_the_texts_it_needs() -> None:
    texts = np.concatenate([text(5, 1, 1, "a"), text(6, 1, 2, "b")])
    told = frames(event(Kind.EXEC, 5, 1), event(Kind.EXEC, 6, 2), event(Kind.EXIT, 6, 3), texts=texts)
    passed = Filter(pids=frozenset({6})).frames(told)

    assert passed is not None
    assert (passed.text_at.tolist(), passed.texts["seq"].tolist()) == ([0, -1], [2])


@pytest.mark.parametrize(
    ("wanted", "pids"),
    [
        (Filter(), [5, 6]),
        (Filter(tag_changes=False), []),
        (Filter(pids=frozenset({6})), [6]),
        (Filter(tags=int(Tag.HIGH_CPU)), [5, 6]),
        (Filter(tags=int(Tag.ZOMBIE)), []),
    ],
)
def test_a_tag_change_passes_when_the_tag_is_there_or_was_just_lost(wanted: Filter, pids: list[int]) -> None:
    for told in (change(5, 6, tags=int(Tag.HIGH_CPU)), change(5, 6, lost=int(Tag.HIGH_CPU))):
        passed = wanted.change(told)

        assert (passed.rows["pid"].tolist() if passed else []) == pids


def test_closing_ends_a_wait_and_is_idempotent() -> None:
    async def story() -> None:
        hub = Hub()
        subscription = hub.subscribe(Filter())
        waiting = asyncio.create_task(subscription.get())
        await asyncio.sleep(0)
        subscription.close()
        subscription.close()

        assert (await waiting, len(hub)) == (None, 0)

    run(story)


def test_closing_the_hub_ends_every_subscription_and_later_ones() -> None:
    async def story() -> None:
        hub = Hub()
        early = hub.subscribe(Filter())
        hub.publish_events(forks(3))
        hub.close()
        late = hub.subscribe(Filter())

        assert [item async for item in early] == []
        assert [item async for item in late] == []
        assert (early.dropped, hub.dropped) == (3, 3)

    run(story)


def test_a_cancelled_wait_loses_nothing() -> None:
    async def story() -> None:
        subscription = (hub := Hub()).subscribe(Filter())
        waiting = asyncio.create_task(subscription.get())
        await asyncio.sleep(0)
        waiting.cancel()
        hub.publish_events(forks(2))

        assert len(await subscription.get(timeout_s=1) or ()) == 2

    run(story)


def test_subscribers_with_equal_filters_share_arrays_and_others_do_not() -> None:
    async def story() -> None:
        hub = Hub()
        first, same, other = (
            hub.subscribe(Filter(pids=pids)) for pids in (frozenset({100}),) * 2 + (frozenset({101}),)
        )
        hub.publish_events(forks(3))
        got = [await each.get() for each in (first, same, other)]

        assert got[0] is got[1]
        assert [each.events["pid"].tolist() for each in got if isinstance(each, Frames)] == [[100], [100], [101]]

    run(story)
