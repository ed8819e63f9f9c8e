"""The daemon's answer to `/blame` as lines for a person.

Owns the columns. Refuses to compute: amounts are the daemon's. Invariant: no line holds a control character of
somebody's name, and without colour no escape sequence at all.
"""

from datetime import datetime
from typing import Any

from linnix.insight.render import clean, duration, label, name
from linnix.reasoner.output import fit, width_of

_HEAD = ("STALL", "SHARE", "TASK", "KIND", "VICTIM", "OFFENDER")
_STYLES = {"measured": "", "inferred": "2", "own_quota": "33", "own_threads": "36"}
#: Columns a name may take when the terminal is narrow.
_MIN_NAME = 16


def lines(told: dict[str, Any], width: int, colour: bool) -> list[str]:
    """A heading, the pairs as a table, and what there is to know about them."""
    pairs = told["pairs"]
    rows = [
        (
            duration(pair["stall_ms"] / 1000),
            f"{100 * pair['share']:.0f} %",
            duration(pair["task_ms"] / 1000),
            pair["kind"].replace("_", " "),
            who(pair["victim"]),
            who(pair["offender"]),
        )
        for pair in pairs
    ]
    found = [_painted(_heading(told), "1", colour)]
    if rows:
        widths = [max(width_of(row[at]) for row in (_HEAD, *rows)) for at in range(len(_HEAD))]
        _shrink(widths, width)
        found.append(_painted(_row(_HEAD, widths), "2", colour))
        for row, pair in zip(rows, pairs, strict=True):
            found.append(_painted(_row(row, widths), _STYLES.get(pair["kind"], ""), colour))
    found += _notes(told)
    return found


def short_lines(told: dict[str, Any]) -> list[str]:
    """One line a pair, each complete in itself, for a pipe."""
    when = _clock(told["to"])
    if not told["pairs"]:
        return [f"{when} {told['resource']} nobody waited" + (f" ({clean(told['reason'])})" if told["reason"] else "")]
    return [
        f"{when} {told['resource']} {who(pair['victim'])} waited {duration(pair['stall_ms'] / 1000)} "
        f"({100 * pair['share']:.0f} %) for {who(pair['offender'])}, {pair['kind'].replace('_', ' ')}"
        for pair in told["pairs"]
    ]


def who(party: Any) -> str:
    """A victim or an offender in words."""
    if isinstance(party, str):
        return _place(party)
    where = party["unit"] or party["cgroup"]
    if party["pid"] is None and where:
        return f"(others in {_place(where)})"
    if not party["pid"]:
        return _place(party["comm"])
    home = f", {_place(where)}" if where and where != "/" else ""
    return f"{name(party['comm']) if party['comm'] else '?'} (pid {party['pid']}{home})"


def _place(text: str) -> str:
    """A path, a unit or a pod: bare where nothing in it could mislead. The daemon's own words are in parentheses."""
    if text in ("/", "(others)", "(nobody)", "(unknown)"):
        return text
    bare = text.removeprefix("/")
    return text if label(bare) == bare else label(text)


def _heading(told: dict[str, Any]) -> str:
    whom = f"{_place(told['victim'])} waiting" if told["victim"] else "who waits"
    span = duration(told["to"] - told["from"])
    return f"{told['resource']}: {whom}, {_clock(told['from'])} to {_clock(told['to'])} ({span})"


def _notes(told: dict[str, Any]) -> list[str]:
    notes = []
    span_s = told["to"] - told["from"]
    if not told["pairs"]:
        notes.append("Nobody waited, as far as was measured.")
    elif told["pairs_total"] > len(told["pairs"]):
        notes.append(f"and {told['pairs_total'] - len(told['pairs'])} smaller pairs (--top)")
    total = f"charged {duration(told['attributed_ms'] / 1000)}"
    if told["psi_total_ms"] is not None:
        total += f"; the kernel's own count of the stall is {duration(told['psi_total_ms'] / 1000)}"
    if told["inferred_ms"]:
        total += f"; inferred besides: {duration(told['inferred_ms'] / 1000)}"
    if told["pairs"]:
        notes.append(total)
    coverage = f"coverage {100 * told['coverage']:.0f} %"
    measured = f"measured for {duration(told['engaged_s'])} of {duration(span_s)}, {coverage}"
    if told["reason"]:
        measured += f"; not measured now: {clean(told['reason'])}"
    elif not told["engaged"]:
        measured += "; waiting for pressure to rise"
    return [*notes, measured]


def _shrink(widths: list[int], width: int) -> None:
    """Names give way when the terminal is too narrow, the longer one first."""
    spare = sum(widths) + 2 * (len(widths) - 1) - width
    while spare > 0 and max(widths[-2:]) > _MIN_NAME:
        longer = -2 if widths[-2] >= widths[-1] else -1
        widths[longer] -= 1
        spare -= 1


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    shown = [
        " " * (size - width_of(cell)) + cell if at < 3 else fit(cell, size)
        for at, (cell, size) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(shown).rstrip()


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")


def _painted(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if colour and style else text
