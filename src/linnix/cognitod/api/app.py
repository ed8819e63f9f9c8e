"""The two applications: the API, and what operators scrape.

Owns the table of routes and the order of the layers around them. Refuses logic: a route is a path, a handler and a
sentence. Invariant: whatever a request is, it passes the Host check and, on the API, the token check before any
handler sees it; the operational listener serves nothing about processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from linnix import __version__
from linnix.cognitod.api import (
    alerts,
    attribution,
    blame,
    findings,
    health,
    insights,
    processes,
    sights,
    status,
    stream,
    system,
    wire,
)
from linnix.cognitod.api.auth import HostCheck, TokenCheck, host_of, is_loopback
from linnix.cognitod.api.context import Context, context
from linnix.cognitod.api.errors import HANDLERS, HEADERS, Json
from linnix.cognitod.api.requests import CountRequests, Requests
from linnix.cognitod.blame.books import Blame
from linnix.cognitod.config import Config
from linnix.cognitod.explaining import Explaining
from linnix.cognitod.kernel.probes import Table
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.rulebook import Rulebook
from linnix.cognitod.sights import Sights


class Page(NamedTuple):
    """A line of the table of routes."""

    path: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str


async def index(_request: Request) -> Response:
    """What there is to ask for."""
    return Json(wire.Index("linnix", __version__, [wire.Route(page.path, page.summary) for page in PAGES]))


async def prometheus(request: Request) -> Response:
    """The daemon's counters in the text exposition format."""
    body = generate_latest(context(request).registry)
    return Response(body, headers={**HEADERS, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


PAGES = (
    Page("/", index, "this list"),
    Page("/healthz", health.healthz, "alive"),
    Page("/readyz", health.readyz, "200 if everything is seen, else 503 and why not"),
    Page("/status", status.status, "the daemon about itself: sight, losses, sizes, cost"),
    Page("/system", system.system, "the host's totals and its pressure"),
    Page("/processes", processes.processes, "processes; ?filter= ?sort= ?limit="),
    Page("/processes/live", processes.live, "SSE: the living processes every 2 s"),
    Page("/processes/{pid}", processes.process, "one process"),
    Page("/ppid/{ppid}", processes.children, "children of a process"),
    Page("/graph/{pid}", processes.graph, "ancestors, siblings and descendants of a process"),
    Page("/context", processes.recent, "the processes of the last events"),
    Page("/stream", stream.stream, "SSE: fork, exec, exit and tag changes; ?type= ?pid= ?ppid= ?comm= ?tag="),
    Page("/events", stream.stream, "the same as /stream"),
    Page("/alerts", alerts.alerts, "SSE: alerts; the open ones as an array with Accept: application/json"),
    Page("/timeline", alerts.timeline, "past alerts; ?start= ?end= ?severity="),
    Page("/blame", blame.blame, "who makes whom wait; ?resource= ?by= ?victim= ?from= ?to= ?top="),
    Page("/attribution", attribution.attribution, "which pods, or units, stalled this one; ?pod= &namespace="),
    Page("/findings", findings.findings, "what is wrong, the most likely cause first"),
    Page("/facts", insights.get_facts, "what every explanation is made from"),
    Page("/insights", insights.insights, "the explanation of now, kept for 15 s at least"),
    Page("/probes", sights.probes, "what looks at this host, whether it does, and what it costs"),
    Page("/latency", sights.latency, "waits for a CPU and block requests, by cgroup; ?top="),
    Page("/oom", sights.oom, "who was killed for want of memory"),
    Page("/blocked", sights.blocked, "threads stuck in uninterruptible sleep, with their kernel stacks"),
    Page("/tcp", sights.tcp, "retransmits, resets and failed connections; ?top="),
    Page("/filesystems", sights.filesystems, "how full the filesystems are"),
    Page("/metrics", status.metrics, "the daemon's counters as JSON"),
    Page("/metrics/system", system.metrics_system, "the host's totals, short"),
    Page("/metrics/prometheus", prometheus, "the daemon's counters for Prometheus"),
)

OPERATIONAL = tuple(page for page in PAGES if page.path in ("/healthz", "/readyz", "/metrics/prometheus"))


class Apps(NamedTuple):
    """What the two listeners serve."""

    api: Starlette
    operational: Starlette


def build(
    pipeline: Pipeline,
    config: Config,
    *,
    closing: asyncio.Event,
    registry: CollectorRegistry,
    books: Blame | None = None,
    seen: Sights | None = None,
    probes: Table | None = None,
    rules: Rulebook | None = None,
    explaining: Explaining | None = None,
) -> Apps:
    """Both applications. ``registry`` is ``metrics.build(pipeline)``; set ``closing`` at the first sign of shutdown:
    streams then end by themselves within a moment.
    """
    requests = Requests()
    registry.register(requests)
    here = Context(
        pipeline,
        config,
        closing,
        registry,
        books or Blame(),
        seen or Sights(),
        probes or Table(),
        rules=rules,
        explaining=explaining,
    )
    api = [
        Middleware(CountRequests, requests=requests, listener="api"),
        Middleware(HostCheck, listen_addr=config.api.listen_addr, names=config.api.allowed_hosts),
    ]
    if config.api.auth_token:
        api.append(Middleware(TokenCheck, token=config.api.auth_token))
    operational = [Middleware(CountRequests, requests=requests, listener="operational")]
    address = config.outputs.metrics_listen_addr
    # Bound outside loopback it is open to the network by choice, and scraped under names that only others know.
    if is_loopback(host_of(address)):
        operational.append(Middleware(HostCheck, listen_addr=address, names=config.api.allowed_hosts))
    served = [page for page in OPERATIONAL if config.outputs.prometheus or page.handler is not prometheus]
    return Apps(_starlette(PAGES, api, here), _starlette(served, operational, here))


def _starlette(pages: Sequence[Page], middleware: Sequence[Middleware], here: Context) -> Starlette:
    app = Starlette(
        routes=[Route(page.path, page.handler, methods=["GET"]) for page in pages],
        middleware=middleware,
        exception_handlers=HANDLERS,
    )
    app.router.redirect_slashes = False
    app.state.context = here
    return app
