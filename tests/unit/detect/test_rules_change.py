"""Other rules under a running engine: what stays the same goes on, what changed begins anew."""

from __future__ import annotations

import numpy as np
import pytest
from detect_world import World

from linnix.cognitod.detect import Alerts
from linnix.cognitod.detect.recent import FORK, Ring
from linnix.cognitod.detect.rules import parse

HOG = "- {name: hog, detector: cpu_pct, threshold: 80, duration: 10, severity: medium, keep_firing: 10}"
OTHER = "- {name: other, detector: fork_burst, threshold: 30, window_seconds: 5}"


def first_found(change_to: str, rules: str = HOG) -> int:
    """In which second a busy process is found, when the rules change after five."""
    w = World(rules)
    w.process(300, "busy", cpu=99)
    for second in range(1, 60):
        if second == 5:
            w.engine.use(parse(change_to))
        if w.step().last:
            return second
    return 0


@pytest.mark.parametrize(
    ("change_to", "second"),
    [
        (HOG, 11),
        (HOG + "\n" + OTHER, 11),
        (OTHER + "\n" + HOG, 11),
        (HOG.replace("medium", "high, labels: {a: b}, runbook: x, cooldown: 5"), 11),
        (HOG.replace("threshold: 80", "threshold: 70"), 15),
        (HOG.replace("name: hog", "name: pig"), 15),
        (HOG.replace("severity: medium", "scope: {comm: busy}"), 15),
        (HOG.replace("severity: medium", "for: 2"), 17),
        (OTHER, 0),
    ],
)
def test_timers_run_on_where_the_rule_judges_as_before(change_to: str, second: int) -> None:
    assert first_found(change_to) == second


def test_the_time_a_condition_must_hold_runs_on_too() -> None:
    rules = HOG.replace("duration: 10", "duration: 0").replace("medium", "medium, for: 10")
    assert first_found(rules + "\n" + OTHER, rules) == 11


def test_open_findings_of_rules_that_stay_are_open_and_speak_as_the_rule_does_now() -> None:
    w = World(HOG + "\n" + HOG.replace("name: hog", "name: gone"))
    w.process(300, "busy", cpu=99)
    w.step(times=12)
    since = {f.rule: f.ts_ns for f in w.engine.open_findings(w.now_ns)}
    w.engine.use(parse(HOG.replace("medium", "high, labels: {team: db}, runbook: Look.")))
    (finding,) = w.engine.open_findings(w.now_ns)
    assert (finding.rule, finding.severity, finding.labels, finding.runbook, finding.ts_ns) == (
        "hog",
        "high",
        {"team": "db"},
        "Look.",
        since["hog"],
    )


def test_forks_before_the_change_count_for_the_rules_after_it() -> None:
    w = World(OTHER)
    w.fork(w.process(300, "sh"), 25)
    w.step()
    w.engine.use(parse(OTHER.replace("30", "20")))
    assert [f.pid for f in w.step(0.5).last] == [300]


def test_a_threshold_beyond_what_was_kept_gets_room_and_keeps_what_there_is() -> None:
    w = World(OTHER)
    shell = w.process(300, "sh")
    for _ in range(32):
        w.fork(shell, 2048)
    w.step()
    w.engine.use(parse("- {name: flood, detector: fork_burst, threshold: 80000, window_seconds: 60}"))
    assert w.step().last == []
    for _ in range(8):
        w.fork(shell, 2048)
    assert [(f.rule, f.evidence["forks"]) for f in w.step().last] == [("flood", 81_920.0)]


def test_a_ring_that_grows_holds_the_same_in_the_same_order() -> None:
    for count in (3, 4, 6, 9):
        ring = Ring(FORK, 4)
        records = np.zeros(count, FORK)
        records["ts_ns"] = np.arange(1, count + 1)
        for at in range(count):
            ring.extend(records[at : at + 1])
        larger = ring.grown(6)
        assert sorted(larger.since(0)["ts_ns"]) == sorted(ring.since(0)["ts_ns"])
        larger.extend(records[:3])
        kept = [*range(max(1, count - 3), count + 1)][-3:] if count >= 3 else []
        assert sorted(larger.since(0)["ts_ns"])[-1] == count
        assert set(kept) <= set(larger.since(0)["ts_ns"].tolist())
        assert ring.grown(2) is ring


def test_nobody_is_reported_again_because_rules_were_loaded_anew() -> None:
    w = World(HOG.replace("duration: 10", "duration: 0"))
    alerts = Alerts(w.engine.rules, "box")
    w.process(300, "busy", cpu=99)
    told = []
    for second in range(1, 70):
        if second == 5:
            changed = parse(HOG.replace("duration: 10", "duration: 0").replace("threshold: 80", "threshold: 81"))
            w.engine.use(changed)
            alerts.use(changed)
        told += [(second, alert.id, alert.state) for alert in w.judge(alerts)]
    assert told == [(1, "alert-1", "firing")]


def test_a_new_cooldown_counts_from_the_next_alert() -> None:
    hog = HOG.replace("duration: 10", "duration: 0").replace("keep_firing: 10", "keep_firing: 0.5")
    w = World(hog)
    alerts = Alerts(parse(hog), "box")
    busy = w.process(300, "busy")
    alerts.use(parse(hog.replace("medium", "medium, cooldown: 5")))
    told = []
    for second in range(1, 18):
        busy["cpu_pct"] = 99.0 if second % 4 == 1 else 0.0
        told += [(second, alert.id) for alert in w.judge(alerts) if alert.state == "firing"]
    assert told == [(1, "alert-1"), (9, "alert-2"), (17, "alert-3")]


def test_labels_and_runbook_of_a_rule_are_on_its_findings() -> None:
    w = World(HOG.replace("medium", "medium, labels: {team: db}, runbook: Look."))
    w.process(300, "busy", cpu=99)
    w.step(times=12)
    assert (w.last[0].labels, w.last[0].runbook) == ({"team": "db"}, "Look.")
