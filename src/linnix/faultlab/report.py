"""A score as tables: for a terminal, and as Markdown for a document.

Owns columns and words. Refuses to compute. Invariant: no line holds a control character of somebody's name, and in
Markdown no name is taken for markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from linnix.faultlab.grade import NOBODY, Graded
from linnix.faultlab.score import Measure, Score
from linnix.insight.render import clean

_Rows = list[tuple[str, ...]]


def plain(score: Score) -> list[str]:
    """Lines for a terminal."""
    found = []
    for title, rows in _tables(score):
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        found += [title, *("  ".join(cell.ljust(widths[at]) for at, cell in enumerate(row)).rstrip() for row in rows)]
        found.append("")
    return found[:-1]


def markdown(score: Score) -> list[str]:
    """Lines for a document."""
    found = []
    for title, rows in _tables(score):
        head, *body = [[_escaped(cell) for cell in row] for row in rows]
        found += [f"### {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        found += [f"| {' | '.join(row)} |" for row in body]
        found.append("")
    return found[:-1]


def _tables(score: Score) -> list[tuple[str, _Rows]]:
    found = [
        (f"{score.runs} runs of {score.scenarios} scenarios", _totals(score)),
        ("By class", _classes(score)),
        ("What each class was taken for", _confusion(score)),
    ]
    if score.misses:
        found.append((f"Missed: {len(score.misses)}", _misses(score.misses)))
    return found


def _totals(score: Score) -> _Rows:
    return [
        ("measure", "value", "95 % interval", "of"),
        ("culprit named first, one fault", *_share(score.hit, "runs")),
        ("… without a decoy busier than the culprit", *_share(score.hit_plain, "runs")),
        ("… with a decoy busier than the culprit", *_share(score.hit_busier, "runs")),
        ("both culprits within the first three, two faults", *_share(score.both, "runs")),
        ("class, macro F1", *_number(score.macro_f1, "runs", 3)),
        ("no alarm in look-alikes", *_share(score.quiet_normal, "ticks")),
        ("no alarm before the fault", *_share(score.quiet_warm_up, "ticks")),
        ("median seconds to the first hit beyond the rule's `for`", *_number(score.delay_s, "hits", 1)),
    ]


def _classes(score: Score) -> _Rows:
    rows: _Rows = [("class", "runs", "named first", "precision", "recall", "F1", "seconds")]
    for each in score.classes:
        measured = [_brief(measure, percent=True) for measure in (each.hit, each.precision, each.recall)]
        measured += [_brief(each.f1, percent=False), _brief(each.delay_s, percent=False)]
        rows.append((each.cls, str(each.runs), *measured))
    return rows


def _confusion(score: Score) -> _Rows:
    rows: _Rows = [("class", "taken for")]
    for cls, said in score.confusion.items():
        rows.append((cls, ", ".join(f"{count} {name}" for name, count in said.items())))
    return rows


def _misses(misses: Sequence[Graded]) -> _Rows:
    rows: _Rows = [("run", "class", "culprit", "said", "about", "rule")]
    for run in misses:
        who = run.said.process if run.said.command is None else f"{run.said.process} ({run.said.command})"
        cells = (run.run, run.cls, run.culprit or NOBODY, run.said.cls, who, run.said.rule or "-")
        rows.append(tuple(clean(cell) for cell in cells))
    return rows


def _share(measure: Measure, of: str) -> tuple[str, str, str]:
    return _cells(measure, of, 100, 1, " %")


def _number(measure: Measure, of: str, places: int) -> tuple[str, str, str]:
    return _cells(measure, of, 1, places, "")


def _cells(measure: Measure, of: str, factor: float, places: int, unit: str) -> tuple[str, str, str]:
    if measure.value is None:
        return ("-", "-", f"0 {of}")
    interval = "-"
    if measure.low is not None and measure.high is not None:
        interval = f"{factor * measure.low:.{places}f} to {factor * measure.high:.{places}f}{unit}"
    return (f"{factor * measure.value:.{places}f}{unit}", interval, f"{measure.count} {of}")


def _brief(measure: Measure, *, percent: bool) -> str:
    if measure.value is None:
        return "-"
    value, interval, _ = _cells(measure, "", 100, 0, " %") if percent else _cells(measure, "", 1, 2, "")
    return value if interval == "-" else f"{value} ({interval.removesuffix(' %')})"


def _escaped(cell: str) -> str:
    for mark in "\\`*_<>|[]":
        cell = cell.replace(mark, f"\\{mark}")
    return cell
