"""Server-sent events: the framing, the keep-alive, and an end that comes promptly.

Owns the bytes between two blank lines and the life of a streaming response. Refuses to know what is sent. Invariant:
a response ends as soon as its client leaves, its source is exhausted or the daemon shuts down, whichever is first,
and then its source is closed and ``on_end`` called, whatever happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEEP_ALIVE = b": keep-alive\n\n"
KEEP_ALIVE_S = 10.0
#: how long a response may take to say goodbye to a client that does not read
FAREWELL_S = 0.2


def frame(data: bytes, event: str | None = None) -> bytes:
    """One frame. ``data`` is JSON and so has no line break in it."""
    return b"data: %b\n\n" % data if event is None else b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def lost(count: int) -> bytes:
    """Tells a client that ``count`` items meant for it were dropped, because it reads more slowly than they come."""
    return frame(b'{"lost":%d}' % count, "lost")


class EventStream(Response):
    """Sends what ``source`` yields: bytes, each one or more whole frames.

    ``closing`` is set when the daemon shuts down. The first keep-alive comment goes out at once, so that a client
    knows it is connected, and one follows every ``keep_alive_s`` seconds whatever else is sent. Open what feeds the
    source before making the response, so that a client that has seen the headers misses nothing; ``on_end`` closes it.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        source: AsyncGenerator[bytes, None],
        closing: asyncio.Event,
        on_end: Callable[[], None] = lambda: None,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        super().__init__(None, 200, {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.source = source
        self.closing = closing
        self.on_end = on_end
        self.keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run until the first of: client gone, source exhausted, daemon closing."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._run(receive, send)
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(
                    send({"type": "http.response.body", "body": b"", "more_body": False}), FAREWELL_S
                )
        finally:
            await self.source.aclose()
            self.on_end()

    async def _run(self, receive: Receive, send: Send) -> None:
        jobs = [
            asyncio.create_task(job)
            for job in (self._keep_alive(send), self._pump(send), self._gone(receive), self._closing())
        ]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
        for job in done:
            with suppress(OSError):  # the transport's way to say that the client left
                job.result()

    async def _pump(self, send: Send) -> None:
        async for chunk in self.source:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
            await asyncio.sleep(self.keep_alive_s)

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _closing(self) -> None:
        await self.closing.wait()
