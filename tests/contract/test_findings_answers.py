"""`/findings`: what is wrong, first things first; and that alerts, their end and /facts say the same."""

from __future__ import annotations

from typing import Any

import pytest
from test_original_shapes import frames
from world import Proc, S, World

from linnix.cognitod.api.findings import finding_id, tell, unit
from linnix.cognitod.detect.causes import Cause
from linnix.cognitod.detect.rules import parse
from linnix.cognitod.model import Finding, Home

RULES = """
- {name: hog, detector: cpu_pct, threshold: 50, duration: 3, severity: high, keep_firing: 2, labels: {team: db},
   runbook: Look at it.}
- {name: waiting, detector: system_psi_cpu, threshold_pct: 20, duration: 2, severity: medium, keep_firing: 2}
- {name: busy, detector: cpu_pct, threshold: 10, duration: 1}
"""
FIELDS = ["id", "class", "severity", "score", "process", "resource", "since", "victims", "evidence", "explains",
          "rule", "message", "labels", "runbook"]  # fmt: skip


def world() -> World:
    made = World()
    made.pipeline.use_rules(parse(RULES))
    return made


def spin(made: World, seconds: int, cpu: float = 0.99, **totals: Any) -> None:
    for _ in range(seconds):
        made.used_s = getattr(made, "used_s", 0.0) + cpu  # type: ignore[attr-defined]
        hog = Proc(66, b"ho\x1b[31mg", cpu_ns=int(made.used_s * S), cgroup_id=7)  # type: ignore[attr-defined]
        made.sample(Proc(1, b"init", ppid=0), hog, **totals)


def test_nothing_wrong_is_an_empty_array_and_status_says_what_was_looked_at() -> None:
    made = world()
    assert made.get("/findings").status_code == 503
    spin(made, 2, cpu=0.0)
    assert made.get("/findings").json() == []
    assert made.get("/status").json()["checked"] == {
        "rules": 3,
        "detectors": 2,
        "processes": 2,
        "judged_at": 1_764_000_002.0,
        "resources": ["cpu", "memory", "io", "processes"],
        "blame": [],
    }


def test_the_cause_comes_first_with_its_evidence_and_what_it_explains() -> None:
    made = world()
    spin(made, 6, psi_cpu_some_avg10=40.0)
    first, second = made.get("/findings").json()
    assert list(first) == FIELDS
    assert first == {
        "id": finding_id("cpu_spin:66:1066"),
        "class": "cpu_spin",
        "severity": "high",
        "score": first["score"],
        "process": {
            "pid": 66,
            "start_ns": 1066,
            "comm": "ho\x1b[31mg",
            "unit": "app.service",
            "cgroup": "/system.slice/app.service",
        },
        "resource": "cpu",
        "since": 1_764_000_002.0,
        "victims": [],
        "evidence": [
            {"id": "E1", "fact": "cpu_pct", "value": 99.0, "unit": "percent of one core", "threshold": 50.0},
            {"id": "E2", "fact": "threads", "value": 1.0, "unit": "count", "threshold": None},
            {"id": "E3", "fact": "for_s", "value": 4.0, "unit": "seconds", "threshold": None},
        ],
        "explains": [second["id"]],
        "rule": "hog",
        "message": "pid 66 uses 99 % of a core, above 50 % for 4 s",
        "labels": {"team": "db"},
        "runbook": "Look at it.",
    }
    assert (second["class"], second["process"], second["explains"]) == ("cpu_saturation", None, [])
    assert [each["id"] for each in second["evidence"]] == ["E4", "E5", "E6", "E7", "E8"]
    assert 0 < second["score"] < first["score"] < 1


def test_a_finding_keeps_its_id_as_long_as_it_lasts() -> None:
    made = world()
    ids = set()
    for _ in range(4):
        spin(made, 3)
        ids |= {each["id"] for each in made.get("/findings").json()}
    assert ids == {finding_id("cpu_spin:66:1066")}


def test_facts_tell_the_same_in_the_same_order() -> None:
    made = world()
    spin(made, 6, psi_cpu_some_avg10=40.0)
    found, facts = made.get("/findings").json(), made.get("/facts").json()
    names = {process["id"]: process["pid"] for process in facts["processes"]}
    assert [(f["id"], f["class"], f["score"], f["resource"], names.get(f["process"])) for f in facts["findings"]] == [
        ("F1", found[0]["class"], found[0]["score"], "cpu", 66),
        ("F2", found[1]["class"], found[1]["score"], "cpu", None),
    ]
    assert facts["findings"][0]["explains"] == ["F2"]


def test_the_cause_is_one_alert_until_it_is_over_and_its_symptom_is_none() -> None:
    made = world()

    def happens() -> None:
        spin(made, 30, psi_cpu_some_avg10=40.0)
        spin(made, 20, cpu=0.0)

    told = frames("\n\n".join(made.listen("/alerts", happens, 3)))
    assert [(name, each["id"], each["rule"], each["state"], each["resolved_at"]) for name, each in told] == [
        ("alert", "alert-1", "hog", "firing", None),
        ("resolved", "alert-1", "hog", "resolved", 1_764_000_033),
    ]
    (past,) = made.get("/timeline").json()
    assert past == {**told[1][1], "severity": "high"}
    assert made.get("/alerts", headers={"Accept": "application/json"}).json() == []


def test_what_is_worth_knowing_is_found_but_raises_no_alert() -> None:
    made = world()
    spin(made, 6, cpu=0.3)
    assert [(each["class"], each["severity"]) for each in made.get("/findings").json()] == [("cpu_spin", "info")]
    assert made.get("/timeline").json() == []


def test_units_are_told_by_the_end_of_a_name() -> None:
    facts = ("forks", "forks_per_s", "growth_bytes", "growth_bytes_per_s", "for_s", "exhausted_in_s", "psi_pct",
             "top_pid", "median_lifetime_ms", "subtree_cpu_pct", "wanted_cpu_pct", "anonymous_mib_per_s",
             "tx_mb_per_s")  # fmt: skip
    assert [unit(fact) for fact in facts] == [
        "count",
        "per second",
        "bytes",
        "bytes per second",
        "seconds",
        "seconds",
        "percent",
        "pid",
        "milliseconds",
        "percent of one core",
        "percent of one core",
        "MiB per second",
        "MB per second",
    ]


@pytest.mark.parametrize(
    ("first", "said"),
    [("tx_mb_per_s", "MB per second"), ("tx_calls_per_s", "per second"), ("connects_per_s", "per second")],
)
def test_what_the_first_number_is_compared_with_is_an_amount_of_the_same(first: str, said: str) -> None:
    evidence = {first: 90.0, "threshold": 50.0, "received": 1.5, "next_process": 0.0, "for_s": 6.0}
    found = Finding(
        rule="flood", cls="net_flood", severity="medium", message="", key="flood:5:1", ts_ns=0, timestamp=0.0,
        evidence=evidence,
    )  # fmt: skip
    cause = Cause(key="net_flood:5:1", finding=found, resource="network", since=0.0, score=0.5)
    (told,) = tell([cause], lambda *_: (None, Home()))
    assert [(each.fact, each.value, each.unit, each.threshold) for each in told.evidence] == [
        (first, 90.0, said, 50.0),
        ("received", 1.5, said, None),
        ("next_process", 0.0, said, None),
        ("for_s", 6.0, "seconds", None),
    ]
