"""The rules that ship: what they must see, and what they must leave in peace."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from detect_world import MIB, World
from seconds import Seconds

from linnix.cognitod.detect.rules import defaults, load

DEFAULT = resources.files("linnix.cognitod.detect").joinpath("default.yaml").read_text(encoding="utf-8")
CHECKOUT = Path(__file__).parents[3] / "rules" / "default.yaml"


def severities(world: World) -> set[tuple[str, str]]:
    by_rule = {rule.name: rule.severity for rule in world.engine.rules}
    return {(rule, by_rule[rule]) for rule, _, _ in world.found}


def test_the_checkout_and_the_package_hold_the_same_rules() -> None:
    assert CHECKOUT.read_text(encoding="utf-8") == DEFAULT
    assert load(CHECKOUT) == defaults()


def test_a_parallel_build_raises_nothing_but_that_the_cores_are_busy() -> None:
    w = World(DEFAULT)
    w.host |= {"cpu_pct": 99.0, "psi_cpu_some_avg10": 55.0}
    make = w.process(800, "make")
    for n in range(90):
        shell = w.process(810 + n, "sh", 800)
        compilers = [w.process(2000 + 2 * n + k, "cc1", 810 + n, cpu=95, rss=180) for k in (0, 1)]
        w.fork(make)
        w.run(shell, 4, lived_ms=900, comm="cc1")
        w.run(shell, 6, lived_ms=15, comm="sed")
        w.step()
        for row in (shell, *compilers):
            w.gone(row)
    assert severities(w) == {("cpu_full", "info")}


def test_a_configure_script_raises_no_alarm() -> None:
    w = World(DEFAULT)
    sh = w.process(800, "configure", cpu=40)
    for _ in range(50):
        for comm in ("sed", "grep", "cat", "rm", "expr", "gcc", "conftest", "mv"):
            w.run(sh, 15, lived_ms=8, comm=comm)
        w.fork(sh, 60)
        w.step()
    assert severities(w) == {("short_jobs", "info")}


def test_rebuilding_an_initramfs_raises_no_alarm() -> None:
    """400 forks a second and 300 short programs, by one short-lived script after the other."""
    w = World(DEFAULT)
    w.process(800, "dpkg")
    for n in range(12):
        script = w.process(810 + n, "mkinitramfs", 800)
        for _ in range(6):
            for comm in ("cp", "mkdir", "readlink", "dirname", "ldd"):
                w.run(script, 60, lived_ms=2, comm=comm)
            w.fork(script, 100)
            w.step()
        w.gone(script)
    assert {severity for _, severity in severities(w)} == {"info"}


def test_a_loop_around_a_command_is_medium_after_five_seconds() -> None:
    w = World(DEFAULT)
    loop = w.process(800, "sh")
    for n in range(80):
        w.run(loop, 100, lived_ms=2)
        w.step()
        if n == 4:
            assert severities(w) == {("short_jobs", "info"), ("short_job_flood", "medium")}
    assert {pid for _, _, pid in w.found} == {800}
    assert severities(w) == {("short_jobs", "info"), ("short_job_flood", "medium")}


def test_an_idle_host_raises_nothing() -> None:
    w = World(DEFAULT)
    for pid in range(300, 600):
        w.process(pid, "sleep", rss=3)
    w.step(times=120)
    assert w.found == set()


def test_a_program_that_loads_its_data_raises_nothing() -> None:
    w = World(DEFAULT)
    jvm = w.process(800, "java")
    for mib in [50, 400, 900, 1600, 2000] + [2000] * 60:
        jvm["rss_bytes"] = mib * MIB
        w.step()
    assert w.found == set()


@pytest.mark.parametrize("per_second", [320, 3200])
def test_a_fork_storm_is_high_within_five_seconds(per_second: int) -> None:
    w = World(DEFAULT)
    parent = w.process(400, "stress-ng")
    workers = [w.process(401 + n, "stress-ng-fork", 400) for n in range(4)]
    for _ in range(5):
        for worker in workers:
            w.fork(worker, per_second // 4)
        w.step()
    assert ("fork_storm", "fork_storm", parent["pid"]) in w.found
    assert ("fork_storm", "high") in severities(w)


def test_a_busy_loop_is_an_alarm_after_ten_seconds_and_busy_work_is_none() -> None:
    w = Seconds(DEFAULT)
    w.runs(300, "sh", cpu=99.9)
    w.runs(301, "cc1", group="/build", cpu=99.9, minor_faults_per_s=6000.0)
    w.seconds(60)
    assert w.alarms == {("cpu_spin", "medium", 300)}
    assert w.remarks == {("sustained_cpu", 301)}


def test_a_leak_is_named_and_becomes_high_as_memory_runs_out() -> None:
    w = Seconds(DEFAULT)
    w.runs(300, "leak")
    w.seconds(50, rss_anon_bytes=lambda n: (20 + 8 * n) * MIB)
    assert w.alarms == {("mem_leak", "medium", 300)}
    w.host["mem_available_bytes"] = 900 * MIB
    w.seconds(20, rss_anon_bytes=lambda n: (420 + 8 * n) * MIB)
    assert w.alarms == {("mem_leak", "medium", 300), ("memory_runs_out", "high", 300)}


def test_the_file_says_for_each_rule_why_it_is_as_it_is() -> None:
    blocks = DEFAULT.split("\n\n")
    unexplained = [block for block in blocks if block.startswith("- name:")]
    # What a family shares is explained at its first rule.
    assert [block.splitlines()[0].removeprefix("- name: ") for block in unexplained] == [
        "cpu_full",
        "hung_for_long",
    ]
