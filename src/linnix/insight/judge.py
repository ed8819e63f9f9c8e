"""Which causes the facts admit: what rules have found, in their order, and after it what merely stands out.

Owns what may be offered. Refuses to find anything wrong: that is for rules (``cognitod.detect``), and what no rule
finds is of severity ``info``. Invariants: at least one cause for any Facts; above ``info`` a cause is a finding above
``info``, and of the same severity; the first is what rules hold for the likeliest; ``normal`` is offered where no rule
finds anything above ``info``, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from linnix.insight.facts import Facts, Finding, Process
from linnix.insight.fields import moves
from linnix.insight.scope import Scope, busiest_first, is_known, unaccused

#: Causes offered at most, and so many where enough stands out: a choice among fewer is none.
KEPT, ENOUGH = 4, 3
#: What a process must use to stand out: percent of one core, bytes, bytes a second, forks a second.
CPU_PCT, RSS_BYTES, MOVED_BYTES_PER_S, SENT_BYTES_PER_S, FORKS_PER_S = 0.1, 1_000_000, 65_536, 100_000, 1.0


def candidates(facts: Facts) -> tuple[Scope, ...]:
    """The admissible causes, the rules' own choice first; at most ``KEPT``."""
    found = [f for f in facts.findings if is_known(f)]
    alarms = [f for f in found if f.severity != "info"]
    explained = {symptom for f in alarms for symptom in f.explains}
    causes = [f for f in alarms if f.id not in explained] or alarms
    normal = Scope(facts, "normal", next(iter(busiest_first(facts)), None), "info")
    remarks = (found_as(facts, f) for f in found if f.severity == "info")
    scopes = list[Scope]()
    first = [found_as(facts, f) for f in causes] or [normal]
    for scope in (*first, *remarks, *_standing_out(facts)):
        enough = KEPT if scope.alarms else ENOUGH
        if len(scopes) < enough and not any(_same(scope, other) for other in scopes):
            scopes.append(scope)
    return tuple(scopes)


def _same(one: Scope, other: Scope) -> bool:
    return one.cls == other.cls and one.process is other.process


def found_as(facts: Facts, finding: Finding) -> Scope:
    """The cause that a finding is."""
    cls = "unknown" if finding.cls == "normal" else finding.cls
    return Scope(facts, cls, _culprit(facts, finding), finding.severity, finding)


def _culprit(facts: Facts, finding: Finding) -> Process | None:
    members = {member for group in facts.groups if group.id == finding.group for member in group.members}
    wanted = {finding.process} if finding.process else members
    return next((p for p in busiest_first(facts) if p.id in wanted), None)


def _standing_out(facts: Facts) -> Iterator[Scope]:
    """Who uses most of each resource, of those whom no rule objects to. That is no fault: ``info``."""
    others = unaccused(facts)

    def most(cls: str, amount: Callable[[Process], float], least: float) -> Iterator[Scope]:
        process = max(others, key=amount, default=None)
        if process is not None and amount(process) >= least:
            yield Scope(facts, cls, process, "info")

    births = "short_job_flood" if facts.activity.execs_per_s >= facts.activity.forks_per_s / 2 else "fork_storm"
    yield from most("cpu_saturation", lambda p: p.cpu_pct, CPU_PCT)
    yield from most("io_saturation", moves, MOVED_BYTES_PER_S)
    yield from most("net_flood", lambda p: p.tx_bytes_per_s or 0.0, SENT_BYTES_PER_S)
    yield from most(births, lambda p: p.forks_per_s, FORKS_PER_S)
    yield from most("oom_risk", lambda p: p.rss_bytes, RSS_BYTES)
