"""Loops are told from work, and whoever makes others wait from whoever waits."""

from __future__ import annotations

from typing import Any

import pytest
from detect_world import SUSPENDED_NS, S
from seconds import MB, MIB, Seconds

from linnix.cognitod.detect.causes import rank

RULES = """
- {name: spin, detector: cpu_spin, threshold: 85, duration: 10, severity: medium}
- {name: full, detector: cpu_saturation, threshold_pct: 80, duration: 10, severity: medium}
- {name: neighbour, detector: noisy_neighbour, threshold_pct: 15, duration: 4, severity: medium}
- {name: throttle, detector: cgroup_throttle, threshold_pct: 15, duration: 5, severity: medium}
"""


def test_a_loop_is_named_after_ten_seconds() -> None:
    w = Seconds(RULES)
    w.runs(300, "renderd", cpu=99.0)
    w.seconds(10)
    assert w.alarms == set()
    w.seconds(1)
    assert w.alarms == {("spin", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {
        "wanted_cpu_pct": 99.0,
        "threshold": 85.0,
        "cpu_pct": 99.0,
        "voluntary_switches_per_s": 0.0,
        "minor_faults_per_s": 0.0,
        "threads": 1.0,
        "for_s": 10.0,
    }
    assert finding.message == (
        "pid 300 loops: 99 % of a core for 10 s, and it neither sleeps, reads, writes nor takes in memory"
    )


def test_a_loop_that_has_to_share_its_core_is_still_one() -> None:
    w = Seconds(RULES)
    w.runs(300, "renderd", cpu=52.0, run_delay_pct=47.0, involuntary_switches_per_s=120.0)
    w.runs(301, "xz", group="/backup", cpu=140.0, threads=2, nice=10, write_bytes_per_s=2.0 * MB)
    w.seconds(12)
    assert w.alarms == {("spin", "medium", 300)}


@pytest.mark.parametrize(
    "does",
    [
        {"minor_faults_per_s": 4000.0},  # a compiler
        {"write_bytes_per_s": 900_000.0},  # a compressor
        {"read_bytes_per_s": 5.0 * MB},  # a search
        {"voluntary_switches_per_s": 300.0},  # a database
        {"tx_calls_per_s": 9000.0, "rx_calls_per_s": 9000.0},  # redis
        {"forks_per_s": 4.0, "child_exits_per_s": 4.0},  # a test suite
        {"run_delay_pct": None, "voluntary_switches_per_s": None},  # a kernel that does not tell
    ],
)
def test_work_leaves_traces(does: dict[str, Any]) -> None:
    w = Seconds(RULES)
    w.runs(300, "worker", cpu=97.0, **does)
    w.seconds(30)
    assert (w.alarms, w.remarks) == (set(), set())


def test_the_busy_part_of_a_pipeline_does_what_the_others_need() -> None:
    w = Seconds(RULES)
    w.runs(299, "sh")
    w.runs(300, "tar", 299, start_ns=4000 * S, cpu=3.0, voluntary_switches_per_s=60.0, read_bytes_per_s=2.0 * MB)
    w.runs(301, "xz", 299, start_ns=4000 * S + 1000, cpu=99.0)
    w.seconds(30)
    assert w.alarms == set()


def pinned_pool() -> Seconds:
    """Four loops on one CPU of two, where a service has the other to itself but for what it does beside them."""
    w = Seconds(RULES)
    w.host["cpu_pct"] = 87.0
    w.pressure["cpu_some_pct"] = 60.0
    w.runs(200, "checkout", group="/shop", cpu=32.0, run_delay_pct=31.0, voluntary_switches_per_s=200.0)
    w.runs(300, "rollup", group="/batch", cpu=17.0, run_delay_pct=83.0)
    for n in range(3):
        w.runs(301 + n, "rollup", 300, group="/batch", cpu=17.0, run_delay_pct=83.0)
    return w


def test_a_pool_on_one_cpu_does_not_fill_the_host_and_is_told_once() -> None:
    w = pinned_pool()
    w.seconds(12)
    assert (w.alarms, w.remarks) == ({("spin", "medium", 300)}, set())
    assert w.last[0].message == (
        "pid 300 loops: 17 % of a core for 10 s, and it neither sleeps, reads, writes nor takes in memory"
    )


def test_where_another_cgroup_waits_for_a_pool_on_one_cpu_it_is_a_noisy_neighbour() -> None:
    w = pinned_pool()
    victim, *pool = list(w.processes.values())[2:]
    for hog in pool:
        w.waits(victim, hog, ms=700.0, share=0.2)
    w.seconds(12)
    assert w.alarms == {("spin", "medium", 300), ("neighbour", "medium", 300)}
    causes = rank(w.engine.open_findings(w.now_ns), w.facts())
    assert [(cause.cls, cause.finding.pid) for cause in causes] == [("noisy_neighbour", 300)]


def test_workers_of_one_pool_are_no_pipeline() -> None:
    w = Seconds(RULES)
    w.runs(299, "gunicorn")
    w.runs(300, "gunicorn", 299, start_ns=4000 * S, cpu=3.0, voluntary_switches_per_s=60.0)
    w.runs(301, "gunicorn", 299, start_ns=4000 * S + 1000, cpu=99.0)
    w.seconds(12)
    assert w.alarms == {("spin", "medium", 301)}


def test_loops_that_use_nearly_all_cores_are_told_though_nobody_waits() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 88.0
    w.runs(300, "simulate")
    for n in range(2):
        w.runs(301 + n, "simulate", 300, cpu=86.0)
    w.seconds(12)
    assert w.alarms == {("full", "medium", 300)}

    w = Seconds(RULES)
    w.host["cpu_pct"] = 88.0
    w.runs(300, "speed", cpu=172.0, threads=2)
    w.seconds(12)
    assert w.alarms == {("full", "medium", 300)}


def test_a_niced_loop_beside_another_hides_neither() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.runs(300, "renderd", cpu=99.0)
    w.runs(301, "renderd", cpu=99.0, nice=19)
    w.seconds(12)
    assert (w.alarms, w.remarks) == ({("spin", "medium", 300)}, {("spin", 301), ("full", 300)})


def test_a_niced_loop_is_a_remark() -> None:
    w = Seconds(RULES)
    w.runs(300, "renderd", cpu=99.0, nice=19)
    w.seconds(30)
    assert (w.alarms, w.remarks) == (set(), {("spin", 300)})


def test_workers_that_fill_the_cores_are_told_by_their_parent_and_not_one_by_one() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 99.0
    w.pressure["cpu_some_pct"] = 60.0
    w.runs(300, "simulate")
    for n in range(4):
        w.runs(301 + n, "simulate", 300, cpu=49.0, run_delay_pct=50.0)
    w.seconds(12)
    assert w.alarms == {("full", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {
        "wanted_of_all_cores_pct": 198.0,
        "threshold": 80.0,
        "processes": 4.0,
        "cpu_some_pct": 60.0,
        "cores": 2.0,
        "for_s": 10.0,
    }


def test_a_packer_whose_output_goes_nowhere_takes_in_memory_and_fills_the_cores() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.runs(300, "xz", cpu=150.0, run_delay_pct=40.0, minor_faults_per_s=1900.0, voluntary_switches_per_s=28.0)
    w.seconds(12)
    assert w.alarms == {("full", "medium", 300)}


def test_compilers_of_large_files_take_in_memory_all_the_time_and_are_a_remark() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.runs(300, "ninja")
    for n in range(2):  # beside other work, as measured: they write nothing for half a minute
        w.runs(301 + n, "cc1plus", 300, cpu=24.0, run_delay_pct=76.0, minor_faults_per_s=900.0)
    w.seconds(12)
    assert (w.alarms, w.remarks) == (set(), {("full", 300)})


def test_one_process_with_many_threads_fills_the_cores_and_does_not_spin() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.runs(300, "speed", cpu=199.0, threads=2)
    w.seconds(12)
    assert w.alarms == {("full", "medium", 300)}


def test_a_build_that_fills_the_cores_is_a_remark_if_its_compilers_live_long_and_nothing_if_not() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.runs(300, "make", forks_per_s=2.0)
    for n in range(2):
        w.runs(301 + n, "lto1", 300, cpu=98.0, minor_faults_per_s=800.0, write_bytes_per_s=90_000.0)
    w.seconds(12)
    assert (w.alarms, w.remarks) == (set(), {("full", 300)})

    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.runs(300, "make", forks_per_s=2.0)
    for n in range(30):
        compiler = w.runs(400 + n, "cc1", 300, cpu=98.0)
        w.seconds(1)
        w.gone(compiler)
    assert (w.alarms, w.remarks) == (set(), set())


def test_two_loops_of_different_cgroups_are_not_blamed_on_who_started_both() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.runs(300, "supervisor", group="/")
    w.runs(301, "one", 300, group="/a", cpu=99.0)
    w.runs(302, "two", 300, group="/b", cpu=99.0)
    w.seconds(12)
    assert w.alarms == {("spin", "medium", 301), ("spin", "medium", 302)}


def test_a_service_that_waits_for_a_neighbour_names_it() -> None:
    w = Seconds(RULES)
    api = w.runs(200, "api", group="/api", cpu=15.0, run_delay_pct=40.0, voluntary_switches_per_s=200.0)
    hog = w.runs(300, "encode", group="/batch", cpu=92.0, minor_faults_per_s=3000.0)
    w.waits(api, hog, ms=3600.0, share=0.9)
    w.seconds(5)
    assert w.alarms == {("neighbour", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {
        "victim_waits_pct": 40.0,
        "threshold": 15.0,
        "share_pct": 90.0,
        "cpu_pct": 92.0,
        "victims": 1.0,
    }


def test_workers_share_the_blame_and_their_parent_is_named() -> None:
    w = Seconds(RULES)
    api = w.runs(200, "api", group="/api", cpu=15.0)
    w.runs(300, "pool", group="/batch")
    for n in range(3):
        hog = w.runs(301 + n, "encode", 300, group="/batch", cpu=50.0, minor_faults_per_s=3000.0)
        w.waits(api, hog, ms=900.0, share=0.3)
    w.seconds(5)
    assert w.alarms == {("neighbour", "medium", 300)}


@pytest.mark.parametrize(
    ("group", "share", "ms", "victim_cpu"),
    [
        ("/api", 0.9, 3600.0, 15.0),  # of its own cgroup
        ("/batch", 0.4, 3600.0, 15.0),  # one of many
        ("/batch", 0.9, 500.0, 15.0),  # it hardly waits
        ("/batch", 0.9, 3600.0, 90.0),  # it wants as much itself
    ],
)
def test_who_is_no_noisy_neighbour(group: str, share: float, ms: float, victim_cpu: float) -> None:
    w = Seconds(RULES)
    api = w.runs(200, "api", group="/api", cpu=victim_cpu, voluntary_switches_per_s=900.0)
    hog = w.runs(300, "encode", group=group, cpu=92.0, minor_faults_per_s=3000.0)
    w.waits(api, hog, ms=ms, share=share)
    w.seconds(20)
    assert w.alarms == set()


def test_a_neighbour_that_gives_way_or_fills_all_cores_is_a_remark() -> None:
    for cpu, nice in ((92.0, 10), (180.0, 0)):
        w = Seconds(RULES)
        api = w.runs(200, "api", group="/api", cpu=15.0)
        hog = w.runs(300, "encode", group="/batch", cpu=cpu, minor_faults_per_s=3000.0, nice=nice)
        w.waits(api, hog, ms=3600.0, share=0.9)
        w.seconds(5)
        assert (w.alarms, w.remarks) == (set(), {("neighbour", 300)})


def test_a_neighbour_that_was_not_measured_is_a_remark() -> None:
    w = Seconds(RULES, totals={"measures_blame": ()})
    w.runs(200, "api", group="/api", cpu=15.0, run_delay_pct=40.0)
    w.runs(300, "encode", group="/batch", cpu=92.0, minor_faults_per_s=3000.0)
    w.seconds(12)
    assert (w.alarms, w.remarks) == (set(), {("neighbour", 300)})


def test_a_quota_that_holds_a_process_back_is_not_called_a_loop() -> None:
    w = Seconds(RULES)
    held = w.runs(300, "renderd", cpu=40.0, run_delay_pct=59.0)
    w.waits(held, held, ms=5900.0, share=0.98, kind="own_quota", stall_ms=3000.0)
    w.seconds(12)
    assert w.alarms == {("throttle", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {"held_back_pct": 59.0, "threshold": 15.0, "cpu_pct": 40.0, "for_s": 11.0}


def test_a_quota_that_holds_back_a_build_is_told_of_who_runs_it() -> None:
    w = Seconds(RULES)
    w.runs(300, "make", group="/build")
    for n in range(12):
        w.blame = []
        born = w.now_ns + SUSPENDED_NS
        compilers = [w.runs(400 + 2 * n + k, "cc1", 300, "/build", cpu=20.0, start_ns=born + k) for k in (0, 1)]
        for row, ms in zip(compilers, (3000.0, 4000.0), strict=True):
            w.waits(row, row, ms=ms, share=0.9, kind="own_quota")
        w.seconds(1)
        for row in compilers:
            w.gone(row)
    assert w.alarms == {("throttle", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence == {"held_back_pct": 40.0, "threshold": 15.0, "cpu_pct": 20.0, "for_s": 11.0}
    assert finding.message == (
        "the CPU quota of its cgroup held pid 423 back in 40 % of the time; it got 20 % of a core, "
        "and pid 300 started it"
    )


def test_of_two_that_a_quota_holds_back_alike_the_same_is_told_all_the_time() -> None:
    w = Seconds(RULES)
    pair = [w.runs(300 + n, "renderd", cpu=20.0) for n in (0, 1)]
    for second in range(14):
        w.blame = []
        for n, row in enumerate(pair):
            w.waits(row, row, ms=3000.0 + 500.0 * ((second + n) % 2), share=0.9, kind="own_quota")
        w.seconds(1)
    assert w.alarms == {("throttle", "medium", 300)}


def test_what_was_measured_for_no_time_is_nothing() -> None:
    w = Seconds(RULES)
    api = w.runs(200, "api", group="/api", cpu=15.0)
    hog = w.runs(300, "encode", group="/batch", cpu=92.0, minor_faults_per_s=3000.0)
    w.waits(api, hog, ms=3600.0, share=0.9, window_s=0.0)
    w.waits(hog, hog, ms=3600.0, share=0.9, window_s=0.0, kind="own_quota")
    w.seconds(9)
    assert (w.alarms, w.remarks) == (set(), set())


def test_a_group_uses_what_all_of_it_use() -> None:
    w = Seconds(RULES)
    api = w.runs(200, "api", group="/api", cpu=15.0)
    pool = [w.runs(300 + n, "encode", group="/batch", cpu=40.0, minor_faults_per_s=3000.0) for n in range(2)]
    w.waits(api, pool[0], ms=3600.0, share=0.9)
    w.seconds(5)
    assert w.alarms == {("neighbour", "medium", 300)}
    assert w.last[0].evidence["cpu_pct"] == 80.0


def test_a_memory_limit_of_its_own_is_no_cpu_quota() -> None:
    w = Seconds(RULES)
    held = w.runs(300, "renderd", cpu=20.0, minor_faults_per_s=9000.0)
    w.waits(held, held, ms=5900.0, share=0.98, kind="own_quota", resource="memory")
    w.seconds(12)
    assert w.alarms == set()


def test_linnix_itself_and_memory_bound_work_are_left_alone() -> None:
    w = Seconds(RULES)
    w.runs(300, "llama", cpu=199.0, own=True)
    w.runs(301, "solver", cpu=99.0, minor_faults_per_s=30.0, rss_anon_bytes=900 * MIB)
    w.seconds(20)
    assert w.alarms == set()


def test_work_that_gets_next_to_no_cpu_time_has_had_none_to_leave_traces_in() -> None:
    w = Seconds(RULES)
    w.host["cpu_pct"] = 100.0
    w.pressure["cpu_some_pct"] = 67.0
    w.runs(300, "pytest", group="/ci", cpu=23.0, run_delay_pct=77.0)
    w.seconds(15)
    assert w.alarms == set()

    w.runs(301, "pytest", 300, group="/ci", cpu=22.0, run_delay_pct=78.0)
    w.seconds(15)
    assert w.alarms == set()
