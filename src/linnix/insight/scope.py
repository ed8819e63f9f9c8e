"""What a clause may refer to: the objects of one Facts seen from one class and one process.

Owns the names of references (``P.cpu_pct``, ``S.psi_cpu``, ``G.count`` …), their values and their spelling. Refuses
to judge. Invariant: a reference resolves to exactly one field of Facts, or to a ratio of two, or to nothing; what
resolves to nothing cannot be said.

Roots: P chosen process, Q its parent, B busiest, N and L the next two busiest, M biggest in memory, C the group P is
in, G and H the groups with most memory and most CPU, F the finding behind the class, E another finding and O its
process, D a blame pair on P and V its victim, R the memory trend of P, T a trend of the host, S the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from linnix.insight import render
from linnix.insight.classes import CLASSES, SEVERITIES
from linnix.insight.facts import Blame, Facts, Finding, Group, Process, Trend

REFERENCE = re.compile(r"\{([A-Z])(?:\.([a-z_0-9]+))?\}")

Object = Process | Group | Finding | Blame | Trend
Format = Callable[[float], str]

PROCESS: dict[str, Format] = {
    "pid": lambda v: str(int(v)),
    "cpu_pct": render.percent,
    "mem_pct": render.percent,
    "rss_bytes": render.size,
    "rss_delta_bytes": render.size,
    "threads": render.count,
    "age_s": render.duration,
    "forks_per_s": render.rate,
    "short_jobs_per_s": render.rate,
}
GROUP: dict[str, Format] = {
    "count": render.count_word,
    "cpu_pct": render.percent,
    "mem_pct": render.percent,
    "rss_bytes": render.size,
}
HOST: dict[str, Format] = {
    "cpu_pct": render.percent,
    "mem_pct": render.percent,
    "cores": render.count,
    "mem_total_bytes": render.size,
    "mem_used_bytes": render.size,
    "swap_used_bytes": render.size,
    "swap_total_bytes": render.size,
    "uptime_s": render.duration,
}
ACTIVITY: dict[str, Format] = {
    "forks_per_s": render.rate,
    "execs_per_s": render.rate,
    "exits_per_s": render.rate,
    "short_jobs_per_s": render.rate,
    "failed_exits_per_s": render.rate,
    "lost_events": render.count,
}
EVIDENCE: dict[str, Format] = {  # of those keys that detectors give, the ones a clause speaks of
    "subtree_cpu_pct": render.percent,
    "share_pct": render.percent,
    "of_culprit": render.count,
    "exhausted_in_s": render.duration,
}
PRESSURE = {
    "psi_cpu": "cpu_some_pct",
    "psi_mem": "memory_some_pct",
    "psi_mem_full": "memory_full_pct",
    "psi_io": "io_some_pct",
    "psi_io_full": "io_full_pct",
}
RESOURCES = {"cpu": "CPU", "memory": "memory", "io": "storage"}
METRICS = {
    "cpu_pct": "CPU use of the host",
    "mem_pct": "memory use of the host",
    "psi_cpu": "waiting on CPU",
    "psi_memory": "waiting on memory",
    "psi_io": "waiting on storage",
}


@dataclass(frozen=True, slots=True)
class Value:
    """One resolved reference: its name in Facts, the value, and how it is written."""

    ref: str
    value: float | str
    text: str


def busiest_first(facts: Facts) -> list[Process]:
    """Processes by CPU, ties in the order of Facts. Dead ones use none."""
    return sorted(facts.processes, key=lambda p: -p.cpu_pct)


@dataclass(frozen=True)
class Scope:
    """Facts seen from a class and a process; ``finding`` is what put them together, where a rule did."""

    facts: Facts
    cls: str
    process: Process | None
    severity: str
    finding: Finding | None = None

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
    def second(self) -> Finding | None:
        """The gravest finding of another class or process than the one explained."""
        here = self.process.id if self.process else None
        rest = [f for f in self.facts.findings if f.cls in CLASSES and (f.cls, f.process) != (self.cls, here)]
        rest = [f for f in rest if f is not self.finding and f.severity in SEVERITIES]
        return max(rest, key=lambda f: SEVERITIES.index(f.severity), default=None)

    @cached_property
    def blame(self) -> Blame | None:
        """The pair in which the chosen process held up another for longest."""
        if self.process is None:
            return None
        pairs = [b for b in self.facts.blame if b.offender == self.process.id and b.victim != b.offender]
        return max((b for b in pairs if b.victim in self._by_id), key=lambda b: b.task_ms, default=None)

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
            case "R":
                return self.growth
            case "T":
                return self.host_trend
        return None

    @cached_property
    def _roots(self) -> dict[str, Object | None]:
        return {root: self._root(root) for root in "PQBNLMCGHFEODVRT"}

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
            return self._host(field)
        found = self._roots.get(root)
        if isinstance(found, Process):
            return _process(found, field, self.facts)
        if isinstance(found, Group):
            if field == "comm":
                return Value(f"{found.id}.comm", found.comm, render.name(found.comm))
            return _plain(found, field, GROUP)
        if isinstance(found, Finding):
            return self._finding(found, field)
        if isinstance(found, Blame):
            if field == "task_ms":
                return Value(f"{found.id}.task_ms", found.task_ms, render.duration(found.task_ms / 1e3))
            words = RESOURCES.get(found.resource)
            return Value(f"{found.id}.resource", found.resource, words) if words else None
        if isinstance(found, Trend):
            return _trend(found, field)
        return None

    def _finding(self, finding: Finding, field: str) -> Value | None:
        if field == "class":
            return Value(f"{finding.id}.class", finding.cls, CLASSES[finding.cls])
        if field in EVIDENCE:
            number = finding.evidence.get(field)
            return None if number is None else Value(f"{finding.id}.{field}", number, EVIDENCE[field](number))
        age_s = self.facts.timestamp - finding.since
        if field == "age_s" and finding.since > 0 and age_s >= 1:
            return Value(f"{finding.id}.since", finding.since, render.duration(age_s))
        return None

    def _host(self, field: str) -> Value | None:
        facts = self.facts
        if field in HOST:
            number = float(getattr(facts.host, field))
            return Value(f"S.{field}", number, HOST[field](number))
        if field in ACTIVITY:
            number = float(getattr(facts.activity, field))
            return Value(f"S.{field}", number, ACTIVITY[field](number))
        if field in PRESSURE:
            psi = self.psi(field)
            return None if psi is None else Value(f"S.{field}", psi, render.percent(psi))
        if field == "load_1":
            return Value("S.load_1", facts.host.load_avg[0], render.load(facts.host.load_avg[0]))
        if field == "processes_total":
            return Value("S.processes_total", facts.processes_total, render.count(facts.processes_total))
        if field == "degraded" and facts.degraded:
            reasons = render.clean("; ".join(facts.degraded), 240)
            return Value("S.degraded", reasons, reasons)
        if field == "class":
            return Value("S.class", self.cls, CLASSES[self.cls])
        return None


def _plain(found: Process | Group, field: str, formats: dict[str, Format]) -> Value | None:
    if field not in formats:
        return None
    number = float(getattr(found, field))
    return Value(f"{found.id}.{field}", number, formats[field](number))


def _process(process: Process, field: str, facts: Facts) -> Value | None:
    if not field:
        return Value(f"{process.id}.pid", process.pid, render.process(process.comm, process.pid, process.own))
    if field == "comm":
        return Value(f"{process.id}.comm", process.comm, render.name(process.comm))
    if field in ("cgroup", "unit"):
        text: str | None = getattr(process, field)
        return Value(f"{process.id}.{field}", text, render.label(text)) if text else None
    if field == "cpu_share":  # of all CPU time used; two clocks sample it, so a sum beyond the whole says nothing
        used = facts.host.cpu_pct * facts.host.cores
        share = 100 * process.cpu_pct / used if used > 5 else 0.0
        return Value(f"{process.id}.cpu_share", share, render.percent(share)) if 0 < share <= 100 else None
    return _plain(process, field, PROCESS)


def _trend(trend: Trend, field: str) -> Value | None:
    match field:
        case "what":
            return Value(f"{trend.id}.metric", trend.metric, METRICS.get(trend.metric, "it"))
        case "delta":
            size = abs(trend.delta)
            text = render.size(size) if trend.metric == "rss" else f"{size:.1f} percentage points"
            return Value(f"{trend.id}.delta", trend.delta, text)
        case "window_s":
            return Value(f"{trend.id}.window_s", trend.window_s, render.duration(trend.window_s))
        case "direction":
            return Value(f"{trend.id}.direction", trend.direction, "risen" if trend.delta > 0 else "fallen")
    return None
