"""Every JSON name that cognitod sends.

Owns the shapes of the answers, field by field, in wire order. Refuses values: handlers fill these in. Invariant: the
fields of the original come first, in its order and spelling, and mean what its names promise; ours follow and are
never needed to parse the rest. A field with ``UNSET`` is left out when there is nothing to say; one with ``None``
is sent as null.

Units: percent of CPU of a process is of one core, of the host of all cores; ``_ns`` CLOCK_MONOTONIC, ``start_ns`` boot
time, ``timestamp`` and ``_s`` unix seconds and seconds, ``_bytes`` bytes. ``GET /metrics`` says ``rss`` in KB, as the
original does.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

UNKNOWN_MILLI = 65535

#: ``event_type`` in answers about processes, by event number. The stream spells three of them differently.
EVENT_TYPES = ("exec", "fork", "exit", "net", "file_io", "syscall", "block_io", "page_fault")
STREAM_EVENT_TYPES = ("exec", "fork", "exit", "net", "fileio", "syscall", "blockio", "pagefault")
UNKNOWN_EVENT_TYPE = "unknown"
#: ``event_type`` of a tag change; beyond anything the original numbers
TAG_EVENT_TYPE = 1000
TAG_EVENT_NAME = "tag"


def milli(percent: float | None) -> int:
    """Thousandths of a percent in 16 bits, as the original has it: above 65.534 % it clamps, unknown is 65535."""
    if percent is None:
        return UNKNOWN_MILLI
    return min(max(int(percent * 1000), 0), UNKNOWN_MILLI - 1)


class K8s(msgspec.Struct):
    """A pod's identity."""

    pod_name: str
    namespace: str
    container_name: str
    owner_kind: str | None
    owner_name: str | None
    priority: str
    slo_tier: str | None


class Process(msgspec.Struct, kw_only=True):
    """One process, in every answer that lists processes."""

    pid: int
    ppid: int
    uid: int
    gid: int
    comm: str
    event_type: str
    cpu_pct: float | UnsetType = UNSET
    mem_pct: float | UnsetType = UNSET
    age_sec: int | UnsetType = UNSET
    state: str | UnsetType = UNSET
    k8s: K8s | None
    priority: str | UnsetType = UNSET
    start_ns: int
    filename: str | None
    argv: list[str]
    exit_code: int | UnsetType = UNSET
    exit_signal: int | UnsetType = UNSET
    cpu_ns: int
    max_rss_bytes: int
    rss_bytes: int | UnsetType = UNSET
    rss_growth_bytes: int | UnsetType = UNSET
    threads: int | UnsetType = UNSET
    proc_state: str | UnsetType = UNSET
    cgroup: str | None
    unit: str | None
    preexisting: bool | UnsetType = UNSET
    tags: list[str]


class LiveProcesses(msgspec.Struct):
    """A frame of ``/processes/live``."""

    event: str
    processes: list[Process]


class Event(msgspec.Struct, kw_only=True):
    """A frame of ``/stream``."""

    pid: int
    ppid: int
    uid: int
    gid: int
    comm: str
    event_type: int
    event_type_name: str
    ts_ns: int
    seq: int
    exit_time_ns: int
    cpu_pct_milli: int
    mem_pct_milli: int
    cpu_percent: float | UnsetType = UNSET
    mem_percent: float | UnsetType = UNSET
    data: int = 0
    data2: int = 0
    aux: int = 0
    aux2: int = 0
    start_ns: int
    filename: str | UnsetType | None = UNSET
    argv: list[str] | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    exit_signal: int | UnsetType = UNSET
    cpu_ns: int | UnsetType = UNSET
    max_rss_bytes: int | UnsetType = UNSET
    cgroup: str | None
    unit: str | None
    tags: list[str]
    tags_gained: list[str] | UnsetType = UNSET
    tags_lost: list[str] | UnsetType = UNSET


class GraphNode(msgspec.Struct):
    """One process of a family."""

    pid: int
    ppid: int
    comm: str
    uid: int
    gid: int
    event_type: str
    relationship: str
    level: int


class Graph(msgspec.Struct):
    """The answer of ``/graph/{pid}``."""

    root: int
    nodes: list[GraphNode]
    truncated: bool


class System(msgspec.Struct, kw_only=True):
    """The host's totals."""

    timestamp: int
    cpu_percent: float
    mem_percent: float
    load_avg: tuple[float, float, float]
    disk_read_bytes: int
    disk_write_bytes: int
    net_rx_bytes: int
    net_tx_bytes: int
    psi_cpu_some_avg10: float
    psi_memory_some_avg10: float
    psi_memory_full_avg10: float
    psi_io_some_avg10: float
    psi_io_full_avg10: float
    psi_available: bool
    hostname: str
    kernel: str
    cores: int
    mem_total_bytes: int
    mem_used_bytes: int
    mem_available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int
    uptime_s: float


class SystemMetrics(msgspec.Struct):
    """The answer of ``/metrics/system``."""

    cpu_total_pct: float
    memory_total_mb: int
    memory_used_mb: int
    processes_total: int
    timestamp: int


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


class Alert(msgspec.Struct, kw_only=True):
    """An alert as ``/alerts`` says it. Severity is capitalised here and lower-case in ``/timeline``."""

    rule: str
    severity: str
    message: str
    host: str
    id: str
    timestamp: int
    pid: int | None
    start_ns: int | None
    comm: str | None
    class_: str = msgspec.field(name="class")
    evidence: dict[str, float]


class TimelineEntry(msgspec.Struct, kw_only=True):
    """An alert as ``/timeline`` says it."""

    id: str
    timestamp: int
    severity: str
    rule: str
    message: str
    host: str
    pid: int | None
    start_ns: int | None
    comm: str | None
    class_: str = msgspec.field(name="class")
    evidence: dict[str, float]


class InsightMetrics(msgspec.Struct):
    """Figures as strings: the original has them so, and its clients rely on it."""

    cpu_percent: str
    mem_percent: str
    load_avg: tuple[str, str, str]


class InsightCpu(msgspec.Struct):
    """One of the busiest processes."""

    pid: int
    comm: str
    cpu_percent: str


class InsightMemory(msgspec.Struct):
    """One of the largest processes."""

    pid: int
    comm: str
    mem_percent: str


class InsightAlert(msgspec.Struct):
    """What stands out, and why."""

    comm: str
    reason: str
    pid: int


class Insights(msgspec.Struct, kw_only=True):
    """The answer of ``/insights``."""

    summary: str
    metrics: InsightMetrics
    top_cpu: list[InsightCpu]
    top_memory: list[InsightMemory]
    alerts: list[InsightAlert]
    timestamp: int
    source: str
    class_: str = msgspec.field(name="class")


class Route(msgspec.Struct):
    """A line of the index at ``/``."""

    path: str
    summary: str


class Index(msgspec.Struct):
    """The answer of ``/``."""

    name: str
    version: str
    routes: list[Route]


def encode(value: Any) -> bytes:
    """The body of any of the above."""
    return msgspec.json.encode(value)
