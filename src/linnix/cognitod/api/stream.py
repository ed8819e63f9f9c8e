"""``/stream`` and ``/events``: what happens, as it happens.

Owns the reading of the filter and the life of a subscription. Refuses to encode for nobody: JSON is made here, from
arrays that the hub shares, once for all who asked for the same. Invariant: what a client is not sent, it is told the
number of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import frames, params, sse, where, wire
from linnix.cognitod.api.context import Context, context
from linnix.cognitod.events import COMM_LEN, Kind
from linnix.cognitod.host.homes import Homes
from linnix.cognitod.hub import Filter, Subscription
from linnix.cognitod.model import TAG_NAMES, Frames, TagChange

_KINDS = {wire.STREAM_EVENT_TYPES[kind]: kind for kind in Kind}


def read_filter(given: Mapping[str, str], homes: Homes) -> Filter:
    """The filter that these query parameters ask for."""
    wanted = [
        where.any_of([where.test(key, word) for word in words])
        for key in where.KEYS
        if (words := params.words(given, key))
    ]
    types = params.choices(given, "type", [*_KINDS, wire.TAG_EVENT_NAME])
    tags = params.choices(given, "tag", TAG_NAMES.values())
    comms = params.words(given, "comm")
    return Filter(
        kinds=None if types is None else frozenset(_KINDS[name] for name in types if name in _KINDS),
        tag_changes=types is None or wire.TAG_EVENT_NAME in types,
        pids=params.pids(given, "pid"),
        ppids=params.pids(given, "ppid"),
        comms=frozenset(comm.encode()[: COMM_LEN - 1] for comm in comms) or None,
        lives=partial(homes.where, lambda home: all(passes(home) for passes in wanted)) if wanted else None,
        tags=sum(bit for bit, name in TAG_NAMES.items() if tags and name in tags),
    )


async def stream(request: Request) -> Response:
    """Every event that passes the filter, from now on."""
    here = context(request)
    subscription = here.pipeline.hub.subscribe(read_filter(request.query_params, here.pipeline.homes))

    def end() -> None:
        subscription.close()
        if not len(here.pipeline.hub):
            here.sharing.forget()

    return sse.EventStream(_told(subscription, here), here.closing, end)


async def _told(subscription: Subscription, here: Context) -> AsyncGenerator[bytes, None]:
    async for item in subscription:
        if lost := subscription.take_lost():
            yield sse.lost(lost)
        if isinstance(item, Frames):
            snapshot = here.pipeline.snapshot
            memory = snapshot.mem_total_bytes if snapshot else 0
            encode = partial(frames.event_chunks, item, here.pipeline.place, memory)
        elif isinstance(item, TagChange):
            encode = partial(frames.tag_chunks, item, here.pipeline.place)
        else:
            continue
        for chunk in here.sharing.chunks(item, encode) if len(here.pipeline.hub) > 1 else encode():
            yield chunk
            await asyncio.sleep(0)  # a client that takes everything at once must not keep the others waiting
