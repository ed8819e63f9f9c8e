"""What explains: ``/facts``, and ``/insights`` made from them.

Owns the shape that the original's clients read. Refuses to call a model: a GET answers at once, with what
``explaining`` has. Invariant: ``/insights`` says nothing that ``/facts`` of its moment (``explained_at``) does not.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import wire
from linnix.cognitod.api.context import context
from linnix.cognitod.api.errors import Json
from linnix.insight import facts, rules_text
from linnix.insight.answer import Insight

TOP = 5
#: the original's own two rules, in percent
HIGH_CPU_PCT = 50.0
HIGH_MEM_PCT = 30.0


async def get_facts(request: Request) -> Response:
    """The one input of everything that explains."""
    return Json(facts.encode(_facts(request)))


async def insights(request: Request) -> Response:
    """What there is to say now: the model's words where they are there, else the rules'."""
    known, explaining = _facts(request), context(request).explaining
    insight, at = explaining.now() if explaining is not None else (rules_text.explain(known), known.timestamp)
    return Json(told(known, insight, at))


def _facts(request: Request) -> facts.Facts:
    here = context(request)
    here.snapshot()
    return here.pipeline.facts()


def told(known: facts.Facts, insight: Insight, explained_at: float) -> wire.Insights:
    """An explanation in the original's shape: its figures are strings."""
    by_cpu = sorted(known.processes, key=lambda process: process.cpu_pct, reverse=True)[:TOP]
    by_mem = sorted(known.processes, key=lambda process: process.mem_pct, reverse=True)[:TOP]
    one, five, fifteen = known.host.load_avg
    return wire.Insights(
        summary=insight.text,
        metrics=wire.InsightMetrics(
            cpu_percent=f"{known.host.cpu_pct:.1f}",
            mem_percent=f"{known.host.mem_pct:.1f}",
            load_avg=(f"{one:.2f}", f"{five:.2f}", f"{fifteen:.2f}"),
        ),
        top_cpu=[wire.InsightCpu(process.pid, process.comm, f"{process.cpu_pct:.1f}") for process in by_cpu],
        top_memory=[wire.InsightMemory(process.pid, process.comm, f"{process.mem_pct:.1f}") for process in by_mem],
        alerts=_alerts(known)[:TOP],
        timestamp=int(known.timestamp),
        source=insight.source,
        class_=insight.cls,
        severity=insight.severity,
        model=insight.model,
        verified=insight.verified,
        confidence=insight.confidence,
        explained_at=int(explained_at),
    )


def _alerts(known: facts.Facts) -> list[wire.InsightAlert]:
    """Culprits of findings first, then what the original's two static rules say."""
    by_id = {process.id: process for process in known.processes}
    found = [(by_id[finding.process], finding.message) for finding in known.findings if finding.process in by_id]
    found += [(process, "High CPU usage") for process in known.processes if process.cpu_pct > HIGH_CPU_PCT]
    found += [(process, "High memory usage") for process in known.processes if process.mem_pct > HIGH_MEM_PCT]
    return [wire.InsightAlert(process.comm, reason, process.pid) for process, reason in found]
