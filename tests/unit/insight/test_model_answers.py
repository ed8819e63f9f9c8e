"""Whatever a grammar admits is true of its facts; whatever is not proven is refused."""

from __future__ import annotations

import random
import re

import pytest
from hosts import HOSTS, facts, found, process
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import any_facts, sample

from linnix.insight import actions, catalogue, grammar, judge, menu, prompt, rules_text, verify
from linnix.insight.answer import REJECTIONS, Insight, Rejection
from linnix.insight.facts import Facts
from linnix.insight.scope import REFERENCE

SPIN = HOSTS["spin"]
LOOPS = "sh (pid 1001) runs in a loop: for 30 s it has wanted 99.9 % of one core, of which it got 99.8 %."
GOOD = "ev=a,b\nis=A\nwhy=loops,single,wait_cpu,pair,load\nact=profile,nice\nof=cpu_spin,medium,P1"


@given(any_facts(), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_string_of_either_grammar_passes_the_check_and_names_who_it_should(
    host: Facts, short: bool, chance: random.Random
) -> None:
    offered = prompt.build(host, short)
    for text in (sample(offered.grammar_gbnf, chance), sample(offered.grammar_lark, chance)):
        insight = verify.verify(text, host, short)
        assert isinstance(insight, Insight), (text, insight)
        assert all(s.text.isprintable() for s in insight.sentences)
        culprit = insight.primary_process
        if culprit is not None:
            assert re.search(rf"\(pid {culprit.pid}[,)]", insight.sentences[0].text)
        if not short:
            busiest = max((p.cpu_pct for p in host.processes), default=0.0)
            named = [p for p in host.processes if re.search(rf"\(pid {p.pid}[,)]", insight.text)]
            assert busiest < catalogue.BUSY_PCT or any(p.cpu_pct == busiest for p in named)
            assert 5 <= len(insight.sentences) <= 8
            assert insight.evidence
            assert bool(host.degraded) == ("Linnix does not see" in insight.text)
        else:
            assert len(insight.sentences) == 1
        assert insight.choices == len(menu.offered(judge.candidates(host), short))


@given(any_facts())
@settings(max_examples=300, deadline=None)
def test_every_figure_and_name_of_the_text_is_in_the_evidence(host: Facts) -> None:
    insight = rules_text.explain(host)
    scope = judge.candidates(host)[0]
    refs = {e.ref for e in insight.evidence}
    for sentence in insight.sentences:
        if sentence.slot != "action":
            values = catalogue.CLAUSES[sentence.clause].values(scope) or []
            assert {v.ref for v in values} <= refs
            rest = sentence.text.lower()
            for value in sorted(values, key=lambda v: -len(v.text)):
                assert value.text.lower() in sentence.text.lower()
                rest = rest.replace(value.text.lower(), "")
            assert not re.search(r"\d", rest.replace("last 10 s", "")), sentence


@given(any_facts(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_rules_have_an_answer_for_any_facts(host: Facts, short: bool) -> None:
    insight = rules_text.explain(host, short, note="no model")
    assert (insight.source, insight.verified, insight.note) == ("rules", True, "no model")
    assert f"\nof={insight.cls},{insight.severity}," in menu.first(menu.build(host, short))


@given(any_facts(), st.text(max_size=200))
def test_arbitrary_text_is_refused(host: Facts, text: str) -> None:
    assert isinstance(verify.verify(text, host), Rejection)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from("abcp=,9\n {%"))
def test_a_changed_answer_is_refused_or_still_made_of_what_holds(at: int, char: str) -> None:
    insight = verify.verify(GOOD[:at] + char + GOOD[at + 1 :], SPIN)
    if isinstance(insight, Insight):
        scope = judge.candidates(SPIN)[0]
        for s in insight.sentences:
            table = actions.ACTIONS if s.slot == "action" else catalogue.CLAUSES
            assert table[s.clause].holds(scope)


@pytest.mark.parametrize(
    ("answer", "reason", "kind"),
    [
        ("", "the answer is cut short", "format"),
        ("ev=a", "the answer is cut short", "cut_short"),
        ("ev=a\nwhy=loops", "unexpected part 'why'", "format"),
        ("is=A", "unexpected part 'is'", "format"),
        ("ev=a\nis=A", "the answer is cut short", "cut_short"),
        ("ev=a\nis=A\nof=cpu_spin", "unexpected part 'of'", "format"),
        ("ev=a\nis=A\nwhy=loops,", "the answer is cut short", "format"),
        ("ev=a\nis=A\nwhy=loops", "the answer is cut short", "cut_short"),
        ("ev=a\nis=A\nwhy=loops\nof=cpu_spin,medium,P1", "nothing is said in place 'proof'", "cut_short"),
        (GOOD.replace("\nact=profile,nice", ""), "nothing is said in place 'look'", "cut_short"),
        (GOOD.replace(",P1", ""), "the answer is cut short", "cut_short"),
        (GOOD.replace("\nof=cpu_spin,medium,P1", ""), "the answer is cut short", "cut_short"),
        (GOOD.replace("a,b", "a,z"), "unknown evidence 'z'", "evidence"),
        (GOOD.replace("a,b", "a,a"), "'a' is cited twice, or as one too many", "evidence"),
        (GOOD.replace("a,b", "a,b,c,d"), "'d' is cited twice, or as one too many", "evidence"),
        (GOOD.replace("cpu_spin", "cpu_melt"), "unknown class 'cpu_melt'", "unknown"),
        (GOOD.replace("is=A", "is=Z"), "no cause 'z' was offered, or two are chosen", "cause"),
        (GOOD.replace("is=A", "is=A,A"), "no cause 'a' was offered, or two are chosen", "cause"),
        (GOOD.replace("is=A", "is=B"), "clause 'loops' does not hold", "clause"),
        (GOOD.replace("cpu_spin", "fork_storm"), "the cause is not 'fork_storm'", "cause"),
        (GOOD.replace("medium", "high"), "the cause is not 'cpu_spin, high'", "cause"),
        (GOOD.replace("P1", "P8"), "the cause is not 'cpu_spin, medium, p8'", "cause"),
        (GOOD.replace("P1", "P1,P8"), "the cause is not 'cpu_spin, medium, p1, p8'", "cause"),
        (GOOD.replace("single", "sorcery"), "unknown clause 'sorcery'", "unknown"),
        (GOOD.replace("single", "own"), "clause 'own' does not hold", "clause"),
        (GOOD.replace("pair", "busiest"), "clause 'busiest' does not hold", "clause"),
        (GOOD.replace("loops,single", "single,loops"), "nothing is said in place 'cause'", "cut_short"),
        (GOOD.replace("single", "single,age"), "place 'proof' is taken, or out of order", "format"),
        (GOOD.replace("nice", "reboot"), "unknown action 'reboot'", "unknown"),
        (GOOD.replace("nice", "free"), "action 'free' does not hold", "action"),
        (GOOD.replace("nice", "nice,nice"), "place 'remedy' is taken, or out of order", "format"),
        (GOOD + "\nact=nice", "unexpected part 'act'", "format"),
        (GOOD + "\nsev=high", "unexpected part 'sev'", "format"),
        ("why=loops\n" + GOOD, "unexpected part 'why'", "format"),
        ("Sure! " + GOOD, "unexpected character '!'", "format"),
        (GOOD + " \x1b[2J", "unexpected character '␛'", "format"),
        ("x" * 3000, "the answer is longer than 2000 characters", "too_long"),
    ],
)
def test_a_wrong_answer_is_refused_with_its_reason(answer: str, reason: str, kind: str) -> None:
    assert verify.verify(answer, SPIN) == Rejection(reason, kind)
    assert kind in REJECTIONS


def test_a_short_answer_has_neither_evidence_nor_actions() -> None:
    assert isinstance(verify.verify("is=A\nwhy=loops\nof=cpu_spin,medium,P1", SPIN, short=True), Insight)
    assert verify.verify(GOOD, SPIN, short=True) == Rejection("unexpected part 'ev'", "format")
    answer = "is=A\nwhy=loops\nact=nice\nof=cpu_spin,medium,P1"
    assert verify.verify(answer, SPIN, short=True) == Rejection("unexpected part 'act'", "format")


@pytest.mark.parametrize(
    "answer",
    [
        GOOD.upper(),
        f"```text\n{GOOD}\n```\n",
        GOOD.replace("=", " = ").replace(",", " , "),
        f"\n\n  {GOOD}  \n".replace("\n", "\r\n"),
    ],
)
def test_case_white_space_and_code_fences_do_not_matter(answer: str) -> None:
    assert verify.verify(answer, SPIN) == verify.verify(GOOD, SPIN)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_stream_gives_each_sentence_once_and_the_same_insight(size: int) -> None:
    checker = verify.Checker(SPIN)
    given_out = [s for at in range(0, len(GOOD), size) for s in checker.feed(GOOD[at : at + size])]
    insight = checker.finish()
    assert insight == verify.verify(GOOD, SPIN)
    assert isinstance(insight, Insight)
    assert given_out == list(insight.sentences)  # the last line says nothing new


def test_a_sentence_streams_out_as_soon_as_its_clause_is_closed() -> None:
    checker = verify.Checker(SPIN)
    assert checker.feed("ev=a\nis=A\nwhy=loops") == []
    assert [s.text for s in checker.feed(",")] == [LOOPS]
    assert checker.feed("nonsense,") == []
    assert checker.rejection == Rejection("unknown clause 'nonsense'", "unknown")
    assert checker.feed("single,") == []
    assert checker.finish() == Rejection("unknown clause 'nonsense'", "unknown")


def test_the_insight_carries_what_the_text_was_made_of() -> None:
    insight = verify.verify(GOOD, SPIN, model="SmolLM2-135M-Instruct")
    assert isinstance(insight, Insight)
    assert insight.text == (
        f"{LOOPS} It has a single thread, so one core is all it can take. "
        "Some process or other waited for a CPU 3.0 % of the last 10 s. Next come chrome (pid 1008) with 2.3 % and "
        "cognitod (pid 1009, Linnix's own) with 0.6 %. The load average is 1.10 on 2 cores. "
        "See where it spends its time: perf top -p 1001. "
        "If it may run slower, lower its priority: renice -n 10 -p 1001."
    )
    assert (insight.source, insight.model, insight.cls, insight.severity) == (
        "model",
        "SmolLM2-135M-Instruct",
        "cpu_spin",
        "medium",
    )
    assert {e.ref: (e.value, e.cited) for e in insight.evidence} == {
        "F1.wanted_cpu_pct": (99.9, True),
        "F1.cpu_pct": (99.8, True),
        "P1.pid": (1001, False),
        "F1.for_s": (30.0, False),
        "S.psi_cpu": (3.0, False),
        "P8.pid": (1008, False),
        "P8.cpu_pct": (2.3, False),
        "P9.pid": (1009, False),
        "P9.cpu_pct": (0.6, False),
        "S.load_1": (1.1, False),
        "S.cores": (2.0, False),
    }
    assert [(a.id, a.command, a.destructive, a.risk) for a in insight.actions] == [
        ("profile", "perf top -p 1001", False, "none"),
        ("nice", "renice -n 10 -p 1001", False, "low"),
    ]


def test_a_process_listed_as_linnix_own_is_not_blamed_beside_an_equal() -> None:
    insight = rules_text.explain(HOSTS["own beside another"])
    assert insight.primary_process is not None
    assert insight.primary_process.comm == "sh"
    assert "The busiest process is llama-server (pid 1001, Linnix's own)" in insight.text


def test_linnix_own_process_is_named_where_it_really_is_the_busiest() -> None:
    insight = rules_text.explain(HOSTS["own busiest"])
    assert "most of all with llama-server (pid 1001, Linnix's own)," in insight.short
    assert "It is one of Linnix's own processes." in insight.text
    assert not any(a.destructive for a in insight.actions)


def test_nothing_destructive_is_offered_for_kernel_threads_and_pid_1() -> None:
    for changes in ({"pid": 1}, {"ppid": 2}, {"pid": 2, "ppid": 0}, {"tags": ("kernel_thread",)}):
        host = facts(
            process(1, "kswapd0", cpu_pct=100.0, **changes),
            host={"cpu_pct": 99.0},
            findings=(found(1, "cpu_spin", "high", "P1"), found(2, "mem_leak", "high", "P1")),
        )
        for scope in judge.candidates(host):
            offered = [a for step in actions.STEPS for a in actions.admissible(scope, step)]
            assert not any(a.destructive for a in offered)


def test_whatever_ends_or_caps_something_is_marked_and_says_its_price() -> None:
    for action in actions.ACTIONS.values():
        command = action.command or ""
        harsh = bool(re.match(r"kill|systemctl (restart|stop|set-property)", command))
        assert action.destructive == harsh, action.id
        assert (action.risk == "high") == bool(re.match(r"kill|systemctl restart", command)), action.id
        if harsh:
            assert re.search(r"is lost|interrupts|slower|fail", action.text), action.id


def test_commands_hold_no_name_and_no_unsafe_unit() -> None:
    for host in HOSTS.values():
        for scope in judge.candidates(host):
            for action in actions.ACTIONS.values():
                if action.holds(scope):
                    command = action.recommend(scope).command or ""
                    assert not re.search(r"[;&$`\\\n]", command), command


def test_prompts_hold_nothing_that_a_process_chose() -> None:
    for host in HOSTS.values():
        for short in (False, True):
            asked = prompt.build(host, short)
            assert asked.messages[0] == prompt.Message("system", prompt.SYSTEM)
            words = asked.messages[1].content
            for p in host.processes:
                assert p.comm not in words.replace("threads", "").split()
                assert str(p.pid) not in re.findall(r"\d+", words)
                assert not p.unit or p.unit not in words


def test_the_wordings_of_a_clause_show_the_same_figures() -> None:
    for clause in catalogue.CLAUSES.values():
        shown = [sorted(REFERENCE.findall(text)) for text in clause.texts]
        assert all(each == shown[0] for each in shown), clause.id
        assert clause.texts
    assert len(catalogue.CLAUSES) >= 150
    assert sum(len(clause.texts) > 1 for clause in catalogue.CLAUSES.values()) >= 40


def test_a_process_is_told_of_in_the_same_words_and_another_one_may_be_told_of_in_others() -> None:
    def short(start_ns: int) -> str:
        spinner = process(1, "sh", cpu_pct=99.0, start_ns=start_ns)
        return rules_text.explain(facts(spinner, findings=SPIN.findings)).short

    assert short(1) == short(1)
    assert len({short(start_ns) for start_ns in range(20)}) == 2


def test_a_full_explanation_is_as_long_as_a_tired_person_reads() -> None:
    for name, host in HOSTS.items():
        assert 60 <= len(rules_text.explain(host).text.split()) <= 120, name


def test_no_remedy_is_offered_where_no_rule_objects_to_anything() -> None:
    for host in HOSTS.values():
        for scope in judge.candidates(host):
            if not scope.alarms:
                assert {a.id for a in actions.admissible(scope, "remedy")} <= {"sight"}


def test_the_menu_is_the_same_for_the_same_facts() -> None:
    assert prompt.build(SPIN) == prompt.build(SPIN)
    assert grammar.gbnf(menu.build(SPIN)) == prompt.build(SPIN).grammar_gbnf
