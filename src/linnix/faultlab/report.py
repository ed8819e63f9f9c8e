"""A score as tables: for a terminal, and as Markdown for a document.

Owns columns and words. Refuses to compute. Invariants: no line holds a control character of somebody's name, and in
Markdown no name is taken for markup; the same runs make the same lines, whenever they are graded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from linnix.faultlab.coverage import Coverage
from linnix.faultlab.grade import NOBODY, Graded
from linnix.faultlab.intervals import LEAST, RESAMPLES, Measure
from linnix.faultlab.score import Score
from linnix.insight.render import clean

_Rows = list[tuple[str, ...]]
_NEVER = "never"
_INTERVALS = (
    f"Intervals are of 95 %: percentiles of {RESAMPLES} resamples of scenarios; w: Wilson's, as if each scenario were "
    f"one observation, where there are fewer than {LEAST} or all agree."
)


def plain(score: Score, coverage: Coverage) -> list[str]:
    """Lines for a terminal."""
    found = [*_covered(coverage), ""]
    for title, rows in _tables(score):
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        found += [title, *("  ".join(cell.ljust(widths[at]) for at, cell in enumerate(row)).rstrip() for row in rows)]
        found.append("")
    return [*found, _INTERVALS]


def markdown(score: Score, coverage: Coverage, how: str) -> list[str]:
    """Lines for a document. ``how``: what was judged, and by which rules."""
    found = [how, "", *(f"- {_escaped(line)}" for line in _covered(coverage)), "", _escaped(_INTERVALS), ""]
    for title, rows in _tables(score):
        head, *body = [[_escaped(cell) for cell in row] for row in rows]
        found += [f"### {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        found += [f"| {' | '.join(row)} |" for row in body]
        found.append("")
    return found[:-1]


def _covered(coverage: Coverage) -> list[str]:
    planned = "not known" if coverage.planned is None else str(coverage.planned)
    found = [f"Runs planned: {planned}; recorded: {coverage.recorded}; graded: {coverage.graded}"]
    if coverage.failed:
        found.append(
            f"Daemon failed, which is a miss: {len(coverage.failed)}: {', '.join(map(clean, coverage.failed))}"
        )
    if coverage.absent:
        found.append(f"Absent, in no figure: {len(coverage.absent)}: {', '.join(map(clean, coverage.absent))}")
    return found


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
        ("… in any tick of a run", *_share(score.quiet_runs, "runs")),
        ("no alarm before the fault", *_share(score.quiet_warm_up, "ticks")),
        ("culprit first in some tick, one fault", *_share(score.found, "runs")),
        ("median seconds until then beyond the rule's `for`", *_number(score.delay_s, "runs", 1)),
    ]


def _classes(score: Score) -> _Rows:
    rows: _Rows = [("class", "runs", "named first", "precision", "recall", "F1", "found", "seconds")]
    for each in score.classes:
        measured = [_brief(measure, percent=True) for measure in (each.hit, each.precision, each.recall)]
        measured += [_brief(each.f1, percent=False), _brief(each.found, percent=True)]
        rows.append((each.cls, str(each.runs), *measured, _brief(each.delay_s, percent=False)))
    return rows


def _confusion(score: Score) -> _Rows:
    rows: _Rows = [("class", "taken for")]
    for cls, said in score.confusion.items():
        rows.append((cls, ", ".join(f"{count} {clean(name)}" for name, count in said.items())))
    return rows


def _misses(misses: Sequence[Graded]) -> _Rows:
    rows: _Rows = [("run", "expected", "of", "said", "about", "why")]
    for run in misses:
        who = run.said.process if run.said.command is None else f"{run.said.process} ({run.said.command})"
        cells = (run.run, run.cls, run.culprit or NOBODY, run.said.cls, who, run.cause)
        rows.append(tuple(clean(cell) for cell in cells))
    return rows


def _share(measure: Measure, of: str) -> tuple[str, str, str]:
    return _cells(measure, of, 100, 1, " %")


def _number(measure: Measure, of: str, places: int) -> tuple[str, str, str]:
    return _cells(measure, of, 1, places, "")


def _cells(measure: Measure, of: str, factor: float, places: int, unit: str) -> tuple[str, str, str]:
    def told(value: float) -> str:
        return _NEVER if math.isinf(value) else f"{factor * value:.{places}f}"

    if measure.value is None:
        return ("-", "-", f"0 {of}")
    value, interval = told(measure.value), "-"
    if measure.low is not None and measure.high is not None:
        wilson = " w" if measure.interval == "wilson" else ""
        interval = f"{told(measure.low)} to {told(measure.high)}{unit}{wilson}"
    return (value if value == _NEVER else f"{value}{unit}", interval, f"{measure.count} {of}")


def _brief(measure: Measure, *, percent: bool) -> str:
    if measure.value is None:
        return "-"
    value, interval, _ = _cells(measure, "", 100, 0, " %") if percent else _cells(measure, "", 1, 2, "")
    return value if interval == "-" else f"{value} ({interval.replace(' %', '')})"


def _escaped(cell: str) -> str:
    for mark in "\\`*_<>|[]":
        cell = cell.replace(mark, f"\\{mark}")
    return cell
