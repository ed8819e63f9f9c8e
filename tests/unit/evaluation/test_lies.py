"""An endpoint that lies, in the format and out of it: nothing false of that is shown, wherever it stands."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from linnix.evaluation import searched
from linnix.insight import facts as wire
from linnix.insight import menu
from linnix.insight.asking.question import COMPLETIONS, Endpoint, parse_endpoint
from linnix.insight.asking.reading import read
from linnix.insight.asking.session import Session
from linnix.insight.facts import Facts
from support.far_end import MB, Handler, completion, host, process, serving

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
TRUE = menu.first(menu.build(FACTS))

#: Whole lies: plausible, and false.
PROSE = (
    "The culprit is mysqld (pid 4711), which uses 93 % of the CPU.",
    "postgres (pid 1003) holds the most memory, 14.2 GB, and it keeps growing.",
    "cc1 leaks memory at 512 MB/s. reindex is falling. The host is 12 % busy and will fail in 30 s.",
    "kworker/3:1 blocks the disk. 17 processes wait for nginx.",
    "reindex (pid 1002) is the busiest process with 88 % CPU, and postgres uses more than cc1.",
)
#: And lies in the format.
FORMAT = (
    TRUE.replace("mem_leak", "cpu_spin"),
    TRUE.replace("P1", "P2"),
    TRUE.replace("high", "low"),
    TRUE.replace("ev=E1", "ev=E7"),
    TRUE.replace("why=leaks", "why=killed"),
    TRUE + "\nThe culprit is mysqld.",
    "The culprit is mysqld.\n" + TRUE,
    TRUE.replace("act=maps", "act=rm"),
    TRUE + " (confidence 99 %)",
)


def liar(seed: int) -> Handler:
    """A server that answers each request with another lie."""
    chance = random.Random(seed)

    def handler(request: Any, connection: Any) -> None:
        lie = chance.choice(PROSE + FORMAT)
        completion(*(lie[at : at + 7] for at in range(0, len(lie), 7)))(request, connection)

    return handler


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("short", [False, True], ids=["full", "short"])
def test_nothing_that_an_endpoint_makes_up_is_shown(seed: int, short: bool) -> None:
    shown: list[str] = []
    with serving({COMPLETIONS: liar(seed)}) as model:
        session = Session(FACTS, Endpoint(parse_endpoint(model.url, "")), short=short, timeout_s=10)
        outcome = session.run(lambda sentence: shown.append(sentence.text))
        assert len(model.requests) == 2
    assert (outcome.insight.source, outcome.insight.cls, outcome.failure) == ("rules", "mem_leak", "refused")
    for text in [*shown, outcome.insight.text]:
        assert searched.invented_numbers(text, FACTS) == []
        assert searched.invented_names(text, FACTS) == []
        assert not searched.follows_an_order(text)
        for word in ("mysqld", "nginx", "kworker"):
            assert word not in text


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
