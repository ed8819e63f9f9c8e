"""What a model may cite: a few measured figures, each with a letter.

Owns the choice, and how a figure stands in a prompt. Refuses sentences: clauses have figures of their own. Invariants:
the same facts and causes give the same list; each figure is one of Facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from linnix.insight import fields
from linnix.insight.catalogue.clause import CALM_PCT
from linnix.insight.facts import Facts
from linnix.insight.scope import Scope

#: Figures listed, and cited at most.
LISTED, CITED = 5, 3
#: Of each finding so many are listed; ``threshold`` goes with the first.
_OF_FINDING = 2
_THRESHOLD = "threshold"
#: Up to here ``brief`` writes all digits.
_SPELT_OUT = 10_000
#: By what a process stands out where no rule has found it.
_STANDS_OUT = {
    "cpu_saturation": "cpu_pct",
    "oom_risk": "mem_pct",
    "io_saturation": "moved_bytes_per_s",
    "net_flood": "tx_bytes_per_s",
    "fork_storm": "forks_per_s",
    "short_job_flood": "forks_per_s",
    "normal": "cpu_pct",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One figure. ``words`` is what the prompt says of it; no name of a process is in it."""

    id: str  # a letter: one token, where a number after another letter is two
    ref: str
    value: float
    words: str


def listed(facts: Facts, scopes: Sequence[Scope]) -> tuple[Item, ...]:
    """Of each cause its first figures, then pressure that is felt."""
    found: dict[str, tuple[float, str]] = {}
    for ref, value, words in (*_of_causes(facts, scopes), *_pressure(facts)):
        if len(found) < LISTED:
            found.setdefault(ref, (value, words))
    lettered = zip(ascii_lowercase, found.items(), strict=False)
    return tuple(Item(letter, ref, value, words) for letter, (ref, (value, words)) in lettered)


def short(value: float) -> str:
    """A figure as prompts have it: whole, and one digit behind the point only below ten."""
    return f"{value:.1f}".removesuffix(".0") if abs(value) < 10 else str(round(value))


def brief(value: float) -> str:
    """The same with k, M, G or T, in thousands, from ten thousand on: digits are a token each to many models."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= max(10**power, _SPELT_OUT):
            return short(value / 10**power) + prefix
    return short(value)


def _of_causes(facts: Facts, scopes: Sequence[Scope]) -> Iterator[tuple[str, float, str]]:
    for scope in scopes:
        finding, process = scope.finding, scope.process
        if finding is not None:
            figures = [(key, value) for key, value in finding.evidence.items() if key != _THRESHOLD]
            for number, (key, value) in enumerate(figures[:_OF_FINDING]):
                limit = finding.evidence.get(_THRESHOLD) if number == 0 else None
                words = f"{finding.id} {key} {brief(value)}" + (f" limit {brief(limit)}" if limit is not None else "")
                yield f"{finding.id}.{key}", value, words
        elif process is not None and scope.cls in _STANDS_OUT:
            field = _STANDS_OUT[scope.cls]
            figure = fields.of(process, field, facts)
            if figure is not None and isinstance(figure.value, float):
                yield figure.ref, figure.value, f"{process.id} {field} {brief(figure.value)}"


def _pressure(facts: Facts) -> Iterator[tuple[str, float, str]]:
    for field, name in fields.PRESSURE.items():
        value: float | None = getattr(facts.pressure, name)
        if value is not None and value >= CALM_PCT:
            yield f"S.{field}", value, f"S {field} {brief(value)}"
