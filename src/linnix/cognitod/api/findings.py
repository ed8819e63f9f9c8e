"""What is wrong now, the most likely cause first: ``/findings``.

Owns the ids that a finding keeps as long as it lasts, and the units of evidence. Refuses to rank: the causes come in
order. Invariant: every id in ``explains`` is that of another finding of the same answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import wire
from linnix.cognitod.api.context import context
from linnix.cognitod.api.errors import Json
from linnix.cognitod.detect.causes import Cause
from linnix.cognitod.model import Home

#: Where a process lives or lived, and its name where that is known, by pid and start_ns.
Lookup = Callable[[int, int], tuple[str | None, Home]]

#: By the end of a fact's name, the longest that fits first.
_UNITS = (
    ("_bytes_per_s", "bytes per second"),
    ("_mib_per_s", "MiB per second"),
    ("_mb_per_s", "MB per second"),
    ("_per_min", "per minute"),
    ("_per_s", "per second"),
    ("_bytes", "bytes"),
    ("_mib", "MiB"),
    ("_pct", "percent"),
    ("_pid", "pid"),
    ("_ms", "milliseconds"),
    ("_us", "microseconds"),
    ("_s_ago", "seconds"),
    ("_s", "seconds"),
)
#: CPU of a process is percent of one core, unlike that of the host.
_OF_A_CORE = ("cpu_pct", "wanted_cpu_pct", "subtree_cpu_pct", "top_cpu_pct")
#: What the first number is compared with: amounts of the same.
_LIKE_THE_FIRST = ("received", "next_process")


async def findings(request: Request) -> Response:
    """Ranked causes and their symptoms; nothing wrong is an empty array."""
    here = context(request)
    here.snapshot()
    pipeline = here.pipeline

    def lookup(pid: int, start_ns: int) -> tuple[str | None, Home]:
        return pipeline.name_of(pid, start_ns), pipeline.home_of(pid, start_ns)

    return Json(tell(pipeline.judging.causes, lookup))


def tell(causes: Sequence[Cause], lookup: Lookup) -> list[wire.Finding]:
    """Causes as the wire has them, in their order."""
    numbers = map("E{}".format, count(1))
    return [_finding(cause, lookup, numbers) for cause in causes]


def finding_id(key: str) -> str:
    """What a cause is called as long as its class and culprit stay the same."""
    return f"f-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def unit(fact: str, first: str = "") -> str:
    """Of what a number of the evidence is an amount. ``first``: the fact that comes first in the same evidence."""
    if fact in _LIKE_THE_FIRST:
        fact = first
    if fact in _OF_A_CORE:
        return "percent of one core"
    return next((unit for end, unit in _UNITS if fact.endswith(end)), "count")


def _finding(cause: Cause, lookup: Lookup, numbers: Iterator[str]) -> wire.Finding:
    finding = cause.finding
    return wire.Finding(
        id=finding_id(cause.key),
        class_=cause.cls,
        severity=cause.severity,
        score=cause.score,
        process=None if cause.who is None else _party(*cause.who, lookup, finding.comm),
        resource=cause.resource,
        since=cause.since,
        victims=[_party(pid, start_ns, lookup) for pid, start_ns in cause.victims],
        evidence=_evidence(cause, numbers),
        explains=[finding_id(key) for key in cause.explains],
        rule=cause.rule,
        message=finding.message,
        labels=dict(finding.labels),
        runbook=finding.runbook,
    )


def _party(pid: int, start_ns: int, lookup: Lookup, comm: str | None = None) -> wire.Party:
    name, home = lookup(pid, start_ns)
    return wire.Party(pid=pid, start_ns=start_ns, comm=comm or name, unit=home.unit, cgroup=home.cgroup)


def _evidence(cause: Cause, numbers: Iterator[str]) -> list[wire.Evidence]:
    evidence = cause.finding.evidence
    facts = [fact for fact in evidence if fact != "threshold"]
    return [
        wire.Evidence(
            id=next(numbers),
            fact=fact,
            value=evidence[fact],
            unit=unit(fact, facts[0]),
            threshold=evidence.get("threshold") if at == 0 else None,
        )
        for at, fact in enumerate(facts)
    ]
