"""Threads that are stuck, threads that wait for each other, and senders that nobody asked."""

from __future__ import annotations

from typing import Any

import pytest
from seconds import MB, Seconds

RULES = """
- {name: hung, detector: hung_task, threshold: 8, severity: medium}
- {name: locks, detector: lock_contention, threshold_pct: 40, duration: 3, severity: medium}
- {name: flood, detector: net_flood, threshold: 50, duration: 6, severity: medium}
"""


def test_a_thread_that_is_stuck_is_told_after_eight_seconds() -> None:
    w = Seconds(RULES)
    w.runs(300, "archive")
    w.seconds(9, stuck_s=lambda s: float(s))
    assert w.alarms == {("hung", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {"stuck_s": 8.0, "threshold": 8.0, "stuck_processes": 1.0, "io_some_pct": 0.0}


def test_of_many_that_are_stuck_the_three_that_have_been_for_longest_are_told() -> None:
    w = Seconds(RULES)
    for n in range(6):
        w.runs(300 + n, "archive", stuck_s=10.0 + n)
    w.seconds(1)
    assert w.alarms == {("hung", "medium", pid) for pid in (303, 304, 305)}


def test_threads_that_want_one_lock_are_told_of_their_process() -> None:
    w = Seconds(RULES)
    w.runs(300, "ledgerd", cpu=100.0, threads=17, lock_wait_pct=82.0, lock_waiters=15, voluntary_switches_per_s=9000.0)
    w.seconds(4)
    assert w.alarms == {("locks", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {
        "lock_wait_pct": 82.0,
        "threshold": 40.0,
        "lock_waiters": 15.0,
        "processes": 1.0,
        "voluntary_switches_per_s": 9000.0,
    }


def test_processes_that_want_one_file_lock_are_told_of_their_parent_or_of_who_holds_it() -> None:
    w = Seconds(RULES)
    w.runs(300, "jobs")
    for n in range(4):
        w.runs(301 + n, "writer", 300, lock_wait_pct=70.0, lock_waiters=3, voluntary_switches_per_s=40.0)
    w.seconds(4)
    assert w.alarms == {("locks", "medium", 300)}

    w = Seconds(RULES)
    w.runs(301, "writer", lock_wait_pct=2.0, lock_waiters=3, voluntary_switches_per_s=40.0)
    for n in range(3):
        w.runs(302 + n, "writer", lock_wait_pct=90.0, lock_waiters=3, voluntary_switches_per_s=40.0)
    w.seconds(4)
    assert w.alarms == {("locks", "medium", 301)}


def test_jobs_of_one_lock_file_come_and_go_and_their_script_stays() -> None:
    w = Seconds(RULES)
    w.runs(300, "jobs")
    for n in range(8):
        w.runs(301 + n, "jobs", 300)
    for n in range(5):
        jobs = [w.runs(400 + 8 * n + k, "flock", 301 + k, lock_wait_pct=88.0, lock_waiters=7) for k in range(8)]
        w.seconds(1)
        for job in jobs:
            w.gone(job)
    assert w.alarms == {("locks", "medium", 300)}


@pytest.mark.parametrize(
    ("does", "evidence"),
    [
        (
            {"tx_bytes_per_s": 90.0 * MB, "tx_calls_per_s": 350.0},
            {"tx_mb_per_s": 90.0, "threshold": 50.0, "received": 0.0, "next_process": 0.0, "for_s": 6.0},
        ),
        (
            {"tx_bytes_per_s": 3.0 * MB, "tx_calls_per_s": 40_000.0},
            {"tx_calls_per_s": 40_000.0, "threshold": 20_000.0, "received": 0.0, "next_process": 0.0, "for_s": 6.0},
        ),
    ],
)
def test_a_sender_is_named_and_not_who_receives(does: dict[str, Any], evidence: dict[str, float]) -> None:
    w = Seconds(RULES)
    received = {name.replace("tx", "rx"): value for name, value in does.items()}
    w.runs(300, "collector", group="/collect", **received)
    w.runs(301, "telemetry", **does)
    w.seconds(7)
    assert w.alarms == {("flood", "medium", 301)}
    assert w.last[0].evidence == evidence


def test_of_two_that_connect_without_pause_the_client_is_named() -> None:
    w = Seconds(RULES)
    w.runs(300, "httpd", group="/web", connects_per_s=900.0)
    w.runs(301, "prober", connects_per_s=900.0)
    w.seconds(7)
    assert w.alarms == {("flood", "medium", 301)}


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (  # a benchmark of redis: small questions, small answers
            {"tx_calls_per_s": 60_000.0, "rx_calls_per_s": 60_000.0, "tx_bytes_per_s": 3.0 * MB},
            {"tx_calls_per_s": 60_000.0, "rx_calls_per_s": 60_000.0, "rx_bytes_per_s": 3.0 * MB},
        ),
        (  # the same with large values
            {"tx_calls_per_s": 60_000.0, "rx_calls_per_s": 60_000.0, "tx_bytes_per_s": 240.0 * MB},
            {"tx_calls_per_s": 60_000.0, "rx_calls_per_s": 60_000.0, "rx_bytes_per_s": 240.0 * MB},
        ),
        (  # a file server at a modest rate
            {"rx_calls_per_s": 900.0, "rx_bytes_per_s": 20.0 * MB},
            {"tx_calls_per_s": 900.0, "tx_bytes_per_s": 20.0 * MB},
        ),
    ],
)
def test_partners_are_no_flood(client: dict[str, float], server: dict[str, float]) -> None:
    w = Seconds(RULES)
    w.runs(300, "server", group="/server", **server)
    w.runs(301, "client", **client)
    w.seconds(20)
    assert w.alarms == set()
