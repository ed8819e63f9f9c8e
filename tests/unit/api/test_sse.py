"""The life of a streaming response, driven over bare ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from linnix.cognitod.api import sse

SCOPE: dict[str, Any] = {"type": "http", "method": "GET"}


class Client:
    """What an ASGI server is to a response: it can leave, and it can refuse to read."""

    def __init__(self, *, reads: bool = True) -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.reads = reads

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if not self.reads and message["type"] == "http.response.body":
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent)


class Source:
    """Yields what it is given, then either ends or waits for ever; says whether it was closed."""

    def __init__(self, *chunks: bytes, endless: bool = True) -> None:
        self.chunks, self.endless, self.closed = chunks, endless, False

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in self.chunks:
                yield chunk
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def test_a_frame_without_a_name_is_what_the_original_sends() -> None:
    assert sse.frame(b'{"pid":1}') == b'data: {"pid":1}\n\n'


def test_a_frame_with_a_name_says_it_first() -> None:
    assert sse.frame(b"{}", "tag") == b"event: tag\ndata: {}\n\n"


def test_a_loss_is_a_frame_of_its_own() -> None:
    assert sse.lost(17) == b'event: lost\ndata: {"lost":17}\n\n'


async def _run(source: Source, client: Client, closing: asyncio.Event, **options: Any) -> None:
    stream = sse.EventStream(source(), closing, **options)
    await asyncio.wait_for(stream({**SCOPE}, client.receive, client.send), 5)


def test_the_keep_alive_comes_first_and_again_while_nothing_happens() -> None:
    async def scenario() -> bytes:
        client, closing = Client(), asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, client.left.set)
        await _run(Source(), client, closing, keep_alive_s=0.03)
        return client.body

    body = asyncio.run(scenario())
    assert body == sse.KEEP_ALIVE * body.count(b":")
    assert body.count(b":") // 2 >= 1


def test_a_stream_ends_when_its_source_does() -> None:
    async def scenario() -> tuple[bytes, dict[str, Any]]:
        client = Client()
        await _run(Source(b"data: 1\n\n", b"data: 2\n\n", endless=False), client, asyncio.Event())
        return client.body, client.sent[-1]

    body, last = asyncio.run(scenario())
    assert body == sse.KEEP_ALIVE + b"data: 1\n\ndata: 2\n\n"
    assert last == {"type": "http.response.body", "body": b"", "more_body": False}


def test_a_stream_ends_and_closes_its_source_when_the_client_leaves() -> None:
    async def scenario() -> bool:
        client, source = Client(), Source(b"data: 1\n\n")
        client.left.set()
        await _run(source, client, asyncio.Event())
        return source.closed

    assert asyncio.run(scenario())


def test_a_stream_ends_and_closes_its_source_when_the_daemon_closes() -> None:
    async def scenario() -> tuple[bool, bool]:
        client, source, closing = Client(), Source(b"data: 1\n\n"), asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, closing.set)
        await _run(source, client, closing)
        return source.closed, client.sent[-1]["more_body"]

    assert asyncio.run(scenario()) == (True, False)


def test_a_client_that_does_not_read_cannot_hold_up_the_end() -> None:
    async def scenario() -> bool:
        client, source, closing = Client(reads=False), Source(b"data: 1\n\n"), asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, closing.set)
        await _run(source, client, closing)
        return source.closed

    assert asyncio.run(scenario())


def test_a_head_request_gets_headers_and_an_end() -> None:
    async def scenario() -> tuple[list[str], bytes]:
        client = Client()
        stream = sse.EventStream(Source()(), asyncio.Event())
        await asyncio.wait_for(stream({"type": "http", "method": "HEAD"}, client.receive, client.send), 5)
        return [m["type"] for m in client.sent], client.body

    assert asyncio.run(scenario()) == (["http.response.start", "http.response.body"], b"")


def test_a_fault_in_the_source_is_not_swallowed() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        raise RuntimeError("bug")

    async def scenario() -> str:
        client = Client()
        try:
            await sse.EventStream(broken(), asyncio.Event())({**SCOPE}, client.receive, client.send)
        except RuntimeError as error:
            return str(error)
        return "swallowed"

    assert asyncio.run(scenario()) == "bug"
