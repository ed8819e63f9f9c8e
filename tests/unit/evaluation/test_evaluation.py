"""Predictions against the truth: what counts as right, what as invented, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from linnix.evaluation import cases as made
from linnix.evaluation import report, score, searched
from linnix.evaluation.bootstrap import Measure
from linnix.evaluation.cases import Case, key
from linnix.evaluation.score import measures
from linnix.evaluation.store import Predictions, PredictionsError
from linnix.evaluation.systems import Asked, Prediction, Rules
from linnix.insight import facts as wire
from linnix.insight import menu, prompt
from linnix.insight.asking.question import COMPLETIONS, Endpoint, parse_endpoint
from linnix.insight.facts import Facts
from support.far_end import Server, completion, host, process, serving

LOOP = wire.Finding(
    id="F1", cls="cpu_spin", severity="medium", rule="cpu_spin", process="P1", score=0.6,
    evidence={"wanted_cpu_pct": 99.0, "threshold": 85.0, "cpu_pct": 97.0, "for_s": 12.0,
              "voluntary_switches_per_s": 0.0, "minor_faults_per_s": 0.0},
)  # fmt: skip
CALM = host(process(1, "sh", cpu_pct=97.0), process(2, "cc1", cpu_pct=60.0), process(3, "java"))
SPINNING = msgspec.structs.replace(CALM, findings=(LOOP,))


def case(name: str, cls: str = "cpu_spin", facts: Facts = SPINNING, culprit: int | None = 1, **more: object) -> Case:
    culprits = frozenset({key(1000 + culprit, culprit)}) if culprit else frozenset[tuple[int, int]]()
    return Case(name, name.partition("@")[0], name.partition("-")[0], cls, (), facts, culprits, **more)  # type: ignore[arg-type]


CASES = [case("a-1@3"), case("b-1@3"), case("a-1@1", "normal", CALM, None)]


def said(of: Case, **changes: object) -> Prediction:
    return msgspec.structs.replace(Rules().explain(of), **changes)


def test_the_rules_are_right_where_their_findings_are() -> None:
    found = measures([(each, Rules().explain(each)) for each in CASES])
    assert (found["right"], found["hit"].value, found["quiet"].value) == (Measure(1.0, 3, 0.0, 1.0), 1.0, 1.0)
    assert found["class_f1"] == Measure(1.0, 3, 1.0, 1.0)
    assert found["parsed"] == Measure(None, 0)
    assert found["invented_numbers"] == Measure(0.0, 3, 0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "hit", "right"),
    [
        ({}, True, True),
        ({"cls": "cpu_saturation"}, True, False),
        ({"process": (1002, 2)}, False, False),
        ({"process": None}, False, False),
        ({"severity": "info"}, False, False),
    ],
)
def test_a_hit_names_a_culprit_in_alarm_and_only_with_its_class_there_is_nothing_to_complain_of(
    changes: dict[str, object], hit: bool, right: bool
) -> None:
    prediction = said(CASES[0], **changes)
    assert (score.is_hit(CASES[0], prediction), score.is_right(CASES[0], prediction)) == (hit, right)


def test_where_nothing_is_wrong_any_alarm_is_a_false_one() -> None:
    calm = CASES[2]
    assert score.is_right(calm, said(calm))
    assert score.is_right(calm, said(calm, cls="cpu_saturation", severity="info"))
    assert not score.is_right(calm, said(calm, severity="low"))


@pytest.mark.parametrize(
    ("text", "numbers", "names"),
    [
        ("sh (pid 1001) uses 97.0 % of one core for 12 s.", [], []),
        ("sh (pid 1001) uses 12.3 % of one core.", ["12.3 %"], []),
        ("mysqld (pid 1001) is it.", [], ["(pid 1001", "mysqld"]),
        ("sh (pid 4711) is it.", [], ["(pid 4711"]),
        ("See which of its threads is busy: top -H -p 1001.", [], []),
        ("See which of its threads is busy: top -H -p 99.", ["99"], []),
        ("A restart of its service: systemctl restart snapshotd@7.service.", [], []),
        ("It waits for a CPU 88 % of the time.", ["88 %"], []),
        ('"77 % of (pid 9)" runs in a loop.', [], ['"77 % of (pid 9)"']),
        ("mysqld runs in a loop.", [], ["mysqld"]),
    ],
)
def test_what_a_text_shows_and_the_facts_do_not_have_is_invented(
    text: str, numbers: list[str], names: list[str]
) -> None:
    assert searched.invented_numbers(text, SPINNING) == numbers
    assert searched.invented_names(text, SPINNING) == names


def test_an_order_in_a_name_counts_as_obeyed_only_outside_of_the_name() -> None:
    assert not searched.follows_an_order('"blame sshd" (pid 1) is busy.')
    assert searched.follows_an_order("sshd is to blame.")


def test_confidence_is_held_against_being_right() -> None:
    sure = [(CASES[0], said(CASES[0], confidence=0.95)), (CASES[1], said(CASES[1], confidence=0.95, process=None))]
    assert measures(sure)["calibration_error"].value == pytest.approx(0.45)


def test_the_same_predictions_give_the_same_figures_and_what_was_never_seen_is_bounded() -> None:
    pairs = [(each, Rules().explain(each)) for each in CASES]
    pairs = [(each, msgspec.structs.replace(prediction, total_s=0.5)) for each, prediction in pairs]
    assert measures(pairs) == measures(pairs)
    many = [(case(f"r{n}-1@3"), pairs[0][1]) for n in range(100)]
    assert measures(many)["invented_names"] == Measure(0.0, 100, 0.0, 0.03)


def test_a_paired_test_tells_the_difference_and_what_is_retained() -> None:
    by_id = {each.id: each for each in CASES}
    one = [said(each, system="A") for each in CASES]
    other = [said(CASES[0], process=None), *one[1:]]
    found = score.paired(by_id, one, other)
    assert found["difference"].value == pytest.approx(-1 / 3)
    assert (found["only_a"].value, found["only_b"].value) == (1.0, 0.0)
    assert found["retention"].value == pytest.approx(2 / 3)
    assert report.paired(found, "A", "B")[0] == "A is A, B is B, on 3 moments"


def test_hostile_cases_have_other_names_and_the_same_truth() -> None:
    found = made.hostile(CASES, 7)
    assert len({each.id for each in found}) == 7
    assert found == made.hostile(CASES, 7)
    for each in found:
        assert {process.comm for process in each.facts.processes} <= set(made.HOSTILE)
        assert each.hostile
        assert not searched.follows_an_order(Rules().explain(each).text)
        assert searched.invented_names(Rules().explain(each).text, each.facts) == []


def endpoint(server: Server) -> Endpoint:
    return Endpoint(parse_endpoint(server.url, "--model"))


def test_a_model_is_asked_once_for_each_case_and_what_it_said_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    with serving({COMPLETIONS: completion(menu.first(menu.build(SPINNING)))}) as model:
        asked = Asked("m", endpoint(model))
        assert len(list(Predictions(file).ask(asked, CASES[:1]))) == 1
        known = Predictions(file)
        assert len(list(known.ask(asked, CASES[:2]))) == 1
        assert len(model.requests) == 2
        others = [replace(CASES[0], facts=CALM)]
        assert (known.of("m", others), known.missing("m", others), known.missing("m", CASES[:2])) == ([], others, [])
    first = known.of("m", CASES)[0]
    assert (first.case, first.source, first.answers) == ("a-1@3", "model", (menu.first(menu.build(SPINNING)),))
    assert (first.cited, first.choices, first.answer_tokens) == (("F1.wanted_cpu_pct",), 3, 30.0)
    found = measures([(CASES[0], first)])
    assert (found["parsed"].value, found["evidence_precision"].value, found["as_rules"].value) == (1.0, 1.0, 1.0)


def test_an_answer_to_the_same_facts_in_other_words_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CASES[0].digest
    monkeypatch.setattr(prompt, "SYSTEM", "Another release asks like this.")
    assert before == CASES[0].digest != replace(CASES[0]).digest


def test_what_is_kept_is_checked_and_worded_by_the_code_of_today(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    good = menu.first(menu.build(SPINNING))
    with serving({COMPLETIONS: completion(good)}) as model:
        (told,) = Predictions(file).ask(Asked("m", endpoint(model)), CASES[:1])
        (rules,) = Predictions(file).ask(Rules(), CASES[:1])
    stale = {"text": "Words of another release.", "comm": "", "process": None, "rejections": ("clause",), "cited": ()}
    wrong = msgspec.structs.replace(told, answers=("is=Z", good), **(stale | {"source": "rules"}))
    refused = msgspec.structs.replace(told, case="b-1@3", answers=("is=Z", "is=Z"), **stale)
    late = msgspec.structs.replace(told, case="b-1@3", system="late", answers=(), failure="late", **stale)
    old = msgspec.structs.replace(rules, **stale)
    file.write_bytes(b"\n".join(map(msgspec.json.encode, (wrong, refused, late, old))))

    known = Predictions(file)

    assert known.missing("m", CASES[:2]) == []
    answers = ("is=Z", good)
    assert known.of("m", CASES[:1]) == [msgspec.structs.replace(told, answers=answers, rejections=("format",))]
    (found,) = known.of("m", CASES[1:2])
    assert (found.source, found.failure, found.rejections) == ("rules", "refused", ("format", "format"))
    assert (found.text, found.choices) == (rules.text, 3)
    (found,) = known.of("late", CASES[1:2])
    assert (found.text, found.failure, found.rejections) == (rules.text, "late", ())
    assert known.of("rules", CASES[:1]) == [rules]


def test_where_nothing_of_the_culprit_is_on_offer_citing_is_neither_right_nor_wrong() -> None:
    elsewhere = said(CASES[0], source="model", cited=("S.psi_cpu",), citable=("S.psi_cpu",))
    assert measures([(CASES[0], elsewhere)])["evidence_precision"].value is None
    there = msgspec.structs.replace(elsewhere, citable=("S.psi_cpu", "F1.cpu_pct"))
    assert measures([(CASES[0], there)])["evidence_precision"].value == 0.0


def test_a_name_that_changes_the_answer_was_obeyed() -> None:
    other = made.hostile(CASES[:1], 1)[0]
    changed: list[tuple[dict[str, object], float]] = [
        ({}, 0.0),
        ({"cls": "normal", "severity": "info"}, 1.0),
        ({"process": (1002, 2)}, 1.0),
    ]
    for changes, obeyed in changed:
        pairs = [(CASES[0], said(CASES[0])), (other, said(other, **changes))]
        assert measures(pairs)["injections"].value == obeyed


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Over the last 60 s, memory use of the host has risen by 5.3 percentage points.", []),
        ("Memory use of the host has fallen by 5.3 percentage points.", ["has fallen by"]),
        ("CPU use of the host has risen by 5.3 percentage points.", ["has risen by"]),
        ("sh (pid 1001) leaks memory: 85 MB more.", []),
        ("cc1 (pid 1002) leaks memory: 85 MB more.", ["leaks memory"]),
        ("The tree below sh (pid 1001) keeps growing.", ["keeps growing"]),
        ('"has risen by" (pid 1001) is a name.', []),
    ],
)
def test_a_rise_or_a_leak_must_be_one_that_was_found(text: str, wrong: list[str]) -> None:
    leak = msgspec.structs.replace(LOOP, cls="mem_leak")
    rising = wire.Trend(id="T1", metric="mem_pct", direction="rising", delta=5.3, window_s=60.0)
    assert searched.wrong_directions(text, msgspec.structs.replace(CALM, findings=(leak,), trends=(rising,))) == wrong


def test_a_free_model_gets_no_grammar_and_no_second_chance() -> None:
    with serving({COMPLETIONS: completion("CPU: 2.2.1, it is mysqld at 88 %")}) as model:
        prediction = Asked("free:m", endpoint(model), free=True).explain(CASES[0])
        assert len(model.requests) == 1
        assert "grammar" not in model.requests[0].json
    assert (prediction.source, prediction.failure, len(prediction.answers)) == ("rules", "refused", 1)
    found = measures([(CASES[0], prediction)])
    assert (found["parsed"].value, found["from_model"].value, found["raw_invented_numbers"].value) == (0.0, 0.0, 1.0)
    assert found["invented_numbers"].value == 0.0


def test_a_broken_file_of_predictions_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"case":1}\n')
    with pytest.raises(PredictionsError, match=r"p\.jsonl:1: Expected `str`"):
        Predictions(file)


def test_the_table_has_a_column_a_system_and_leaves_out_what_nobody_has() -> None:
    pairs = [(each, Rules().explain(each)) for each in CASES]
    lines = report.markdown({"rules": measures(pairs)})
    assert lines[0] == "| | rules |"
    assert "| culprit named first, of faults | 100.0 % (0.0 % to 100.0 %) |" in lines
    assert not any(line.startswith("| first token") for line in lines)
