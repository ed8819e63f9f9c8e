"""The original's question: which pods stalled this pod? ``/attribution``.

Owns its shape, its bounds and its watermark. Refuses its formula: where the original guesses from who used CPU at one
moment, the figures here are measured (docs/blame.md says how each maps). Invariant: a permalink names the last event
that was known, so that the same link has the same rows while new events come.

An event is a segment of at most five seconds in which the victim waited. On hosts without pods the namespace is
``host`` (or empty), and the pod a systemd unit or a cgroup path.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import quote

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import blame, params, wire
from linnix.cognitod.api.context import Context, context
from linnix.cognitod.api.errors import Json, RequestError
from linnix.cognitod.blame import query
from linnix.cognitod.blame.ledger import Segment
from linnix.cognitod.blame.levels import Scope
from linnix.cognitod.blame.series import HOST, pod_of
from linnix.cognitod.model import RESOURCES

DEFAULT_WINDOW_MINUTES = 5
#: Where the original's reasons saturate (original formula: equal weights of three terms, each at most 1).
_FORKS, _SHORT_JOBS = 100, 50


async def attribution(request: Request) -> Response:
    """Stall events of one pod, and what each offender did in them, most blame first."""
    here = context(request)
    given = request.query_params
    for name in ("pod", "namespace"):
        if name not in given or (name == "pod" and not given[name]):
            raise RequestError(
                400,
                f"{name} is missing: /attribution?pod=NAME&namespace=NAME; on a host without pods "
                "the namespace is host and the pod a unit or a cgroup path",
            )
    pod, namespace = given["pod"], given["namespace"]
    resource = given.get("resource", "cpu")
    if resource not in RESOURCES:
        raise RequestError(400, f"resource={resource!r}: unknown; valid are {', '.join(RESOURCES)}")
    from_s, to_s = _bounds(here, given)
    ledger = here.blame.ledgers[resource]
    ledger.seal()
    max_id = params.number(given, "max_id")
    max_id = ledger.last_id if max_id is None else max_id
    scope = _scope(here, namespace, pod)
    event = given.get("event")
    inside = np.array(here.blame.names.numbers(lambda home: scope.root_of(home) is not None), np.uint32)
    rows: list[wire.Attribution] = []
    for segment in list(ledger.segments):
        event_id = _event_id(here, resource, segment)
        asked = segment.id <= max_id and from_s <= segment.end_us // 10**6 <= to_s and event in (None, event_id)
        if asked and np.isin(segment.parties["home"], inside).any():
            rows += _rows(here, segment, scope, event_id)
            await asyncio.sleep(0)  # an hour of events takes most of a second: let others in between
    link = f"/attribution?pod={_encoded(pod)}&namespace={_encoded(namespace)}&from={from_s}&to={to_s}&max_id={max_id}"
    link += f"&event={_encoded(event)}" if event is not None else ""
    link += f"&resource={resource}" if resource != "cpu" else ""
    return Json(
        wire.Attributions(
            victim=wire.AttributionVictim(pod=pod, namespace=namespace),
            window_minutes=(to_s - from_s) // 60,
            from_=from_s,
            to=to_s,
            permalink=link,
            attributions=sorted(rows, key=lambda row: (-row.blame_score, row.timestamp, row.offender_pod)),
        )
    )


def _bounds(here: Context, given: Mapping[str, str]) -> tuple[int, int]:
    """Both, or the one that is missing from the window, or the last minutes; whole unix seconds, inclusive."""
    from_s, to_s = params.number(given, "from"), params.number(given, "to")
    window = params.number(given, "window")
    window_s = 60 * (DEFAULT_WINDOW_MINUTES if window is None else window)
    if to_s is None:
        to_s = blame.now_us(here) // 10**6
    if from_s is None:
        from_s = max(to_s - window_s, 0)
    if from_s > to_s:
        raise RequestError(400, f"from={from_s}: later than to={to_s}")
    return from_s, to_s


def _scope(here: Context, namespace: str, pod: str) -> Scope:
    if namespace not in ("", HOST):
        return Scope("pod", f"{namespace}/{pod}", namespace=namespace, pod=pod)
    if pod.startswith("/"):
        path = "/" + pod.strip("/")
        return Scope("cgroup", path, path=path)
    return Scope("unit", pod, unit=pod)


def _rows(here: Context, segment: Segment, scope: Scope, event_id: str) -> list[wire.Attribution]:
    told = query.answer(
        [segment],
        here.blame.names.home,
        by="pod",
        scope=scope,
        from_us=segment.begin_us,
        to_us=segment.end_us,
    )
    stall_ns = sum(pair.stall_ns for pair in told.pairs)
    by_offender: dict[tuple[str, str], int] = defaultdict(int)
    for pair in told.pairs:
        offender = pod_of(pair.offender)
        if offender is not None and pair.kind == query.MEASURED and pair.stall_ns:
            by_offender[offender] += pair.stall_ns
    others_ns = sum(by_offender.values())
    rows = []
    for (namespace, pod), by_it_ns in by_offender.items():
        share = by_it_ns / others_ns
        forks, short_jobs = segment.churn.get((namespace, pod), (0, 0))
        terms = {
            "high_cpu_contention": share,
            "fork_storm": min(forks / _FORKS, 1.0),
            "short_job_churn": min(short_jobs / _SHORT_JOBS, 1.0),
        }
        rows.append(
            wire.Attribution(
                offender_pod=pod,
                offender_namespace=namespace,
                stall_us=stall_ns // 1000,
                attributed_stall_us=by_it_ns // 1000,
                blame_score=round(by_it_ns / 10**9, 6),
                timestamp=segment.end_us // 10**6,
                cpu_share=round(share, 4),
                fork_count=forks,
                short_job_count=short_jobs,
                event_id=event_id,
                reason=max(terms, key=lambda name: terms[name]),
            )
        )
    return rows


def _event_id(here: Context, resource: str, segment: Segment) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"linnix:{here.blame.run}:{resource}:{segment.id}"))


def _encoded(value: str) -> str:
    return quote(value, safe="")
