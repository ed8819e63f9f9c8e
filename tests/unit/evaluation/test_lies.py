"""An endpoint that lies, in the format and out of it: nothing false of that is shown, wherever it stands."""

from __future__ import annotations

import random

import msgspec
import pytest

from linnix.evaluation import searched
from linnix.insight import facts as wire
from linnix.insight import prompt
from linnix.insight.answer import REJECTIONS
from linnix.insight.asking.question import COMPLETIONS, Endpoint, parse_endpoint
from linnix.insight.asking.reading import read
from linnix.insight.asking.session import Session
from linnix.insight.facts import Facts
from linnix.insight.verify import Rejection, verify
from support.far_end import MB, completion, host, process, serving
from support.liar import PROSE, liar, lies

LEAK = wire.Finding(
    id="F1", cls="mem_leak", severity="high", rule="mem_leak", process="P1", score=0.7,
    evidence={"anonymous_mib_per_s": 6.0, "threshold": 2.0, "grown_bytes": 7.5e7, "window_s": 12.0},
)  # fmt: skip
FACTS: Facts = msgspec.structs.replace(
    host(
        process(1, "reindex", cpu_pct=12.0, rss_bytes=900 * MB, mem_pct=11.0, rss_delta_bytes=75 * MB),
        process(2, "cc1", cpu_pct=88.0),
        process(3, "postgres", cpu_pct=3.0),
    ),
    findings=(LEAK,),
)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("short", [False, True], ids=["full", "short"])
def test_nothing_that_an_endpoint_makes_up_is_shown(seed: int, short: bool) -> None:
    shown: list[str] = []
    with serving({COMPLETIONS: liar(seed)}) as model:
        session = Session(FACTS, Endpoint(parse_endpoint(model.url, "")), short=short, timeout_s=10)
        outcome = session.run(lambda sentence: shown.append(sentence.text))
        assert len(model.requests) == 2
    assert (outcome.insight.source, outcome.insight.cls, outcome.failure) == ("rules", "mem_leak", "refused")
    assert {outcome.insight.note, outcome.trouble} <= {
        f"the model's answer failed the check: {told}" for told in REJECTIONS.values()
    }
    for text in [*shown, outcome.insight.text]:
        assert searched.invented_numbers(text, FACTS) == []
        assert searched.invented_names(text, FACTS) == []
        assert not searched.follows_an_order(text)
        for word in ("mysqld", "nginx", "kworker"):
            assert word not in text


@pytest.mark.parametrize("short", [False, True], ids=["full", "short"])
def test_no_lie_in_the_format_is_on_offer(short: bool) -> None:
    asked = prompt.build(FACTS, short).messages[-1].content
    told = {lie for seed in range(20) for lie in lies(asked, random.Random(seed))}
    assert len(told) >= 15
    for lie in told:
        assert isinstance(verify(lie, FACTS, short), Rejection), lie


@pytest.mark.parametrize("lie", PROSE)
def test_its_own_reading_loses_what_is_false(lie: str) -> None:
    with serving({COMPLETIONS: completion(lie)}) as model:
        reading = read(FACTS, "", Endpoint(parse_endpoint(model.url, "")), 10)
    assert (reading.sentences, reading.trouble) == ([], None)
    assert reading.left_out


def test_of_a_reading_that_is_half_true_the_true_half_is_shown() -> None:
    prose = "reindex keeps growing in memory. mysqld is to blame. cc1 uses 88 % of one core."
    with serving({COMPLETIONS: completion(prose)}) as model:
        reading = read(FACTS, "", Endpoint(parse_endpoint(model.url, "")), 10)
    assert reading.text == "reindex keeps growing in memory. cc1 uses 88 % of one core."
