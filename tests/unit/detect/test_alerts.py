"""When an alert begins, when it ends, and of what there is none."""

from __future__ import annotations

from dataclasses import replace

from detect_world import EPOCH, S, World
from test_causes import around, process

from linnix.cognitod.detect import Alerts
from linnix.cognitod.detect.causes import Cause, rank
from linnix.cognitod.detect.rules import parse
from linnix.cognitod.model import Alert, Finding

CHAIN = (("mem_leak", 300), ("swap_thrash", 300), ("io_saturation", 301))
CPU = "- {name: hog, detector: cpu_pct, threshold: 80, duration: 5, severity: medium, cooldown: 30, keep_firing: 2}"


def finding(cls: str, pid: int | None = None, severity: str = "medium", rule: str = "", second: int = 0) -> Finding:
    key = f"{rule or cls}:{pid or 'host'}"
    return Finding(
        rule=rule or cls, cls=cls, severity=severity, message="", key=key, ts_ns=second * S, timestamp=EPOCH + second,
        pid=pid, start_ns=None if pid is None else 1000 + pid,
    )  # fmt: skip


def observe(gate: Alerts, second: int, *found: Finding) -> list[tuple[str, str, str, int | None]]:
    """One step at which all of this is found."""
    changed = gate.observe(rank(found, None), {one.key for one in found}, second * S)
    return [(alert.state, alert.id, alert.finding.cls, alert.finding.pid) for alert in changed]


def watch(w: World, gate: Alerts, seconds: int) -> list[tuple[int, Alert]]:
    """So many seconds, and the alerts that began or ended in them."""
    return [(at, alert) for at in range(1, seconds + 1) for alert in w.judge(gate)]


def test_an_alert_is_told_once_while_it_lasts_and_once_when_it_is_over() -> None:
    w = World(CPU)
    gate = Alerts(w.engine.rules, "box")
    busy = w.process(300, "busy", cpu=99)
    ((began_at, began),) = watch(w, gate, 60)
    busy["cpu_pct"] = 0.0
    ((ended_at, ended),) = watch(w, gate, 10)
    assert (began_at, began.state, began.timestamp) == (6, "firing", EPOCH + 1006)
    assert (ended_at, ended) == (3, replace(began, state="resolved", resolved_at=EPOCH + 1063))


def test_a_cause_that_comes_back_is_told_again_only_past_the_cooldown_of_its_rule() -> None:
    w = World(CPU)
    gate = Alerts(w.engine.rules, "box")
    busy = w.process(300, "busy")
    told = []
    for second in range(1, 50):
        busy["cpu_pct"] = 0.0 if second % 12 >= 9 else 99.0
        told += [(second, alert.id, alert.state) for alert in w.judge(gate)]
    assert told == [
        (6, "alert-1", "firing"),
        (11, "alert-1", "resolved"),
        (41, "alert-2", "firing"),
        (47, "alert-2", "resolved"),
    ]


def test_alerts_of_one_offender_do_not_silence_another() -> None:
    w = World(CPU)
    gate = Alerts(w.engine.rules, "box")
    w.process(300, "busy", cpu=99)
    told = watch(w, gate, 10)
    w.process(301, "later", cpu=99)
    told += watch(w, gate, 10)
    assert [(alert.id, alert.finding.comm, alert.host) for _, alert in told] == [
        ("alert-1", "busy", "box"),
        ("alert-2", "later", "box"),
    ]


def test_a_reused_pid_is_another_offender() -> None:
    w = World("- {name: hog, detector: cpu_pct, threshold: 80, duration: 0, severity: low, cooldown: 600}")
    gate = Alerts(w.engine.rules, "box")
    first = w.process(300, "first", cpu=99)
    told = w.judge(gate)
    w.gone(first)
    w.process(300, "second", cpu=99, start_ns=first["start_ns"] + 1)
    told += w.judge(gate)
    assert [(alert.id, alert.finding.comm, alert.state) for alert in told] == [
        ("alert-1", "first", "firing"),
        ("alert-1", "first", "resolved"),
        ("alert-2", "second", "firing"),
    ]


def test_what_is_only_worth_knowing_raises_none() -> None:
    assert observe(Alerts([], "box"), 1, finding("cpu_saturation", 300, "info")) == []


def test_a_symptom_raises_none_nor_does_it_when_its_cause_has_just_ended() -> None:
    gate = Alerts([], "box")
    leak, risk = finding("mem_leak", 300), finding("oom_risk")
    assert observe(gate, 1, leak, risk) == [("firing", "alert-1", "mem_leak", 300)]
    assert observe(gate, 20, leak, risk) == []
    assert observe(gate, 21, risk) == [("resolved", "alert-1", "mem_leak", 300)]
    assert observe(gate, 50, risk) == []
    assert observe(gate, 51, risk) == [("firing", "alert-2", "oom_risk", None)]


def test_what_names_nobody_waits_a_moment_for_a_cause_that_does() -> None:
    gate = Alerts([], "box")
    pressure, hog = finding("cpu_saturation"), finding("cpu_spin", 300, "low")
    assert [observe(gate, second, pressure) for second in (1, 5)] == [[], []]
    assert observe(gate, 6, pressure, hog) == [("firing", "alert-1", "cpu_spin", 300)]
    other = Alerts([], "box")
    assert [observe(other, second, pressure) for second in (1, 5)] == [[], []]
    assert observe(other, 6, pressure) == [("firing", "alert-1", "cpu_saturation", None)]


def test_what_grows_graver_is_told_anew_and_the_alert_before_is_over() -> None:
    gate = Alerts([], "box")
    slow, fast = finding("mem_leak", 300, "low", "grows"), finding("mem_leak", 300, "high", "runs_out")
    assert observe(gate, 1, slow) == [("firing", "alert-1", "mem_leak", 300)]
    assert observe(gate, 2, slow, fast) == [
        ("resolved", "alert-1", "mem_leak", 300),
        ("firing", "alert-2", "mem_leak", 300),
    ]
    assert observe(gate, 3, slow) == []
    assert observe(gate, 4) == [("resolved", "alert-2", "mem_leak", 300)]


def test_who_grows_graver_by_the_same_rule_is_told_anew_in_spite_of_its_cooldown() -> None:
    gate = Alerts([], "box")
    assert observe(gate, 1, finding("swap_thrash", 300)) == [("firing", "alert-1", "swap_thrash", 300)]
    assert observe(gate, 2, finding("swap_thrash", 300, "high")) == [
        ("resolved", "alert-1", "swap_thrash", 300),
        ("firing", "alert-2", "swap_thrash", 300),
    ]
    assert observe(gate, 3, finding("swap_thrash", 300)) == []
    assert observe(gate, 4, finding("swap_thrash", 300, "high")) == []


def test_what_was_told_before_its_cause_was_found_is_over_when_that_is_told() -> None:
    gate = Alerts([], "box")
    leak, risk = finding("mem_leak", 300), finding("oom_risk", 300)
    assert observe(gate, 1, risk) == [("firing", "alert-1", "oom_risk", 300)]
    assert observe(gate, 2, risk, leak) == [("firing", "alert-2", "mem_leak", 300)]
    assert observe(gate, 6, risk, leak) == []
    assert observe(gate, 7, risk, leak) == [("resolved", "alert-1", "oom_risk", 300)]
    assert observe(gate, 8, risk) == [("resolved", "alert-2", "mem_leak", 300)]
    assert observe(gate, 37, risk) == []
    assert observe(gate, 38, risk) == [("firing", "alert-3", "oom_risk", 300)]


def test_who_is_accounted_for_only_for_a_moment_keeps_its_alert() -> None:
    gate = Alerts([], "box")
    leak, risk = finding("mem_leak", 300), finding("oom_risk", 300)
    assert observe(gate, 1, risk) == [("firing", "alert-1", "oom_risk", 300)]
    assert observe(gate, 2, risk, leak) == [("firing", "alert-2", "mem_leak", 300)]
    assert observe(gate, 4, risk) == [("resolved", "alert-2", "mem_leak", 300)]
    assert observe(gate, 60, risk) == []


def test_symptoms_of_symptoms_are_no_news_either_when_the_cause_has_ended() -> None:
    gate = Alerts([], "box")
    leak, risk, slow = (rank([finding(cls, pid)], None)[0] for cls, pid in CHAIN)
    chain = (
        replace(leak, explains=(risk.key,)),
        replace(risk, explains=(slow.key,), explained_by=leak.key),
        replace(slow, explained_by=risk.key),
    )
    found = {cause.finding.key for cause in chain}
    assert [alert.finding.cls for alert in gate.observe(chain, found, S)] == ["mem_leak"]
    assert [alert.state for alert in gate.observe((slow,), found, 2 * S)] == ["resolved"]
    assert gate.observe((slow,), found, 31 * S) == []
    assert [alert.finding.cls for alert in gate.observe((slow,), found, 32 * S)] == ["io_saturation"]


def test_a_class_that_says_more_takes_over_and_what_remains_of_it_is_no_news() -> None:
    gate = Alerts([], "box")
    jobs, crash = finding("short_job_flood", 300), finding("crash_loop", 300)
    assert observe(gate, 1, jobs) == [("firing", "alert-1", "short_job_flood", 300)]
    assert observe(gate, 2, jobs, crash) == [
        ("resolved", "alert-1", "short_job_flood", 300),
        ("firing", "alert-2", "crash_loop", 300),
    ]
    assert observe(gate, 3, jobs) == []
    assert observe(gate, 4) == [("resolved", "alert-2", "crash_loop", 300)]


def test_another_of_a_pool_that_speaks_for_the_same_fault_is_no_news() -> None:
    pool = around(process(200, "pool"), *(process(pid, "work", 200) for pid in (300, 301, 302)))
    one, two, three = (finding("mem_leak", pid, second=second) for pid, second in ((300, 9), (301, 8), (302, 7)))
    gate = Alerts([], "box")

    def at(second: int, *found: Finding) -> list[tuple[str, int | None]]:
        changed = gate.observe(rank(found, pool), {each.key for each in found}, second * S)
        return [(alert.state, alert.finding.pid) for alert in changed]

    assert at(1, one) == [("firing", 300)]
    assert at(2, one, two) == []  # the older one speaks
    assert at(3, two, three) == []
    assert at(4, three) == []
    assert at(5) == [("resolved", 300)]


def test_what_is_open_only_because_it_was_so_begins_no_alert() -> None:
    gate = Alerts(parse(CPU), "box")
    causes: tuple[Cause, ...] = rank([finding("cpu_spin", 300)], None)
    assert gate.observe(causes, set(), S) == []
    assert len(gate.observe(causes, {"cpu_spin:300"}, S)) == 1
