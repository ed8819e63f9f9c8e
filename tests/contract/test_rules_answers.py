"""What rules add to answers: labels and runbook on alerts, and in /status which are in use. Nothing else moves."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from test_original_shapes import frames
from world import Proc, S, World

from linnix.cognitod.api import wire
from linnix.cognitod.api.app import build
from linnix.cognitod.detect.rules import Sources, parse
from linnix.cognitod.rulebook import Rulebook

HOG = """
- {name: hog, detector: cpu_pct, threshold: 80, duration: 5, severity: high, SCOPE
   labels: {team: db, tier: "1"}, runbook: Look at pg_stat_activity.}
"""
#: The fields of an alert before rules had labels, in the order in which they were sent.
BEFORE = ["rule", "severity", "message", "host", "id", "timestamp", "pid", "start_ns", "comm", "class", "evidence",
          "cgroup", "unit", "container", "k8s"]  # fmt: skip
AFTER = ["labels", "runbook", "state", "resolved_at", "explanation"]


def watched(scope: str = "") -> World:
    world = World()
    world.pipeline.use_rules(parse(HOG.replace("SCOPE", scope)))
    run(world)
    return world


def run(world: World) -> None:
    for second in range(1, 12):
        hog = Proc(66, b"hog", cpu_ns=int(second * 0.99 * S), state=b"R", cgroup_id=7)
        world.sample(Proc(1, b"init", ppid=0), hog)


def test_an_alert_has_the_labels_and_the_runbook_of_its_rule_after_all_it_had() -> None:
    world = watched()
    (alert,) = world.get("/alerts", headers={"Accept": "application/json"}).json()
    assert list(alert) == [*BEFORE, *AFTER]
    assert (alert["labels"], alert["runbook"]) == ({"team": "db", "tier": "1"}, "Look at pg_stat_activity.")
    (past,) = world.get("/timeline").json()
    assert (past["labels"], past["runbook"]) == (alert["labels"], alert["runbook"])
    assert list(past)[-len(AFTER) :] == AFTER


def test_a_streamed_alert_has_them_too() -> None:
    world = World()
    world.pipeline.use_rules(parse(HOG.replace("SCOPE", "")))
    ((_, alert),) = frames("\n\n".join(world.listen("/alerts", lambda: run(world), 2)))
    assert (list(alert), alert["labels"]["team"]) == ([*BEFORE, *AFTER], "db")


def test_a_rule_without_them_sends_an_empty_object_and_null() -> None:
    world = World()
    world.pipeline.use_rules(parse("- {name: hog, detector: cpu_pct, threshold: 80, duration: 5, severity: low}"))
    run(world)
    (alert,) = world.get("/timeline").json()
    assert (alert["labels"], alert["runbook"]) == ({}, None)


def test_a_scope_looks_up_where_a_process_lives_in_the_pipeline() -> None:
    told = {
        scope: len(watched(f"scope: {scope},").get("/timeline").json())
        for scope in ("{unit: app.service}", "{unit: '*.scope'}", "{cgroup: '/system.slice/*'}", "{uid: 1000}",
                      "{uid: 0}", "{pod: '*'}", "{comm: 'h?g'}")
    }  # fmt: skip
    assert [scope for scope, count in told.items() if count] == [
        "{unit: app.service}",
        "{cgroup: '/system.slice/*'}",
        "{uid: 1000}",
        "{comm: 'h?g'}",
    ]


def test_status_says_which_rules_are_in_use_and_why_not_others(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(HOG.replace("SCOPE", ""))
    world = World()
    book = Rulebook(Sources(path, tmp_path / "rules.d"), wall=lambda: 1234.5)
    world.pipeline.use_rules(book.rules)
    world.apps = build(world.pipeline, world.config, closing=world.closing, registry=world.registry, rules=book)

    told = world.get("/status").json()
    assert list(told)[-2:] == ["rules", "checked"]
    assert (told["rules"], told["active_rules"]) == (
        {"count": 1, "files": [str(path)], "loaded_at": 1234.5, "error": None, "ignored": []},
        1,
    )
    path.write_text("- {name: hog}")
    assert not book.reload()
    told = world.get("/status").json()["rules"]
    assert told["count"] == 1
    assert told["error"].startswith(f"{path}:1: rule 'hog': detector: missing; one of forks_per_sec")


def test_fields_that_were_sent_before_keep_their_names_and_their_order() -> None:
    sent = [field.encode_name for field in msgspec.structs.fields(wire.Alert)]
    assert sent[: len(BEFORE)] == BEFORE
    assert json.loads(wire.encode(wire.RulesInUse(1, [], None, None, []))) == {
        "count": 1,
        "files": [],
        "loaded_at": None,
        "error": None,
        "ignored": [],
    }
