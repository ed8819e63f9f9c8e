"""Loops around a command are told from builds, and crashes from tests that expect a failure."""

from __future__ import annotations

import numpy as np
from detect_world import MS, World

from linnix.cognitod.events import EXEC_TEXT, Kind

RULES = """
- {name: loop, detector: short_job_loop, threshold: 25, duration: 5, severity: medium}
- {name: crash, detector: crash_loop, threshold: 4, duration: 5, severity: medium}
"""


def test_a_loop_around_a_command_is_named_after_five_seconds() -> None:
    w = World(RULES)
    shell = w.process(300, "poll")
    for _ in range(5):
        w.run(shell, 20, lived_ms=4, comm="date")
        w.run(shell, 20, lived_ms=4, comm="cut")
        w.step()
    assert w.found == {("loop", "short_job_flood", 300)}
    assert w.last[0].evidence == {
        "short_jobs_per_s": 32.0,
        "threshold": 25.0,
        "programs": 2.0,
        "median_lifetime_ms": 4.0,
        "share_pct": 100.0,
        "window_s": 5,
    }


def test_what_a_subshell_runs_is_of_its_shell() -> None:
    w = World(RULES)
    shell = w.process(300, "poll")
    for n in range(5):
        for k in range(4):
            subshell = w.process(400 + 4 * n + k, "poll", 300)
            w.fork(subshell)
            w.run(subshell, 10, lived_ms=4, comm="date")
            w.gone(subshell)
        w.step()
    assert w.found == {("loop", "short_job_flood", shell["pid"])}


def test_a_build_of_many_small_files_runs_most_programs_by_way_of_others() -> None:
    w = World(RULES)
    make = w.process(300, "make")
    for n in range(12):
        w.run(make, 40, lived_ms=40, comm="gcc")
        driver = w.process(400 + n, "gcc", 300)
        w.fork(driver)
        w.run(driver, 40, lived_ms=25, comm="cc1")
        w.run(driver, 40, lived_ms=5, comm="as")
        w.gone(driver)
        w.step()
    assert w.found == set()


def test_a_configure_script_runs_many_different_programs() -> None:
    w = World(RULES)
    shell = w.process(300, "configure")
    for _ in range(20):
        for comm in ("sed", "grep", "cat", "rm", "expr", "uname", "gcc", "conftest", "tr", "mv"):
            w.run(shell, 12, lived_ms=5, comm=comm)
        w.step()
    assert w.found == set()


def test_steps_of_a_few_programs_with_pauses_between_them_are_no_loop() -> None:
    w = World(RULES)
    shell = w.process(300, "configure")
    for _ in range(6):
        for comm in ("gcc", "expr", "sed"):
            w.run(shell, 60, lived_ms=4, comm=comm)
        w.step()
        w.step(times=4)
    assert w.found == set()


def fail(w: World, parent: dict[str, object], comm: str, argv: str, code: int = 1, signal: int = 0) -> None:
    """The parent runs a program, which ends at once with that status."""
    (child,) = w.fork(parent)
    child["comm"] = comm.encode()
    text = np.zeros((), EXEC_TEXT)
    text["pid"], text["start_ns"] = child["pid"], child["start_ns"]
    text["argv"], text["argv_len"] = np.void(argv.encode().ljust(256, b"\0")), len(argv)
    w._texts.append(text)
    w._event(Kind.EXIT, child, w.now_ns + 30 * MS, exit_code=code, exit_signal=signal)


def test_a_service_that_dies_and_is_started_again_is_told_of_its_supervisor() -> None:
    w = World(RULES)
    supervisor = w.process(300, "svcrun")
    for _ in range(6):
        fail(w, supervisor, "payments", "payments --conf x", code=0, signal=11)
        w.run(supervisor, 1, lived_ms=500, comm="sleep")
        w.step()
    assert w.found == {("crash", "crash_loop", 300)}
    assert w.last[0].evidence == {
        "failures": 6.0,
        "threshold": 4.0,
        "failing_pct": 100.0,
        "turn_s": 1.0,
        "span_s": 5.0,
    }


def test_a_slow_loop_is_told_after_its_fourth_failure() -> None:
    w = World(RULES)
    supervisor = w.process(300, "svcrun")
    for turn in range(4):
        assert w.found == set(), turn
        fail(w, supervisor, "payments", "payments --conf x")
        w.step(times=3)
    assert w.found == {("crash", "crash_loop", 300)}


def test_tests_that_expect_a_failure_have_other_arguments_each_time() -> None:
    w = World(RULES)
    suite = w.process(300, "pytest")
    for n in range(30):
        fail(w, suite, "python", f"python -m tool --case {n}", code=2)
        w.step(0.5)
    assert w.found == set()


def test_a_program_whose_status_is_an_answer_does_not_fail_by_it() -> None:
    w = World(RULES)
    shell = w.process(300, "sh")
    for _ in range(30):
        fail(w, shell, "grep", "grep -q ready log", code=1)
        w.step()
    assert w.found == set()


def test_what_is_ended_on_purpose_and_what_mostly_succeeds_is_no_crash() -> None:
    w = World(RULES)
    shell = w.process(300, "sh")
    for n in range(30):
        fail(w, shell, "watch", "watch -n1 date", code=0, signal=15)
        fail(w, shell, "gcc", "gcc -c conftest.c", code=n % 2)
        w.step()
    assert w.found == set()


def test_a_crash_loop_that_has_ended_is_of_the_past() -> None:
    w = World(RULES)
    supervisor = w.process(300, "svcrun")
    for _ in range(7):
        fail(w, supervisor, "payments", "payments --conf x")
        w.step()
    w.step(times=4)
    assert w.last == []
