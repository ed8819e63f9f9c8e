"""Bounded fan-out from the pipeline to whoever listens.

Owns the subscriptions, their filters and their losses. Refuses JSON and HTTP: what is queued are arrays, shared by
all subscribers. Invariant, per subscription: published = delivered + dropped + queued, counted in events (a tag
change or an alert counts as one each). A slow listener loses the oldest, and is told how many; it never makes the
daemon wait or grow.

One thread: every method runs on the event loop's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array, Kind
from linnix.cognitod.model import Alert, Frames, TagChange

#: Events a subscription holds for a listener that does not read.
CAPACITY = 65_536

Item = Frames | TagChange | Alert
#: Of cgroup ids and numbers of homes, as in ROW, those that are meant.
Lives = Callable[[NDArray[np.uint64], NDArray[np.uint32]], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Filter:
    """What a subscriber asked for. None: any. The conditions on pid, ppid, comm, home and tags hold together.

    ``tags`` are bits of which at least one must be set; a tag change also passes when it lost one of them.
    """

    kinds: frozenset[Kind] | None = None
    tag_changes: bool = True
    alerts: bool = False
    pids: frozenset[int] | None = None
    ppids: frozenset[int] | None = None
    comms: frozenset[bytes] | None = None
    tags: int = 0
    lives: Lives | None = None

    def frames(self, frames: Frames) -> Frames | None:
        """The events that pass, None for none."""
        events = frames.events
        mask = self._who(events, frames.homes)
        if self.kinds is not None:
            mask &= np.isin(events["kind"], list(self.kinds))
        if self.tags:
            mask &= (frames.tags & np.uint32(self.tags)) != 0
        return _chosen(frames, mask)

    def change(self, change: TagChange) -> TagChange | None:
        """The processes whose change passes, None for none."""
        if not self.tag_changes:
            return None
        rows = change.rows
        mask = self._who(rows, rows["home"])
        if self.tags:
            mask &= ((rows["tags"] | change.lost) & np.uint32(self.tags)) != 0
        return _chosen(change, mask)

    def _who(self, records: Array, homes: NDArray[np.uint32]) -> NDArray[np.bool_]:
        mask = np.ones(len(records), np.bool_) if self.lives is None else self.lives(records["cgroup_id"], homes)
        for name, wanted in (("pid", self.pids), ("ppid", self.ppids), ("comm", self.comms)):
            if wanted is not None:
                mask &= np.isin(records[name], np.array(sorted(wanted), dtype=records[name].dtype))
        return mask


_Arrays = TypeVar("_Arrays", Frames, TagChange)


def _chosen(item: _Arrays, mask: NDArray[np.bool_]) -> _Arrays | None:
    if mask.all():
        return item if len(item) else None
    return item.select(mask) if mask.any() else None


def _weight(item: Item) -> int:
    return 1 if isinstance(item, Alert) else len(item)


class Subscription:
    """One listener's queue. Closing it, or the hub, ends a pending ``get``."""

    def __init__(self, hub: Hub, wanted: Filter, capacity: int) -> None:
        self._hub = hub
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._wake = asyncio.Event()
        self._untold = 0
        self.filter = wanted
        self.closed = False
        self.published = 0
        self.delivered = 0
        self.dropped = 0

    @property
    def queued(self) -> int:
        """Events waiting."""
        return self.published - self.delivered - self.dropped

    def put(self, item: Item) -> None:
        """Queue what passed the filter, at the price of the oldest."""
        weight = _weight(item)
        self.published += weight
        if weight > self._capacity and not isinstance(item, Alert):
            self._lose(weight - self._capacity)
            item = item.select(slice(weight - self._capacity, None))
        self._items.append(item)
        while self.queued > self._capacity:
            self._lose(_weight(self._items.popleft()))
        self._wake.set()

    def _lose(self, n: int) -> None:
        self.dropped += n
        self._untold += n

    async def get(self, timeout_s: float | None = None) -> Item | None:
        """The next item; None when the time is over or the subscription closed."""
        if not self._items and not self.closed:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return None
        if not self._items or self.closed:
            return None
        item = self._items.popleft()
        self.delivered += _weight(item)
        return item

    def take_lost(self) -> int:
        """How many were lost since this was last asked: what the listener has to be told."""
        untold, self._untold = self._untold, 0
        return untold

    def close(self) -> None:
        """Stop listening. What is still queued counts as dropped. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._lose(self.queued)
        self._items.clear()
        self._hub.forget(self)
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Item:
        item = await self.get()
        if item is None:
            raise StopAsyncIteration
        return item


class Hub:
    """All subscriptions. Publishing costs each batch one pass of every filter that somebody has, and nothing per event.
    Subscribers with equal filters are handed the same arrays.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._subscriptions: list[Subscription] = []
        self._past_dropped = 0
        self.closed = False

    def __len__(self) -> int:
        """Subscribers now."""
        return len(self._subscriptions)

    @property
    def dropped(self) -> int:
        """Lost to slow listeners since start, those that are gone included."""
        return self._past_dropped + sum(each.dropped for each in self._subscriptions)

    @property
    def queued(self) -> int:
        """Waiting in all subscriptions."""
        return sum(each.queued for each in self._subscriptions)

    def subscribe(self, wanted: Filter, capacity: int | None = None) -> Subscription:
        """A new listener; it is told of what is published from now on. Close it when done."""
        subscription = Subscription(self, wanted, capacity or self._capacity)
        if self.closed:
            subscription.closed = True
        else:
            self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Take a closed subscription off the list, keeping its losses."""
        self._subscriptions.remove(subscription)
        self._past_dropped += subscription.dropped

    def publish_events(self, frames: Frames) -> None:
        """Hand a batch to those who want any of it."""
        known: dict[Filter, Frames | None] = {}
        for subscription in self._subscriptions:
            wanted = subscription.filter
            if wanted not in known:
                known[wanted] = wanted.frames(frames)
            if (passed := known[wanted]) is not None:
                subscription.put(passed)

    def publish_tag_change(self, change: TagChange) -> None:
        """Hand on processes that gained or lost tags."""
        known: dict[Filter, TagChange | None] = {}
        for subscription in self._subscriptions:
            wanted = subscription.filter
            if wanted not in known:
                known[wanted] = wanted.change(change)
            if (passed := known[wanted]) is not None:
                subscription.put(passed)

    def publish_alert(self, alert: Alert) -> None:
        """Hand on an alert."""
        for subscription in self._subscriptions:
            if subscription.filter.alerts:
                subscription.put(alert)

    def close(self) -> None:
        """End every subscription; new ones are closed from the start."""
        self.closed = True
        for subscription in tuple(self._subscriptions):
            subscription.close()
