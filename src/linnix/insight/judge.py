"""Which classes and which culprits the facts admit: the rules rank, the model may only choose among near equals.

Owns the thresholds by which bare measurements, without any detector's finding, count as trouble, and the order of
causes. Refuses to word anything. Invariants: at least one candidate for any Facts; every candidate's class holds by a
finding or by a measured predicate; all candidates have the same severity, the gravest there is; ``normal`` stands
alone, and only where nothing else holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from linnix.insight.classes import CLASSES, SEVERITIES
from linnix.insight.facts import Facts, Finding, Process
from linnix.insight.scope import Scope, busiest_first

# Percent of one core from which a process counts as looping, and above which it is more than one thread's worth.
SPIN_PCT, SPIN_MAX_PCT = 80.0, 120.0
# Percent of all cores from which the host counts as saturated; a culprit takes this much of a core, and of the whole.
SATURATED_PCT, SATURATING_PCT, SATURATING_SHARE = 85.0, 50.0, 0.2
FORKS_PER_S, SHORT_JOBS_PER_S = 50.0, 30.0  # of one parent, sustained over the window
STORM_PER_S = 250.0  # from here a storm is grave
MEMORY_PCT, MEMORY_GRAVE_PCT = 92.0, 97.0
GROWTH_BYTES = 64_000_000  # over the trend window; a leak it is only when a detector has watched it for longer
STALL_CPU_PCT, STALL_MEMORY_PCT, STALL_IO_PCT = 20.0, 10.0, 20.0
CALM_PCT = 1.0  # pressure below this is no waiting worth a word
NEAR = 0.9  # a culprit this close to the worst is an equal
KEPT = 4  # candidates

# Causes before their symptoms: where two classes are equally grave, the earlier one explains.
CAUSES = (
    "oom_kill", "mem_leak", "crash_loop", "runaway_tree", "fork_storm", "short_job_flood", "zombie_pileup",
    "thread_leak", "fd_leak", "disk_full", "fsync_storm", "hung_task", "lock_contention", "cgroup_throttle",
    "noisy_neighbour", "cpu_spin", "cpu_saturation", "io_saturation", "swap_thrash", "oom_risk", "net_flood",
    "unknown", "normal",
)  # fmt: skip
# What a cause brings about, so that the symptom is not offered beside it for the same process or its children.
EXPLAINS = {
    "oom_kill": {"oom_risk", "swap_thrash"},
    "mem_leak": {"oom_risk", "swap_thrash"},
    "crash_loop": {"short_job_flood", "fork_storm", "cpu_saturation", "cpu_spin"},
    "runaway_tree": {"fork_storm", "short_job_flood", "cpu_saturation", "cpu_spin"},
    "fork_storm": {"cpu_saturation", "cpu_spin", "short_job_flood"},
    "short_job_flood": {"cpu_saturation", "cpu_spin", "fork_storm"},
    "fsync_storm": {"io_saturation"},
    "noisy_neighbour": {"cpu_spin"},
}
LOW, MEDIUM, HIGH = 1, 2, 3  # indexes of SEVERITIES

_Measured = tuple[str, Process | None, int, float]  # class, culprit, severity, how much


def _or_nobody(processes: list[Process]) -> list[Process | None]:
    return [*processes] or [None]


def _near(processes: Iterable[Process], amount: Callable[[Process], float]) -> list[Process]:
    """The worst and its equals, worst first; Linnix's own only where nobody else comes near."""
    ranked = sorted((p for p in processes if amount(p) > 0), key=lambda p: -amount(p))
    near = [p for p in ranked if amount(p) >= NEAR * amount(ranked[0])]
    return [p for p in near if not p.own] or near


def _cpu(facts: Facts) -> Iterable[_Measured]:
    host, alive = facts.host, [p for p in facts.processes if not p.state.startswith(("Z", "X"))]
    psi = facts.pressure.cpu_some_pct or 0.0
    saturated = host.cpu_pct >= SATURATED_PCT
    # Full cores are what cores are for: never grave by themselves.
    grave = MEDIUM if saturated or psi >= STALL_CPU_PCT else LOW
    for p in _near((p for p in alive if p.cpu_pct >= SPIN_PCT), lambda p: p.cpu_pct):
        if p.cpu_pct < SPIN_MAX_PCT:
            yield "cpu_spin", p, grave, p.cpu_pct
        if p.cpu_pct >= SPIN_MAX_PCT or saturated:
            yield "cpu_saturation", p, grave, p.cpu_pct
    if saturated:
        whole = host.cpu_pct * host.cores
        crowded = {m for g in facts.groups if g.cpu_pct >= 0.5 * whole for m in g.members}
        crowd = [p for p in alive if p.id in crowded or p.cpu_pct >= max(SATURATING_PCT, SATURATING_SHARE * whole)]
        for p in _near(crowd, lambda p: p.cpu_pct):
            yield "cpu_saturation", p, grave, p.cpu_pct
    groups_of = {p.id: p.cgroup for p in facts.processes}
    by_id = {p.id: p for p in facts.processes}
    for b in facts.blame:
        apart = groups_of.get(b.offender) is not None and groups_of.get(b.offender) != groups_of.get(b.victim)
        named = b.victim in by_id and b.offender in by_id and b.victim != b.offender
        if b.resource == "cpu" and named and apart and psi >= STALL_CPU_PCT / 2:
            yield "noisy_neighbour", by_id[b.offender], MEDIUM, b.task_ms


def _births(facts: Facts) -> Iterable[_Measured]:
    rates = facts.activity
    # A shell that runs short commands forks and execs; a storm of bare forks never execs.
    runs_commands = rates.execs_per_s >= 0.5 * rates.forks_per_s
    for p in _near(facts.processes, lambda p: p.forks_per_s):
        if p.forks_per_s >= FORKS_PER_S and not (runs_commands and p.short_jobs_per_s >= SHORT_JOBS_PER_S):
            yield "fork_storm", p, HIGH if p.forks_per_s >= STORM_PER_S else MEDIUM, p.forks_per_s
    for p in _near(facts.processes, lambda p: p.short_jobs_per_s):
        if p.short_jobs_per_s >= SHORT_JOBS_PER_S and runs_commands:
            yield "short_job_flood", p, MEDIUM, p.short_jobs_per_s


def _memory(facts: Facts) -> Iterable[_Measured]:
    used = facts.host.mem_pct
    full = HIGH if used >= MEMORY_GRAVE_PCT else MEDIUM
    if used >= MEMORY_PCT:
        for who in _or_nobody(_near(facts.processes, lambda p: p.rss_bytes)):
            yield "oom_risk", who, full, who.rss_bytes if who else 0.0
    some = facts.pressure.memory_some_pct or 0.0
    if some >= STALL_MEMORY_PCT:
        grave = HIGH if (facts.pressure.memory_full_pct or 0.0) >= STALL_MEMORY_PCT else MEDIUM
        growing = _near(facts.processes, lambda p: p.rss_delta_bytes if p.rss_delta_bytes >= GROWTH_BYTES else 0)
        for who in _or_nobody(growing or _near(facts.processes, lambda p: p.rss_bytes)):
            yield "swap_thrash", who, grave, some


def _storage(facts: Facts) -> Iterable[_Measured]:
    some = facts.pressure.io_some_pct or 0.0
    if some < STALL_IO_PCT:
        return
    grave = MEDIUM if (facts.pressure.io_full_pct or 0.0) >= STALL_IO_PCT else LOW
    by_id = {p.id: p for p in facts.processes}
    offenders = [by_id[b.offender] for b in facts.blame if b.resource == "io" and b.offender in by_id]
    # Waiting on a disk is no proof of loading it: without blame nobody is named.
    yield "io_saturation", offenders[0] if offenders else None, grave, some


def _found(facts: Facts, measured: list[_Measured]) -> list[Scope]:
    """Candidates that a detector vouches for. Where it names a group or nobody, measurements may name the culprit."""
    by_id = {p.id: p for p in facts.processes}
    scopes = []
    for f in facts.findings:
        if f.cls not in CLASSES or f.severity not in SEVERITIES or SEVERITIES.index(f.severity) < LOW:
            continue
        cls = "unknown" if f.cls == "normal" else f.cls
        scopes.append(Scope(facts, cls, _culprit(facts, f, cls, measured, by_id), f.severity, f))
    return scopes


def _culprit(
    facts: Facts, finding: Finding, cls: str, measured: list[_Measured], by_id: dict[str, Process]
) -> Process | None:
    if finding.process in by_id:
        return by_id[finding.process]
    members = {m for g in facts.groups if g.id == finding.group for m in g.members}
    if members:
        return next((p for p in busiest_first(facts) if p.id in members), None)
    same = [m for m in measured if m[0] == cls and m[1] is not None]
    if same:
        return max(same, key=lambda m: m[3])[1]
    return next(iter(busiest_first(facts)), None) if cls == "unknown" else None


def _explained(scope: Scope, by: Scope) -> bool:
    if scope.cls not in EXPLAINS.get(by.cls, ()):
        return False
    if scope.process is None or scope.cls in ("oom_risk", "swap_thrash", "io_saturation"):
        return True
    return by.process is not None and (scope.process.id == by.process.id or scope.process.ppid == by.process.pid)


def _order(scope: Scope) -> tuple[int, bool, bool, int]:
    own = scope.process is not None and scope.process.own
    return (-SEVERITIES.index(scope.severity), scope.finding is None, own, CAUSES.index(scope.cls))


def candidates(facts: Facts) -> tuple[Scope, ...]:
    """The admissible pairs of class and culprit, the rules' own choice first; at most ``KEPT``."""
    measured = [*_births(facts), *_memory(facts), *_storage(facts), *_cpu(facts)]
    measured.sort(key=lambda m: -m[3])
    found = _found(facts, measured)
    scopes = list(found)
    accused = {s.process.id for s in found if s.process}
    judged = {(s.cls, s.process) for s in found}
    for cls, process, severity, _ in measured:
        # Detectors have seen more than this moment: bare measurements add no suspect and no severity to theirs.
        if (not accused or (process and process.id in accused)) and (cls, process) not in judged:
            scopes.append(Scope(facts, cls, process, SEVERITIES[severity]))
    if not scopes:
        return (_quiet(facts),)
    unique: dict[tuple[str, str | None], Scope] = {}
    for scope in sorted(scopes, key=_order):
        unique.setdefault((scope.cls, scope.process.id if scope.process else None), scope)
    ranked = list(unique.values())
    named = {s.cls for s in ranked if s.process}
    ranked = [s for s in ranked if s.process or s.cls not in named]  # a named culprit replaces the unnamed one
    best = [s for s in ranked if s.severity == ranked[0].severity]
    kept = [s for s in best if not any(_explained(s, by) for by in best if _order(by) < _order(s))]
    return tuple(kept[:KEPT])


def _quiet(facts: Facts) -> Scope:
    """No class holds: ``unknown`` where the host is held up all the same, else ``normal``; both show the busiest."""
    psi = facts.pressure
    held_up = (
        facts.host.cpu_pct >= SATURATED_PCT
        or (psi.cpu_some_pct or 0.0) >= STALL_CPU_PCT
        or (psi.memory_some_pct or 0.0) >= STALL_MEMORY_PCT
        or facts.activity.forks_per_s >= STORM_PER_S
    )
    busiest = next(iter(busiest_first(facts)), None)
    return Scope(facts, "unknown", busiest, "low") if held_up else Scope(facts, "normal", busiest, "info")
