"""What a run was taken for: who was named first most of the time, how fast, and where there was nothing to name."""

from __future__ import annotations

import msgspec
import pytest
from lab_recorded import START_NS, Said, facts, run

from linnix.faultlab.dataset import Run
from linnix.faultlab.errors import LabError
from linnix.faultlab.grade import Graded, grade
from linnix.faultlab.grade import Said as Answer

SPIN: Said = ("cpu_spin", "renderd")
OF_CRON: Said = ("io_saturation", "cron")
QUIET: list[Said] = []


def said(graded: Graded) -> tuple[str, str, str | None, bool]:
    return graded.said.cls, graded.said.process, graded.said.command, graded.hit


def test_a_culprit_that_is_named_first_is_a_hit_and_its_rule_may_take_its_time() -> None:
    graded = grade(run(QUIET, QUIET, [SPIN, OF_CRON], [SPIN]), holds_s={"rule_cpu_spin": 2.0})

    assert graded == Graded(
        run="small-1",
        scenario="small",
        part="train",
        cls="cpu_spin",
        culprit="renderd",
        faults=1,
        busier_decoy=False,
        said=Answer("cpu_spin", "renderd", "worker", "rule_cpu_spin"),
        hit=True,
        first_hit_s=2.5,
        delay_s=0.5,
        quiet_ticks=1,
        calm_ticks=1,
    )
    assert graded.right


def test_a_child_of_the_culprit_is_the_culprit() -> None:
    assert said(grade(run([("cpu_spin", "child")], [SPIN]))) == ("cpu_spin", "child", "worker", True)


def test_the_majority_of_ticks_decides_from_the_first_alarm_on() -> None:
    assert said(grade(run(QUIET, [OF_CRON], [SPIN, OF_CRON], [SPIN]))) == ("cpu_spin", "renderd", "worker", True)
    assert said(grade(run([OF_CRON, SPIN], [OF_CRON], [SPIN]))) == ("io_saturation", "cron", None, False)


def test_a_right_culprit_of_a_wrong_class_is_a_hit_and_not_right() -> None:
    graded = grade(run([("mem_leak", "renderd")]))

    assert (said(graded), graded.right) == (("mem_leak", "renderd", "worker", True), False)


def test_class_and_process_are_of_one_alarm() -> None:
    leak_of_cron: Said = ("mem_leak", "cron")
    ticks = [[SPIN], [leak_of_cron], [("mem_leak", "maild")], [SPIN]]

    assert grade(run(*ticks)).said == Answer("cpu_spin", "renderd", "worker", "rule_cpu_spin")


def test_of_several_classes_that_were_told_of_the_answer_the_most_frequent_one_counts_and_its_rule() -> None:
    fork: Said = ("fork_storm", "child")

    assert grade(run([fork], [SPIN], [SPIN])).said == Answer("cpu_spin", "renderd", "worker", "rule_cpu_spin")
    assert grade(run([fork], [SPIN])).said == Answer("fork_storm", "child", "worker", "rule_fork_storm")


def test_what_is_said_before_the_culprit_is_there_is_no_answer() -> None:
    graded = grade(run(*[[OF_CRON]] * 5, [SPIN], [SPIN], started=1005.0))

    assert (said(graded), graded.first_hit_s) == (("cpu_spin", "renderd", "worker", True), 0.5)


def test_a_rule_whose_time_had_begun_before_the_fault_saves_none() -> None:
    graded = grade(run([SPIN]), holds_s={"rule_cpu_spin": 3.0})

    assert (graded.first_hit_s, graded.delay_s) == (0.5, 0.0)


def test_a_run_whose_daemon_failed_is_a_miss_of_no_class() -> None:
    graded = grade(run([SPIN], [SPIN], unanswered=3, failed="no answer 5 times in a row"))

    assert graded == Graded(
        run="small-1",
        scenario="small",
        part="train",
        cls="cpu_spin",
        culprit="renderd",
        faults=1,
        busier_decoy=False,
        said=Answer("no answer", "nobody", None, ""),
        hit=False,
        first_hit_s=None,
        delay_s=None,
        quiet_ticks=0,
        calm_ticks=1,
        failed="no answer 5 times in a row",
        cause="the daemon failed: no answer 5 times in a row",
    )


def test_a_look_alike_is_not_right_because_the_daemon_failed() -> None:
    graded = grade(run(QUIET, cls="normal", unanswered=2, failed="gone"))

    assert (said(graded), graded.right) == (("no answer", "nobody", None, False), False)
    assert (graded.quiet_ticks, graded.calm_ticks) == (0, 4)


def test_a_culprit_that_was_never_started_is_known_by_its_name() -> None:
    whole = run(QUIET, failed="gone")
    truth = whole.truth
    short = msgspec.structs.replace(truth, commands=[each for each in truth.commands if each.name != "worker"])
    files = {name: whole.read(name) for name in ("meta.json", "facts.jsonl")}
    files["truth.json"] = msgspec.json.encode(short)

    graded = grade(Run("small-1", files.__getitem__))

    assert (graded.culprit, graded.hit, graded.cause) == ("worker", False, "the daemon failed: gone")


@pytest.mark.parametrize(
    ("missed", "cause"),
    [
        (run(QUIET, QUIET), "nothing was told; the culprit was never named, and is in the facts of 2 of 2 ticks"),
        (
            run(QUIET, [("(cpu_spin)", "renderd")]),
            "nothing was told; the culprit was named as info only: cpu_spin (rule rule_(cpu_spin)) from 1.5 s on",
        ),
        (
            run(QUIET, [OF_CRON], [OF_CRON, SPIN]),
            "io_saturation of cron (rule rule_io_saturation) from 1.5 s on; "
            "the culprit came second at best: cpu_spin (rule rule_cpu_spin) from 2.5 s on",
        ),
        (
            run([("mem_leak", "child")], [("mem_leak", "child"), SPIN]),
            "mem_leak of child (rule rule_mem_leak) from 0.5 s on, not cpu_spin; "
            "that was told behind it (rule rule_cpu_spin) from 1.5 s on",
        ),
        (
            run([("mem_leak", None)]),
            "mem_leak of nobody (rule rule_mem_leak) from 0.5 s on; "
            "the culprit was never named, and is in the facts of 1 of 1 ticks",
        ),
        (
            run(QUIET, [OF_CRON], cls="normal"),
            "io_saturation of cron (rule rule_io_saturation) from 1.5 s on, in 1 of 3 ticks",
        ),
        (
            run([SPIN, OF_CRON], also="disk_full"),
            "renderd: came first at best: cpu_spin (rule rule_cpu_spin) from 0.5 s on; "
            "queued: was never named, and is in the facts of 1 of 1 ticks",
        ),
    ],
)
def test_a_miss_says_in_a_line_what_was_told_instead_and_when(missed: Run, cause: str) -> None:
    graded = grade(missed)

    assert (graded.right, graded.cause) == (False, cause)


def test_findings_about_nobody_name_nobody() -> None:
    assert said(grade(run([("cpu_spin", None)]))) == ("cpu_spin", "nobody", None, False)


def test_what_is_only_of_severity_info_is_no_alarm() -> None:
    graded = grade(run([("(cpu_spin)", "renderd")]))

    assert (said(graded), graded.first_hit_s) == (("normal", "nobody", None, False), None)


def test_alarms_before_the_fault_are_counted_and_answer_nothing() -> None:
    graded = grade(run([SPIN], warm_up=[[OF_CRON], QUIET, QUIET]))

    assert (said(graded), graded.quiet_ticks, graded.calm_ticks) == (("cpu_spin", "renderd", "worker", True), 2, 3)


def test_a_look_alike_is_right_where_nobody_says_anything() -> None:
    graded = grade(run(QUIET, QUIET, cls="normal"))

    assert (said(graded), graded.right) == (("normal", "nobody", None, True), True)
    assert (graded.quiet_ticks, graded.calm_ticks, graded.culprit) == (3, 3, None)


def test_of_a_look_alike_an_alarm_is_false_whenever_it_is() -> None:
    graded = grade(run(QUIET, cls="normal", warm_up=[[OF_CRON]]))

    assert (said(graded), graded.right) == (("io_saturation", "cron", None, False), False)
    assert (graded.quiet_ticks, graded.calm_ticks) == (1, 2)


def test_two_culprits_are_both_to_be_within_the_first_three() -> None:
    second: Said = ("disk_full", "queued")
    of_maild: Said = ("mem_leak", "maild")
    within = [[SPIN], [OF_CRON, second, SPIN], [SPIN, second]]
    beyond = [[OF_CRON, of_maild, ("fork_storm", None), SPIN, second]]

    found = [grade(run(*ticks, also="disk_full")) for ticks in (within, beyond)]

    assert [(graded.faults, graded.hit, graded.right) for graded in found] == [(2, True, True), (2, False, False)]


def test_a_decoy_with_more_cpu_on_average_is_busier() -> None:
    assert grade(run([SPIN], cpu={"maild": 90, "renderd": 80})).busier_decoy
    assert not grade(run([SPIN], cpu={"maild": 90, "child": 95})).busier_decoy
    assert not grade(run([SPIN], cpu={"cron": 100})).busier_decoy  # no decoy of ours


def test_a_start_that_only_proc_told_is_known_to_ten_milliseconds() -> None:
    assert grade(run([SPIN], start_ns=START_NS // 10_000_000 * 10_000_000)).hit
    assert not grade(run([SPIN], start_ns=START_NS + 10_000_000)).hit  # the pid came back


def test_another_judge_may_be_asked() -> None:
    later = facts([SPIN], {})

    graded = grade(run(QUIET), lambda bodies: ((later, later.findings) for _ in bodies))

    assert said(graded) == ("cpu_spin", "renderd", "worker", True)


def test_what_is_no_recording_is_told_with_its_line() -> None:
    good = run(QUIET)
    files = {name: good.read(name) for name in ("truth.json", "meta.json", "facts.jsonl")}
    files["facts.jsonl"] += b"{\n"

    with pytest.raises(LabError, match=r"^small-1/facts.jsonl:3: "):
        grade(Run("small-1", files.__getitem__))
