"""What a run was taken for, held against what really happened.

Owns the judgement of one run, from the findings of its ticks. Refuses to add up: ``score`` does. A finding above
severity ``info`` is an alarm. Invariant: a process is (pid, start_ns), and names decide nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from linnix.faultlab import proc
from linnix.faultlab.dataset import Run
from linnix.faultlab.errors import LabError
from linnix.faultlab.recording import FactsLine
from linnix.faultlab.truth import Truth
from linnix.insight import facts as insight
from linnix.insight.facts import Facts, Finding

#: From bodies of ``/facts`` in their order to each with the findings that hold then, the likeliest cause first.
Judge = Callable[[Iterable[bytes]], Iterator[tuple[Facts, tuple[Finding, ...]]]]
NOBODY = "nobody"
_FIRST = 3
#: A start that the daemon never told is known as /proc rounds it down.
_Identity = tuple[int, int]


class Said(msgspec.Struct, frozen=True, rename={"cls": "class"}):
    """What a run was taken for: ``normal`` and nobody where there was no alarm."""

    cls: str = "normal"
    process: str = NOBODY  # its comm
    command: str | None = None  # of the scenario, if it was one of those
    rule: str = ""


class Graded(msgspec.Struct, frozen=True, kw_only=True, rename={"cls": "class"}):
    """A run and what became of it. Times are seconds from the start of the culprit."""

    run: str
    scenario: str
    part: str
    cls: str
    culprit: str | None  # as it was shown
    faults: int  # 0 of a look-alike, 2 of two at once
    busier_decoy: bool  # a decoy's process had more CPU, on average over the injection
    said: Said
    hit: bool  # the culprit was named first; of several faults, all culprits were within the first three
    first_hit_s: float | None  # until the first tick whose first alarm is of a culprit
    delay_s: float | None  # that, less the time for which its rule wants the condition to hold
    quiet_ticks: int  # without an alarm, of those in which nothing was wrong
    calm_ticks: int  # in which nothing was wrong: the warm-up, and all of a look-alike

    @property
    def right(self) -> bool:
        """Whether there is nothing to complain of: class and culprit, or silence."""
        return self.hit and (self.faults != 1 or self.said.cls == self.cls)


class _Tick(NamedTuple):
    line: FactsLine
    facts: Facts
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity != "info"]


def recorded(bodies: Iterable[bytes]) -> Iterator[tuple[Facts, tuple[Finding, ...]]]:
    """The judge that takes the findings as the daemon told them when they were recorded."""
    for body in bodies:
        facts = insight.decode(body)
        yield facts, facts.findings


def grade(run: Run, judge: Judge = recorded, holds_s: Mapping[str, float] | None = None) -> Graded:
    """Judge one run; ``holds_s`` tells of rules how long they want their condition to hold before they speak."""
    truth = run.truth
    lines = [line for line in run.lines() if line.status == 200]
    try:
        judged = list(judge(bytes(line.facts) for line in lines))
    except msgspec.MsgspecError as error:
        raise LabError(f"{run.name}/facts.jsonl: {error}") from error
    ticks = [_Tick(line, facts, findings) for line, (facts, findings) in zip(lines, judged, strict=True)]
    owners = _owners(truth)
    culprits = [name for name in (truth.culprit, *(other.culprit for other in truth.also)) if name is not None]
    # Of a look-alike, every alarm is a false one, whenever it is.
    alarmed = [tick for tick in ticks if tick.alarms and (not culprits or tick.line.phase == "injection")]
    said = _said(alarmed, owners)
    hit = said.command == truth.culprit if culprits else not alarmed
    if len(culprits) > 1:
        hit = set(culprits) <= _often_first(alarmed, owners)
    ran = {command.name: command for command in truth.commands}
    first_hit_s = delay_s = None
    for tick in alarmed:
        first = tick.alarms[0]
        if _owner(tick, first, owners) in culprits:
            began = ran[str(_owner(tick, first, owners))].started
            first_hit_s = tick.line.answered - began
            delay_s = first_hit_s - (holds_s or {}).get(first.rule, 0.0)
            break
    calm = [tick for tick in ticks if truth.culprit is None or tick.line.phase == "warm_up"]
    return Graded(
        run=run.name,
        scenario=truth.scenario,
        part=truth.part,
        cls=truth.cls,
        culprit=ran[truth.culprit].shown_as if truth.culprit is not None else None,
        faults=len(culprits),
        busier_decoy=_is_decoy_busier(truth, ticks, owners),
        said=said,
        hit=hit,
        first_hit_s=first_hit_s,
        delay_s=delay_s,
        quiet_ticks=sum(not tick.alarms for tick in calm),
        calm_ticks=len(calm),
    )


def _key(pid: int, start_ns: int) -> _Identity:
    return pid, start_ns // proc.TICK_NS


def _owners(truth: Truth) -> dict[_Identity, str]:
    return {_key(*member): command.name for command in truth.commands for member in command.processes}


def _owner(tick: _Tick, finding: Finding, owners: Mapping[_Identity, str]) -> Hashable:
    """The command that a finding is about, else the process itself, else None."""
    process = next((each for each in tick.facts.processes if each.id == finding.process), None)
    if process is None:
        return None
    key = _key(process.pid, process.start_ns)
    return owners.get(key, key)


def _said(alarmed: list[_Tick], owners: Mapping[_Identity, str]) -> Said:
    """Whom and what the first alarms were about most of the time; the earlier one of two as frequent."""
    if not alarmed:
        return Said()
    about = [(_owner(tick, tick.alarms[0], owners), tick.alarms[0].cls) for tick in alarmed]
    who = Counter(owner for owner, _ in about).most_common(1)[0][0]
    cls = Counter(cls for _, cls in about).most_common(1)[0][0]
    tick = alarmed[[owner for owner, _ in about].index(who)]
    named = {process.id: process.comm for process in tick.facts.processes}
    first = tick.alarms[0]
    name = named.get(first.process or "", NOBODY)
    return Said(cls, name, who if isinstance(who, str) else None, first.rule)


def _often_first(alarmed: list[_Tick], owners: Mapping[_Identity, str]) -> set[Hashable]:
    """The three who were among the first three most often."""
    seen: Counter[Hashable] = Counter()
    for tick in alarmed:
        named = (_owner(tick, finding, owners) for finding in tick.alarms[:_FIRST])
        seen.update(dict.fromkeys(named, 1))
    return {owner for owner, _ in seen.most_common(_FIRST)}


def _is_decoy_busier(truth: Truth, ticks: list[_Tick], owners: Mapping[_Identity, str]) -> bool:
    used: defaultdict[_Identity, float] = defaultdict(float)
    for tick in ticks:
        if tick.line.phase == "injection":
            for process in tick.facts.processes:
                used[_key(process.pid, process.start_ns)] += process.cpu_pct
    busiest: defaultdict[str, float] = defaultdict(float)
    for key, owner in owners.items():
        busiest[owner] = max(busiest[owner], used[key])
    decoys = [busiest[command.name] for command in truth.commands if command.role == "decoy"]
    return truth.culprit is not None and max(decoys, default=0.0) > busiest[truth.culprit]
