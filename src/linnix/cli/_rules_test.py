"""What rules would have found in recorded runs of the fault laboratory, held against the truth of each.

Owns the count and the table. Refuses to judge by itself: ``cognitod.detect.replay`` says what was open at each tick,
truth.json whose processes the fault was. Invariant: a rule that a recording cannot decide is named, and every name of a
process is cleaned before it reaches a terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import msgspec

from linnix.cli._errors import CommandError
from linnix.cognitod.detect import replay
from linnix.cognitod.detect.recorded import unreplayable
from linnix.cognitod.detect.rules import Rule
from linnix.faultlab.dataset import Run as Recording
from linnix.faultlab.recording import FactsLine
from linnix.insight.render import clean
from linnix.reasoner.output import fit, width_of

_HEAD = ("RULE", "SEVERITY", "RUNS", "TICKS", "HITS", "OTHERS", "NORMAL", "AFTER", "WHOM")
_SEVERITIES = {"high": "31", "medium": "33", "low": "", "info": "2"}
#: Whom a rule named: so many are told in the table, those of most ticks.
_TOLD = 3


class Whom(NamedTuple):
    """A process that a rule named."""

    pid: int
    start_ns: int
    comm: str


class _Span(msgspec.Struct):
    start: float


class _Ran(msgspec.Struct):
    name: str
    processes: list[tuple[int, int]]


class _Also(msgspec.Struct):
    culprit: str


class _Truth(msgspec.Struct, rename={"cls": "class"}):
    cls: str
    culprit: str | None
    phases: dict[str, _Span]
    commands: list[_Ran]
    also: list[_Also] = []

    def guilty(self) -> set[tuple[int, int]]:
        """The processes of the fault, or of both."""
        names = {self.culprit, *(each.culprit for each in self.also)}
        return {tuple(who) for ran in self.commands if ran.name in names for who in ran.processes}  # type: ignore[misc]


@dataclass
class Fired:
    """One rule in one run. Times are seconds after the injection began, negative before it."""

    ticks: int = 0
    first_s: float | None = None
    hit_s: float | None = None  # since when it names a process of the fault; None: never, or nothing is wrong
    whom: Counter[Whom] = field(default_factory=Counter)  # ticks


@dataclass
class Run:
    """One recording: how many ticks have facts, and which rules fired in it."""

    name: str
    cls: str
    ticks: int = 0
    fired: dict[str, Fired] = field(default_factory=dict)
    guilty: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class Sum:
    """One rule over all runs."""

    rule: Rule
    fired: list[tuple[Run, Fired]]
    undecided: str | None  # why recordings do not tell

    @property
    def hits(self) -> list[float]:
        """Of each run in which it named a process of the fault, after how many seconds."""
        return [fired.hit_s for _, fired in self.fired if fired.hit_s is not None]

    @property
    def others(self) -> int:
        """Runs with a fault in which it named only processes that have nothing to do with it."""
        return sum(bool(run.guilty and fired.whom) and fired.hit_s is None for run, fired in self.fired)

    @property
    def normal(self) -> list[str]:
        """Runs in which nothing was wrong."""
        return [run.name for run, _ in self.fired if run.cls == "normal"]

    @property
    def whom(self) -> Counter[Whom]:
        """Everybody it named, and in how many ticks."""
        return sum((fired.whom for _, fired in self.fired), Counter[Whom]())


def carry_out(runs: Iterable[Recording], rules: Sequence[Rule]) -> Iterator[Run]:
    """Judge each of these runs. Raises ``CommandError`` for one that cannot be read."""
    for recording in runs:
        try:
            yield _judge(recording, rules)
        except (OSError, msgspec.MsgspecError) as error:
            raise CommandError(f"{recording.name}: not a run that can be judged: {error}") from error


def _judge(recording: Recording, rules: Sequence[Rule]) -> Run:
    truth = msgspec.json.decode(recording.read("truth.json"), type=_Truth)
    run = Run(recording.name, truth.cls, guilty=truth.guilty() if truth.cls != "normal" else set())
    began = truth.phases["injection"].start if "injection" in truth.phases else 0.0
    lines = (msgspec.json.decode(line, type=FactsLine) for line in recording.read("facts.jsonl").splitlines())
    bodies = (bytes(line.facts) for line in lines if line.status == 200)
    for facts, findings in replay.found(bodies, rules):
        run.ticks += 1
        after_s = round(facts.timestamp - began, 1)
        for finding in findings:
            fired = run.fired.setdefault(finding.rule, Fired())
            fired.ticks += 1
            fired.first_s = after_s if fired.first_s is None else fired.first_s
            if finding.pid is not None and finding.start_ns is not None:
                fired.whom[Whom(finding.pid, finding.start_ns, finding.comm or "")] += 1
                if (finding.pid, finding.start_ns) in run.guilty and after_s >= 0 and fired.hit_s is None:
                    fired.hit_s = after_s
    return run


def sums(runs: Sequence[Run], rules: Sequence[Rule]) -> list[Sum]:
    """Each rule over all runs, in the order of the rules."""
    undecided = unreplayable(rules)
    return [
        Sum(rule, [(run, run.fired[rule.name]) for run in runs if rule.name in run.fired], undecided.get(rule.name))
        for rule in rules
    ]


def told(runs: Sequence[Run], found: Sequence[Sum]) -> dict[str, Any]:
    """For programs."""
    return {
        "runs": [{"run": run.name, "class": run.cls, "ticks": run.ticks} for run in runs],
        "rules": [
            {
                "name": each.rule.name,
                "detector": each.rule.detector,
                "severity": each.rule.severity,
                "undecided": each.undecided,
                "ticks": sum(fired.ticks for _, fired in each.fired),
                "hits": len(each.hits),
                "others": each.others,
                "normal": each.normal,
                "median_hit_s": median(each.hits) if each.hits else None,
                "fired": [_fired(run, fired) for run, fired in each.fired],
            }
            for each in found
        ],
        "never_fired": [each.rule.name for each in found if not each.fired and each.undecided is None],
        "fired_in_normal": [each.rule.name for each in found if each.normal],
    }


def _fired(run: Run, fired: Fired) -> dict[str, Any]:
    return {
        "run": run.name,
        "class": run.cls,
        "ticks": fired.ticks,
        "first_s": fired.first_s,
        "hit_s": fired.hit_s,
        "whom": [
            {**who._asdict(), "ticks": ticks, "culprit": (who.pid, who.start_ns) in run.guilty}
            for who, ticks in fired.whom.most_common()
        ],
    }


def lines(runs: Sequence[Run], found: Sequence[Sum], colour: bool) -> list[str]:
    """For people: a table, and what it comes to."""
    rows = [_row(each) for each in found]
    widths = [max(width_of(row[at]) for row in (_HEAD, *rows)) for at in range(len(_HEAD))]
    out = []
    for row in (_HEAD, *rows):
        line = "  ".join(fit(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip()
        style = "2" if row is _HEAD else _SEVERITIES[row[1]]
        out.append(f"\x1b[{style}m{line}\x1b[0m" if colour and style else line)
    normal = sum(run.cls == "normal" for run in runs)
    out += ["", f"{len(runs)} runs, {normal} of them normal, {sum(run.ticks for run in runs)} ticks"]
    out.append(
        "Hits: runs in which a process of the fault was named; others: only somebody else was; after: median seconds"
    )
    if silent := [clean(each.rule.name, 64) for each in found if not each.fired and each.undecided is None]:
        out.append(f"Never fired: {', '.join(silent)}")
    for each in found:
        if each.normal:
            many = len(each.normal) - _TOLD
            more = f" and {many} more" if many > 0 else ""
            which = ", ".join(map(clean, each.normal[:_TOLD]))
            out.append(
                f"Fired where nothing was wrong: {clean(each.rule.name, 64)} ({each.rule.severity}) in {which}{more}"
            )
    out += [
        f"Not decided by recordings: {clean(each.rule.name, 64)}: {each.undecided}"
        for each in found
        if each.undecided is not None
    ]
    return out


def _row(each: Sum) -> tuple[str, ...]:
    whom = each.whom.most_common()
    names = ", ".join(f"{clean(who.comm, 32)} ({who.pid})" for who, _ in whom[:_TOLD])
    return (
        clean(each.rule.name, 64),
        each.rule.severity,
        f"{len(each.fired)}",
        f"{sum(fired.ticks for _, fired in each.fired)}",
        f"{len(each.hits)}",
        f"{each.others}",
        f"{len(each.normal)}",
        f"{median(each.hits):.1f} s" if each.hits else "-",
        (names + (f" and {len(whom) - _TOLD} more" if len(whom) > _TOLD else "")) or "-",
    )
