"""Prompts are pinned: training, evaluation and serving must see the same bytes.

A change that is meant: ``python tests/unit/insight/test_prompt.py`` writes the golden files anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hosts import HOSTS

from linnix.insight import prompt
from linnix.insight.evidence import brief

GOLDEN = Path(__file__).parent / "golden"
PINNED = ("saturation by two", "fork storm", "memory leak", "degraded", "hostile names", "nothing listed")
CASES = [(name, short) for name in PINNED for short in (False, True)]


def _file(name: str, short: bool) -> Path:
    return GOLDEN / f"{name.replace(' ', '_')}{'.short' if short else ''}.txt"


def _written(name: str, short: bool) -> str:
    asked = prompt.build(HOSTS[name], short)
    parts = [f"--- {m.role}\n{m.content}\n" for m in asked.messages]
    return "".join(
        [*parts, f"--- gbnf\n{asked.grammar_gbnf}--- lark\n{asked.grammar_lark}--- {asked.max_tokens} tokens\n"]
    )


@pytest.mark.parametrize(("name", "short"), CASES)
def test_the_prompt_is_the_pinned_one(name: str, short: bool) -> None:
    assert _written(name, short) == _file(name, short).read_text(encoding="utf-8")


def test_a_prompt_stays_small_enough_for_an_answer_in_time() -> None:
    # One token is at least two characters of such text; 650 of them are read a second on two threads.
    for host in HOSTS.values():
        assert len(prompt.build(host).messages[1].content) < 1000
        assert len(prompt.build(host, short=True).messages[1].content) < 450


def test_a_larger_model_is_told_more_and_answers_from_the_same_menu() -> None:
    for name, host in HOSTS.items():
        usual, large = prompt.build(host), prompt.build(host, large=True)
        assert (large.grammar_gbnf, large.label_weights) == (usual.grammar_gbnf, usual.label_weights), name
        told = large.messages[1].content
        assert told.partition("\nMenu:")[2] == usual.messages[1].content.partition("\nMenu:")[2]
        assert {p.id for p in host.processes[:16]} <= set(told.split())
        assert prompt.build(host, short=True, large=True) == prompt.build(host, short=True)
    swapping = prompt.build(HOSTS["swap thrash"], large=True).messages[1].content
    assert "P1 cpu=20 mem=62 threads=80 age=300 swap_mb=1000 major_faults_s=412\n" in swapping


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.04, "0"), (2.25, "2.2"), (9.96, "10"), (9999.0, "9999"), (10_000.0, "10k"), (85e6, "85M"), (-1.23e12, "-1.2T")],
)
def test_long_figures_are_told_in_few_characters(value: float, written: str) -> None:
    assert brief(value) == written


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        _file(*case).write_text(_written(*case), encoding="utf-8")
