"""Streams through a real server: filters, losses, leaving and closing."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sse_text import frames
from world import Proc, S, World, first_frames, run

from linnix.cognitod.events import Kind


def busy(world: World) -> None:
    """Two parents, three kinds, two names."""
    world.happen(
        world.event(Kind.FORK, 201, 100, b"sh"),
        world.event(Kind.EXEC, 201, 100, b"make"),
        world.event(Kind.FORK, 202, 101, b"sh"),
        world.event(Kind.EXIT, 201, 100, b"make", exit_code=2),
        world.event(Kind.EXIT, 202, 101, b"sh"),
    )


EVERYTHING = [("fork", 201), ("exec", 201), ("fork", 202), ("exit", 201), ("exit", 202)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", EVERYTHING),
        ("?type=exec,exit", [("exec", 201), ("exit", 201), ("exit", 202)]),
        ("?type=fork", [("fork", 201), ("fork", 202)]),
        ("?pid=202", [("fork", 202), ("exit", 202)]),
        ("?ppid=100", [("fork", 201), ("exec", 201), ("exit", 201)]),
        ("?comm=make", [("exec", 201), ("exit", 201)]),
        ("?comm=make,sh&type=exit", [("exit", 201), ("exit", 202)]),
        ("?tag=failed_exit&type=fork,exec,exit", [("exit", 201)]),
        ("?unknown=1", EVERYTHING),
    ],
)
def test_a_stream_carries_what_its_filter_asks_for(query: str, expected: list[tuple[str, int]]) -> None:
    world = World()
    told = frames("\n\n".join(world.listen("/stream" + query, lambda: busy(world), 1 + len(expected))))
    assert [(data["event_type_name"], data["pid"]) for _, data in told] == expected


def test_events_is_the_same_stream() -> None:
    world = World()
    told = frames("\n\n".join(world.listen("/events", lambda: busy(world), 6)))
    assert [(data["event_type_name"], data["pid"]) for _, data in told] == EVERYTHING
    assert [data["seq"] for _, data in told] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?type=clone", "type='clone': unknown; valid are exec, fork, exit, tag"),
        ("?pid=init", "pid='init': expected process ids, separated by commas"),
        ("?ppid=-1", "ppid='-1': expected process ids, separated by commas"),
        ("?pid=99999999999", "pid='99999999999': expected process ids, separated by commas"),
    ],
)
def test_a_filter_that_is_not_understood_is_refused_by_name(query: str, error: str) -> None:
    answer = World().get("/stream" + query)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_an_unknown_tag_is_refused_with_the_valid_ones() -> None:
    answer = World().get("/stream?tag=high_gpu")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("tag='high_gpu': unknown; valid are high_cpu, high_mem")


def test_a_long_running_hog_shows_up_under_its_tag_without_an_event_of_its_own() -> None:
    world = World()
    world.sample(Proc(4412, b"hog"))

    def happens() -> None:
        for second in range(1, 20):
            world.sample(Proc(4412, b"hog", cpu_ns=second * 2 * S))

    told = frames("\n\n".join(world.listen("/stream?tag=high_cpu", happens, 2)))
    assert [(name, data["pid"], data["tags_gained"]) for name, data in told] == [("tag", 4412, ["high_cpu"])]


def test_a_slow_client_loses_the_oldest_events_and_is_told_how_many() -> None:
    world = World(queue=100)

    def happens() -> None:
        for pid in range(1000, 1250):
            world.happen(world.event(Kind.FORK, pid, 100))

    told = frames("\n\n".join(world.listen("/stream?type=fork", happens, 102)))
    assert told[0] == ("lost", {"lost": 150})
    assert [data["pid"] for _, data in told[1:]] == list(range(1150, 1250))
    assert world.get("/metrics").json()["losses"]["slow_subscribers"] == 150
    assert world.get("/status").json()["coverage"]["lost"]["slow_subscribers"] == 150


def test_a_storm_reaches_a_client_whole_and_in_order() -> None:
    world = World()

    async def scenario() -> list[int]:
        pids: list[int] = []
        async with (
            world.served() as base,
            httpx.AsyncClient(timeout=10) as client,
            client.stream("GET", base + "/stream?type=fork") as answer,
        ):
            reader = asyncio.create_task(first_frames(answer, 20_001))
            for start in range(1000, 21_000, 500):
                world.happen(*(world.event(Kind.FORK, pid, 100) for pid in range(start, start + 500)))
                await asyncio.sleep(0)
            pids += [data["pid"] for _, data in frames("\n\n".join(await reader))]
        return pids

    assert run(scenario) == list(range(1000, 21_000))


def test_a_client_that_leaves_is_forgotten() -> None:
    world = World()

    async def scenario() -> tuple[int, int]:
        async with world.served() as base, httpx.AsyncClient(timeout=10) as client:
            async with client.stream("GET", base + "/stream") as answer:
                await first_frames(answer, 1)
                during = len(world.pipeline.hub)
            while len(world.pipeline.hub):
                await asyncio.sleep(0.01)
        return during, len(world.pipeline.hub)

    assert run(scenario) == (1, 0)


@pytest.mark.parametrize("path", ["/stream", "/alerts", "/processes/live"])
def test_a_stream_ends_cleanly_when_the_daemon_closes(path: str) -> None:
    world = World()

    async def scenario() -> str:
        async with (
            world.served() as base,
            httpx.AsyncClient(timeout=10) as client,
            client.stream("GET", base + path) as answer,
        ):
            text = answer.aiter_text()
            seen = await anext(text)
            world.closing.set()
            async for chunk in text:
                seen += chunk
        return seen

    seen: Any = run(scenario)
    assert seen.startswith(": keep-alive\n\n")
    assert len(world.pipeline.hub) == 0


def test_a_head_request_to_a_stream_leaves_no_subscription() -> None:
    world = World()

    async def scenario() -> tuple[int, int]:
        async with world.served() as base, httpx.AsyncClient(timeout=10) as client:
            answer = await client.head(base + "/stream")
            return answer.status_code, len(world.pipeline.hub)

    assert run(scenario) == (200, 0)


def test_a_client_that_never_reads_cannot_hold_up_the_end() -> None:
    world = World()

    async def scenario() -> int:
        async with world.served() as base:
            host, _, port = base.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET /stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            while not len(world.pipeline.hub):
                await asyncio.sleep(0.01)
            assert isinstance(writer.transport, asyncio.Transport)
            writer.transport.pause_reading()
            for start in range(1000, 101_000, 1000):
                world.happen(*(world.event(Kind.FORK, pid, 100) for pid in range(start, start + 1000)))
                await asyncio.sleep(0)
            stuck = world.pipeline.hub.queued
            world.closing.set()
            while len(world.pipeline.hub):
                await asyncio.sleep(0.01)
            writer.transport.abort()
        return stuck

    assert run(scenario) > 0
    assert len(world.pipeline.hub) == 0
