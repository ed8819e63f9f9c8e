"""Memory is used up, or nearly: by whom."""

from __future__ import annotations

import pytest
from seconds import MIB, Seconds

from linnix.cognitod.detect.causes import rank
from linnix.insight.facts import Job, OomKill

RULES = """
- {name: risk, detector: oom_risk, threshold_pct: 8, duration: 3, severity: high}
- {name: kill, detector: oom_kill, threshold: 1, window_seconds: 60, severity: high}
- {name: thrash, detector: swap_thrash, threshold_pct: 10, duration: 4, severity: high}
"""


def test_a_host_that_is_nearly_full_names_who_holds_most() -> None:
    w = Seconds(RULES)
    w.host["mem_available_bytes"] = 400 * MIB
    w.runs(300, "warehouse", rss_anon_bytes=6000 * MIB)
    w.runs(301, "api", rss_anon_bytes=900 * MIB)
    w.seconds(4)
    assert w.alarms == {("risk", "high", 300)}
    (finding,) = w.last
    assert finding.evidence == {
        "available_pct": 4.9,
        "threshold": 8.0,
        "available_bytes": 400.0 * MIB,
        "held_bytes": 6000.0 * MIB,
        "grows_bytes_per_s": 0.0,
    }


def test_who_grows_is_named_before_who_holds_more() -> None:
    w = Seconds(RULES)
    w.runs(300, "warehouse", rss_anon_bytes=5000 * MIB)
    w.runs(301, "report")
    w.seconds(12, rss_anon_bytes=lambda s: (100 + 20 * s) * MIB)
    w.host["mem_available_bytes"] = 400 * MIB
    w.seconds(4, rss_anon_bytes=lambda s: (340 + 20 * s) * MIB)
    assert w.alarms == {("risk", "high", 301)}


def test_a_helper_that_starts_is_not_named_before_who_holds_all() -> None:
    w = Seconds(RULES)
    w.host["mem_available_bytes"] = 400 * MIB
    w.runs(300, "warehouse", rss_anon_bytes=5000 * MIB)
    w.runs(301, "gzip")
    w.seconds(14, rss_anon_bytes=lambda s: (10 + 2 * s) * MIB)
    assert w.alarms == {("risk", "high", 300)}
    (finding,) = w.last
    assert (finding.evidence["held_bytes"], finding.evidence["grows_bytes_per_s"]) == (5000.0 * MIB, 0.0)
    # With little left even that is what uses it up.
    w.host["mem_available_bytes"] = 100 * MIB
    w.seconds(1, rss_anon_bytes=lambda _: 38 * MIB)
    assert {f.pid for f in w.last} == {301}


def test_of_two_large_ones_in_a_cgroup_who_grows_is_named() -> None:
    w = Seconds(RULES)
    w.runs(300, "java", group="/pod", rss_anon_bytes=900 * MIB, cgroup_memory_pct=93.0)
    w.runs(301, "cache", group="/pod", cgroup_memory_pct=93.0)
    w.seconds(14, rss_anon_bytes=lambda s: (500 + 2 * s) * MIB)
    assert {f.pid for f in w.last} == {301}


def test_a_cgroup_at_its_limit_is_told_of_its_largest() -> None:
    w = Seconds(RULES)
    w.runs(300, "java", group="/pod", rss_anon_bytes=900 * MIB, cgroup_memory_pct=96.0)
    w.runs(301, "sidecar", group="/pod", rss_anon_bytes=20 * MIB, cgroup_memory_pct=96.0)
    w.runs(302, "postgres", group="/db", rss_anon_bytes=4000 * MIB, cgroup_memory_pct=60.0)
    w.seconds(4)
    assert w.alarms == {("risk", "medium", 300)}


@pytest.mark.parametrize(
    ("limit_pct", "used_pct", "evidence"),
    [
        (90, 89.9, None),
        (90, 90.0, {"cgroup_memory_pct": 90.0, "threshold": 90.0}),
        (50, 49.9, None),
        (50, 50.0, {"cgroup_memory_pct": 50.0, "threshold": 50.0}),
        (0, 1.0, {"cgroup_memory_pct": 1.0, "threshold": 0.0}),
        (0, None, None),  # it has no limit
    ],
)
def test_a_limit_is_told_from_where_the_rule_says(
    limit_pct: int, used_pct: float | None, evidence: dict[str, float] | None
) -> None:
    w = Seconds(f"- {{name: risk, detector: oom_risk, threshold_pct: 8, duration: 3, cgroup_pct: {limit_pct}}}")
    w.runs(300, "java", group="/pod", rss_anon_bytes=900 * MIB, cgroup_memory_pct=used_pct)
    w.seconds(4)
    held = {"held_bytes": 900.0 * MIB, "grows_bytes_per_s": 0.0}
    assert [finding.evidence for finding in w.last] == ([] if evidence is None else [evidence | held])


def test_a_kill_is_told_of_who_grew_and_else_of_who_starts_it_again() -> None:
    w = Seconds(RULES)
    w.runs(300, "report", rss_anon_bytes=900 * MIB)
    w.runs(301, "supervise")
    w.kills.append(OomKill(id="K1", pid=250, comm="sshd", age_s=3.0, rss_bytes=20 * MIB, largest="P1", parent="P2"))
    w.seconds(1)
    assert w.alarms == {("kill", "high", 300)}

    w = Seconds(RULES)
    w.runs(301, "supervise")
    w.kills.append(OomKill(id="K1", pid=250, comm="report", age_s=3.0, rss_bytes=20 * MIB, parent="P1"))
    w.seconds(1)
    (finding,) = w.last
    assert finding.evidence == {
        "kills": 1.0,
        "threshold": 1.0,
        "latest_s_ago": 3.0,
        "killed_pid": 250.0,
        "held_bytes": 10.0 * MIB,
    }
    assert w.alarms == {("kill", "high", 301)}


def test_who_was_killed_is_not_named_while_it_dies_if_its_parent_lives() -> None:
    w = Seconds(RULES)
    w.runs(300, "report", 301, rss_anon_bytes=900 * MIB)
    w.runs(301, "supervise")
    w.kills.append(
        OomKill(
            id="K1", pid=300, comm="report", age_s=0.1, rss_bytes=900 * MIB, process="P1", largest="P1", parent="P2"
        )
    )
    w.seconds(1)
    assert w.alarms == {("kill", "high", 301)}


def test_who_starts_the_victim_again_is_named_and_not_what_is_killed_next() -> None:
    w = Seconds(RULES)
    w.runs(300, "supervise")
    child = w.runs(301, "report", 300, rss_anon_bytes=900 * MIB)
    w.kills.append(OomKill(id="K1", pid=250, comm="report", age_s=3.0, rss_bytes=1, largest="P2", parent="P1"))
    w.seconds(1)
    w.gone(child)
    w.seconds(1)
    assert w.alarms == {("kill", "high", 300)}


def test_a_limit_that_is_full_within_a_minute_is_told_and_one_that_was_filled_at_once_is_not() -> None:
    w = Seconds(RULES)
    w.runs(300, "batch", group="/pod")
    w.seconds(
        14,
        rss_anon_bytes=lambda s: (480 + 2 * s) * MIB,
        cgroup_memory_pct=lambda s: 80 + 100 * 2 * s / 600,
    )
    (finding,) = w.last
    assert (finding.pid, finding.severity) == (300, "medium")
    assert finding.evidence == {
        "exhausted_in_s": 47.0,
        "threshold": 60.0,
        "cgroup_memory_pct": 80 + 100 * 26 / 600,
        "held_bytes": 506.0 * MIB,
        "grows_bytes_per_s": 2.0 * MIB,
    }
    assert list(finding.evidence)[:2] == ["exhausted_in_s", "threshold"]

    w = Seconds(RULES)
    w.runs(300, "store", group="/pod")
    w.seconds(10, rss_anon_bytes=lambda s: (10 + 50 * s) * MIB, cgroup_memory_pct=lambda s: 8.5 * (s + 1))
    w.seconds(20, rss_anon_bytes=lambda _: 510 * MIB, cgroup_memory_pct=lambda _: 85.0)
    assert w.alarms == set()


def test_the_fuller_a_limit_that_fills_the_surer_it_is() -> None:
    w = Seconds(RULES)
    row = w.runs(300, "batch", group="/pod")
    scores = list[float]()
    for second in range(60):
        w.tell(row, rss_anon_bytes=(480 + 2 * second) * MIB, cgroup_memory_pct=80 + second / 3)
        w.seconds(1)
        scores += [cause.score for cause in rank(w.last, None)]
    assert (scores[0], scores[-1], len(scores)) == (0.395, 0.525, 47)
    assert scores == sorted(scores)


def test_a_kill_of_what_somebody_s_child_started_is_of_whose_job_it_was() -> None:
    w = Seconds(RULES)
    w.runs(300, "build", group="/ci")
    w.kills.append(OomKill(id="K1", pid=250, comm="cc1", age_s=0.5, rss_bytes=20 * MIB, limit="cgroup"))
    w.jobs = [Job(id="J1", parent="P1", below=True, comm="cc1", ended=1, failed=1, code=-9)]
    w.seconds(1)
    w.jobs = []
    w.seconds(5)
    assert w.alarms == {("kill", "high", 300)}


def test_a_kill_for_the_limit_of_a_cgroup_says_so_and_tells_of_the_latest() -> None:
    w = Seconds(RULES)
    w.runs(301, "supervise", group="/pod")
    w.kills = [
        OomKill(id=f"K{n}", pid=250 - n, comm="report", age_s=age_s, rss_bytes=20 * MIB, parent="P1", limit="cgroup")
        for n, age_s in ((1, 2.0), (2, 30.0))
    ]
    w.seconds(1)
    (finding,) = w.last
    assert finding.evidence == {
        "kills": 2.0,
        "threshold": 1.0,
        "latest_s_ago": 2.0,
        "killed_pid": 249.0,
        "cgroup_limit": 1.0,
        "held_bytes": 10.0 * MIB,
    }


def test_an_old_kill_is_of_the_past_and_one_without_a_culprit_is_of_the_host() -> None:
    w = Seconds(RULES)
    w.kills.append(OomKill(id="K1", pid=250, comm="report", age_s=300.0, rss_bytes=20 * MIB))
    w.seconds(1)
    assert w.alarms == set()
    w.kills[0] = OomKill(id="K1", pid=250, comm="report", age_s=1.0, rss_bytes=20 * MIB)
    w.seconds(1)
    assert w.alarms == {("kill", "high", None)}


def test_memory_that_is_read_again_and_again_is_told_of_who_faults() -> None:
    w = Seconds(RULES)
    w.pressure["memory_some_pct"] = 45.0
    w.totals["refaulted_bytes_per_s"] = 60.0 * MIB
    w.runs(300, "index", major_faults_per_s=900.0)
    w.runs(301, "api", group="/api", major_faults_per_s=4.0)
    w.seconds(5)
    assert w.alarms == {("thrash", "high", 300)}


def test_measured_waits_say_better_who_needs_the_memory() -> None:
    w = Seconds(RULES)
    w.pressure["memory_some_pct"] = 45.0
    w.totals["swap_in_bytes_per_s"] = 60.0 * MIB
    api = w.runs(300, "api", group="/api", major_faults_per_s=900.0)
    hog = w.runs(301, "batch", group="/batch")
    w.waits(api, hog, ms=4000.0, share=0.9, resource="memory")
    w.seconds(5)
    assert w.alarms == {("thrash", "high", 301)}


def test_on_a_fast_disk_nobody_waits_and_what_is_moved_shows_it() -> None:
    w = Seconds(RULES)
    w.totals = {"swap_in_bytes_per_s": 28.0 * MIB, "swap_out_bytes_per_s": 37.0 * MIB}
    w.runs(300, "sort", major_faults_per_s=1500.0)
    w.seconds(6)
    assert w.alarms == {("thrash", "medium", 300)}

    w = Seconds(RULES)
    w.totals = {"refaulted_bytes_per_s": 60.0 * MIB}
    row = w.runs(300, "search", major_faults_per_s=200.0)
    w.seconds(6)
    assert w.alarms == set()  # who reads a file again by calls is no trouble
    w.tell(row, major_faults_per_s=15_000.0)
    w.seconds(6)
    assert w.alarms == {("thrash", "medium", 300)}


@pytest.mark.parametrize(
    ("some_pct", "totals", "first"),
    [
        (45.0, {"swap_in_bytes_per_s": 28.0 * MIB}, {"memory_some_pct": 45.0, "threshold": 10.0}),
        (
            2.0,
            {"swap_in_bytes_per_s": 28.0 * MIB, "swap_out_bytes_per_s": 37.0 * MIB},
            {"swapped_both_ways_bytes_per_s": 28.0 * MIB, "threshold": 8.0 * MIB},
        ),
        (
            2.0,
            {"refaulted_bytes_per_s": 60.0 * MIB},
            {"refaulted_bytes_per_s": 60.0 * MIB, "threshold": 8.0 * MIB},
        ),
    ],
)
def test_what_shows_the_thrashing_comes_first_with_what_it_was_held_against(
    some_pct: float, totals: dict[str, float], first: dict[str, float]
) -> None:
    w = Seconds(RULES)
    w.pressure["memory_some_pct"] = some_pct
    w.totals = dict(totals)
    w.runs(300, "sort", major_faults_per_s=1500.0)
    w.seconds(5)
    (finding,) = w.last
    swapped = totals.get("swap_in_bytes_per_s", 0.0) + totals.get("swap_out_bytes_per_s", 0.0)
    rest = {
        "memory_some_pct": some_pct,
        "swapped_bytes_per_s": swapped,
        "refaulted_bytes_per_s": totals.get("refaulted_bytes_per_s", 0.0),
        "reclaimed_bytes_per_s": 0.0,
        "for_s": 4.0,
    }
    assert finding.evidence == rest | first
    assert list(finding.evidence)[:2] == list(first)


def test_pressure_alone_and_reclaim_alone_are_no_thrashing() -> None:
    w = Seconds(RULES)
    w.runs(300, "tar")
    w.pressure["memory_some_pct"] = 45.0
    w.seconds(10)
    w.pressure["memory_some_pct"] = 2.0
    w.totals["reclaimed_bytes_per_s"] = 60.0 * MIB
    w.seconds(10)
    assert w.alarms == set()
