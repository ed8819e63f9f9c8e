"""Alerts as they come, those that are open, and those that were: ``/alerts`` and ``/timeline``.

Owns the two spellings of severity. Refuses to judge: the detectors did. Invariant: both routes say the same of the
same alert, id included; an alert is told once when it begins and once, with its id, when it is over.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import params, sse, wire
from linnix.cognitod.api.context import context
from linnix.cognitod.api.errors import Json, bad_request
from linnix.cognitod.api.rows import container, k8s
from linnix.cognitod.hub import Filter, Subscription
from linnix.cognitod.model import Alert
from linnix.insight.answer import Insight
from linnix.insight.classes import SEVERITIES

#: How an alert's states are told on the stream. The original's clients listen for ``alert``: they hear of each once.
_EVENTS = {"firing": "alert", "resolved": "resolved"}


def as_alert(alert: Alert) -> wire.Alert:
    """An alert as ``/alerts`` has it."""
    return wire.Alert(**_common(alert), severity=alert.finding.severity.capitalize())


def as_entry(alert: Alert) -> wire.TimelineEntry:
    """An alert as ``/timeline`` has it."""
    return wire.TimelineEntry(**_common(alert), severity=alert.finding.severity)


def _common(alert: Alert) -> dict[str, Any]:
    finding = alert.finding
    return {
        "id": alert.id,
        "timestamp": int(alert.timestamp),
        "rule": finding.rule,
        "message": finding.message,
        "host": alert.host,
        "pid": finding.pid,
        "start_ns": finding.start_ns,
        "comm": finding.comm,
        "class_": finding.cls,
        "evidence": dict(finding.evidence),
        "cgroup": alert.home.cgroup,
        "unit": alert.home.unit,
        "container": container(alert.home),
        "k8s": k8s(alert.home),
        "labels": dict(finding.labels),
        "runbook": finding.runbook,
        "state": alert.state,
        "resolved_at": None if alert.resolved_at is None else int(alert.resolved_at),
        "explanation": _explanation(alert.explanation),
    }


def _explanation(insight: Insight | None) -> wire.Explanation | None:
    if insight is None:
        return None
    return wire.Explanation(insight.text, insight.source, insight.model, insight.verified)


def wants_json(accept: str) -> bool:
    """Whether an Accept header asks for JSON and not for a stream."""
    types = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "application/json" in types and "text/event-stream" not in types


async def alerts(request: Request) -> Response:
    """A stream of alerts from now on, or the open ones as an array where JSON is asked for."""
    here = context(request)
    if wants_json(request.headers.get("accept", "")):
        return Json([as_alert(alert) for alert in reversed(here.pipeline.judging.open_alerts)])
    subscription = here.pipeline.hub.subscribe(Filter(kinds=frozenset(), tag_changes=False, alerts=True))
    return sse.EventStream(_told(subscription), here.closing, subscription.close)


async def _told(subscription: Subscription) -> AsyncGenerator[bytes, None]:
    async for item in subscription:
        if lost := subscription.take_lost():
            yield sse.lost(lost)
        if isinstance(item, Alert):
            yield sse.frame(wire.encode(as_alert(item)), _EVENTS[item.state])


async def timeline(request: Request) -> Response:
    """The alerts that are remembered, newest first."""
    given = request.query_params
    start, end = params.number(given, "start"), params.number(given, "end")
    severity = given.get("severity", "").lower()
    if severity and severity not in SEVERITIES:
        raise bad_request("severity", given["severity"], f"one of {', '.join(SEVERITIES)}")
    chosen = [
        as_entry(alert)
        for alert in reversed(context(request).pipeline.judging.alerts)
        if (start is None or int(alert.timestamp) >= start)
        and (end is None or int(alert.timestamp) <= end)
        and (not severity or alert.finding.severity == severity)
    ]
    return Json(chosen)
