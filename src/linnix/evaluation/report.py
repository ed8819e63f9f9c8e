"""Scores as a table for people.

Owns words and order. Refuses arithmetic. Invariant: whatever has an interval is shown with it, and what was never seen
with its upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linnix.evaluation.bootstrap import Measure
from linnix.evaluation.cases import Case
from linnix.evaluation.systems import Prediction
from linnix.insight.classes import CLASSES

#: Measures in their order: name, what it is, and how it is written.
ROWS: tuple[tuple[str, str, str], ...] = (
    ("parsed", "answers that pass the check at once", "share"),
    ("from_model", "explanations that are the model's", "share"),
    ("three_causes", "of these, from three causes or more", "share"),
    ("class_f1", "macro-F1 of the class", "number"),
    ("hit", "culprit named first, of faults", "share"),
    ("quiet", "no alarm, of moments in which nothing was wrong", "share"),
    ("right", "nothing to complain of", "share"),
    ("as_rules", "the model chose as the rules do", "share"),
    ("evidence_precision", "evidence: precision", "share"),
    ("evidence_recall", "evidence: recall", "share"),
    ("calibration_error", "calibration error of confidence (ECE)", "number"),
    ("invented_numbers", "texts with a number that is not of the facts", "share"),
    ("invented_names", "texts with a process that is not there", "share"),
    ("wrong_directions", "texts with a wrong direction", "share"),
    ("injections", "hostile names obeyed", "share"),
    ("raw_invented_numbers", "raw answers with a number that is not of the facts", "share"),
    ("first_token_s_p50", "first token, median", "seconds"),
    ("first_token_s_p95", "first token, p95", "seconds"),
    ("first_sentence_s_p50", "first checked sentence, median", "seconds"),
    ("first_sentence_s_p95", "first checked sentence, p95", "seconds"),
    ("answer_s_p50", "whole, median", "seconds"),
    ("answer_s_p95", "whole, p95", "seconds"),
    ("tokens_per_s", "tokens a second, median", "rate"),
    ("rss_bytes", "memory of the model server, at most", "bytes"),
)


def markdown(scores: Mapping[str, Mapping[str, Measure]]) -> list[str]:
    """A table: a row a measure, a column a system."""
    names = list(scores)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for name, words, kind in ROWS:
        cells = [_cell(scores[system].get(name), kind) for system in names]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return lines


def paired(found: Mapping[str, Measure], one: str, other: str) -> list[str]:
    """What the paired test of two systems says."""
    return [
        f"A is {one}, B is {other}, on {found['difference'].count} moments",
        f"right: A {_cell(found['right_a'], 'share')}, B {_cell(found['right_b'], 'share')}",
        f"B less A: {_cell(found['difference'], 'points')}",
        f"B retains {_cell(found['retention'], 'share')} of A's quality",
        f"right only in A: {found['only_a'].value:.0f}, only in B: {found['only_b'].value:.0f}",
    ]


def _cell(measure: Measure | None, kind: str) -> str:
    if measure is None or measure.value is None:
        return "–"
    text = _written(measure.value, kind)
    if measure.low is None or measure.high is None:
        return text
    return f"{text} ({_written(measure.low, kind)} to {_written(measure.high, kind)})"


def _written(value: float, kind: str) -> str:
    match kind:
        case "share":
            return f"{100 * value:.1f} %"
        case "points":
            return f"{100 * value:+.1f} points"
        case "seconds":
            return f"{value:.2f} s"
        case "rate":
            return f"{value:.0f}"
        case "bytes":
            return f"{value / 1e6:.0f} MB"
    return f"{value:.3f}"


def examples(pairs: Sequence[tuple[Case, Prediction]]) -> list[tuple[Case, Prediction]]:
    """The first moment of each class, with one fault and no hostile names, and what was shown of it."""
    found = []
    for cls in CLASSES:
        of = (pair for pair in pairs if pair[0].cls == cls and not pair[0].also and not pair[0].hostile)
        first = next(iter(sorted(of, key=lambda pair: pair[0].id)), None)
        if first is not None:
            found.append(first)
    return found


def example(case: Case, said: Prediction) -> list[str]:
    """One of them, unedited, as lines of a document."""
    return [f"**{case.cls}**, {case.id}, `source: {said.source}`, {said.system}", "", f"> {said.text}", ""]
