"""Whatever a grammar admits is true of its facts; whatever is not proven is refused."""

from __future__ import annotations

import random
import re

import pytest
from hosts import HOSTS, facts, process
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import any_facts, sample

from linnix.insight import actions, catalogue, grammar, judge, menu, prompt, rules_text, verify
from linnix.insight.answer import Insight, Rejection
from linnix.insight.facts import Facts

SPIN = HOSTS["spin"]
GOOD = "cls=cpu_spin proc=P1\nwhy=loops,share,wait_cpu,pair,load\nact=threads,nice"


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
            assert 4 <= len(insight.sentences) <= 9
            assert bool(host.degraded) == ("Linnix does not see" in insight.text)
        else:
            assert len(insight.sentences) == 1


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
    assert menu.first(menu.build(host, short)[0]).startswith(f"cls={insight.cls} ")


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
    ("answer", "reason"),
    [
        ("", "the answer is cut short"),
        ("cls=cpu_spin proc=P1", "the answer is cut short"),
        ("cls=cpu_spin proc=P1\nwhy=loops,", "the answer is cut short"),
        ("cls=cpu_spin proc=P1\nwhy=loops", "nothing is said in place 'proof'"),
        (GOOD.replace("\nact=threads,nice", ""), "nothing is said in place 'look'"),
        (GOOD.replace("cpu_spin", "cpu_melt"), "unknown class 'cpu_melt'"),
        (GOOD.replace("cpu_spin", "fork_storm"), "the facts do not admit class fork_storm with process 'p1'"),
        (GOOD.replace("P1", "P8"), "the facts do not admit class cpu_spin with process 'p8'"),
        (GOOD.replace("P1", "P77"), "the facts do not admit class cpu_spin with process 'p77'"),
        (GOOD.replace("share", "sorcery"), "unknown clause 'sorcery'"),
        (GOOD.replace("share", "own"), "clause 'own' does not hold"),
        (GOOD.replace("pair", "busiest"), "clause 'busiest' does not hold"),
        (GOOD.replace("loops,share", "share,loops"), "nothing is said in place 'what'"),
        (GOOD.replace("share", "share,age"), "place 'proof' is taken, or out of order"),
        (GOOD.replace("nice", "reboot"), "unknown action 'reboot'"),
        (GOOD.replace("nice", "free"), "action 'free' does not hold"),
        (GOOD + "\nact=nice", "place 'remedy' is taken, or out of order"),
        (GOOD + "\nsev=high", "unexpected part 'sev'"),
        ("why=loops\n" + GOOD, "unexpected part 'why'"),
        ("Sure! " + GOOD, "unexpected character '!'"),
        (GOOD + " \x1b[2J", "unexpected character '␛'"),
        ("x" * 3000, "the answer is longer than 2000 characters"),
    ],
)
def test_a_wrong_answer_is_refused_with_its_reason(answer: str, reason: str) -> None:
    assert verify.verify(answer, SPIN) == Rejection(reason)


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
    assert given_out == list(insight.sentences[: len(given_out)])
    assert len(insight.sentences) - len(given_out) == 1  # the last word may still grow


def test_a_sentence_streams_out_as_soon_as_its_clause_is_closed() -> None:
    checker = verify.Checker(SPIN)
    assert checker.feed("cls=cpu_spin proc=P1\nwhy=loops") == []
    assert [s.text for s in checker.feed(",")] == ["sh (pid 1001) has kept a core busy for 30 s: it uses 99.8 % of it."]
    assert checker.feed("nonsense,") == []
    assert checker.rejection == Rejection("unknown clause 'nonsense'")
    assert checker.feed("share,") == []
    assert checker.finish() == Rejection("unknown clause 'nonsense'")


def test_the_insight_carries_what_the_text_was_made_of() -> None:
    insight = verify.verify(GOOD, SPIN, model="SmolLM2-135M-Instruct")
    assert isinstance(insight, Insight)
    assert insight.text == (
        "sh (pid 1001) has kept a core busy for 30 s: it uses 99.8 % of it. That is 94.2 % of all CPU time in use. "
        "Processes were waiting on CPU for 3.0 % of the last 10 s. Next come chrome (pid 1008) with 2.3 % and "
        "cognitod (pid 1009, Linnix's own) with 0.6 %. The load average is 1.10 on 2 cores. "
        "See which of its threads is busy: top -H -p 1001. "
        "If it may run slower, lower its priority: renice -n 10 -p 1001."
    )
    assert (insight.source, insight.model, insight.cls, insight.severity) == (
        "model",
        "SmolLM2-135M-Instruct",
        "cpu_spin",
        "medium",
    )
    assert {e.ref: e.value for e in insight.evidence} == {
        "P1.pid": 1001,
        "F1.since": 1_759_999_970.0,
        "P1.cpu_pct": 99.8,
        "P1.cpu_share": pytest.approx(94.15, abs=0.01),
        "S.psi_cpu": 3.0,
        "P8.pid": 1008,
        "P8.cpu_pct": 2.3,
        "P9.pid": 1009,
        "P9.cpu_pct": 0.6,
        "S.load_1": 1.1,
        "S.cores": 2.0,
    }
    assert [(a.id, a.command, a.destructive) for a in insight.actions] == [
        ("threads", "top -H -p 1001", False),
        ("nice", "renice -n 10 -p 1001", False),
    ]


def test_a_process_listed_as_linnix_own_is_not_blamed_beside_an_equal() -> None:
    insight = rules_text.explain(HOSTS["own beside another"])
    assert insight.primary_process is not None
    assert insight.primary_process.comm == "sh"
    assert "The busiest process is llama-server (pid 1001, Linnix's own)" in insight.text


def test_linnix_own_process_is_named_where_it_really_is_the_busiest() -> None:
    insight = rules_text.explain(HOSTS["own busiest"])
    assert insight.text.startswith("llama-server (pid 1001, Linnix's own) ")
    assert "It is one of Linnix's own processes." in insight.text
    assert not any(a.destructive for a in insight.actions)


def test_nothing_destructive_is_offered_for_kernel_threads_and_pid_1() -> None:
    for changes in ({"pid": 1}, {"ppid": 2}, {"pid": 2, "ppid": 0}, {"tags": ("kernel_thread",)}):
        host = facts(process(1, "kswapd0", cpu_pct=100.0, **changes), host={"cpu_pct": 99.0})
        for scope in judge.candidates(host):
            offered = [a for step in actions.STEPS for a in actions.admissible(scope, step)]
            assert not any(a.destructive for a in offered)


def test_whatever_ends_or_caps_something_is_marked_and_says_its_price() -> None:
    for action in actions.ACTIONS.values():
        command = action.command or ""
        harsh = bool(re.match(r"kill|systemctl (restart|stop|set-property)", command))
        assert action.destructive == harsh, action.id
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


def test_the_menu_is_the_same_for_the_same_facts() -> None:
    assert prompt.build(SPIN) == prompt.build(SPIN)
    assert grammar.gbnf(menu.build(SPIN)) == prompt.build(SPIN).grammar_gbnf
