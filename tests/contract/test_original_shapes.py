"""Our answers begin as the original's do: same names, same order, same types, at every depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sse_text import frames
from world import GIB, Proc, S, World

from linnix.cognitod.events import Kind

RECORDED = Path(__file__).parent / "recorded"


def differences(theirs: Any, ours: Any, at: str = "$") -> list[str]:
    """Where ``ours`` is not ``theirs`` with more behind it. Values are free, null in theirs allows anything."""
    if theirs is None:
        return []
    if type(theirs) is not type(ours):
        return [f"{at}: {type(theirs).__name__} became {type(ours).__name__}"]
    if isinstance(theirs, dict):
        names = list(ours)[: len(theirs)]
        if names != list(theirs):
            return [f"{at}: {list(theirs)} became {names}"]
        return [found for name in theirs for found in differences(theirs[name], ours[name], f"{at}.{name}")]
    if isinstance(theirs, list) and theirs:
        return [f"{at}: empty"] if not ours else differences(theirs[0], ours[0], f"{at}[0]")
    return []


def busy() -> World:
    """A host with one hog, watched long enough for an alert, and a child that came and went."""
    world = World()
    for second in range(1, 90):
        hog = Proc(4412, b"java", cpu_ns=int(second * 1.9 * S), rss_bytes=6 * GIB, state=b"R")
        world.sample(Proc(1, b"init", ppid=0), hog, cpu_pct=97.0)
    world.happen(world.event(Kind.FORK, 4413, 4412, b"java"), world.event(Kind.EXEC, 4413, 4412, b"sh"))
    return world


@pytest.fixture(scope="module")
def world() -> World:
    return busy()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("healthz", "/healthz"),
        ("readyz", "/readyz"),
        ("status", "/status"),
        ("processes", "/processes"),
        ("process", "/processes/4412"),
        ("ppid", "/ppid/4412"),
        ("context", "/context"),
        ("graph", "/graph/4412"),
        ("system", "/system"),
        ("metrics", "/metrics"),
        ("metrics_system", "/metrics/system"),
        ("timeline", "/timeline"),
        ("insights", "/insights"),
    ],
)
def test_an_answer_begins_as_the_original_does(world: World, name: str, path: str) -> None:
    answer = world.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert differences(json.loads((RECORDED / f"{name}.json").read_text()), answer.json()) == []


def recorded(name: str) -> list[tuple[str | None, Any]]:
    return frames((RECORDED / f"{name}.sse").read_text())


def test_a_stream_begins_with_a_keep_alive_and_its_frames_as_the_original_does() -> None:
    world = World()
    world.sample(Proc(1, b"init", ppid=0), Proc(4412, b"java"))

    def happens() -> None:
        world.happen(world.event(Kind.FORK, 4413, 4412, b"java"), world.event(Kind.EXEC, 4413, 4412, b"sh"))
        world.now_ns += S // 2
        world.happen(world.event(Kind.EXIT, 4413, 4412, b"sh", cpu_ns=S // 10, max_rss_pages=500))

    told = world.listen("/stream", happens, 4)
    assert told[0] == ": keep-alive"
    ours, theirs = frames("\n\n".join(told[1:])), recorded("stream")
    assert [name for name, _ in ours] == [name for name, _ in theirs] == [None, None, None]
    assert [differences(was, now) for (_, was), (_, now) in zip(theirs, ours, strict=True)] == [[], [], []]
    assert [now["event_type_name"] for _, now in ours] == ["fork", "exec", "exit"]


def test_an_alert_is_a_named_frame_that_begins_as_the_original_does() -> None:
    world = World()

    def happens() -> None:
        for second in range(1, 90):
            hog = Proc(4412, b"java", cpu_ns=int(second * 1.9 * S), state=b"R")
            world.sample(Proc(1, b"init", ppid=0), hog, cpu_pct=97.0)

    told = world.listen("/alerts", happens, 2)
    (ours,), (theirs,) = frames("\n\n".join(told)), recorded("alerts")
    assert ours[0] == theirs[0] == "alert"
    assert differences(theirs[1], ours[1]) == []
    assert ours[1]["severity"] in ("Info", "Low", "Medium", "High")
    assert {"id", "timestamp", "pid", "comm", "evidence", "class"} <= set(ours[1])


def test_the_live_feed_sends_what_the_original_does() -> None:
    world = World()
    world.sample(Proc(1, b"init", ppid=0), Proc(4412, b"java"))
    told = world.listen("/processes/live", lambda: None, 2)
    (ours,), (theirs,) = frames("\n\n".join(told)), recorded("processes_live")
    assert ours[0] == theirs[0] == "processes"
    assert differences(theirs[1], ours[1]) == []
