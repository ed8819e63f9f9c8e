"""docs/explanations.md says what the code does: its tables are those of the code.

``python tests/unit/insight/test_document.py`` writes the tables anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from hosts import HOSTS

from linnix.insight import actions, catalogue, judge, prompt, rules_text
from linnix.insight.catalogue import clause
from linnix.insight.classes import CLASSES

DOCUMENT = Path(__file__).parents[3] / "docs" / "explanations.md"


def _row(*cells: str) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n"


def _classes(named: frozenset[str] | None) -> str:
    return "any" if named is None else " ".join(c for c in CLASSES if c in named)


def tables() -> dict[str, str]:
    """The generated parts of the document, by name."""
    standing_out = {"cpu_saturation", "io_saturation", "net_flood", "fork_storm", "short_job_flood", "oom_risk"}
    classes = _row("class", "meaning", "may be told of who only stands out") + _row("---", "---", "---")
    for cls in CLASSES:
        classes += _row(f"`{cls}`", CLASSES[cls], "yes" if cls in standing_out else "")
    clauses = _row("id", "place", "classes", "sentence, in its wordings") + _row("---", "---", "---", "---")
    for each in catalogue.CLAUSES.values():
        clauses += _row(f"`{each.id}`", each.slot, _classes(each.classes), " / ".join(each.texts))
    recommended = _row("id", "step", "classes", "text", "command", "risk") + _row(*["---"] * 6)
    for a in actions.ACTIONS.values():
        command = f"`{a.command}`" if a.command else ""
        recommended += _row(f"`{a.id}`", a.step, _classes(a.classes), a.text, command, a.risk)
    thresholds = _row("threshold", "value") + _row("---", "---")
    for module, names in (
        (judge, ("CPU_PCT", "RSS_BYTES", "MOVED_BYTES_PER_S", "SENT_BYTES_PER_S", "FORKS_PER_S")),
        (clause, ("BUSY_PCT", "MUCH_PCT", "FULL_PCT", "MEMORY_PCT", "CALM_PCT")),
    ):
        for name in names:
            thresholds += _row(f"`{name}`", f"{getattr(module, name):,}")
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
    for each in [*catalogue.CLAUSES.values(), *actions.ACTIONS.values()]:
        assert (each.classes or set()) <= set(CLASSES), each.id
    first = [each for each in catalogue.CLAUSES.values() if each.slot == "cause"]
    assert {cls for each in first for cls in each.classes or ()} == set(CLASSES)


if __name__ == "__main__":
    DOCUMENT.write_text(_filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
