"""When the daemon asks a model, and what it shows meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from linnix.cognitod import explaining
from linnix.cognitod.config import Reasoner
from linnix.cognitod.explaining import Explaining
from linnix.cognitod.model import Alert, Finding
from linnix.insight import facts as wire
from linnix.insight import menu, rules_text
from linnix.insight.answer import Insight
from linnix.insight.asking.question import COMPLETIONS
from linnix.insight.asking.session import Outcome
from linnix.insight.facts import Facts
from support.far_end import Server, after, completion, host, process, reply, serving

SPIN = wire.Finding(
    id="F1",
    cls="cpu_spin",
    severity="high",
    rule="cpu_spin",
    process="P1",
    evidence={"wanted_cpu_pct": 99.0, "for_s": 12.0, "cpu_pct": 98.0},
)
LEAK = wire.Finding(id="F2", cls="mem_leak", severity="medium", rule="mem_leak", process="P2", score=0.9)
CALM = host(process(1, "sh", cpu_pct=3.0), process(2, "java"))
SPINNING = msgspec.structs.replace(CALM, findings=(LEAK, SPIN))


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "EVERY_S", 0.2)
    monkeypatch.setattr(explaining, "AGAIN_S", 0.02)


@pytest.fixture
def model() -> Iterator[Server]:
    with serving({COMPLETIONS: completion(menu.first(menu.build(CALM)))}) as server:
        yield server


class Host:
    """A daemon's facts, which a test changes, and what its explanations came to."""

    def __init__(self, facts: Facts, url: str, **more: Any) -> None:
        self.facts = facts
        self.explained: dict[str, Insight] = {}
        self.outcomes: list[Outcome] = []
        self.shown: list[str] = []
        known: dict[str, Any] = {"endpoint": url, "timeout_ms": 5000}
        offline = more.pop("offline", False)
        self.explaining = Explaining(
            lambda: self.facts,
            Reasoner(**(known | more)),
            offline=offline,
            attach=self.explained.__setitem__,
            on_outcome=self.outcomes.append,
            on_shown=self.shown.append,
        )

    def source(self) -> str:
        return self.explaining.now()[0].source


def alert(severity: str = "high", state: str = "firing") -> Alert:
    finding = Finding(
        rule="cpu_spin", cls="cpu_spin", severity=severity, message="", key="k", ts_ns=1, timestamp=1.0, pid=1001,
        start_ns=SPINNING.processes[0].start_ns, comm="sh", evidence={},
    )  # fmt: skip
    return Alert(id="alert-1", finding=finding, timestamp=1.0, host="box", state=state)


def run(here: Host, story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        task = asyncio.create_task(here.explaining.run())
        try:
            await asyncio.wait_for(story(), 10)
        finally:
            task.cancel()

    asyncio.run(told())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def test_who_asks_gets_the_rules_text_at_once_and_the_model_s_when_it_is_there(model: Server) -> None:
    here = Host(CALM, model.url)

    async def story() -> None:
        insight, at = here.explaining.now()
        assert (insight, at) == (rules_text.explain(CALM), CALM.timestamp)
        await until(lambda: here.source() == "model")

    run(here, story)
    assert len(model.requests) == 1
    assert [outcome.failure for outcome in here.outcomes] == [None]


def test_however_often_somebody_asks_the_model_is_asked_only_when_something_else_is_wrong(model: Server) -> None:
    here = Host(CALM, model.url)

    async def story() -> None:
        await until(lambda: here.source() == "model")
        for _ in range(100):
            assert here.source() == "model"
        await asyncio.sleep(0.3)
        assert len(model.requests) == 1
        here.facts = SPINNING
        assert here.explaining.now()[0] == rules_text.explain(SPINNING)
        await until(lambda: len(model.requests) >= 2)

    run(here, story)


def test_that_all_is_well_is_not_shown_once_something_waits_for_memory_or_storage(model: Server) -> None:
    here = Host(CALM, model.url)
    pressed = msgspec.structs.replace(CALM, pressure=wire.Pressure(memory_some_pct=10.0, io_some_pct=19.9))

    async def story() -> None:
        await until(lambda: here.source() == "model")
        here.facts = pressed
        assert here.explaining.now()[0] == rules_text.explain(pressed)

    run(here, story)
    assert here.shown[-2:] == ["kept", "rules"]
    assert explaining.key_of(pressed) == (("memory", "", None, None),)


def test_nobody_asks_so_no_model_is_asked(model: Server) -> None:
    run(Host(SPINNING, model.url), lambda: asyncio.sleep(0.3))
    assert model.requests == []


def test_a_host_that_is_short_of_cpu_waits_for_its_explanation(model: Server) -> None:
    pressed = msgspec.structs.replace(CALM, pressure=wire.Pressure(cpu_some_pct=60.0))
    here = Host(pressed, model.url)

    async def story() -> None:
        here.explaining.now()
        await asyncio.sleep(0.3)
        assert model.requests == []
        here.facts = CALM
        await until(lambda: len(model.requests) == 1)

    run(here, story)


def test_a_grave_alert_is_explained_even_then_and_is_what_the_explanation_is_of() -> None:
    busy = msgspec.structs.replace(SPINNING, pressure=wire.Pressure(cpu_some_pct=60.0))
    asked = explaining.first(busy, alert())
    assert [finding.id for finding in asked.findings] == ["F1", "F2"]
    with serving({COMPLETIONS: completion(menu.first(menu.build(asked)))}) as model:
        here = Host(busy, model.url)

        async def story() -> None:
            here.explaining.on_alert(alert())
            await until(lambda: "alert-1" in here.explained)

        run(here, story)
    insight = here.explained["alert-1"]
    assert (insight.source, insight.cls) == ("model", "cpu_spin")
    assert insight.short.endswith("and got 98.0 %.") or "of which it got 98.0 %" in insight.short


def test_an_alert_whose_cause_is_gone_is_not_explained_by_another(model: Server) -> None:
    here = Host(msgspec.structs.replace(SPINNING, findings=(LEAK,)), model.url)

    async def story() -> None:
        here.explaining.on_alert(alert())
        await asyncio.sleep(0.2)

    run(here, story)
    assert (here.explained, model.requests) == ({}, [])


def test_where_the_model_sees_another_cause_in_an_alert_the_rules_explain_it() -> None:
    asked = explaining.first(SPINNING, alert())
    assert asked is not None
    offered = menu.build(asked)
    leaks = [choice for choice in offered.choices if choice.cls == "mem_leak"]
    with serving({COMPLETIONS: completion(menu.first(replace(offered, choices=tuple(leaks))))}) as model:
        here = Host(SPINNING, model.url)

        async def story() -> None:
            here.explaining.on_alert(alert())
            await until(lambda: "alert-1" in here.explained)

        run(here, story)
    assert [(outcome.failure, outcome.insight.cls) for outcome in here.outcomes] == [(None, "mem_leak")]
    assert here.explained["alert-1"] == rules_text.explain(asked)


def test_an_explanation_that_has_grown_old_is_not_shown(model: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Host(CALM, model.url)

    async def story() -> None:
        await until(lambda: here.source() == "model")
        monkeypatch.setattr(explaining, "SHOW_S", 0.0)
        here.facts = msgspec.structs.replace(CALM, timestamp=CALM.timestamp + 300)
        assert here.explaining.now() == (rules_text.explain(here.facts), CALM.timestamp + 300)

    run(here, story)


@pytest.mark.parametrize("told", [alert("medium"), replace(alert(), state="resolved")])
def test_lesser_alerts_and_ends_of_alerts_are_not_explained(told: Alert, model: Server) -> None:
    here = Host(SPINNING, model.url)

    async def story() -> None:
        here.explaining.on_alert(told)
        await asyncio.sleep(0.2)

    run(here, story)
    assert (here.explained, model.requests) == ({}, [])


def test_where_no_model_answers_alerts_get_the_rules_text() -> None:
    here = Host(SPINNING, "http://127.0.0.1:1")

    async def story() -> None:
        here.explaining.on_alert(alert())
        await until(lambda: "alert-1" in here.explained)

    run(here, story)
    assert here.explained["alert-1"].source == "rules"
    assert [outcome.failure for outcome in here.outcomes] == ["unreachable"]


@pytest.mark.parametrize("more", [{"enabled": False}, {"endpoint": ""}, {"endpoint": "http://"}])
def test_without_a_model_nobody_is_asked(more: dict[str, Any], model: Server) -> None:
    here = Host(SPINNING, model.url, **more)

    async def story() -> None:
        assert here.source() == "rules"
        here.explaining.on_alert(alert())
        await until(lambda: "alert-1" in here.explained)
        await asyncio.sleep(0.1)

    run(here, story)
    assert (here.source(), model.requests, here.outcomes) == ("rules", [], [])


def test_facts_do_not_leave_the_host_while_it_is_offline(model: Server) -> None:
    elsewhere = f"http://0.0.0.0:{model.port}"
    here = Host(CALM, elsewhere, offline=True)

    async def story() -> None:
        here.explaining.now()
        await asyncio.sleep(0.3)

    run(here, story)
    assert model.requests == []


def test_an_end_does_not_wait_for_an_answer() -> None:
    with serving({COMPLETIONS: after(5, reply(503, b"{}"))}) as model:
        here = Host(CALM, model.url)

        async def story() -> None:
            here.explaining.now()
            await until(lambda: len(model.requests) == 1)

        began = time.monotonic()
        run(here, story)
        assert time.monotonic() - began < 3
