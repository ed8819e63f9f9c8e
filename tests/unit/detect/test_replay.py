"""Recorded facts under rules: what events they are taken for, what is found in them, and what cannot be."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from linnix.cognitod.detect import replay
from linnix.cognitod.detect.recorded import Recorded, unreplayable
from linnix.cognitod.detect.rules import defaults, parse
from linnix.cognitod.events import Array, Kind
from linnix.cognitod.model import Home
from linnix.insight.facts import Finding, Job, decode, encode
from support.recordings import BEGIN_NS, BOOT_NS, EPOCH, WINDOW_S, S, facts, process, storm

BURSTS = {"cron": [1] * 40, "spawner": [0] * 10 + [100] * 5 + [3] * 5 + [40, 0] * 10}

COUNTING = """
- {name: per_second, detector: forks_per_sec, threshold: 60, duration: 3, severity: high, keep_firing: 1}
- {name: burst, detector: fork_burst, threshold: 250, window_seconds: 5, keep_firing: 1}
- {name: tree, detector: runaway_tree, threshold: 250, window_seconds: 5, severity: low, keep_firing: 1}
- {name: jobs, detector: short_job_flood, threshold: 250, window_seconds: 5, severity: medium, keep_firing: 1}
"""


def events(bodies: list[bytes]) -> Array:
    recorded = Recorded()
    return np.concatenate([recorded.step(decode(body)).events for body in bodies])


def found(bodies: list[bytes], rules: str) -> dict[str, list[int]]:
    """At which seconds each rule's finding was open, and about whom."""
    seen: dict[str, list[int]] = {}
    for at, (_, findings) in enumerate(replay.found(bodies, parse(rules))):
        for each in findings:
            seen.setdefault(f"{each.rule} {each.comm or 'nobody'}", []).append(at)
    return seen


def test_made_up_events_sum_up_to_what_was_counted_at_every_tick() -> None:
    bodies = storm(BURSTS, others=[2] * 40, runs=True)
    made = events(bodies)
    forks = made[made["kind"] == Kind.FORK]

    for at, body in enumerate(bodies):
        known = decode(body)
        inside = forks[(forks["ts_ns"] <= known.ts_ns) & (forks["ts_ns"] > known.ts_ns - WINDOW_S * S)]
        assert len(inside) == round(known.activity.forks_per_s * WINDOW_S), at
        for parent in known.processes:
            told = round(parent.forks_per_s * WINDOW_S)
            assert np.count_nonzero(inside["ppid"] == parent.pid) == told, (at, parent.comm)


def test_events_are_where_they_were_by_the_second() -> None:
    made = events(storm({"spawner": [0] * 12 + [100, 0, 50] + [0] * 12}, runs=False))
    seconds = -(-(made["ts_ns"].astype(np.int64) - BEGIN_NS) // S)

    assert dict(zip(*np.unique(seconds, return_counts=True), strict=True)) == {12: 100, 14: 50}


def test_what_was_counted_before_the_first_tick_is_spread_over_its_window() -> None:
    times = events(storm({"spawner": [100]}, runs=False))["ts_ns"].tolist()

    assert (len(times), times[0], times[-1]) == (100, BEGIN_NS - 9.9 * S, BEGIN_NS)


def test_a_parent_that_is_no_longer_told_does_not_make_its_events_happen_again() -> None:
    bodies = storm({"spawner": [0] * 10 + [100] + [0] * 3}, runs=False)
    bodies[12:] = [encode(msgspec.structs.replace(decode(body), processes=())) for body in bodies[12:]]

    assert len(events(bodies)) == 100


def untold(bodies: list[bytes], comm: str, seconds: range) -> list[bytes]:
    """The same without a process at some ticks; what it did then the host has counted all the same."""
    for at in seconds:
        known = decode(bodies[at])
        left = tuple(each for each in known.processes if each.comm != comm)
        bodies[at] = encode(msgspec.structs.replace(known, processes=left))
    return bodies


@pytest.mark.parametrize("seconds", [range(13, 17), range(17)])
def test_what_a_parent_did_while_it_was_not_told_is_made_once(seconds: range) -> None:
    whole = storm({"cron": [1] * 30, "spawner": [0] * 10 + [20] * 20}, runs=True)
    made, told = events(untold([*whole], "spawner", seconds)), events(whole)

    for kind in Kind:
        assert np.count_nonzero(made["kind"] == kind) == np.count_nonzero(told["kind"] == kind)
    forks = made[made["kind"] == Kind.FORK]
    by_second = -(-(forks["ts_ns"].astype(np.int64) - BEGIN_NS) // S)
    others = forks["ppid"] != 200  # that is cron
    assert set(forks["ppid"][others & np.isin(by_second, seconds)].tolist()) == {0}
    assert set(forks["ppid"][others & (by_second >= seconds.stop)].tolist()) == {300}
    assert [np.count_nonzero(by_second == at) for at in range(10, 30)] == [21] * 20


def test_a_short_job_is_an_exec_and_an_exit_of_one_process_that_lived_half_a_second() -> None:
    made = events(storm({"spawner": [0] * 10 + [1]}, runs=True))
    run, ended = (made[made["kind"] == kind] for kind in (Kind.EXEC, Kind.EXIT))

    assert (run["pid"], run["start_ns"]) == (ended["pid"], ended["start_ns"])
    assert ended["ts_ns"] + BOOT_NS - ended["start_ns"] == S // 2


def test_detectors_that_count_name_who_is_behind_it() -> None:
    assert found(storm({"cron": [1] * 30, "spawner": [0] * 10 + [100] * 8 + [0] * 12}, runs=True), COUNTING) == {
        "per_second spawner": list(range(11, 20)),
        "burst spawner": list(range(12, 20)),
        "tree spawner": list(range(12, 20)),
        "jobs spawner": list(range(12, 20)),
    }


def test_forks_that_no_parent_was_told_of_are_of_nobody() -> None:
    bodies = storm({"cron": [1] * 30}, others=[0] * 10 + [100] * 8 + [0] * 12, runs=False)

    assert found(bodies, COUNTING) == {"per_second nobody": list(range(11, 20)), "burst nobody": list(range(12, 20))}


def test_the_gravest_finding_comes_first_with_its_evidence_and_the_id_of_its_culprit() -> None:
    hog = "- {name: hog, detector: cpu_pct, threshold: 80, duration: 0, severity: low}"
    bodies = storm({"spawner": [0] * 10 + [100] * 8}, runs=False)
    last = decode(bodies[-1])
    busy = msgspec.structs.replace(last, processes=(*last.processes, process(3, 400, "hog", cpu_pct=99.0)))
    *_, (known, findings) = replay.judged([*bodies[:-1], encode(busy)], parse(COUNTING + hog))

    assert findings == known.findings
    first, *_, second = findings
    assert (second.rule, second.severity, second.process) == ("hog", "low", "P3")
    assert (first.id, first.cls, first.severity, first.rule, first.process, first.since) == (
        "F1",
        "fork_storm",
        "high",
        "per_second",
        "P2",
        EPOCH + 11,
    )
    assert first.message == "300 forks in 3 s (100/s), 100 % by pid 200 and its descendants"
    assert first.evidence == {
        "forks": 300.0,
        "forks_per_s": 100.0,
        "exec_pct": 0.0,
        "window_s": 3.0,
        "threshold": 180.0,
        "share_pct": 100.0,
    }


def seconds(*moments: dict[str, Any]) -> list[bytes]:
    """One process by its fields of each second, and the parts of facts under ``facts``."""
    bodies = []
    for at, fields in enumerate(moments):
        told = facts(at, (process(1, 700, "worker", **fields),) if fields else ())
        bodies.append(encode(told))
    return bodies


@pytest.mark.parametrize(
    ("rule", "moments", "opens"),
    [
        ("cpu_pct, threshold: 80, duration: 3", [{"cpu_pct": 20.0}] * 3 + [{"cpu_pct": 99.0}] * 6, [6, 7, 8]),
        (
            "subtree_rss_mb, threshold: 512, duration: 1",
            [{"rss_bytes": (400 + 60 * n) << 20} for n in range(5)],
            [3, 4],
        ),
        ("rss_growth, threshold: 64, window_seconds: 6", [{"rss_bytes": n * 20 << 20} for n in range(9)], [7, 8]),
        ("zombie_count, threshold: 20, duration: 0", [{"zombies": 7 * n} for n in range(5)], [3, 4]),
    ],
)
def test_usage_is_judged_as_it_was_sampled(rule: str, moments: list[dict[str, Any]], opens: list[int]) -> None:
    assert found(seconds(*moments), f"- {{name: rule, detector: {rule}}}") == {"rule worker": opens}


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("system_cpu_pct, threshold_pct: 90, duration: 0", {"host": {"cpu_pct": 95.0}}),
        ("system_psi_cpu, threshold_pct: 40, duration: 0", {"pressure": {"cpu_some_pct": 60.0}}),
        ("system_psi_memory, threshold_pct: 5, duration: 0", {"pressure": {"memory_full_pct": 9.0}}),
        ("system_psi_io, threshold_pct: 5, duration: 0", {"pressure": {"io_full_pct": 9.0}}),
    ],
)
def test_the_host_is_judged_by_its_totals(rule: str, part: dict[str, Any]) -> None:
    bodies = [encode(facts(0)), encode(facts(1, **part))]

    assert found(bodies, f"- {{name: rule, detector: {rule}}}") == {"rule nobody": [1]}


def test_a_culprit_that_is_no_longer_told_is_named_as_long_as_its_finding_is_open() -> None:
    rule = parse("- {name: r, detector: fork_burst, threshold: 250, window_seconds: 5, keep_firing: 2}")
    bodies = storm({"spawner": [0] * 10 + [100] * 5 + [0] * 9}, runs=False)
    bodies[14:] = [encode(msgspec.structs.replace(decode(body), processes=())) for body in bodies[14:]]
    told = list(replay.judged(bodies, rule))

    assert [at for at, (_, findings) in enumerate(told) if findings] == [12, 13, 14, 15, 16]
    known, (finding,) = told[16]
    assert [(each.id, each.comm) for each in known.processes] == [("P1", "spawner")]
    assert finding.process == "P1"


BUSY = "- {name: busy, detector: cpu_pct, threshold: 80, duration: 2, keep_firing: 30}"


def test_who_is_not_told_for_some_seconds_has_not_exited() -> None:
    busy: dict[str, Any] = {"cpu_pct": 99.0}

    assert found(seconds(*[busy] * 4, *[{}] * 3, *[busy] * 2), BUSY) == {"busy worker": [2, 3, 4, 5, 6, 7, 8]}
    assert found(seconds(*[busy] * 4, *[{}] * 9), BUSY) == {"busy worker": [2, 3, 4, 5, 6, 7, 8]}  # five seconds


def test_who_is_told_to_be_dead_or_whose_pid_is_another_s_has_exited() -> None:
    busy: dict[str, Any] = {"cpu_pct": 99.0}

    for last in ({"state": "X"}, {"start_ns": 1000 * S}):
        assert found(seconds(*[busy] * 4, last, {}), BUSY) == {"busy worker": [2, 3]}


def test_of_who_is_not_told_only_what_it_is_and_holds_is_kept() -> None:
    recorded = Recorded()
    shape = {"unit": "a.service", "cgroup": "/a", "rss_bytes": 7 << 20, "threads": 3, "state": "R"}
    does = {"cpu_pct": 99.0, "rss_delta_bytes": 5, "forks_per_s": 2.0, "short_jobs_per_s": 1.0}
    told, untold = (recorded.step(decode(body)) for body in seconds(shape | does, {}))
    kept, forgotten = told.rows[0].copy(), ("cpu_pct", "rss_growth_bytes", "forks", "short_children")

    assert [kept[name] for name in forgotten] == [99.0, 5, 20, 10]
    for name in forgotten:
        kept[name] = 0
    assert untold.rows.tolist() == [kept.tolist()]
    assert untold.homes == told.homes == {(700, 100 * S + 700_000_000): Home(cgroup="/a", unit="a.service")}


def test_a_scope_is_held_against_where_the_process_lived() -> None:
    rule = "- {name: rule, detector: cpu_pct, threshold: 80, duration: 0, scope: {unit: a.service, pod: shop/web-*}}"
    here = {"cpu_pct": 99.0, "unit": "a.service", "pod": "shop/web-1"}

    assert found(seconds(here, here | {"unit": "b.service"}), rule) == {"rule worker": [0, 1]}  # open for ten seconds
    assert found(seconds(here | {"unit": "b.service"}, here | {"pod": "web-1"}), rule) == {}
    assert Recorded().step(decode(seconds(here)[0])).homes == {
        (700, 100 * S + 700_000_000): Home(unit="a.service", namespace="shop", pod="web-1")
    }


def test_recorded_findings_do_not_matter() -> None:
    before = Finding(id="F1", cls="cpu_spin", severity="high", rule="old")
    bodies = [encode(msgspec.structs.replace(facts(0), findings=(before,)))]

    (known, findings), *_ = replay.judged(bodies, defaults())

    assert (known, findings) == (facts(0), ())


def test_the_same_recording_gives_the_same_findings() -> None:
    bodies = storm(BURSTS, others=[5] * 40, runs=True)

    assert list(replay.judged(bodies, defaults())) == list(replay.judged(bodies, defaults()))


def test_what_is_no_facts_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        list(replay.judged([b"{}"], defaults()))


def test_rules_that_facts_cannot_decide_are_named() -> None:
    rules = parse(
        "- {name: quick, detector: short_job_flood, threshold: 9, window_seconds: 5, max_exec_duration_ms: 200}\n"
        "- {name: jobs, detector: short_job_flood, threshold: 9, window_seconds: 5}\n"
    )

    assert unreplayable(rules) == {
        "quick": "short_job_flood: facts count lives below 1000 ms, not below 200 ms",
    }


def jobs(*seconds: Job | None) -> list[bytes]:
    """A supervisor and the job that its children were in each second; nothing else happens, but for a fork a second."""
    bodies = []
    for at, job in enumerate(seconds):
        told = () if job is None else (job,)
        supervisor = process(1, 700, "svcrun", forks_per_s=1.0)
        activity = {"forks_per_s": 1.0}
        bodies.append(encode(facts(at, (supervisor,), jobs=told, activity=activity)))
    return bodies


def job(**fields: Any) -> Job:
    """A program that fails at once."""
    shape = {"comm": "payments", "command": "payments --conf x", "ended": 1, "failed": 1, "short": 1, "execs": 1}
    same = {"same": 1, "same_ended": 1, "code": 3, "median_ms": 30.0}
    return Job(**({"id": "J1", "parent": "P1"} | shape | same | fields))


CRASH = "- {name: crash, detector: crash_loop, threshold: 4, duration: 5, keep_firing: 1}"


def test_a_job_becomes_lives_with_its_name_status_and_command_line() -> None:
    step = Recorded().step(decode(jobs(job(ended=3, failed=2, same=2, same_ended=2, short=3, execs=3))[0]))
    made = step.events[step.events["comm"] == b"payments"]
    ends = made[made["kind"] == Kind.EXIT]

    assert ends["exit_code"].tolist() == [0, 3, 3]
    assert ends["ppid"].tolist() == [700] * 3
    assert (ends["ts_ns"] + BOOT_NS - ends["start_ns"]).tolist() == [30_000_000] * 3
    assert np.count_nonzero(made["kind"] == Kind.EXEC) == 3
    said = {int(text["pid"]): bytes(text["argv"])[: text["argv_len"]] for text in step.texts}
    assert [said[pid] == b"payments --conf x" for pid in ends["pid"].tolist()] == [False, True, True]
    assert set(step.texts["filename"].tolist()) == {b"payments"}


def test_a_program_that_fails_each_second_with_the_same_command_line_is_a_crash_loop() -> None:
    assert found(jobs(*[job()] * 8), CRASH) == {"crash svcrun": [5, 6, 7]}


def test_a_program_that_fails_each_second_with_other_arguments_is_none() -> None:
    assert found(jobs(*[job(command=f"payments --case {n}") for n in range(8)]), CRASH) == {}
    assert found(jobs(*[job(command="", same=0, same_ended=0)] * 8), CRASH) == {}


def test_a_program_that_mostly_goes_well_is_none() -> None:
    assert found(jobs(*[job(ended=3, same_ended=3)] * 8), CRASH) == {}


def test_children_that_ran_no_program_crash_by_their_name() -> None:
    worker = job(command="", short=0, execs=0, code=-11)

    assert found(jobs(*[worker] * 8), CRASH) == {"crash svcrun": [5, 6, 7]}


def test_a_program_that_runs_for_seconds_ends_as_the_one_that_was_run() -> None:
    recorded = Recorded()
    ran, ended = (
        recorded.step(decode(body)).events
        for body in jobs(job(ended=0, failed=0, short=0, same=0, same_ended=0), job(execs=0, short=0, median_ms=1000.0))
    )
    run, end = ran[ran["kind"] == Kind.EXEC], ended[ended["kind"] == Kind.EXIT]

    assert (run["pid"].tolist(), run["start_ns"].tolist()) == (end["pid"].tolist(), end["start_ns"].tolist())


def test_a_pattern_is_held_against_the_names_of_jobs_and_of_their_programs() -> None:
    bodies = jobs(*[job(ended=3, failed=0, same=0, same_ended=0, short=3, execs=3)] * 8)
    rule = "- {{name: rate, detector: exec_rate, regex: {}, rate_per_min: 12, median_lifetime: 1}}"

    assert found(bodies, rule.format("^pay")) == {"rate svcrun": [3, 4, 5, 6, 7]}
    assert found(bodies, rule.format("^grep")) == {}


def test_facts_of_one_sample_that_were_asked_for_twice_tell_their_jobs_once() -> None:
    recorded, (body,) = Recorded(), jobs(job())

    assert [np.count_nonzero(recorded.step(decode(body)).events["kind"] == Kind.EXIT) for _ in range(2)] == [1, 0]


def crashing(seconds: int) -> list[bytes]:
    """A supervisor whose child fails each second, with the sums over ten seconds that go with it."""
    bodies = []
    for at in range(seconds):
        per_s = min(at + 1, WINDOW_S) / WINDOW_S
        sums = {"forks_per_s": per_s, "short_jobs_per_s": per_s, "child_execs_per_s": per_s, "child_exits_per_s": per_s}
        supervisor = process(1, 700, "svcrun", **sums, failed_children_per_s=per_s)
        counted = {"forks_per_s": per_s, "short_jobs_per_s": per_s, "execs_per_s": per_s, "exits_per_s": per_s}
        bodies.append(encode(facts(at, (supervisor,), jobs=(job(),), activity=counted)))
    return bodies


def test_jobs_of_a_second_that_no_tick_is_of_are_like_those_around_it() -> None:
    whole = crashing(12)
    skipped = [body for at, body in enumerate(whole) if at not in (5, 8, 9)]

    for bodies in (whole, skipped):
        made = events(bodies)
        ends = made[made["kind"] == Kind.EXIT]
        assert [len(ends), *(np.count_nonzero(made["kind"] == kind) for kind in (Kind.EXEC, Kind.FORK))] == [12] * 3
        assert ends["exit_code"].tolist() == [3] * 12
        assert (-(-(ends["ts_ns"].astype(np.int64) - BEGIN_NS) // S)).tolist() == list(range(12))
    assert found(whole, CRASH) == {"crash svcrun": list(range(5, 12))}
    assert found(skipped, CRASH) == {"crash svcrun": list(range(5, 9))}  # ticks, of seconds 6, 7, 10 and 11


def test_nothing_is_made_up_for_seconds_in_which_nothing_ended() -> None:
    calm = process(1, 700, "svcrun", child_exits_per_s=0.6, failed_children_per_s=0.6, forks_per_s=0.6)
    last = facts(9, (calm,), activity={"forks_per_s": 0.6, "exits_per_s": 0.6})
    made = events([*crashing(6), encode(last)])

    assert np.count_nonzero(made["kind"] == Kind.EXIT) == 6


def test_those_that_ended_well_in_a_second_without_a_tick_are_no_failures() -> None:
    bodies = []
    for at in (*range(6), 7):
        per_s = min(at + 1, WINDOW_S) / WINDOW_S
        told = process(1, 700, "make", forks_per_s=4 * per_s, child_exits_per_s=4 * per_s, failed_children_per_s=per_s)
        four = job(ended=4, failed=1, short=0, execs=4, same=1, same_ended=2, median_ms=1500.0)
        bodies.append(encode(facts(at, (told,), jobs=(four,), activity={"forks_per_s": 4 * per_s})))
    made = events(bodies)
    ends = made[made["kind"] == Kind.EXIT]
    lost = ends[(ends["ts_ns"] > BEGIN_NS + 5 * S) & (ends["ts_ns"] <= BEGIN_NS + 6 * S)]

    assert (len(ends), sorted(lost["exit_code"].tolist())) == (32, [0, 0, 0, 3])


def test_jobs_are_among_what_was_counted_and_not_beside_it() -> None:
    told = storm({"spawner": [0] * 10 + [30]}, runs=True)
    last = decode(told[-1])
    thirty = job(parent="P2", ended=30, failed=0, short=30, execs=30, same=0, same_ended=0)
    made = events([*told[:-1], encode(msgspec.structs.replace(last, jobs=(thirty,)))])

    assert {kind: np.count_nonzero(made["kind"] == kind) for kind in Kind} == {
        Kind.EXEC: 30,
        Kind.FORK: 30,
        Kind.EXIT: 30,
    }
    assert set(made["comm"][made["kind"] != Kind.FORK].tolist()) == {b"payments"}


def test_a_build_whose_compilers_are_run_by_drivers_is_no_loop() -> None:
    rule = "- {name: loop, detector: short_job_loop, threshold: 25, duration: 5}"
    shape = {"failed": 0, "same": 0, "same_ended": 0}
    drivers = job(comm="gcc", ended=30, short=30, execs=30, **shape)
    passes = job(id="J2", comm="cc1", below=True, ended=60, short=60, execs=60, **shape)

    def second(at: int, *jobs: Job) -> bytes:
        return encode(facts(at, (process(1, 700, "make", forks_per_s=30.0),), jobs=jobs))

    assert found([second(at, drivers) for at in range(7)], rule) == {"loop make": [4, 5, 6]}
    assert found([second(at, drivers, passes) for at in range(7)], rule) == {}


def test_programs_of_more_names_than_are_told_are_not_taken_for_one() -> None:
    rule = "- {name: loop, detector: short_job_loop, threshold: 25, duration: 5}"
    shape = {"failed": 0, "same": 0, "same_ended": 0, "ended": 2, "short": 2, "execs": 2}

    def second(at: int, names: int) -> bytes:
        jobs = tuple(job(id=f"J{number}", comm=f"job-{number}", **shape) for number in range(1, names + 1))
        ran = {"forks_per_s": 60.0, "short_jobs_per_s": 60.0, "child_execs_per_s": 60.0}
        activity = {"forks_per_s": 60.0, "short_jobs_per_s": 60.0, "execs_per_s": 60.0}
        return encode(facts(at, (process(1, 700, "configure", **ran),), jobs=jobs, activity=activity))

    assert found([second(at, 5) for at in range(7)], rule) == {}
    assert found([second(at, 1) for at in range(7)], rule) == {"loop configure": [0, 1, 2, 3, 4, 5, 6]}


def test_processes_of_one_control_group_are_of_one_when_they_are_replayed() -> None:
    here = [process(n, 700 + n, "worker", cgroup=path) for n, path in enumerate(["/a", "/a", "/b", None], 1)]
    one, same, other, none = Recorded().step(facts(0, here)).rows["cgroup_id"].tolist()

    assert (one == same, one == other, none) == (True, False, 0)
