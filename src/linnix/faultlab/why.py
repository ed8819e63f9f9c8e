"""Why a run was missed, in one line: what was told instead, and when.

Owns the words. Refuses to decide what a miss is: ``grade`` does. Invariant: the same ticks give the same line. Names of
processes stand in it as they are: whoever prints it cleans it.
"""

from __future__ import annotations

from collections.abc import Sequence

from linnix.faultlab.ticks import Owner, Owners, Tick
from linnix.faultlab.truth import Truth
from linnix.insight.facts import Finding


def missed(truth: Truth, able: Sequence[Tick], owners: Owners, since: float, said: str) -> str:
    """``able``: the ticks at which somebody could be named; ``since``: the moment from which seconds are told;
    ``said``: the class of the answer.
    """
    alarmed = [tick for tick in able if tick.alarms]
    if truth.culprit is None:
        return f"{_told(alarmed[0], alarmed[0].alarms[0], since)}, in {len(alarmed)} of {len(able)} ticks"
    if truth.also:
        names = [truth.culprit, *(other.culprit for other in truth.also)]
        return "; ".join(f"{_shown(truth, name)}: {_of(truth, name, able, owners, since)}" for name in names)
    if not alarmed:
        return f"nothing was told; the culprit {_of(truth, truth.culprit, able, owners, since)}"
    # The first alarm of that class, so that the line begins with the answer.
    first = next((tick for tick in alarmed if tick.alarms[0].cls == said), alarmed[0])
    told = _told(first, first.alarms[0], since)
    if owners.of_first(first) == truth.culprit:
        return f"{told}, not {truth.cls}; {_class_of(truth, able, owners, since)}"
    return f"{told}; the culprit {_of(truth, truth.culprit, able, owners, since)}"


def _told(tick: Tick, finding: Finding, since: float) -> str:
    who = tick.comm(finding) or "nobody"
    return f"{finding.cls} of {who} (rule {finding.rule}) {_when(tick, since)}"


def _when(tick: Tick, since: float) -> str:
    return f"from {tick.line.answered - since:.1f} s on"


def _shown(truth: Truth, name: str) -> str:
    return next((each.shown_as for each in truth.commands if each.name == name), name)


def _of(truth: Truth, name: str, able: Sequence[Tick], owners: Owners, since: float) -> str:
    """What was told of a command: the best of its alarms, else what is only of severity ``info``, else nothing."""
    if all(each.name != name for each in truth.commands):
        return "was never started"
    best: tuple[int, Tick, Finding] | None = None
    for tick in able:
        place, finding = _place(tick, tick.alarms, owners, name)
        if finding is not None and (best is None or place < best[0]):
            best = place, tick, finding
    if best is not None:
        place, tick, finding = best
        return f"came {_ordinal(place)} at best: {finding.cls} (rule {finding.rule}) {_when(tick, since)}"
    for tick in able:
        _, finding = _place(tick, tick.findings, owners, name)
        if finding is not None:
            return f"was named as info only: {finding.cls} (rule {finding.rule}) {_when(tick, since)}"
    there = sum(owners.among(tick, name) for tick in able)
    return f"was never named, and is in the facts of {there} of {len(able)} ticks"


def _class_of(truth: Truth, able: Sequence[Tick], owners: Owners, since: float) -> str:
    """Whether the class that was expected was told of the culprit at all."""
    for tick in able:
        for finding in tick.findings:
            if finding.cls == truth.cls and owners.of(tick, finding) == truth.culprit:
                info = " as info only" if finding.severity == "info" else " behind it"
                return f"that was told{info} (rule {finding.rule}) {_when(tick, since)}"
    return "that was never told of it"


def _place(tick: Tick, findings: Sequence[Finding], owners: Owners, name: Owner) -> tuple[int, Finding | None]:
    return next(
        ((at, finding) for at, finding in enumerate(findings, 1) if owners.of(tick, finding) == name), (0, None)
    )


def _ordinal(place: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(place, f"{place}th")
