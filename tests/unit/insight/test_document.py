"""docs/explanations.md says what the code does: its tables are those of the code.

``python tests/unit/insight/test_document.py`` writes the tables anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from hosts import HOSTS

from linnix.insight import actions, catalogue, judge, prompt, rules_text
from linnix.insight.classes import CLASSES

DOCUMENT = Path(__file__).parents[3] / "docs" / "explanations.md"


def _row(*cells: str) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n"


def _classes(named: frozenset[str] | None) -> str:
    return "any" if named is None else " ".join(c for c in CLASSES if c in named)


def tables() -> dict[str, str]:
    """The generated parts of the document, by name."""
    measured = {"cpu_spin", "cpu_saturation", "noisy_neighbour", "fork_storm", "short_job_flood", "oom_risk"}
    measured |= {"swap_thrash", "io_saturation", "normal", "unknown"}
    classes = _row("class", "meaning", "admitted by") + _row("---", "---", "---")
    for cls in CLASSES:
        classes += _row(f"`{cls}`", CLASSES[cls], "finding or measurement" if cls in measured else "finding")
    clauses = _row("id", "slot", "classes", "sentence") + _row("---", "---", "---", "---")
    for clause in catalogue.CLAUSES.values():
        clauses += _row(f"`{clause.id}`", clause.slot, _classes(clause.classes), clause.text)
    recommended = _row("id", "step", "classes", "text", "command", "ends or caps") + _row(*["---"] * 6)
    for a in actions.ACTIONS.values():
        command = f"`{a.command}`" if a.command else ""
        recommended += _row(f"`{a.id}`", a.step, _classes(a.classes), a.text, command, "yes" if a.destructive else "")
    thresholds = _row("threshold", "value") + _row("---", "---")
    for name in (
        "SPIN_PCT", "SPIN_MAX_PCT", "SATURATED_PCT", "SATURATING_PCT", "FORKS_PER_S", "SHORT_JOBS_PER_S", "STORM_PER_S",
        "MEMORY_PCT", "MEMORY_GRAVE_PCT", "STALL_CPU_PCT", "STALL_MEMORY_PCT", "STALL_IO_PCT", "CALM_PCT", "NEAR",
    ):  # fmt: skip
        thresholds += _row(f"`{name}`", f"{getattr(judge, name):g}")
    asked = prompt.build(HOSTS["spin"])
    example = f"```\n{asked.messages[1].content}\n```\n\n{rules_text.explain(HOSTS['spin']).text}\n"
    return {
        "classes": classes, "clauses": clauses, "actions": recommended, "thresholds": thresholds, "example": example,
    }  # fmt: skip


def _filled(text: str) -> str:
    for name, table in tables().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        text = re.sub(f"(?s){re.escape(begin)}.*?{re.escape(end)}", lambda _: begin + table + end, text)  # noqa: B023
    return text


def test_the_tables_of_the_document_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text for name in tables())
    assert _filled(text) == text


def test_every_class_has_a_sentence_and_every_slot_too() -> None:
    assert {c.slot for c in catalogue.CLAUSES.values()} == set(catalogue.SLOTS)
    assert {a.step for a in actions.ACTIONS.values()} == set(actions.STEPS)
    for clause in [*catalogue.CLAUSES.values(), *actions.ACTIONS.values()]:
        assert (clause.classes or set()) <= set(CLASSES), clause.id
    assert set(judge.CAUSES) == set(CLASSES)


if __name__ == "__main__":
    DOCUMENT.write_text(_filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
