"""What is usual on a host: what is learned, what is told, and how seldom of a host on which nothing is wrong."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.detect import replay
from linnix.cognitod.detect.baseline import DELAY_S, SERIES, WARM_UP_S, Baseline, Floats, Usual
from linnix.cognitod.detect.rules import defaults
from linnix.insight.facts import Unusual, encode
from support.recordings import S, facts

AT_WORK = Path(__file__).parents[2] / "fixtures" / "host-at-work.json.gz"
SPEAKS_S = int(DELAY_S + WARM_UP_S)


@dataclass
class Host:
    """One that uses so much CPU for so long; ``told`` are the seconds in which that was unusual."""

    baseline: Baseline = field(default_factory=Baseline)
    second: int = 0
    told: list[int] = field(default_factory=list)
    last: tuple[Unusual, ...] = ()

    def goes_on(self, seconds: int, cpu_pct: float = 20.0, **host: float) -> Host:
        for _ in range(seconds):
            self.second += 1
            self.last = self.baseline.observe(facts(self.second, host={"cpu_pct": cpu_pct} | host))
            if self.last:
                self.told.append(self.second)
        return self


def test_what_is_far_from_usual_is_told_after_ten_seconds_with_what_is_usual() -> None:
    host = Host().goes_on(1800).goes_on(10, 95.0)
    assert host.told == []

    host.goes_on(1, 95.0)
    assert host.last == (Unusual(id="U1", series="cpu_pct", value=95.0, typical=20.81, spread=4.0, score=18.5),)


def test_nothing_is_told_before_ten_minutes_were_learned() -> None:
    assert Host().goes_on(SPEAKS_S - 60).goes_on(50, 95.0).told == []
    assert Host().goes_on(SPEAKS_S + 10).goes_on(50, 95.0).told != []


def test_a_few_seconds_are_nothing_unusual() -> None:
    host = Host().goes_on(1800)
    for _ in range(20):
        host.goes_on(10, 95.0).goes_on(5)

    assert host.told == []


def test_what_was_told_is_over_when_half_of_the_way_back_is_gone() -> None:
    host = Host().goes_on(1800).goes_on(20, 95.0)
    begin = host.told[0]
    host.goes_on(5, 35.0)  # below what it takes to be told, above half of that
    assert host.told[-1] - begin == 14

    host.goes_on(1, 25.0).goes_on(9, 95.0)
    assert host.told[-1] - begin == 14


def test_what_lasts_becomes_usual() -> None:
    host = Host().goes_on(1800).goes_on(900, 95.0)

    assert len(host.told) == pytest.approx(DELAY_S, abs=30)


def test_what_happens_now_and_then_is_known_after_the_first_time() -> None:
    host = Host().goes_on(1800)
    for _ in range(3):
        host.goes_on(60, 95.0).goes_on(1200)

    assert (host.told[0], host.told[-1]) == (1811, 1860)


def test_less_than_usual_is_not_told() -> None:
    assert Host().goes_on(1800, 90.0).goes_on(60, 0.0).told == []


def test_a_host_that_never_did_anything_has_a_spread_all_the_same() -> None:
    host = Host().goes_on(1800, 0.0)

    assert host.goes_on(60, 20.0).told == []
    assert host.goes_on(11, 30.0).last[0].spread == 4.0


def test_a_series_that_is_not_told_is_neither_learned_nor_unusual() -> None:
    host = Host().goes_on(1800).goes_on(60, disk_busy_pct=99.0)

    assert host.told == []


def test_the_farthest_comes_first() -> None:
    host = Host().goes_on(1800, disk_busy_pct=1.0).goes_on(11, 60.0, disk_busy_pct=99.0)

    assert [(each.id, each.series) for each in host.last] == [("U1", "disk_busy_pct"), ("U2", "cpu_pct")]


def test_a_day_of_sleep_is_a_minute_of_learning() -> None:
    usual = Usual(np.ones(1))
    for second in range(10):
        usual.step(second * 86_400 * S, np.array([5.0]))
    for second in range(20):
        assert not usual.step(9 * 86_400 * S + second * S, np.array([90.0])).any()


def begun(series: Floats, units: Floats) -> list[int]:
    """How often each series (a column) becomes unusual."""
    usual, before, times = Usual(units), np.zeros(len(units), np.bool_), np.zeros(len(units), np.int64)
    for second, values in enumerate(series):
        now = usual.step(second * S, values)
        times += now & ~before
        before = now
    return times.tolist()


def test_noise_is_usual_however_heavy_its_tails() -> None:
    draw = np.random.default_rng(4)
    length = 3 * 3600
    noise = [draw.normal(20, 3, length), draw.lognormal(1, 1.5, length), draw.pareto(1.5, length) * 10]
    slow = [np.convolve(each, np.full(10, 0.1), "same") for each in noise]

    assert begun(np.stack([*noise, *slow], axis=1), np.ones(6)) == [0] * 6


def test_jobs_that_come_every_few_minutes_are_usual() -> None:
    draw = np.random.default_rng(4)
    values = draw.normal(3, 1, 3 * 3600)
    for begin in range(100, len(values) - 60, 300):
        values[begin : begin + int(draw.integers(5, 40))] += draw.uniform(30, 60)

    assert begun(values[:, None], np.array([4.0])) == [0]


def test_a_recorded_host_at_work_is_usual() -> None:
    told = json.loads(gzip.decompress(AT_WORK.read_bytes()))
    length = len(told["cpu_pct"])
    known = {series.name: told.get(series.name, [None] * length) for series in SERIES}
    series = np.array(list(known.values()), np.float64).T

    assert length > SPEAKS_S + 900
    assert begun(series, np.array([each.unit for each in SERIES])) == [0] * len(SERIES)


def test_the_rule_finds_what_the_facts_call_unusual() -> None:
    far = Unusual(id="U1", series="net_tx_bytes_per_s", value=9e7, typical=1e6, spread=2e5, score=445.0)
    near = Unusual(id="U2", series="cpu_pct", value=60.0, typical=20.0, spread=4.0, score=10.0)
    bodies = [encode(facts(0)), encode(facts(1, unusual=(near, far)))]
    (_, before), (_, (finding,)) = replay.judged(bodies, [rule for rule in defaults() if rule.name == "unusual"])

    assert before == ()
    assert (finding.cls, finding.severity, finding.process) == ("unknown", "info", None)
    assert finding.evidence == {
        "spreads": 445.0,
        "threshold": 6.0,
        "net_tx_bytes_per_s": 9e7,
        "typical": 1e6,
        "series": 2.0,
    }
    assert finding.message == ("net_tx_bytes_per_s is 9e+07, 445 spreads above the 1e+06 that is typical of this host")
