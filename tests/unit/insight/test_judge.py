"""Which class and which culprit the rules hold for the likeliest."""

from __future__ import annotations

from typing import Any

import pytest
from hosts import GB, HOSTS, MB, NOW, facts, process

from linnix.insight import judge, menu, rules_text
from linnix.insight.facts import Facts, Finding, Trend


def choice(host: Facts) -> list[tuple[str, str | None, str]]:
    return [(s.cls, s.process.id if s.process else None, s.severity) for s in judge.candidates(host)]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("spin", [("cpu_spin", "P1", "medium")]),
        ("spin before any rule", [("cpu_spin", "P1", "low")]),
        (
            "saturation by two",
            [
                ("cpu_spin", "P1", "medium"),
                ("cpu_spin", "P2", "medium"),
                ("cpu_saturation", "P1", "medium"),
                ("cpu_saturation", "P2", "medium"),
            ],
        ),
        (
            "saturation by a group",
            [
                ("cpu_saturation", "P1", "medium"),
                ("cpu_saturation", "P2", "medium"),
                ("cpu_saturation", "P3", "medium"),
                ("cpu_saturation", "P4", "medium"),
            ],
        ),
        ("fork storm", [("fork_storm", "P1", "high")]),
        ("short jobs", [("short_job_flood", "P1", "medium")]),
        ("memory leak", [("mem_leak", "P1", "medium")]),
        (
            "out of memory soon",
            [
                ("oom_risk", "P1", "medium"),
                ("oom_risk", "P2", "medium"),
                ("oom_risk", "P3", "medium"),
                ("oom_risk", "P4", "medium"),
            ],
        ),
        ("swap thrash", [("swap_thrash", "P1", "high"), ("oom_risk", "P1", "high")]),
        ("storage, nobody named", [("io_saturation", None, "medium")]),
        ("storage, blamed", [("io_saturation", "P1", "low")]),
        ("noisy neighbour", [("noisy_neighbour", "P1", "medium")]),
        ("crash loop", [("crash_loop", "P1", "high")]),
        ("psi of an unknown cause", [("unknown", "P8", "low")]),
        ("disk full, no process", [("disk_full", None, "high")]),
        ("normal", [("normal", "P8", "info")]),
        ("idle", [("normal", "P1", "info")]),
        ("nothing listed", [("normal", None, "info")]),
        ("own busiest", [("cpu_saturation", "P1", "low")]),
        ("own beside another", [("cpu_spin", "P2", "medium"), ("cpu_saturation", "P2", "medium")]),
        ("degraded", [("cpu_spin", "P1", "low")]),
        (
            "hostile names",
            [
                ("cpu_spin", "P1", "medium"),
                ("cpu_spin", "P2", "medium"),
                ("cpu_saturation", "P1", "medium"),
                ("cpu_saturation", "P2", "medium"),
            ],
        ),
        ("two findings", [("cpu_spin", "P1", "medium")]),
    ],
)
def test_the_candidates_of_a_host_in_trouble(host: str, expected: list[tuple[str, str | None, str]]) -> None:
    assert choice(HOSTS[host]) == expected


def test_every_hand_made_host_is_in_the_table_above() -> None:
    marks: Any = getattr(test_the_candidates_of_a_host_in_trouble, "pytestmark")  # noqa: B009
    assert {case[0] for case in marks[0].args[1]} == set(HOSTS)


def test_a_detector_s_suspect_is_not_joined_by_mere_measurements() -> None:
    host = facts(
        process(1, "leaky", rss_bytes=GB, mem_pct=12.0, rss_delta_bytes=100 * MB),
        process(2, "sh", cpu_pct=100.0),
        findings=(Finding(id="F1", cls="mem_leak", severity="medium", rule="growth", process="P1", since=NOW - 40),),
    )
    assert choice(host) == [("mem_leak", "P1", "medium")]
    assert "The busiest process is sh (pid 1002) with 100 % of one core." in rules_text.explain(host).text


def test_a_finding_without_a_process_gets_the_culprit_that_the_measurements_name() -> None:
    found = Finding(id="F1", cls="cpu_saturation", severity="low", rule="cpu_pressure", since=NOW - 40)
    host = facts(
        process(1, "a", cpu_pct=140.0), process(2, "b", cpu_pct=30.0), host={"cpu_pct": 90.0}, findings=(found,)
    )
    assert choice(host) == [("cpu_saturation", "P1", "low")]


def test_a_storm_explains_the_full_cores_of_its_own_children_but_not_those_of_a_stranger() -> None:
    storm = Finding(id="F1", cls="fork_storm", severity="medium", rule="fork_storm", process="P1", since=NOW - 9)
    child = Finding(id="F2", cls="cpu_spin", severity="medium", rule="cpu", process="P2", since=NOW - 9)
    stranger = Finding(id="F3", cls="cpu_spin", severity="medium", rule="cpu", process="P3", since=NOW - 9)
    host = facts(
        process(1, "bash", forks_per_s=300.0),
        process(2, "worker", ppid=1001, cpu_pct=90.0),
        process(3, "xz", cpu_pct=99.0),
        activity={"forks_per_s": 310.0},
        findings=(storm, child, stranger),
    )
    assert choice(host) == [("fork_storm", "P1", "medium"), ("cpu_spin", "P3", "medium")]


def test_growth_that_no_detector_has_watched_is_no_leak() -> None:
    grown = process(1, "loader", rss_bytes=2 * GB, rss_delta_bytes=GB, mem_pct=25.0)
    trend = Trend(id="T1", metric="rss", direction="rising", delta=float(GB), window_s=60.0, process="P1")
    assert choice(facts(grown, trends=(trend,))) == [("normal", "P1", "info")]


def test_a_finding_of_severity_info_leaves_a_host_normal() -> None:
    found = Finding(id="F1", cls="cpu_spin", severity="info", rule="r", process="P8", since=NOW)
    assert choice(facts(HOSTS["normal"].processes[0], findings=(found,))) == [("normal", "P8", "info")]


def test_a_tree_that_fills_the_cores_is_told_by_its_sum_and_not_by_its_idle_head() -> None:
    found = Finding(
        id="F1",
        cls="cpu_saturation",
        severity="low",
        rule="cpu_full",
        process="P1",
        since=NOW - 60,
        evidence={"share_pct": 91.0},
    )
    host = facts(
        process(1, "make", cpu_pct=0.4),
        process(2, "cc1", ppid=1001, cpu_pct=70.0),
        host={"cpu_pct": 70.0},
        findings=(found,),
    )
    text = rules_text.explain(host).text
    assert text.startswith("make (pid 1001) and the processes below it take 91.0 % of all CPU time in use.")
    assert "The busiest process is cc1 (pid 1002) with 70.0 % of one core." in text


def test_a_group_is_told_with_its_sum_before_its_busiest_member() -> None:
    assert rules_text.explain(HOSTS["out of memory soon"]).short == (
        "Four VfsLoader processes hold 47.2 % of memory together; the largest is VfsLoader (pid 1001) with 940 MB."
    )


def test_a_short_menu_offers_each_class_with_its_first_culprit_only() -> None:
    assert [(c.cls, c.process) for c in menu.build(HOSTS["saturation by two"], short=True)] == [
        ("cpu_spin", "P1"),
        ("cpu_saturation", "P1"),
    ]
