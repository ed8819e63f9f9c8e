"""What a run was taken for, held against what really happened.

Owns the judgement of one run, from the findings of its ticks. Refuses to add up: ``score`` does. Invariants: class and
process of an answer are of one and the same alarm; a run whose daemon failed is a miss, whatever it is a run of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from linnix.faultlab import ticks, why
from linnix.faultlab.dataset import Run
from linnix.faultlab.ticks import Identity, Judge, Owner, Owners, Tick, identity, recorded
from linnix.faultlab.truth import Truth

NOBODY = "nobody"
#: What a run is taken for whose daemon failed: not ``normal``, which would be right of a look-alike.
NO_ANSWER = "no answer"
_FIRST = 3


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
    delay_s: float | None  # that, less the time for which its rule wants the condition to hold; not below 0
    quiet_ticks: int  # without an alarm, of those in which nothing was wrong
    calm_ticks: int  # in which nothing was wrong: the warm-up, and all of a look-alike
    failed: str = ""  # why the daemon failed while it was recorded
    cause: str = ""  # of a miss: what was told instead, and when

    @property
    def right(self) -> bool:
        """Whether there is nothing to complain of: class and culprit, or silence."""
        return self.hit and (self.faults != 1 or self.said.cls == self.cls)


def grade(run: Run, judge: Judge = recorded, holds_s: Mapping[str, float] | None = None) -> Graded:
    """Judge one run; ``holds_s`` tells of rules how long they want their condition to hold before they speak."""
    truth, failed, lines = run.truth, run.failed, list(run.lines())
    read = ticks.read(run.name, lines, judge)
    owners = Owners(truth)
    culprits = [name for name in (truth.culprit, *(other.culprit for other in truth.also)) if name is not None]
    ran = {command.name: command for command in truth.commands}
    began = {name: ran[name].started for name in culprits if name in ran}
    since = min(began.values(), default=truth.phases["injection"].start if "injection" in truth.phases else 0.0)
    # Nobody can be named before he is there. Of a look-alike, every alarm is a false one, whenever it is.
    able = [tick for tick in read if not culprits or (tick.line.phase == "injection" and tick.line.answered >= since)]
    alarmed = [tick for tick in able if tick.alarms]
    said = Said(NO_ANSWER) if failed else _said(alarmed, owners)
    if failed:
        hit = False
    elif len(culprits) > 1:
        hit = set(culprits) <= _often_first(alarmed, owners)
    else:
        hit = said.command == truth.culprit if culprits else not alarmed
    first_hit_s, delay_s = _first_hit(alarmed, began, owners, holds_s or {}) if not failed else (None, None)
    calm = [line for line in lines if not culprits or line.phase == "warm_up"]
    quiet = [tick for tick in read if not tick.alarms and (not culprits or tick.line.phase == "warm_up")]
    graded = Graded(
        run=run.name,
        scenario=truth.scenario,
        part=truth.part,
        cls=truth.cls,
        culprit=_shown(truth),
        faults=len(culprits),
        busier_decoy=_is_decoy_busier(truth, read, owners),
        said=said,
        hit=hit,
        first_hit_s=first_hit_s,
        delay_s=delay_s,
        quiet_ticks=0 if failed else len(quiet),
        calm_ticks=sum(bool(failed) or line.status == 200 for line in calm),
        failed=failed,
    )
    if graded.right:
        return graded
    cause = f"the daemon failed: {failed}" if failed else why.missed(truth, able, owners, since, said.cls)
    return msgspec.structs.replace(graded, cause=cause)


def _shown(truth: Truth) -> str | None:
    """What the culprit was called; of one that was never started its name in the scenario."""
    return next((each.shown_as for each in truth.commands if each.name == truth.culprit), truth.culprit)


def _said(alarmed: Sequence[Tick], owners: Owners) -> Said:
    """Whom the first alarms were about most of the time, and what they said of him most; the earlier one of two as
    frequent.
    """
    if not alarmed:
        return Said()
    about = [(owners.of_first(tick), tick.alarms[0].cls) for tick in alarmed]
    who: Owner = Counter(owner for owner, _ in about).most_common(1)[0][0]
    cls = Counter(cls for owner, cls in about if owner == who).most_common(1)[0][0]
    tick = alarmed[about.index((who, cls))]
    first = tick.alarms[0]
    return Said(cls, tick.comm(first) or NOBODY, who if isinstance(who, str) else None, first.rule)


def _often_first(alarmed: Sequence[Tick], owners: Owners) -> set[Owner]:
    """The three who were among the first three most often."""
    seen: Counter[Owner] = Counter()
    for tick in alarmed:
        seen.update(dict.fromkeys((owners.of(tick, finding) for finding in tick.alarms[:_FIRST]), 1))
    return {owner for owner, _ in seen.most_common(_FIRST)}


def _first_hit(
    alarmed: Sequence[Tick], began: Mapping[str, float], owners: Owners, holds_s: Mapping[str, float]
) -> tuple[float | None, float | None]:
    """Seconds from the start of a culprit until it is named first, and how many of them its rule did not want. What a
    rule looks at may have been so before the culprit was there: that is no time saved.
    """
    for tick in alarmed:
        who = owners.of_first(tick)
        if isinstance(who, str) and who in began:
            after_s = max(tick.line.answered - began[who], 0.0)
            return after_s, max(after_s - holds_s.get(tick.alarms[0].rule, 0.0), 0.0)
    return None, None


def _is_decoy_busier(truth: Truth, read: Sequence[Tick], owners: Owners) -> bool:
    used: defaultdict[Identity, float] = defaultdict(float)
    for tick in read:
        if tick.line.phase == "injection":
            for process in tick.facts.processes:
                used[identity(process.pid, process.start_ns)] += process.cpu_pct
    busiest: defaultdict[str, float] = defaultdict(float)
    for key, owner in owners.by_process.items():
        busiest[owner] = max(busiest[owner], used[key])
    decoys = [busiest[command.name] for command in truth.commands if command.role == "decoy"]
    return truth.culprit is not None and max(decoys, default=0.0) > busiest[truth.culprit]
