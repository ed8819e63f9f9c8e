"""Whatever is asked, the answer is an answer."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import Proc, World

from linnix.cognitod.api.alerts import wants_json
from linnix.cognitod.api.app import PAGES

STREAMS = {"/stream", "/events", "/alerts", "/processes/live"}
PATHS = [page.path for page in PAGES if page.path not in STREAMS]
PARAMETERS = ["filter", "sort", "limit", "start", "end", "severity", "type", "pid", "ppid", "comm", "tag"]

WORLD = World()
WORLD.sample(Proc(1, b"init", ppid=0), Proc(10))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=st.sampled_from(PATHS),
    segment=st.text(min_size=1, max_size=12),
    query=st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=12), max_size=3),
)
def test_no_query_is_answered_with_a_fault_of_ours(path: str, segment: str, query: dict[str, str]) -> None:
    filled = path.replace("{pid}", quote(segment, safe="")).replace("{ppid}", quote(segment, safe=""))
    answer = WORLD.get(filled, params=query)
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert list(json.loads(answer.content)) == ["error"]


@settings(max_examples=100, deadline=None)
@given(
    query=st.dictionaries(st.sampled_from(["type", "pid", "ppid", "tag"]), st.text(min_size=1, max_size=8), min_size=1)
)
def test_a_stream_is_refused_before_it_begins_or_not_at_all(query: dict[str, str]) -> None:
    answer = WORLD.get("/stream", params={**query, "type": "nonsense"})
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(method: str) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=WORLD.apps.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3000") as client:
            return await client.request(method, "/processes")

    answer = asyncio.run(ask())
    assert answer.status_code == 405
    assert answer.json() == {"error": f"{method} is not served on /processes"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/event-stream", False),
        ("application/json", True),
        ("application/json;q=0.9, */*", True),
        ("Application/JSON", True),
        ("text/event-stream, application/json", False),
    ],
)
def test_alerts_are_a_stream_unless_json_is_what_is_asked_for(accept: str, expected: bool) -> None:
    assert wants_json(accept) is expected
