"""The daemon itself on the wire: health, books, counters and the index of its routes.

Owns the fields of ``/healthz``, ``/readyz``, ``/status``, ``/metrics`` and ``/``. Refuses values, as all of ``wire``.
"""

from __future__ import annotations

import msgspec

from linnix.cognitod.api.wire.processes import K8s


class Drops(msgspec.Struct):
    """Dropped events of one type."""

    event_type: int
    drops: int


class Metrics(msgspec.Struct, kw_only=True):
    """The daemon's own counters as JSON. ``rss`` is in KB."""

    cpu_percent: float
    rss: int
    subscribers: int
    queue_depth: int
    dropped_events_total: int
    alerts_active: int
    uptime_seconds: int
    events_per_sec: int
    perf_poll_errors: int
    rate_limited: int
    alerts_emitted: int
    lineage_hits: int
    lineage_misses: int
    drops_by_type: list[Drops]
    rss_probe_mode: str
    kernel_btf_available: bool
    slack_sent: int
    slack_failed: int
    alerts_generated: int
    losses: dict[str, int]


class Health(msgspec.Struct):
    """The answer of ``/healthz``."""

    status: str
    kernel_instrumentation: str
    transport: str
    version: str


class Ready(msgspec.Struct):
    """The answer of ``/readyz``."""

    ready: bool
    kernel_instrumentation: str
    transport: str
    btf_available: bool
    rss_probe: str
    reason: str | None
    reasons: list[str]


class TopMemory(msgspec.Struct):
    """One of the five largest processes."""

    pid: int
    comm: str
    mem_percent: float
    k8s: K8s | None


class TopCpu(msgspec.Struct):
    """One of the five busiest processes."""

    pid: int
    comm: str
    cpu_percent: float
    k8s: K8s | None


class Probes(msgspec.Struct):
    """What the kernel side offers."""

    rss_probe: str
    btf: bool


class Reasoner(msgspec.Struct):
    """Where a model would be asked."""

    configured: bool
    endpoint: str | None
    timeout_ms: int


class SlackStats(msgspec.Struct):
    """Slack deliveries and answers."""

    sent: int = 0
    failed: int = 0
    approved: int = 0
    denied: int = 0


class Coverage(msgspec.Struct, kw_only=True):
    """The books of the event path: what the kernel produced is what was processed and every kind of loss.

    ``pct`` is processed events in percent of all that happened, lost ones included.
    """

    pct: float
    produced: dict[str, int]
    drained: int
    processed: int
    lost: dict[str, int]


class ForkBooks(msgspec.Struct, kw_only=True):
    """Our forks and threads against the kernel's own ``processes`` counter, between the first sample and the last.

    ``unexplained`` is what the kernel counted and no tracepoint reported: workers of io_uring and vhost, and, either
    way, the few that came between the reading of one counter and the other.
    """

    kernel_processes_delta: int
    forks: int
    threads: int
    unexplained: int


class Tables(msgspec.Struct, kw_only=True):
    """Sizes of what the daemon keeps, each bounded."""

    processes: int
    processes_alive: int
    processes_exited: int
    processes_evicted: int
    history: int
    alerts: int
    subscriber_queues: int


class Status(msgspec.Struct, kw_only=True):
    """The daemon about itself."""

    version: str
    uptime_s: int
    offline: bool
    cpu_pct: float
    rss_mb: int
    events_per_sec: int
    rb_overflows: int
    rate_limited: int
    kernel_version: str
    aya_version: str
    transport: str
    active_rules: int
    top_rss: list[TopMemory]
    top_cpu: list[TopCpu]
    probes: Probes
    reasoner: Reasoner
    incidents_last_1h: int | None
    feedback_entries: int
    slack_stats: SlackStats
    perf_poll_errors: int
    dropped_events_total: int
    sight: str
    degraded: list[str]
    rss_bytes: int
    pss_bytes: int
    coverage: Coverage
    fork_books: ForkBooks | None
    tables: Tables
    subscribers: int


class Route(msgspec.Struct):
    """A line of the index at ``/``."""

    path: str
    summary: str


class Index(msgspec.Struct):
    """The answer of ``/``."""

    name: str
    version: str
    routes: list[Route]
