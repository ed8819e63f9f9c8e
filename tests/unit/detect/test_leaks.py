"""What one process has more and more of."""

from __future__ import annotations

from typing import Any

import pytest
from detect_world import SUSPENDED_NS
from seconds import MB, MIB, Seconds

RULES = """
- {name: leak, detector: mem_leak, threshold: 2, duration: 12, severity: medium}
- {name: soon, detector: mem_leak, threshold: 2, duration: 12, exhausts_within_seconds: 300, severity: high}
- {name: files, detector: fd_leak, threshold: 3, duration: 8, severity: medium}
- {name: threads, detector: thread_leak, threshold: 1, duration: 8, severity: medium}
- {name: tree, detector: tree_growth, threshold: 1.5, duration: 8, severity: high}
- {name: dead, detector: zombie_growth, threshold: 1, duration: 6, severity: medium}
"""


def test_memory_that_grows_steadily_is_a_leak_after_twelve_seconds() -> None:
    w = Seconds(RULES)
    w.runs(300, "billing", cpu=4.0)
    w.seconds(12, rss_anon_bytes=lambda s: (50 + 4 * s) * MIB)
    assert w.alarms == set()
    w.seconds(1, rss_anon_bytes=lambda s: 98 * MIB)
    assert w.alarms == {("leak", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {
        "anonymous_mib_per_s": 4.0,
        "threshold": 2.0,
        "grown_bytes": 48.0 * MIB,
        "window_s": 12.0,
        "rss_anon_bytes": 98.0 * MIB,
        "rising_pairs_pct": 100.0,
        "exhausted_in_s": 1024.0,
    }
    assert finding.message == (
        "pid 300 took 48 MiB of memory in 12 s, steadily; at that pace the host's available memory lasts 1024 s"
    )


def test_it_is_high_where_memory_runs_out() -> None:
    w = Seconds(RULES)
    w.host["mem_available_bytes"] = 900 * MIB
    w.runs(300, "billing")
    w.seconds(13, rss_anon_bytes=lambda s: (50 + 4 * s) * MIB)
    assert w.alarms == {("soon", "high", 300)}


def test_a_leak_that_has_reached_its_limit_is_told_as_long_as_it_keeps_what_it_took() -> None:
    w = Seconds(RULES)
    w.runs(300, "billing")
    w.seconds(13, rss_anon_bytes=lambda s: (50 + 4 * s) * MIB)
    w.seconds(20)
    assert [finding.rule for finding in w.last] == ["leak"]
    w.seconds(1, rss_anon_bytes=lambda s: 60 * MIB)
    assert w.last == []


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("loads once", {"rss_anon_bytes": lambda s: min(50 + 90 * s, 900) * MIB}),
        ("a step", {"rss_anon_bytes": lambda s: (50 if s < 9 else 900) * MIB}),
        ("slowly", {"rss_anon_bytes": lambda s: (50 + s) * MIB}),
        ("collects its garbage", {"rss_anon_bytes": lambda s: (50 + 20 * (s % 8)) * MIB}),
        ("not told", {"rss_anon_bytes": lambda s: None}),
        ("a pool starts", {"threads": lambda s: 4 if s < 9 else 64}),
        ("clients come and stay", {"open_files": lambda s: 8 if s < 9 else 600}),
        ("opens and closes", {"open_files": lambda s: 100 + 40 * (s % 3)}),
        ("a build", {"descendants": lambda s: 5 + s % 4, "children": lambda s: 2}),
        ("reaps late", {"zombies": lambda s: 3 * (s % 4)}),
    ],
)
def test_what_comes_to_an_end_is_no_leak(what: str, change: dict[str, Any]) -> None:
    w = Seconds(RULES)
    row = w.runs(300, "loader", cpu=30.0)
    for second in range(40):
        w.tell(row, **{name: of(second) for name, of in change.items()})
        w.seconds(1)
    assert w.alarms == set(), what


def test_a_cache_that_holds_what_it_was_given_is_a_remark() -> None:
    w = Seconds(RULES)
    w.runs(300, "redis", cpu=60.0, rx_bytes_per_s=6.0 * MB, voluntary_switches_per_s=5000.0)
    w.seconds(20, rss_anon_bytes=lambda s: (50 + 8 * s) * MIB)
    assert (w.alarms, w.remarks) == (set(), {("leak", 300)})


def test_what_it_does_after_it_has_grown_does_not_make_it_milder_or_graver() -> None:
    w = Seconds(RULES.replace("duration: 12, severity: medium", "duration: 12, severity: medium, keep_firing: 1"))
    row = w.runs(300, "billing")
    w.seconds(13, rss_anon_bytes=lambda s: (50 + 4 * s) * MIB)
    w.seconds(4)
    w.tell(row, rx_bytes_per_s=90.0 * MB)
    assert [f.severity for _ in range(25) for f in w.seconds(1).last] == ["medium"] * 25

    w = Seconds(RULES)
    row = w.runs(300, "redis", rx_bytes_per_s=6.0 * MB)
    w.seconds(13, rss_anon_bytes=lambda s: (50 + 8 * s) * MIB)
    w.seconds(4)
    w.tell(row, rx_bytes_per_s=0.0)
    w.seconds(25)
    assert (w.alarms, [f.severity for f in w.last]) == (set(), ["info"])


def test_what_computes_meanwhile_is_an_alarm_only_where_memory_is_scarce() -> None:
    w = Seconds(RULES)
    w.runs(300, "mypy", cpu=40.0, run_delay_pct=55.0, minor_faults_per_s=5000.0)
    w.seconds(16, rss_anon_bytes=lambda s: (50 + 10 * s) * MIB)
    assert (w.alarms, w.remarks) == (set(), {("leak", 300)})
    w.host["mem_available_bytes"] = 1500 * MIB
    w.seconds(2, rss_anon_bytes=lambda s: (210 + 10 * s) * MIB)
    assert w.alarms == {("soon", "high", 300)}


def test_a_daemon_opens_its_files_when_it_starts() -> None:
    w = Seconds(RULES)
    w.runs(300, "cognitod", start_ns=w.now_ns + SUSPENDED_NS)
    w.seconds(9, open_files=lambda s: 3 + 22 * s)
    w.seconds(14, open_files=lambda s: 190 + 4 * s)
    assert w.alarms == set()


@pytest.mark.parametrize(
    ("rule", "severity", "change", "message"),
    [
        (
            "files",
            "medium",
            {"open_files": lambda s: 28 + 5 * s},
            "pid 300 has 40 more open files than 8 s before, 68 in all, and gave none back",
        ),
        (
            "tree",
            "high",
            {"descendants": lambda s: 2 * s},
            "pid 300 has 16 more living descendants than 8 s before, 16 in all, and gave none back",
        ),
        (
            "dead",
            "medium",
            {"zombies": lambda s: 2 * s},
            "pid 300 has 12 more dead children that it has not reaped than 6 s before, 16 in all, and gave none back",
        ),
    ],
)
def test_what_grows_without_end(rule: str, severity: str, change: dict[str, Any], message: str) -> None:
    w = Seconds(RULES)
    w.runs(300, "gateway", cpu=5.0)
    w.seconds(9, **change)
    assert w.alarms == {(rule, severity, 300)}
    (finding,) = w.last
    assert finding.message == message


def test_threads_that_nobody_joins() -> None:
    w = Seconds(RULES)
    row = w.runs(300, "chatd", threads=3)
    for second in range(9):
        w.tell(row, threads=3 + 2 * second)
        w.seconds(1)
    assert w.alarms == {("threads", "medium", 300)}


def test_of_a_chain_that_starts_itself_again_the_lowest_that_was_seen_is_named() -> None:
    w = Seconds(RULES)
    head = w.runs(300, "deploy")
    second = w.runs(301, "deploy", 300)
    for n in range(10):
        w.tell(head, descendants=2 * n + 1)
        w.tell(second, descendants=2 * n)
        w.seconds(1)
    assert w.alarms == {("tree", "high", 301)}


def test_who_started_it_from_another_control_group_is_not_named_for_a_tree_that_grows() -> None:
    w = Seconds(RULES)
    runtime = w.runs(300, "shim", group="/runtime")
    w.runs(301, "deploy", 300, group="/pod")
    for n in range(10):
        w.runs(400 + n, "deploy", 301, group="/pod", descendants=1)
        w.tell(runtime, descendants=2 * n + 1)
        w.seconds(1)
    assert w.alarms == set()


def test_many_dead_children_that_stand_are_told_too() -> None:
    w = Seconds(RULES)
    w.runs(300, "jobrunner", zombies=150)
    w.seconds(7)
    assert w.alarms == {("dead", "medium", 300)}


@pytest.mark.parametrize(("more", "alarms"), [(33, set()), (500, {("files", "medium", 300)})])
def test_files_by_which_linnix_looks_at_others_are_no_leak_of_its_own(more: int, alarms: set[Any]) -> None:
    w = Seconds(RULES)
    w.runs(300, "python", own=True)
    w.seconds(20, open_files=lambda _: 200)
    w.seconds(17, open_files=lambda s: 200 + s * more / 8)
    assert w.alarms == alarms


def test_a_database_opens_files_when_its_first_client_comes() -> None:
    w = Seconds(RULES)
    w.runs(300, "postgres")
    w.seconds(20, open_files=lambda _: 12)
    w.seconds(9, open_files=lambda s: 12 + 4.25 * s)
    assert w.alarms == set()
