"""Which causes the facts admit: what rules have found, and then what stands out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hosts import GB, HOSTS, MB, facts, found, process
from hypothesis import given, settings
from samples import any_facts

from linnix.insight import judge, menu, rules_text
from linnix.insight.answer import Insight
from linnix.insight.facts import Facts, Finding, Group, Trend
from linnix.insight.scope import is_known
from linnix.insight.verify import verify

Cause = tuple[str, str | None, str]

#: What the rules choose on each of the hosts.
FIRST: dict[str, Cause] = {
    "spin": ("cpu_spin", "P1", "medium"),
    "spin before any rule": ("normal", "P1", "info"),
    "spin beside a busier build": ("cpu_spin", "P1", "medium"),
    "saturation by two": ("cpu_saturation", "P1", "medium"),
    "a build that no rule objects to": ("normal", "P1", "info"),
    "fork storm": ("fork_storm", "P1", "high"),
    "short jobs": ("short_job_flood", "P1", "medium"),
    "runaway tree": ("runaway_tree", "P1", "high"),
    "crash loop": ("crash_loop", "P1", "medium"),
    "zombies": ("zombie_pileup", "P1", "medium"),
    "memory leak": ("mem_leak", "P1", "medium"),
    "out of memory soon": ("oom_risk", "P1", "high"),
    "killed": ("oom_kill", "P1", "high"),
    "swap thrash": ("swap_thrash", "P1", "high"),
    "storage, nobody named": ("io_saturation", None, "low"),
    "storage, blamed": ("io_saturation", "P1", "medium"),
    "fsync storm": ("fsync_storm", "P1", "medium"),
    "disk full": ("disk_full", "P1", "medium"),
    "no inodes": ("disk_full", "P1", "medium"),
    "disk full, no process": ("disk_full", None, "high"),
    "files leak": ("fd_leak", "P1", "medium"),
    "threads leak": ("thread_leak", "P1", "medium"),
    "hung task": ("hung_task", "P1", "medium"),
    "locks": ("lock_contention", "P1", "medium"),
    "network flood": ("net_flood", "P1", "medium"),
    "noisy neighbour": ("noisy_neighbour", "P1", "medium"),
    "quota": ("cgroup_throttle", "P1", "medium"),
    "psi of an unknown cause": ("normal", "P8", "info"),
    "unusual": ("normal", "P8", "info"),
    "normal": ("normal", "P8", "info"),
    "idle": ("normal", "P1", "info"),
    "nothing listed": ("normal", None, "info"),
    "own busiest": ("normal", "P1", "info"),
    "own beside another": ("cpu_spin", "P2", "medium"),
    "degraded": ("cpu_spin", "P1", "medium"),
    "hostile names": ("cpu_saturation", "P2", "medium"),
    "two findings": ("cpu_spin", "P1", "medium"),
}
#: And what else is admissible there, where that is worth a look.
OTHERS: dict[str, list[Cause]] = {
    "spin": [("cpu_saturation", "P8", "info"), ("oom_risk", "P8", "info")],
    "saturation by two": [("cpu_spin", "P2", "medium"), ("cpu_saturation", "P8", "info")],
    "swap thrash": [("io_saturation", None, "info"), ("cpu_saturation", "P8", "info")],
    "unusual": [("unknown", None, "info"), ("cpu_saturation", "P8", "info")],
    "normal": [("cpu_saturation", "P8", "info"), ("oom_risk", "P8", "info")],
    "idle": [("oom_risk", "P1", "info")],
    "nothing listed": [],
    "two findings": [("mem_leak", "P2", "low")],
}


def causes(host: Facts) -> list[Cause]:
    return [(s.cls, s.process.id if s.process else None, s.severity) for s in judge.candidates(host)]


def test_the_rules_choose_the_likeliest_finding_and_normal_where_there_is_none() -> None:
    assert {name: causes(host)[0] for name, host in HOSTS.items()} == FIRST


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_may_be_chosen(name: str) -> None:
    assert causes(HOSTS[name])[1:] == OTHERS[name]


@given(any_facts())
@settings(max_examples=300, deadline=None)
def test_whatever_is_worth_an_alarm_is_a_rule_s_finding_and_never_stands_beside_normal(host: Facts) -> None:
    offered = judge.candidates(host)
    assert 1 <= len(offered) <= judge.KEPT
    assert len({(s.cls, s.process.id if s.process else None) for s in offered}) == len(offered)
    alarms = [f for f in host.findings if f.severity != "info" and f.cls != "of a later version"]
    for scope in offered:
        assert scope.alarms == (scope.finding in alarms)
    assert any(s.cls == "normal" for s in offered) == (not alarms)
    assert offered[0].alarms == bool(alarms)


def test_causes_come_in_the_order_of_the_findings_without_what_another_one_accounts_for() -> None:
    host = facts(
        process(1, "reindex"),
        process(2, "poller", cpu_pct=99.0),
        findings=(
            found(1, "mem_leak", "medium", "P1", score=0.7, explains=("F3",)),
            found(2, "cpu_spin", "low", "P2", score=0.4),
            found(3, "swap_thrash", "high", None, score=0.1),
        ),
    )
    assert causes(host) == [("mem_leak", "P1", "medium"), ("cpu_spin", "P2", "low")]
    text = rules_text.explain(host).text
    assert "It accounts for one other thing that a rule has found here." in text
    assert "poller (pid 1002)" in text


def test_a_busy_host_on_which_no_rule_finds_anything_is_normal_and_nobody_is_accused() -> None:
    insight = rules_text.explain(HOSTS["a build that no rule objects to"])
    assert (insight.cls, insight.severity) == ("normal", "info")
    assert insight.short == (
        "Nothing is wrong: the host is 98.0 % busy, most of all with cc1plus (pid 1001), and no rule objects to that."
    )
    assert [a.id for a in insight.actions] == ["nothing"]


def test_it_is_not_said_that_nothing_is_wrong_where_processes_wait_for_storage_or_memory() -> None:
    for pressure, words in (({"io_some_pct": 33.0}, "storage 33.0 %"), ({"memory_some_pct": 12.0}, "memory 12.0 %")):
        host = facts(process(1, "sh", cpu_pct=3.0), pressure=pressure)
        assert rules_text.explain(host).short == (
            f"No rule finds anything wrong, but something waits for {words} of the time; the busiest is sh (pid 1001)."
        )


def test_growth_that_no_detector_has_watched_is_no_leak() -> None:
    grown = process(1, "loader", rss_bytes=2 * GB, rss_delta_bytes=GB, mem_pct=25.0)
    trend = Trend(id="T1", metric="rss", direction="rising", delta=float(GB), window_s=60.0, process="P1")
    assert causes(facts(grown, trends=(trend,))) == [("normal", "P1", "info"), ("oom_risk", "P1", "info")]


def test_a_finding_about_a_group_is_about_its_busiest_member() -> None:
    group = Group(id="G1", comm="w", count=2, cpu_pct=150.0, rss_bytes=MB, mem_pct=1.0, members=("P1", "P2"))
    host = facts(
        process(1, "w", cpu_pct=60.0),
        process(2, "w", cpu_pct=90.0),
        groups=(group,),
        findings=(found(1, "cpu_saturation", "low", None, group="G1"),),
    )
    assert causes(host)[0] == ("cpu_saturation", "P2", "low")


def test_a_tree_that_fills_the_cores_is_told_by_its_sum_and_not_by_its_idle_head() -> None:
    host = facts(
        process(1, "make", cpu_pct=0.4),
        process(2, "cc1", ppid=1001, cpu_pct=70.0),
        host={"cpu_pct": 70.0},
        findings=(found(1, "cpu_saturation", "low", "P1", share_pct=91.0),),
    )
    text = rules_text.explain(host).text
    assert text.startswith("make (pid 1001) and the processes below it take 91.0 % of all CPU time in use.")
    assert "The busiest process is cc1 (pid 1002) with 70.0 % of one core." in text


def test_a_group_is_told_with_its_sum_before_its_busiest_member() -> None:
    assert rules_text.explain(HOSTS["out of memory soon"]).short == (
        "The resident memory of four VfsLoader processes adds up to 47.2 % of the host's; "
        "the largest is VfsLoader (pid 1001) with 940 MB."
    )


def test_a_file_system_without_inodes_is_not_said_to_be_out_of_space() -> None:
    assert rules_text.explain(HOSTS["no inodes"]).short == (
        "A file system runs out of inodes, one for each file: 100 % are used; spool (pid 1001) writes to disks."
    )


def chosen(host: Facts, label: str) -> str:
    """What is said where a model picks this line of the menu, and the first of every place."""
    offered = menu.build(host)
    (choice,) = [choice for choice in offered.choices if choice.label == label]
    answer = menu.first(replace(offered, choices=(choice,)))
    checked = verify(answer, host)
    assert isinstance(checked, Insight), checked
    return checked.text


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ((0.5, 0.5), "The other finding is about as likely to be the cause."),
        ((0.5, 0.41), "The other finding is about as likely to be the cause."),
        ((0.9, 0.1), "That other finding is the likelier cause: look at it first."),
    ],
)
def test_who_chooses_the_less_likely_of_two_findings_says_so(scores: tuple[float, float], words: str) -> None:
    first, second = (
        found(n, cls, "medium", f"P{n}", score=score)
        for n, cls, score in ((1, "cpu_spin", scores[0]), (2, "mem_leak", scores[1]))
    )
    host = facts(process(1, "sh", cpu_pct=99.0), process(2, "java", cpu_pct=1.0), findings=(first, second))
    assert words in chosen(host, "B")


@given(any_facts())
@settings(max_examples=200, deadline=None)
def test_nobody_is_told_to_do_nothing_beside_what_a_rule_has_found(host: Facts) -> None:
    wrong = any(is_known(f) and f.severity != "info" for f in host.findings)
    for choice in menu.build(host).choices:
        offered = {action for part in choice.acts for action in part.options}
        assert offered.isdisjoint({"nothing", "again"}) or not wrong
        assert ("others" in offered) <= wrong


def test_who_is_busier_than_the_culprit_is_cleared_with_what_was_measured_of_it() -> None:
    text = rules_text.explain(HOSTS["spin beside a busier build"]).text
    assert "cc1 (pid 1002) uses 92.0 % of one core, too, but it takes in data: 4,100 page faults a second." in text


def test_a_victim_is_not_told_of_as_a_busy_innocent() -> None:
    text = rules_text.explain(HOSTS["noisy neighbour"]).text
    assert "nginx (pid 1002)" in text
    assert "no rule objects" not in text


def test_findings_of_a_later_version_are_left_alone() -> None:
    later = Finding(id="F1", cls="of a later version", severity="high", rule="r", process="P8")
    assert causes(facts(*HOSTS["normal"].processes, findings=(later,))) == causes(HOSTS["normal"])


def test_a_short_menu_offers_what_rules_have_found_or_that_they_found_nothing() -> None:
    def offered(name: str) -> list[tuple[str, str, str]]:
        return [(c.label, c.cls, c.process) for c in menu.build(HOSTS[name], short=True).choices]

    assert offered("saturation by two") == [("A", "cpu_saturation", "P1"), ("B", "cpu_spin", "P2")]
    assert offered("normal") == [("A", "normal", "P8")]
