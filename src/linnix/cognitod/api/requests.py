"""How many requests were answered, and how.

Owns ``linnix_http_requests_total``. Refuses free labels: a path is counted under the route that served it, anything
else under ``other``, so nobody can grow the series by asking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Requests(Collector):
    """The count of both listeners. One thread: the event loop's."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str, str]] = Counter()

    def collect(self) -> Iterable[Metric]:
        """One series for each listener, route, method and status seen."""
        family = CounterMetricFamily(
            "linnix_http_requests_total", "Requests answered", labels=["listener", "route", "method", "status"]
        )
        for labels, count in sorted(self.counts.items()):
            family.add_metric(labels, count)
        yield family


class CountRequests:
    """Counts what passes, when its headers are sent: a stream counts when it begins."""

    def __init__(self, app: ASGIApp, *, requests: Requests, listener: str) -> None:
        self.app = app
        self.requests = requests
        self.listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and look at the answer's status."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                path = route.path if isinstance(route, Route) else "other"
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self.requests.counts[self.listener, path, method, str(message["status"])] += 1
            await send(message)

        await self.app(scope, receive, counting)
