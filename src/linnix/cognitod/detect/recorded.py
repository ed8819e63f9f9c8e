"""From recorded facts to what the engine takes: rows, a snapshot, activity, and events as they may have been.

Owns what is made up and how. Refuses what facts do not tell: of what is not among their jobs the name, the status and
the life but "younger than a second"; ``unreplayable`` names the rules that need more. Invariant: made-up
events sum up to what the facts counted, as closely as whole numbers can.

Jobs of a tick are spread evenly over it, as ``replayed_jobs`` makes them, those of seconds without a tick as
``replayed_gaps`` guesses them; the rest is filled up. Facts hold sums over sliding windows, of the host and of parents.
Each tick gets as many events as ``replayed_counts`` finds missing from its window beside those of the ticks before,
spread evenly over the time since the last tick: so sums agree at every tick unless a sum falls faster than events leave
the window, which happens when they were not spread evenly, or a parent was not told in between. What the host counted
and no parent that was told did has parent 0, which is nobody. Sums over trees, and dead children that nobody reaps,
lack the processes that were not told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import sub

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect import params as known
from linnix.cognitod.detect.jobs import MAX_NAMES
from linnix.cognitod.detect.replayed_counts import Counted
from linnix.cognitod.detect.replayed_gaps import SAMPLE_NS, Skipped
from linnix.cognitod.detect.replayed_jobs import FIRST_PID, Identity, ReplayedJobs, spread
from linnix.cognitod.detect.replayed_rows import ReplayedRows, activity, snapshot
from linnix.cognitod.detect.rules import Rule
from linnix.cognitod.detect.tags import SHORT_NS, WINDOW_S
from linnix.cognitod.detect.view import NS
from linnix.cognitod.events import EVENT, Array, Kind
from linnix.cognitod.model import Activity, Home, Rows, Snapshot
from linnix.insight.facts import Facts, Job

#: A made-up short job lived for so long: half of the longest that its count allows.
_JOB_NS = SHORT_NS // 2
#: Who stands between a parent and what was run below it is remembered for as long after the last of it.
_BETWEEN_NS = 15 * NS
#: Programs beyond those of which jobs tell have so many names.
_NAMES = 1000


def unreplayable(rules: Sequence[Rule]) -> dict[str, str]:
    """Rules that recorded facts cannot decide, by name, and why."""
    found = {}
    for rule in rules:
        match rule.params:
            case known.ShortJobFlood(max_exec_duration_ms=limit_ms) if limit_ms != SHORT_NS / 1e6:
                found[rule.name] = f"short_job_flood: facts count lives below 1000 ms, not below {limit_ms:g} ms"
            case _:
                pass
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """One tick, as ``Engine.observe`` takes it."""

    events: Array  # dtype EVENT, in order of time
    texts: Array  # dtype EXEC_TEXT, of those of its jobs
    rows: Rows  # dtype ROW
    snapshot: Snapshot
    activity: Activity
    homes: Mapping[Identity, Home]


class Recorded:
    """Ticks of one recording, in their order."""

    def __init__(self) -> None:
        self._forks, self._jobs, self._execs = Counted(), Counted(), Counted()
        self._told, self._skipped = ReplayedJobs(), Skipped()
        self._rows = ReplayedRows()
        #: By parent a child of it that is gone, and when something was run by it last.
        self._between: dict[Identity, tuple[Identity, int]] = {}
        self._last_ns: int | None = None
        self._boot_offset_ns = 0
        self._next_pid = FIRST_PID

    def step(self, facts: Facts) -> Step:
        """What the engine would have been given for this tick, as far as the facts tell."""
        if self._last_ns is None:
            self._boot_offset_ns = max(round(facts.host.uptime_s * NS) - facts.ts_ns, 0)
        told, texts = self._take_jobs(facts)
        rest = self._events(facts)
        self._last_ns = facts.ts_ns
        # Forks are first: they tell how far boot time is ahead, and lives are told by it.
        events = np.concatenate([rest, told])
        events = events.take(np.argsort(events["ts_ns"], kind="stable"))
        between = {child: parent for parent, (child, _) in self._between.items()}
        rows = self._rows.rows(facts, between)
        return Step(events, texts, rows, snapshot(facts), activity(facts), self._rows.homes(facts))

    def _take_jobs(self, facts: Facts) -> tuple[Array, Array]:
        """Events and texts of the jobs that these facts tell, and of seconds that no tick is of; unless these facts are
        of a sample that was there before.
        """
        now_ns = facts.ts_ns
        begin_ns = now_ns - SAMPLE_NS if self._last_ns is None else self._last_ns
        self._between = {who: seen for who, seen in self._between.items() if now_ns - seen[1] < _BETWEEN_NS}
        if begin_ns >= now_ns:
            return self._take([], begin_ns, now_ns)
        who = {each.id: (each.pid, each.start_ns) for each in facts.processes}
        direct = [(who[job.parent], job) for job in facts.jobs if not job.below]
        below = [(self._child(who[job.parent], now_ns), job) for job in facts.jobs if job.below]
        skipped = self._skipped.jobs(facts, direct, begin_ns)
        sample_ns = now_ns - SAMPLE_NS if skipped else begin_ns
        parts = [self._take(skipped, begin_ns, sample_ns), self._take([*direct, *below], sample_ns, now_ns)]
        events, texts = zip(*parts, strict=True)
        return np.concatenate(events), np.concatenate(texts)

    def _take(self, jobs: Sequence[tuple[Identity, Job]], begin_ns: int, end_ns: int) -> tuple[Array, Array]:
        for parent, job in jobs:
            self._forks.made(parent, job.short, begin_ns, end_ns)
            self._jobs.made(parent, job.short, begin_ns, end_ns)
            self._execs.made(parent, max(job.execs - job.short, 0), begin_ns, end_ns)
        return self._told.take(jobs, begin_ns, end_ns, self._boot_offset_ns)

    def _child(self, parent: Identity, now_ns: int) -> Identity:
        """Who ran what was run below this process: of all who did one."""
        child, _ = self._between.get(parent, ((3 * FIRST_PID + parent[0], parent[1] + 1), 0))
        self._between[parent] = child, now_ns
        return child

    def _events(self, facts: Facts) -> Array:
        all_, now_ns = facts.activity, facts.ts_ns
        span = (all_.window_s, now_ns - round(all_.window_s * NS) if self._last_ns is None else self._last_ns, now_ns)
        who = [(each.pid, each.start_ns) for each in facts.processes]
        forks = [each.forks_per_s * WINDOW_S for each in facts.processes]
        execs = [each.child_execs_per_s * WINDOW_S for each in facts.processes]
        short = [each.short_jobs_per_s * WINDOW_S for each in facts.processes]
        # Who was born, ran a program and ended within a second: at most so many.
        jobs = list(map(min, short, execs))
        all_execs = all_.execs_per_s * all_.window_s
        all_jobs = sum(jobs) + max(min(all_.short_jobs_per_s * all_.window_s - sum(short), all_execs - sum(execs)), 0)
        made = [np.zeros(0, EVENT)]
        due = self._forks.due(dict(zip(who, forks, strict=True)), all_.forks_per_s * all_.window_s, *span)
        made += [self._made(Kind.FORK, parent, spread(*span[1:], number)) for parent, number in due.items()]
        due = self._jobs.due(dict(zip(who, jobs, strict=True)), all_jobs, *span)
        names = _names(facts)
        for parent, number in due.items():
            run = self._made(Kind.EXEC, parent, spread(*span[1:], number))
            run["start_ns"] -= np.uint64(_JOB_NS)
            if len(names.get(parent, ())) == MAX_NAMES:  # there are others, each of fewer
                run["comm"] = [b"%d" % (pid % _NAMES) for pid in run["pid"].tolist()]
            else:
                run["comm"] = names.get(parent, [b""])[0]
            ended = run.copy()
            ended["kind"] = Kind.EXIT
            made += [run, ended]
        lasting = dict(zip(who, map(sub, execs, jobs), strict=True))
        due = self._execs.due(lasting, all_execs - all_jobs, *span)
        made += [self._made(Kind.EXEC, parent, spread(*span[1:], number)) for parent, number in due.items()]
        events: Array = np.concatenate(made)
        return events

    def _made(self, kind: Kind, parent: Identity, times: NDArray[np.int64]) -> Array:
        events = np.zeros(len(times), EVENT)
        events["kind"], events["ts_ns"] = kind, times
        events["ppid"], events["parent_start_ns"] = parent
        events["pid"] = np.arange(self._next_pid, self._next_pid + len(times))
        events["start_ns"] = times + self._boot_offset_ns
        self._next_pid = FIRST_PID + (self._next_pid - FIRST_PID + len(times)) % (FIRST_PID // 2)
        return events


def _names(facts: Facts) -> dict[Identity, list[bytes]]:
    """What each parent's jobs are called, in the order of the facts."""
    who = {each.id: (each.pid, each.start_ns) for each in facts.processes}
    names: dict[Identity, list[bytes]] = {}
    for job in facts.jobs:
        if not job.below:
            names.setdefault(who[job.parent], []).append(job.comm.encode())
    return names
