"""What is the cause, what is its symptom, and who comes first: stories of findings and the facts around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from linnix.cognitod.detect import told
from linnix.cognitod.detect.causes import Cause, rank
from linnix.cognitod.detect.merging import COVERS, SPECIFIC
from linnix.cognitod.detect.scores import RESOURCE
from linnix.cognitod.detect.symptoms import EXPLAINS
from linnix.cognitod.model import Finding
from linnix.insight import facts as wire
from linnix.insight.classes import CLASSES

GIB = 1 << 30


def finding(cls: str, pid: int | None = None, severity: str = "medium", **more: Any) -> Finding:
    """A rule of the class's name found this; evidence is twice its threshold unless it is given."""
    second = more.pop("since", 100.0)
    rule = more.pop("rule", cls)
    return Finding(
        rule=rule, cls=cls, severity=severity, message=f"{rule} speaks", ts_ns=int(second * 1e9), timestamp=second,
        key=f"{rule}:{pid or 'host'}", pid=pid, start_ns=None if pid is None else 1000 + pid,
        evidence=more.pop("evidence", {"level": 2.0, "threshold": 1.0}), **more,
    )  # fmt: skip


def process(pid: int, comm: str = "app", ppid: int = 1, cgroup: str | None = None, **more: Any) -> wire.Process:
    figures = {"uid": 0, "cpu_pct": 0.0, "rss_bytes": 0, "mem_pct": 0.0, "rss_delta_bytes": 0, "threads": 1,
               "state": "S", "age_s": 60.0, "forks_per_s": 0.0} | more  # fmt: skip
    return wire.Process(id=f"P{pid}", pid=pid, ppid=ppid, start_ns=1000 + pid, comm=comm, cgroup=cgroup, **figures)


def waits(victim: int, offender: int, resource: str = "cpu", share: float = 0.5, **more: Any) -> wire.Blame:
    pair = {"id": f"B{victim}-{offender}", "task_ms": 900.0, "stall_ms": 800.0} | more
    return wire.Blame(victim=f"P{victim}", offender=f"P{offender}", resource=resource, share=share, **pair)


def around(*processes: wire.Process, **more: Any) -> wire.Facts:
    """A host with two cores and 8 GiB on which these run."""
    host = wire.Host(
        hostname="box", kernel="6.1", cores=2, mem_total_bytes=8 * GIB, mem_used_bytes=0, swap_total_bytes=0,
        swap_used_bytes=0, cpu_pct=0.0, mem_pct=0.0, load_avg=(0.0, 0.0, 0.0), uptime_s=9.0,
    )  # fmt: skip
    activity = wire.Activity(
        window_s=10.0, forks_per_s=more.pop("forks", 0.0), execs_per_s=more.pop("execs", 0.0), exits_per_s=0.0,
        short_jobs_per_s=0.0, failed_exits_per_s=0.0, lost_events=0,
    )  # fmt: skip
    return wire.Facts(
        timestamp=110.0, ts_ns=110 * 10**9, host=host, pressure=wire.Pressure(), activity=activity,
        processes=processes, processes_total=100, **more,
    )  # fmt: skip


def ranked(findings: list[Finding], known: wire.Facts | None = None) -> list[tuple[str, int | None, str | None]]:
    """Class, culprit and what explains it, in order."""
    return [(cause.cls, cause.finding.pid, cause.explained_by) for cause in rank(findings, known)]


def test_nothing_found_is_nothing_wrong_however_busy_the_host() -> None:
    assert rank([], around(process(300, cpu_pct=199.0))) == ()


def test_one_finding_is_one_cause_with_all_that_is_known_of_it() -> None:
    leak = finding("mem_leak", 300, "high")
    known = around(process(300, rss_bytes=2 * GIB), process(400), blame=(waits(400, 300, "memory", 0.4),))
    assert rank([leak], known) == (
        Cause(
            key="mem_leak:300:1300",
            finding=leak,
            resource="memory",
            since=100.0,
            score=round(1.0 * (0.7 + 0.3 * 0.5) * (0.7 + 0.3 * 0.4), 3),
            victims=((400, 1400),),
            told=("mem_leak:300",),
        ),
    )


def test_of_what_rules_say_of_one_process_the_class_that_says_most_speaks_and_the_gravest_severity_stands() -> None:
    storm, full = finding("fork_storm", 300, "medium"), finding("cpu_saturation", 300, "high", since=90.0)
    (cause,) = rank([full, storm], around(process(300)))
    assert (cause.cls, cause.rule, cause.severity, cause.since) == ("fork_storm", "fork_storm", "high", 90.0)
    assert cause.told == ("fork_storm:300", "cpu_saturation:300")


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("fsync_storm", "io_saturation"),
        ("crash_loop", "short_job_flood"),
        ("crash_loop", "fork_storm"),
        ("zombie_pileup", "short_job_flood"),
        ("thread_leak", "mem_leak"),
        ("fd_leak", "mem_leak"),
        ("lock_contention", "cpu_saturation"),
        ("cgroup_throttle", "cpu_spin"),
        ("oom_kill", "mem_leak"),
        ("swap_thrash", "oom_risk"),
        ("cpu_saturation", "cpu_spin"),
        ("mem_leak", "unknown"),
    ],
)
def test_two_words_for_the_same_fault_of_the_same_process(more: str, less: str) -> None:
    assert ranked([finding(less, 300), finding(more, 300)]) == [(more, 300, None)]


def test_two_faults_of_one_process_stay_two() -> None:
    assert ranked([finding("mem_leak", 300, "high"), finding("fsync_storm", 300)]) == [
        ("mem_leak", 300, None),
        ("fsync_storm", 300, None),
    ]


def test_programs_or_forks_by_how_many_of_the_forks_run_one() -> None:
    both = [finding("fork_storm", 300), finding("short_job_flood", 300)]
    assert ranked(both, around(process(300), forks=100.0, execs=90.0)) == [("short_job_flood", 300, None)]
    assert ranked(both, around(process(300), forks=100.0, execs=10.0)) == [("fork_storm", 300, None)]


def test_a_tree_grows_only_if_its_children_live() -> None:
    both = [finding("fork_storm", 300), finding("runaway_tree", 300)]
    assert ranked(both, around(process(300, descendants=40))) == [("runaway_tree", 300, None)]
    assert ranked(both, around(process(300, descendants=3))) == [("fork_storm", 300, None)]


def test_a_neighbour_is_noisy_if_others_were_measured_to_wait_and_it_leaves_cores_free() -> None:
    both = [finding("cpu_spin", 300), finding("noisy_neighbour", 300)]
    other = process(400, "db", cgroup="/db")
    waiting = (waits(400, 300),)
    one_core = process(300, cgroup="/batch", cpu_pct=99.0)
    both_cores = process(300, cgroup="/batch", cpu_pct=99.0, subtree_cpu_pct=190.0)
    assert ranked(both, around(one_core, other, blame=waiting)) == [("noisy_neighbour", 300, None)]
    assert ranked(both, around(one_core, other)) == [("cpu_spin", 300, None)]
    assert ranked(both, around(both_cores, other, blame=waiting)) == [("cpu_spin", 300, None)]


def test_workers_of_one_tree_and_name_are_one_fault_and_others_are_not() -> None:
    tree = [process(300, "xz"), process(301, "xz", 300), process(302, "xz", 300), process(500, "xz")]
    busy = [finding("cpu_saturation", 300), *(finding("cpu_spin", pid) for pid in (301, 302, 500))]
    assert ranked(busy, around(*tree)) == [("cpu_saturation", 300, None), ("cpu_spin", 500, None)]


def test_of_a_wrapper_and_what_it_runs_the_lower_speaks_of_the_same_fault() -> None:
    both = [finding("runaway_tree", 300, since=90.0), finding("runaway_tree", 302)]
    known = around(*(process(300 + n, name, 300 + n - 1) for n, name in enumerate(("timeout", "sh", "logpack"))))
    assert ranked(both, known) == [("runaway_tree", 302, None)]


def test_siblings_that_do_the_same_are_one_fault() -> None:
    pool = [process(300, "pool"), process(301, "work", 300), process(302, "work", 300), process(303, "else", 300)]
    leaks = [finding("mem_leak", pid) for pid in (301, 302, 303)]
    assert ranked(leaks, around(*pool)) == [("mem_leak", 301, None), ("mem_leak", 303, None)]


def test_a_leak_explains_what_the_host_suffers_and_stands_above_it() -> None:
    causes = rank([finding("oom_risk", None, "high"), finding("mem_leak", 300, "low")], around(process(300)))
    assert [(cause.cls, cause.explains, cause.explained_by, cause.alarming) for cause in causes] == [
        ("mem_leak", ("oom_risk:host",), None, True),
        ("oom_risk", (), "mem_leak:300:1300", False),
    ]
    assert causes[1].score < causes[0].score


def test_the_same_of_the_host_is_a_symptom_of_whoever_is_named() -> None:
    assert ranked([finding("cpu_saturation"), finding("cpu_saturation", 300, "low")]) == [
        ("cpu_saturation", 300, None),
        ("cpu_saturation", None, "cpu_saturation:300:1300"),
    ]


def test_who_was_measured_to_wait_is_a_symptom_and_a_stranger_is_not() -> None:
    both = [finding("hung_task", 400, "high"), finding("io_saturation", 300)]
    known = around(process(300), process(400), blame=(waits(400, 300, "io"),))
    assert ranked(both, known) == [("io_saturation", 300, None), ("hung_task", 400, "io_saturation:300:1300")]
    assert ranked(both, around(process(300), process(400))) == [("hung_task", 400, None), ("io_saturation", 300, None)]


@pytest.mark.parametrize(
    ("cause", "symptom", "pairs", "explained"),
    [
        ("io_saturation", "hung_task", (waits(400, 300, "io", 0.39),), False),
        ("io_saturation", "hung_task", (waits(400, 300, "io", 0.2), waits(400, 301, "io", 0.2)), True),  # by its child
        ("io_saturation", "hung_task", (waits(400, 300, "cpu", 0.9),), False),
        ("mem_leak", "hung_task", (waits(400, 300, "memory", 0.9),), True),
        ("mem_leak", "io_saturation", (waits(400, 300, "io", 0.2), waits(400, 300, "memory", 0.3)), False),
        ("net_flood", "noisy_neighbour", (waits(400, 300, "cpu", 0.9),), True),
        ("net_flood", "cpu_spin", (waits(400, 300, "cpu", 0.9),), False),
        ("disk_full", "crash_loop", (waits(400, 300, "io", 0.9),), False),
    ],
)
def test_who_waits_is_a_symptom_by_what_it_waits_for_and_how_much_of_that_is_the_cause_s(
    cause: str, symptom: str, pairs: tuple[wire.Blame, ...], explained: bool
) -> None:
    known = around(process(300), process(301, "other", 300), process(400), blame=pairs)
    (told,) = (each for each in rank([finding(cause, 300), finding(symptom, 400)], known) if each.cls == symptom)
    assert told.explained_by == (f"{cause}:300:1300" if explained else None)


def test_blame_that_was_only_inferred_makes_nobody_a_symptom() -> None:
    known = around(process(300), process(400), blame=(waits(400, 300, "io", kind="inferred"),))
    found = ranked([finding("hung_task", 400), finding("io_saturation", 300)], known)
    assert [explained for _, _, explained in found] == [None, None]


def test_whoever_was_shot_for_the_memory_of_another_is_a_victim() -> None:
    kill = wire.OomKill(id="K1", pid=400, comm="db", age_s=2.0, rss_bytes=GIB, process="P400", largest="P300")
    known = around(process(300, "leaky"), process(400, "db"), oom_kills=(kill,))
    found = [finding("oom_kill", 400, "high", rule="kernel"), finding("oom_kill", 300)]
    causes = rank(found, known)
    assert [(cause.finding.pid, cause.explained_by, cause.victims) for cause in causes] == [
        (300, None, ((400, 1400),)),
        (400, "oom_kill:300:1300", ()),
    ]


@pytest.mark.parametrize(
    ("paces", "later_s", "age_s", "cause"),
    [
        ((9.0, 8.9), 10.0, 20.0, "fd_leak:400:20000000000"),
        ((9.0, 4.0), 10.0, 20.0, None),  # not the same files
        ((9.0, 8.9), 1.0, 20.0, None),  # both have been there all along
        ((9.0, 8.9), 10.0, 600.0, None),  # it has leaked for a moment of its life: a server that was started anew
    ],
)
def test_of_two_ends_of_connections_that_nobody_closes_who_came_with_them_is_the_cause(
    paces: tuple[float, float], later_s: float, age_s: float, cause: str | None
) -> None:
    client_ns = 20 * 10**9
    starts = {300: client_ns - round(later_s * 1e9), 400: client_ns}
    server, client = (
        replace(finding("fd_leak", pid, evidence={"open_files_per_s": pace}, since=since), start_ns=starts[pid])
        for pid, pace, since in ((300, paces[0], 100.0), (400, paces[1], 105.0))
    )
    order = [("fd_leak", 300, cause), ("fd_leak", 400, None)]
    young = msgspec.structs.replace(process(400), start_ns=client_ns, open_files=180, age_s=age_s)
    assert ranked([server, client], around(young)) == (order[::-1] if cause else order)


def test_a_leak_accounts_for_a_kill_elsewhere_unless_that_group_had_a_limit_of_its_own() -> None:
    kill = wire.OomKill(id="K1", pid=400, comm="db", age_s=2.0, rss_bytes=GIB, process="P400")
    people = process(300, cgroup="/a"), process(400, cgroup="/b")
    both = [finding("oom_kill", 400, "high"), finding("mem_leak", 300)]
    assert ranked(both, around(*people, oom_kills=(kill,)))[0] == ("mem_leak", 300, None)
    confined = wire.OomKill(id="K1", pid=400, comm="db", age_s=2.0, rss_bytes=GIB, process="P400", limit="cgroup")
    assert ranked(both, around(*people, oom_kills=(confined,)))[0] == ("oom_kill", 400, None)


def test_a_kill_that_is_told_of_who_starts_the_victim_again_had_the_limit_that_its_evidence_says() -> None:
    people = process(300, cgroup="/a"), process(400, "supervise", cgroup="/b")
    kill = finding("oom_kill", 400, "high", evidence={"kills": 1.0, "threshold": 1.0, "cgroup_limit": 1.0})
    of_nobody = finding("oom_kill", None, "high", evidence=kill.evidence)
    for each, pid in ((kill, 400), (of_nobody, None)):
        told = ranked([each, finding("mem_leak", 300)], around(*people))
        assert sorted(told) == [("mem_leak", 300, None), ("oom_kill", pid, None)]


def test_two_faults_stand_above_all_symptoms() -> None:
    found = [
        finding("oom_risk", None, "high"),
        finding("mem_leak", 300, "low"),
        finding("cpu_saturation", None, "high"),
        finding("fork_storm", 400, "low"),
    ]
    assert {cls for cls, _, _ in ranked(found)[:2]} == {"mem_leak", "fork_storm"}


def test_what_is_only_worth_knowing_comes_last_and_accounts_for_no_alarm() -> None:
    found = [finding("cpu_saturation", 300, "info"), finding("cpu_saturation", None, "low")]
    assert ranked(found) == [("cpu_saturation", None, None), ("cpu_saturation", 300, None)]


def test_a_chain_of_symptoms_is_ordered_as_one_follows_from_the_other() -> None:
    found = [finding("io_saturation", None, "high"), finding("swap_thrash", None, "high"), finding("mem_leak", 300)]
    causes = rank(found, around(process(300)))
    assert [(cause.cls, cause.explained_by) for cause in causes] == [
        ("mem_leak", None),
        ("swap_thrash", "mem_leak:300:1300"),
        ("io_saturation", "mem_leak:300:1300"),
    ]


@pytest.mark.parametrize(
    ("evidence", "severity", "named", "score"),
    [
        ({"level": 1.0, "threshold": 1.0}, "high", True, 0.49),  # 1 x 0.7 x 0.7
        ({"level": 4.0, "threshold": 1.0}, "high", True, 0.7),
        ({"level": 0.25, "threshold": 1.0}, "high", True, 0.7),  # as far, where less is worse
        ({"level": 400.0, "threshold": 1.0}, "high", True, 0.7),
        ({"level": 4.0, "threshold": 1.0}, "low", True, 0.35),
        ({"level": 4.0, "threshold": 1.0}, "high", False, 0.42),
        ({"level": 4.0}, "high", True, 0.595),
        ({}, "high", True, 0.595),
    ],
)
def test_the_score_is_severity_by_confidence_by_impact(
    evidence: dict[str, float], severity: str, named: bool, score: float
) -> None:
    (cause,) = rank([finding("fd_leak", 300 if named else None, severity, evidence=evidence)], around(process(300)))
    assert cause.score == score


def test_whoever_is_held_to_make_others_wait_without_a_measurement_is_a_guess() -> None:
    people = process(300), process(400)
    (guessed,) = rank([finding("io_saturation", 300)], around(*people))
    (measured,) = rank([finding("io_saturation", 300)], around(*people, blame=(waits(400, 300, "io", 0.0),)))
    assert guessed.score == pytest.approx(0.9 * measured.score, abs=0.001)


def test_whoever_has_exited_is_less_worth_looking_at_than_who_can_be_stopped() -> None:
    known = around(process(300, state="X"), process(400))
    causes = rank([finding("oom_kill", 300, "high"), finding("crash_loop", 400, "medium")], known)
    assert [(cause.cls, cause.score) for cause in causes] == [("crash_loop", 0.448), ("oom_kill", 0.357)]


def test_the_same_findings_in_any_order_give_the_same_causes() -> None:
    found = [
        finding(cls, pid, severity)
        for cls in ("mem_leak", "fork_storm", "cpu_saturation", "oom_risk")
        for pid, severity in ((300, "low"), (301, "high"), (None, "medium"))
    ]
    known = around(process(300), process(301, ppid=300))
    assert rank(found, known) == rank(found[::-1], known) == rank(sorted(found, key=lambda f: f.key), known)


def test_a_rule_that_means_everybody_is_told_of_the_gravest() -> None:
    found = [finding("cpu_spin", pid, "low") for pid in range(300, 600)] + [finding("mem_leak", 999, "high")]
    causes = rank(found, None)
    assert (len(causes), causes[0].cls) == (64, "mem_leak")


def test_in_facts_they_have_short_ids_and_refer_to_processes_by_theirs() -> None:
    known = around(process(300), process(400), blame=(waits(400, 300, "memory"),))
    causes = rank([finding("oom_risk"), finding("mem_leak", 300), finding("fd_leak", 999, "low")], known)
    told_of = [(f.id, f.cls, f.process, f.resource, f.victims, f.explains) for f in told.findings(causes, known)]
    assert told_of == [
        ("F1", "mem_leak", "P300", "memory", ("P400",), ("F3",)),
        ("F2", "fd_leak", None, "files", (), ()),
        ("F3", "oom_risk", None, "memory", (), ()),
    ]


def test_the_tables_speak_of_every_class_and_of_no_other() -> None:
    assert sorted(SPECIFIC) == sorted(CLASSES)
    assert set(RESOURCE) == set(CLASSES) - {"normal", "unknown"}
    named = {*COVERS, *EXPLAINS}.union(*COVERS.values(), *EXPLAINS.values())
    assert named <= set(CLASSES)


def test_no_class_is_its_own_cause() -> None:
    def follows(cls: str, seen: tuple[str, ...] = ()) -> None:
        assert cls not in seen, (*seen, cls)
        for symptom in EXPLAINS.get(cls, ()):
            follows(symptom, (*seen, cls))

    for cls in EXPLAINS:
        follows(cls)
