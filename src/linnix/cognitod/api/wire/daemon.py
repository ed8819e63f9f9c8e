"""The daemon itself on the wire: health, books, counters and the index of its routes.

Owns the fields of ``/healthz``, ``/readyz``, ``/status``, ``/metrics`` and ``/``. Refuses values, as all of ``wire``.
"""

from __future__ import annotations

import msgspec

from linnix.cognitod.api.wire.processes import K8s
from linnix.cognitod.api.wire.sights import ProbeTable


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
    probes: dict[str, str]


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
    """Births against the kernel's own ``processes`` counter, between the first and the last sample at which nobody was
    born while the counters were read.

    ``workers`` are the tasks that the kernel makes for io_uring and vhost. ``unexplained`` is what is left: not 0 when
    a CPU was brought up (its idle task is counted) or a clone was under way at one of the two readings.
    """

    kernel_processes_delta: int
    forks: int
    threads: int
    workers: int
    unexplained: int


class Conservation(msgspec.Struct, kw_only=True):
    """CPU time of everything that ran, against cores × elapsed − (idle + iowait + steal), over the last ten seconds.

    ``interrupts_ns`` is part of ``accounted_ns``: what interrupts took of idle CPUs; null where the probe
    ``runqueue_latency`` is off. ``accounted_ns`` is null without eBPF. ``holds``: within 2 %; null where that cannot be
    told, and below 25 % busy.
    """

    window_s: float
    busy_pct: float
    accounted_ns: int | None
    interrupts_ns: int | None
    expected_ns: int
    error_pct: float | None
    holds: bool | None


class IoBooks(msgspec.Struct, kw_only=True):
    """Bytes that all processes read and wrote of block devices, against what the disks did, since the first sample.

    ``write_kind`` says how ``write_bytes`` is known: ``inferred``, because a process is charged when it dirties a page
    (less what was cancelled before it was written), and the disk writes it later, and the filesystem's journal besides.
    Of what is written with O_DIRECT the two are the same.
    """

    read_bytes: int
    disk_read_bytes: int
    write_bytes: int
    disk_write_bytes: int
    write_kind: str


class Flooder(msgspec.Struct, kw_only=True):
    """A cgroup and a user whose excess was not taken in, so that there was room for everybody else.

    ``lost`` is by kind, as in ``coverage``; ``queue`` is what was turned away behind the rings. ``uid`` is who answers:
    of the ids of a user namespace, the user who made it.
    """

    cgroup_id: int
    cgroup: str | None
    unit: str | None
    uid: int
    lost: dict[str, int]


class Tables(msgspec.Struct, kw_only=True):
    """Sizes of what the daemon keeps, each bounded."""

    processes: int
    processes_alive: int
    processes_exited: int
    processes_evicted: int
    history: int
    alerts: int
    subscriber_queues: int


class RulesInUse(msgspec.Struct):
    """How many rules are in use, from which files and since when, and why not what the files hold now."""

    count: int
    files: list[str]
    loaded_at: float | None
    error: str | None
    ignored: list[str]


class Checked(msgspec.Struct, kw_only=True):
    """What was looked at when ``/findings`` was made. ``judged_at`` is null before the first sample."""

    rules: int
    detectors: int
    processes: int
    judged_at: float | None
    resources: list[str]
    blame: list[str]


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
    conservation: Conservation | None
    io_books: IoBooks | None
    flooders: list[Flooder]
    tables: Tables
    subscribers: int
    probe_table: ProbeTable
    rules: RulesInUse
    checked: Checked


class Route(msgspec.Struct):
    """A line of the index at ``/``."""

    path: str
    summary: str


class Index(msgspec.Struct):
    """The answer of ``/``."""

    name: str
    version: str
    routes: list[Route]
