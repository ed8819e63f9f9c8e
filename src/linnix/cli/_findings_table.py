"""The daemon's answer to `/findings` as lines for a person.

Owns the layout and how a number of each unit is written. Refuses to judge: order and words are the daemon's. Invariant:
no line holds a control character of somebody's name, and without colour no escape sequence at all.
"""

import time
from collections.abc import Iterator
from typing import Any

from linnix.insight.render import clean, count, duration, label, name, percent, rate, size
from linnix.reasoner.output import fit, width_of

_HEAD = ("SEVERITY", "SCORE", "CLASS", "FOR", "WHO")
_STYLES = {"high": "1;31", "medium": "33", "low": "36", "info": "2"}
_INDENT = "    "


def lines(told: list[dict[str, Any]], checked: dict[str, Any], width: int, colour: bool) -> list[str]:
    """A table with the most likely cause first, and under each line why it is there."""
    if not told:
        return [quiet(checked)]
    rows = [_cells(finding) for finding in told]
    widths = [max(width_of(row[at]) for row in (_HEAD, *rows)) for at in range(len(_HEAD))]
    found = [_painted(_row(_HEAD, widths), "2", colour)]
    classes = {finding["id"]: finding["class"] + _of(finding) for finding in told}
    for finding, row in zip(told, rows, strict=True):
        found.append(_painted(fit(_row(row, widths), width).rstrip(), _STYLES.get(finding["severity"], ""), colour))
        for text in _why(finding, classes):
            found += [_INDENT + line for line in _wrapped(text, width - len(_INDENT))]
    return found


def short_lines(told: list[dict[str, Any]], checked: dict[str, Any], now_s: float) -> list[str]:
    """One line a finding, each complete in itself, for a pipe."""
    when = time.strftime("%H:%M:%S", time.localtime(now_s))
    if not told:
        return [f"{when} {quiet(checked)}"]
    return [
        f"{when} {finding['severity']} {finding['score']:.2f} {clean(finding['class'])}{_of(finding)}: "
        f"{clean(finding['message'])}"
        for finding in told
    ]


def quiet(checked: dict[str, Any]) -> str:
    """What to say when nothing is wrong, by `/status`'s word for what was checked."""
    rules, processes = checked["rules"], checked["processes"]
    return f"Nothing wrong: {_counted(rules, 'rule')} looked at {_counted(processes, 'process')}."


def who(party: dict[str, Any]) -> str:
    """A process, and where it lives if that has a name."""
    where = party["unit"] or party["cgroup"]
    home = f", {_place(where)}" if where and where != "/" else ""
    return f"{name(party['comm']) if party['comm'] else '?'} (pid {party['pid']}{home})"


def _cells(finding: dict[str, Any]) -> tuple[str, ...]:
    return (
        clean(finding["severity"]),
        f"{finding['score']:.2f}",
        clean(finding["class"]),
        duration(max(time.time() - finding["since"], 0.0)),
        who(finding["process"]) if finding["process"] else "the host",
    )


def _why(finding: dict[str, Any], classes: dict[str, str]) -> Iterator[str]:
    yield f"{clean(finding['rule'])}: {clean(finding['message'])}"
    if evidence := [_number(each) for each in finding["evidence"]]:
        yield " · ".join(evidence)
    if explained := [clean(classes[id]) for id in finding["explains"] if id in classes]:
        yield f"explains {', '.join(explained)}"
    if victims := [who(each) for each in finding["victims"]]:
        yield f"made wait: {', '.join(victims)}"
    if finding["runbook"]:
        yield f"runbook: {clean(finding['runbook'])}"


def _of(finding: dict[str, Any]) -> str:
    return f" of {who(finding['process'])}" if finding["process"] else " of the host"


def _number(each: dict[str, Any]) -> str:
    value, unit, threshold = each["value"], each["unit"], each["threshold"]
    against = "" if threshold is None else f" (threshold {_amount(threshold, unit)})"
    return f"{clean(each['id'])} {clean(each['fact'])} {_amount(value, unit)}{against}"


def _amount(value: float, unit: str) -> str:
    match unit:
        case "bytes":
            return size(value)
        case "bytes per second":
            return f"{size(value)}/s"
        case "MB per second":
            return f"{size(value * 1e6)}/s"
        case "MiB per second":
            return f"{size(value * 2**20)}/s"
        case "seconds":
            return duration(value)
        case "milliseconds":
            return duration(value / 1e3)
        case "microseconds":
            return duration(value / 1e6)
        case "percent" | "percent of one core":
            return percent(value)
        case "per second":
            return f"{rate(value)}/s"
        case "pid":
            return f"{value:.0f}"
        case _:
            return count(value) if value == int(value) else f"{value:,.2f}"


def _counted(number: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"


def _place(text: str) -> str:
    bare = text.removeprefix("/")
    return text if label(bare) == bare else label(text)


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(
        " " * (size_ - width_of(cell)) + cell if at in (1, 3) else cell + " " * (size_ - width_of(cell))
        for at, (cell, size_) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """Broken between words; a word that is too long for a line is cut."""
    found, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and width_of(longer) > width:
            found.append(line)
            longer = f"  {word}"
        line = longer
    return [fit(each, width).rstrip() for each in (*found, line)]


def _painted(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if colour and style else text
