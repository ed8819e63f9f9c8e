"""What a clause may refer to: the objects of one Facts seen from one class and one process.

Owns the roots of references (``P.cpu_pct``, ``S.psi_cpu``, ``G.count`` …); their fields are in ``fields``. Refuses
to judge. Invariant: a reference resolves to one figure of Facts or to nothing; what resolves to nothing cannot be said.

Roots: P chosen process, Q its parent, B busiest, N and L the next two busiest, M biggest in memory, I the busiest that
nobody accuses, C the group P is in, G and H the groups with most memory and most CPU, F the finding behind the class,
E another finding and O its process, D the blame pair in which P makes V wait for longest, A the one in which P waits
for Y, R the memory trend of P, T a trend of the host, U what is most unusual here, X the fullest file system, K the
latest kill, S the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from linnix.insight import fields
from linnix.insight.classes import CLASSES, SEVERITIES
from linnix.insight.facts import Blame, Facts, Filesystem, Finding, Group, OomKill, Process, Trend, Unusual
from linnix.insight.fields import METRICS, PRESSURE, SERIES, Object, Value

REFERENCE = re.compile(r"\{([A-Z])(?:\.([a-z_0-9]+))?\}")
ROOTS = "PQBNLMICGHFEODVAYRTUXK"

_DEAD = ("Z", "X")


def busiest_first(facts: Facts) -> list[Process]:
    """Living processes by CPU, ties in the order of Facts. One whose leader has exited lives while its threads run."""
    living = [p for p in facts.processes if p.cpu_pct > 0 or not p.state.startswith(_DEAD)]
    return sorted(living, key=lambda p: -p.cpu_pct)


def unaccused(facts: Facts) -> list[Process]:
    """Living programs that no rule objects to, busiest first; threads of the kernel are none."""
    accused = {f.process for f in facts.findings if is_known(f) and f.severity != "info"}
    return [p for p in busiest_first(facts) if p.id not in accused and not p.kernel_thread]


def is_known(finding: Finding) -> bool:
    """Whether it is of this version's classes and severities."""
    return finding.cls in CLASSES and finding.severity in SEVERITIES


@dataclass(frozen=True)
class Scope:
    """Facts seen from a class and a process; ``finding`` is what put them together, where a rule did."""

    facts: Facts
    cls: str
    process: Process | None
    severity: str
    finding: Finding | None = None
    asked: bool = False  # somebody wants to know about this process

    @property
    def alarms(self) -> bool:
        """Whether this is worth an alarm: a rule holds it to be wrong."""
        return self.severity != "info"

    @cached_property
    def _by_id(self) -> dict[str, Process]:
        return {p.id: p for p in self.facts.processes}

    @cached_property
    def ranked(self) -> list[Process]:
        """Processes by CPU."""
        return busiest_first(self.facts)

    @cached_property
    def busiest(self) -> Process | None:
        """The process with most CPU, own or not."""
        return self.ranked[0] if self.ranked else None

    @cached_property
    def others(self) -> list[Process]:
        """All but the chosen one, by CPU."""
        return [p for p in self.ranked if self.process is None or p.id != self.process.id]

    @cached_property
    def biggest(self) -> Process | None:
        """The process with most resident memory."""
        return max(self.facts.processes, key=lambda p: p.rss_bytes, default=None)

    @cached_property
    def innocent(self) -> Process | None:
        """The busiest program of others' that no rule objects to, neither of the culprit's tree nor a victim of it."""
        victims = self.finding.victims if self.finding else ()
        return next((p for p in unaccused(self.facts) if self._is_stranger(p) and p.id not in victims), None)

    def _is_stranger(self, process: Process) -> bool:
        mine = self.process
        if process.own or process is mine:
            return False
        if mine is None:
            return True
        apart = mine.cgroup is None or process.cgroup != mine.cgroup
        return apart and process.ppid != mine.pid and process.pid != mine.ppid

    @cached_property
    def second(self) -> Finding | None:
        """The likeliest finding of another class or process than the one explained, if that is worth an alarm, that
        this one does not account for.
        """
        here = self.process.id if self.process else None
        explained = self.finding.explains if self.finding else ()
        rest = [f for f in self.facts.findings if is_known(f) and (f.cls, f.process) != (self.cls, here)]
        rest = [f for f in rest if f is not self.finding and f.severity != "info" and f.id not in explained]
        return max(rest, key=lambda f: (f.score, SEVERITIES.index(f.severity)), default=None)

    @cached_property
    def blame(self) -> Blame | None:
        """The pair in which the chosen process held up another for longest."""
        if self.process is None:
            return None
        pairs = [b for b in self.facts.blame if b.offender == self.process.id and b.victim != b.offender]
        return max((b for b in pairs if b.victim in self._by_id), key=lambda b: b.task_ms, default=None)

    @cached_property
    def suffering(self) -> Blame | None:
        """The pair in which the chosen process waited for another for longest."""
        if self.process is None:
            return None
        pairs = [b for b in self.facts.blame if b.victim == self.process.id and b.victim != b.offender]
        return max((b for b in pairs if b.offender in self._by_id), key=lambda b: b.task_ms, default=None)

    @cached_property
    def growth(self) -> Trend | None:
        """The computed rise of the chosen process's memory."""
        if self.process is None:
            return None
        rising = (t for t in self.facts.trends if t.process == self.process.id and t.metric == "rss")
        return next((t for t in rising if t.direction == "rising" and t.delta > 0), None)

    @cached_property
    def host_trend(self) -> Trend | None:
        """The first host trend that goes somewhere."""
        trends = (t for t in self.facts.trends if t.process is None and t.metric in METRICS)
        return next((t for t in trends if t.direction == ("rising" if t.delta > 0 else "falling") and t.delta), None)

    @cached_property
    def fullest(self) -> Filesystem | None:
        """The file system that is used to the highest share."""
        return max(self.facts.filesystems, key=lambda d: d.used_pct, default=None)

    @cached_property
    def kill(self) -> OomKill | None:
        """The latest kill for memory."""
        return min(self.facts.oom_kills, key=lambda k: k.age_s, default=None)

    @cached_property
    def strangest(self) -> Unusual | None:
        """The series that is farthest from what is usual here."""
        known = [u for u in self.facts.unusual if u.series in SERIES and u.value > u.typical]
        return max(known, key=lambda u: u.score, default=None)

    def _root(self, root: str) -> Object | None:
        process, groups = self.process, self.facts.groups
        match root:
            case "P":
                return process
            case "Q":
                return next((p for p in self.facts.processes if process and p.pid == process.ppid), None)
            case "B":
                return self.busiest
            case "N":
                return self.others[0] if self.others else None
            case "L":
                return self.others[1] if len(self.others) > 1 else None
            case "M":
                return self.biggest
            case "I":
                return self.innocent
            case "C":
                return next((g for g in groups if process and process.id in g.members), None)
            case "G":
                return max(groups, key=lambda g: g.mem_pct, default=None)
            case "H":
                return max(groups, key=lambda g: g.cpu_pct, default=None)
            case "F":
                return self.finding
            case "E":
                return self.second
            case "O":
                return self._by_id.get(self.second.process or "") if self.second else None
            case "D":
                return self.blame
            case "V":
                return self._by_id.get(self.blame.victim) if self.blame else None
            case "A":
                return self.suffering
            case "Y":
                return self._by_id.get(self.suffering.offender) if self.suffering else None
            case "R":
                return self.growth
            case "T":
                return self.host_trend
            case "U":
                return self.strangest
            case "X":
                return self.fullest
            case "K":
                return self.kill
        return None

    @cached_property
    def _roots(self) -> dict[str, Object | None]:
        return {root: self._root(root) for root in ROOTS}

    def proc(self, root: str) -> Process | None:
        """The process that ``root`` stands for, if it stands for one."""
        found = self._roots[root]
        return found if isinstance(found, Process) else None

    def group(self, root: str) -> Group | None:
        """The group that ``root`` stands for."""
        found = self._roots[root]
        return found if isinstance(found, Group) else None

    def psi(self, field: str) -> float | None:
        """A pressure figure by its short name, None where the kernel gives none."""
        value: float | None = getattr(self.facts.pressure, PRESSURE[field])
        return value

    def resolve(self, root: str, field: str) -> Value | None:
        """The value behind ``{root.field}``; ``{root}`` alone is a process with its pid. None: it cannot be said."""
        if root == "S":
            if field == "class":
                return Value("S.class", self.cls, CLASSES[self.cls])
            return fields.of_host(self.facts, field)
        found = self._roots.get(root)
        return None if found is None else fields.of(found, field, self.facts)
