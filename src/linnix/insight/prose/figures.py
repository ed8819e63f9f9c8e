"""Every figure of the facts, by whom it is of, and whether a written number is one of some of them.

Owns units and rounding. Refuses to know what a sentence is about: ``matters`` does. Invariant: a number passes if one
of the figures given rounds to it, in its unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from linnix.insight.facts import Facts, Process

#: A number with its unit, as people write it.
NUMBER = re.compile(
    r"(?<![\w.])(?P<digits>\d[\d,]*(?:\.\d+)?)"
    r"(?:\s?(?P<unit>%|percent|[kKMGT]i?B|bytes|us|µs|ms|milliseconds?|s|secs?|seconds?|min|minutes?|h|hours?|days?)"
    r"(?![A-Za-z]))?(?P<rate>/s\b|\s?(?:per|a|each) second)?",
)
_DECIMAL = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"k": 2.0**10, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40}
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0}

#: Numbers that name, and measure nothing.
_NAMES = frozenset(["pid", "ppid", "uid", "start_ns"])


@dataclass(frozen=True, slots=True)
class Figure:
    """A value in base units: percent, bytes, seconds, or a count; ``rate``: each second."""

    name: str
    value: float
    kind: str  # percent bytes seconds count
    rate: bool = False


def of_process(facts: Facts, process: Process) -> list[Figure]:
    """Figures of one process, and of what was found of it and measured to be done to it."""
    found = [each for each in of_fields(process) if each.name not in _NAMES and each.value]
    for finding in facts.findings:
        if finding.process == process.id:
            found += [named(name, value) for name, value in finding.evidence.items()]
            if finding.since > 0:
                found.append(Figure("age_s", facts.timestamp - finding.since, "seconds"))
    used_pct = facts.host.cpu_pct * facts.host.cores
    if used_pct > 0:
        found.append(Figure("cpu_share", 100 * process.cpu_pct / used_pct, "percent"))
    for pair in facts.blame:
        if process.id == pair.victim and pair.victim != pair.offender:
            found += [Figure("share", 100 * pair.share, "percent"), Figure("task_ms", pair.task_ms / 1e3, "seconds")]
            found += [Figure("stall_ms", pair.stall_ms / 1e3, "seconds"), Figure("window", pair.window_s, "seconds")]
    return found


def of_host(facts: Facts) -> list[Figure]:
    """Figures of the host, and of what was found of nobody in particular."""
    found = [*of_fields(facts.host), *of_fields(facts.activity), *of_fields(facts.pressure)]
    found.append(Figure("psi_window", 10.0, "seconds"))
    found += [Figure("load", value, "count") for value in facts.host.load_avg]
    found.append(Figure("processes_total", facts.processes_total, "count"))
    for finding in facts.findings:
        if finding.process is None:
            found += [named(name, value) for name, value in finding.evidence.items()]
    for space in facts.filesystems:
        found += of_fields(space)
    return found


def of_others(facts: Facts) -> list[Figure]:
    """Figures of groups, kills, pairs, trends and what is unusual."""
    found: list[Figure] = []
    for each in (*facts.groups, *facts.oom_kills, *facts.blame, *facts.trends, *facts.unusual, *facts.jobs):
        found += of_fields(each)
    found += [Figure("share", 100 * pair.share, "percent") for pair in facts.blame]
    # A fall is told by how far and that it is one, not with a minus.
    found += [Figure("delta", abs(trend.delta), "count") for trend in facts.trends]
    for strange in facts.unusual:
        for value in (strange.value, strange.typical):
            found.append(named(strange.series, value))
    return found


def is_told(written: re.Match[str], figures: Iterable[Figure], *, any_rate: bool = False) -> bool:
    """Whether this number is one of these figures. ``any_rate``: whether it is of each second is said elsewhere in the
    sentence.
    """
    digits = written["digits"].replace(",", "")
    scale, kind = _unit(written["unit"])
    value = float(digits) * scale
    slack = 0.5 * scale * 10.0 ** -len(digits.partition(".")[2]) + 1e-9
    rate = written["rate"] is not None
    return any(
        figure.kind == kind
        and (any_rate or figure.rate == rate or kind in ("percent", "seconds"))
        and abs(figure.value - value) <= slack
        for figure in figures
    )


def _unit(unit: str | None) -> tuple[float, str]:
    if unit is None:
        return 1.0, "count"
    if unit in ("%", "percent"):
        return 1.0, "percent"
    if unit == "bytes":
        return 1.0, "bytes"
    if unit.endswith("B"):
        return (_BINARY if "i" in unit else _DECIMAL)[unit[0]], "bytes"
    short = {"milli": "ms", "secon": "s", "sec": "s", "secs": "s", "minut": "min", "hour": "h", "hours": "h"}
    name = short.get(unit[:5], unit)
    return _SECONDS[name if name in _SECONDS else name.rstrip("s")], "seconds"


def of_fields(of: msgspec.Struct) -> Iterator[Figure]:
    """Its numbers, by the names of its fields."""
    for name in of.__struct_fields__:
        value = getattr(of, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield named(name, value)


def named(name: str, value: float) -> Figure:
    """A number by its name, which ends in its unit."""
    for ending, kind, scale, rate in (
        ("mib_per_s", "bytes", 2.0**20, True),
        ("mb_per_s", "bytes", 1e6, True),
        ("bytes_per_s", "bytes", 1.0, True),
        ("_per_s", "count", 1.0, True),
        ("_pct", "percent", 1.0, False),
        ("_bytes", "bytes", 1.0, False),
        ("_ms", "seconds", 1e-3, False),
        ("_us", "seconds", 1e-6, False),
        ("_s", "seconds", 1.0, False),
    ):
        if name.endswith(ending):
            return Figure(name, float(value) * scale, kind, rate)
    return Figure(name, float(value), "count")
