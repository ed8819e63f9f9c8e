"""The engine: rules at work on what the host does.

Owns one detector per rule, what is open, and for how long. Refuses clocks, files, tasks and cooldowns: time arrives as
``now_ns`` (CLOCK_MONOTONIC), and how often to say it is ``alerts.Alerts``' decision. Invariant: the same steps give the
same findings, and memory is bounded by the rules, not by what happens.

Nothing is gated on events per second: a host on which nothing forks is watched like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from linnix.cognitod.detect import params as known
from linnix.cognitod.detect import signs
from linnix.cognitod.detect.by_facts import by_facts
from linnix.cognitod.detect.counts import HostForks, ShortJobs, TreeForks
from linnix.cognitod.detect.execs import Execs
from linnix.cognitod.detect.growth import Growth
from linnix.cognitod.detect.job_loops import SHORT_JOB_US
from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.detect.memory import GROWTH_S
from linnix.cognitod.detect.past import Past
from linnix.cognitod.detect.pressure import Pressure
from linnix.cognitod.detect.recent import Recent
from linnix.cognitod.detect.rules import Rule
from linnix.cognitod.detect.scope import HomeOf
from linnix.cognitod.detect.unusual import FarFromUsual
from linnix.cognitod.detect.usage import HostCpu, ProcessCpu, SubtreeCpu, SubtreeRss, Zombies, identities
from linnix.cognitod.detect.view import NS, Detector, Held, Hit, View
from linnix.cognitod.events import EXEC_TEXT, Array
from linnix.cognitod.model import Activity, Finding, Home, Rows, Snapshot, text
from linnix.insight.classes import SEVERITIES
from linnix.insight.facts import Facts

#: Open findings kept; a rule that finds something in every process of a large host must not grow without end.
MAX_OPEN = 1024

_NO_TEXTS = np.zeros(0, EXEC_TEXT)
_NOWHERE = Home()


@dataclass(slots=True)
class _Open:
    finding: Finding
    last_ns: int
    keep_ns: int
    sampled: bool
    at_most: dict[str, int]  # how grave it could be at most, and when that was last told

    @property
    def gravest(self) -> str:
        """How grave it may be told as."""
        return max(self.at_most, key=SEVERITIES.index)


def _nowhere(_pid: int, _start_ns: int) -> Home:
    return _NOWHERE


class Engine:
    """All rules of a host."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._detectors = [_at_work(rule) for rule in self.rules]
        self._recent = Recent(**_room(self.rules))
        self._past = Past(_looks_back_s(self.rules))
        self._open: dict[str, _Open] = {}
        self._sampled_ns = -1
        self._sample_gap_ns = 0

    def use(self, rules: Sequence[Rule]) -> None:
        """Go by these rules from now on. One that judges as before goes on where it was, what is open included; of one
        that is new, gone or judges otherwise nothing is known.
        """
        before = {_judgement(rule): (detector, held) for rule, detector, held in self._detectors}
        self.rules = tuple(rules)
        self._detectors = []
        for rule in self.rules:
            kept = before.get(_judgement(rule))
            self._detectors.append((rule, *kept) if kept else _at_work(rule))
        going_on = {rule.name: rule for rule in self.rules if _judgement(rule) in before}
        self._open = {
            key: replace(entry, finding=_told_by(going_on[entry.finding.rule], entry.finding, entry.gravest))
            for key, entry in self._open.items()
            if entry.finding.rule in going_on
        }
        self._recent.grow(**_room(self.rules))
        self._past.grow(_looks_back_s(self.rules))

    def observe(
        self,
        events: Array,
        rows: Rows,
        snapshot: Snapshot,
        activity: Activity,
        now_ns: int,
        texts: Array = _NO_TEXTS,
        home_of: HomeOf = _nowhere,
        known: Facts | None = None,
        lineage: Lineage | None = None,
    ) -> list[Finding]:
        """Take one step: after batches of events, after a sample, or both. Returns what a detector found in this step;
        what was found before and is still open is in ``open_findings``.

        ``events`` and ``texts`` are those since the last step. ``snapshot.ts_ns`` tells a new sample: usage is judged
        once for each, and ``known`` comes with it: its facts, without findings. ``lineage``: of the living among the
        rows, if it is made already. ``home_of`` is asked of offenders only, and only for rules whose scope needs it.
        """
        self._recent.extend(events)
        sampled = snapshot.ts_ns != self._sampled_ns
        if sampled:
            self._sample_gap_ns = max(snapshot.ts_ns - self._sampled_ns, 0) if self._sampled_ns >= 0 else 0
            self._sampled_ns = snapshot.ts_ns
        if known is not None:
            self._past.add(known)
        view = View(events, texts, rows, snapshot, activity, now_ns, self._recent, known, self._past, lineage)
        if sampled:
            self._close_exited(view.living)
        found: list[Finding] = []
        for rule, detector, held in self._detectors:
            if sampled or not detector.sampled:
                hits = [
                    (finding, hit)
                    for hit in detector.observe(view)
                    if rule.scope.covers(finding := _finding(rule, hit, view), hit.uid, home_of)
                ]
                long_enough = held.update((finding.key for finding, _ in hits), now_ns)
                for finding, hit in hits:
                    if finding.key in long_enough and not self._known_whose(finding):
                        found.append(self._note(rule, detector, finding, hit.at_most, long_enough[finding.key], view))
                        if hit.instead_of is not None:  # not before the better guess is told itself
                            self._open.pop(_key(rule.name, *hit.instead_of), None)
        self._expire(now_ns)
        return self._untold(found)

    def _known_whose(self, finding: Finding) -> bool:
        """Whether this is about no one, while the same rule's finding about someone is open."""
        return finding.pid is None and any(
            entry.finding.rule == finding.rule and entry.finding.pid is not None for entry in self._open.values()
        )

    def _untold(self, found: list[Finding]) -> list[Finding]:
        """Without those of which a graver rule says the same already: they have nothing to add."""
        gravest: dict[_Said, int] = {}
        for said, grave in (_said(entry.finding) for entry in self._open.values()):
            gravest[said] = max(grave, gravest.get(said, grave))
        return [
            finding
            for finding, (said, grave) in zip(found, map(_said, found), strict=True)
            if grave >= gravest.get(said, grave)
        ]

    def open_findings(self, now_ns: int) -> list[Finding]:
        """What holds now, or did so less than the rule's ``keep_firing`` ago; in order of rule and offender."""
        self._expire(now_ns)
        return [self._open[key].finding for key in sorted(self._open)]

    def _note(
        self, rule: Rule, detector: Detector, finding: Finding, at_most: str, since_ns: int, view: View
    ) -> Finding:
        """Open the finding, or renew it if it is open; either way it began when that was first so. It stays as grave as
        it was within the time for which it would stay open: one milder sample does not end an alarm.
        """
        keep_ns = round(rule.keep_firing_s * NS)
        if detector.sampled:
            # Between two samples nothing is known; a long interval must not close what is still so.
            keep_ns = max(keep_ns, 2 * self._sample_gap_ns)
        before = self._open.get(finding.key)
        begins = [finding.ts_ns, since_ns] + ([before.finding.ts_ns] if before else [])
        lately = before.at_most.items() if before else ()
        at_most_lately = {severity: told_ns for severity, told_ns in lately if view.now_ns - told_ns <= keep_ns}
        entry = _Open(finding, view.now_ns, keep_ns, detector.sampled, at_most_lately | {at_most: view.now_ns})
        severity = _severity(rule, entry.gravest)
        finding = entry.finding = replace(
            finding, ts_ns=min(begins), timestamp=_unix(min(begins), view.snapshot), severity=severity
        )
        if finding.pid is not None:
            # Whom it was could not be told before, and now it can.
            self._open.pop(_key(rule.name, None, None), None)
        if before is not None or len(self._open) < MAX_OPEN:
            self._open[finding.key] = entry
        return finding

    def _close_exited(self, living: Rows) -> None:
        """What a process that has exited used is of the past, whatever its rule would keep open."""
        pids = [entry.finding.pid for entry in self._open.values() if entry.sampled and entry.finding.pid is not None]
        if not pids:
            return
        alive = set(identities(living.compress(np.isin(living["pid"], pids))))
        for key, entry in list(self._open.items()):
            pid, start_ns = entry.finding.pid, entry.finding.start_ns
            if entry.sampled and pid is not None and start_ns is not None and (pid, start_ns) not in alive:
                del self._open[key]

    def _expire(self, now_ns: int) -> None:
        gone = [key for key, entry in self._open.items() if now_ns - entry.last_ns > entry.keep_ns]
        for key in gone:
            del self._open[key]


_AtWork = tuple[Rule, Detector, Held[str]]
_Said = tuple[str, int | None, int | None]


def _said(finding: Finding) -> tuple[_Said, int]:
    """What a finding says, whatever rule it is of, and how grave that is."""
    return (finding.cls, finding.pid, finding.start_ns), SEVERITIES.index(finding.severity)


def build(params: known.Params) -> Detector:
    """The detector that acts on these parameters."""
    match params:
        case known.ForksPerSec():
            return HostForks.per_second(params)
        case known.ForkBurst():
            return HostForks.burst(params)
        case known.RunawayTree():
            return TreeForks(params)
        case known.ShortJobFlood():
            return ShortJobs(params)
        case known.ExecRate():
            return Execs(params)
        case known.CpuPct():
            return ProcessCpu(params)
        case known.SubtreeCpuPct():
            return SubtreeCpu(params)
        case known.SystemCpuPct():
            return HostCpu(params)
        case known.SubtreeRssMb():
            return SubtreeRss(params)
        case known.RssGrowth():
            return Growth(params)
        case known.ZombieCount():
            return Zombies(params)
        case known.SystemPsiCpu() | known.SystemPsiMemory() | known.SystemPsiIo():
            return Pressure(params)
        case known.Unusual():
            return FarFromUsual(params)
        case _:
            return by_facts(params)


def _at_work(rule: Rule) -> _AtWork:
    return rule, build(rule.params), Held[str](rule.hold_s)


def _judgement(rule: Rule) -> tuple[object, ...]:
    """All of a rule that decides what it finds; the rest is how that is told."""
    return rule.name, rule.params, rule.scope, rule.hold_s


def _told_by(rule: Rule, finding: Finding, at_most: str) -> Finding:
    return replace(finding, severity=_severity(rule, at_most), labels=rule.labels, runbook=rule.runbook)


def _severity(rule: Rule, at_most: str) -> str:
    return min(rule.severity, at_most, key=SEVERITIES.index)


def _room(rules: Sequence[Rule]) -> dict[str, int]:
    """What has to be remembered of events for these rules."""
    forks, jobs, max_job_us = 0, 0, 0
    for rule in rules:
        match rule.params:
            case known.ForksPerSec(threshold=threshold, duration=duration):
                forks = max(forks, round(threshold * max(duration, 1)))
            case known.ForkBurst(threshold=threshold) | known.RunawayTree(threshold=threshold):
                forks = max(forks, threshold)
            case known.ShortJobFlood(threshold=threshold, max_exec_duration_ms=limit_ms):
                jobs, max_job_us = max(jobs, threshold), max(max_job_us, round(limit_ms * 1000))
            case signs.ShortJobLoop(threshold=threshold, duration=duration):
                jobs, max_job_us = max(jobs, round(threshold * duration)), max(max_job_us, SHORT_JOB_US)
    return {"forks": max(65_536, 2 * forks), "jobs": max(32_768, 2 * jobs), "max_job_us": max_job_us}


def _looks_back_s(rules: Sequence[Rule]) -> float:
    """How far back they look at what facts told of single processes."""
    seconds = 0.0
    for rule in rules:
        match rule.params:
            case (
                signs.CpuSpin(duration=duration)
                | signs.CpuSaturation(duration=duration)
                | signs.Gauge(duration=duration)
                | signs.MemLeak(duration=duration)
                | signs.NetFlood(duration=duration)
            ):
                seconds = max(seconds, duration)
            case signs.OomRisk():
                seconds = max(seconds, GROWTH_S)
    return seconds


def _finding(rule: Rule, hit: Hit, view: View) -> Finding:
    since_ns = view.now_ns if hit.since_ns is None else hit.since_ns
    who = hit.culprit
    pid, start_ns = (None, None) if who is None else (who.pid, who.start_ns)
    return Finding(
        rule=rule.name,
        cls=hit.cls,
        severity=_severity(rule, hit.at_most),
        message=hit.message,
        key=_key(rule.name, pid, start_ns),
        ts_ns=since_ns,
        timestamp=_unix(since_ns, view.snapshot),
        pid=pid,
        start_ns=start_ns,
        comm=None if who is None else text(who.comm),
        evidence=dict(hit.evidence),
        labels=rule.labels,
        runbook=rule.runbook,
    )


def _unix(ts_ns: int, snapshot: Snapshot) -> float:
    return round(snapshot.timestamp + (ts_ns - snapshot.ts_ns) / NS, 3)


def _key(rule: str, pid: int | None, start_ns: int | None) -> str:
    return f"{rule}:host" if pid is None else f"{rule}:{pid}:{start_ns}"
