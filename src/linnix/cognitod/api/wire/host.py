"""The host on the wire: totals, alerts and the rules' explanation.

Owns the fields of ``/system``, ``/alerts``, ``/timeline`` and ``/insights``. Refuses values, as all of ``wire``.
"""

from __future__ import annotations

import msgspec

from linnix.cognitod.api.wire.processes import Container, K8s
from linnix.cognitod.api.wire.sights import SystemFilesystem, SystemLatency, TcpTotals


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
    runqueue_latency_us: SystemLatency | None
    block_latency_us: SystemLatency | None
    oom_kills: int
    blocked_threads: int
    tcp: TcpTotals
    filesystems: list[SystemFilesystem]


class SystemMetrics(msgspec.Struct):
    """The answer of ``/metrics/system``."""

    cpu_total_pct: float
    memory_total_mb: int
    memory_used_mb: int
    processes_total: int
    timestamp: int


class Explanation(msgspec.Struct):
    """A checked explanation, short: whose it is, and what it says."""

    text: str
    source: str  # model or rules
    model: str | None
    verified: bool


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
    cgroup: str | None
    unit: str | None
    container: Container | None
    k8s: K8s | None
    labels: dict[str, str]
    runbook: str | None
    state: str  # firing, then resolved
    resolved_at: int | None
    explanation: Explanation | None  # of one graver than medium, once there is one


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
    cgroup: str | None
    unit: str | None
    container: Container | None
    k8s: K8s | None
    labels: dict[str, str]
    runbook: str | None
    state: str  # firing, then resolved
    resolved_at: int | None
    explanation: Explanation | None  # of one graver than medium, once there is one


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
    severity: str
    model: str | None
    verified: bool
    confidence: float | None
    explained_at: int
