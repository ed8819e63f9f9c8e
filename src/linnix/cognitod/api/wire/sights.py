"""What the probes are and what the optional ones saw, on the wire.

Owns the fields of ``/probes``, ``/latency``, ``/oom``, ``/blocked``, ``/tcp`` and ``/filesystems``. Refuses values, as
all of ``wire``.
"""

from __future__ import annotations

import msgspec


class Probe(msgspec.Struct, kw_only=True):
    """A line of the table of probes. Runs and times are of the ``measured_s`` in which the kernel counted."""

    name: str
    what: str
    required: bool
    state: str
    reason: str | None
    programs: list[str]
    runs: int | None
    run_ns: int | None
    ns_per_run: float | None
    cpu_pct: float | None
    attach_ms: float | None
    attachments: int
    attached_s: float


class ProbeTable(msgspec.Struct, kw_only=True):
    """The answer of ``/probes``."""

    stats: str
    measured_s: float
    probes: list[Probe]


class Percentiles(msgspec.Struct, kw_only=True):
    """Durations in microseconds; null for none."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class SystemLatency(msgspec.Struct, kw_only=True):
    """Of the whole host: over the last ``window_s`` seconds, and since the probe was attached."""

    window_s: float
    measured_s: float
    recent: Percentiles
    total: Percentiles


class CgroupLatency(msgspec.Struct, kw_only=True):
    """Of one cgroup; ``cgroup`` is null for all those together that found no place of their own."""

    cgroup_id: int
    cgroup: str | None
    unit: str | None
    recent: Percentiles
    total: Percentiles


class Latency(msgspec.Struct, kw_only=True):
    """One kind of latency."""

    window_s: float
    measured_s: float
    recent: Percentiles
    total: Percentiles
    cgroups: list[CgroupLatency]


class Latencies(msgspec.Struct, kw_only=True):
    """The answer of ``/latency``; null where the probe is not on."""

    unit: str
    runqueue: Latency | None
    block: Latency | None


class OomKill(msgspec.Struct, kw_only=True):
    """One process that the kernel killed for memory, as it was at that moment."""

    timestamp: float
    ts_ns: int
    pid: int
    start_ns: int
    comm: str
    uid: int
    invoker_pid: int
    invoker_start_ns: int
    invoker_comm: str
    rss_bytes: int
    anon_bytes: int
    file_bytes: int
    shmem_bytes: int
    swap_bytes: int
    pgtables_bytes: int
    total_bytes: int
    oom_score_adj: int
    cgroup_id: int
    cgroup: str | None
    unit: str | None
    memory_cgroup_id: int
    memory_cgroup: str


class OomKills(msgspec.Struct, kw_only=True):
    """The answer of ``/oom``."""

    total: int
    lost: int
    kills: list[OomKill]


class BlockedThread(msgspec.Struct, kw_only=True):
    """One thread that is stuck."""

    pid: int
    tid: int
    start_ns: int
    comm: str
    process_comm: str | None
    cgroup: str | None
    unit: str | None
    since: float
    blocked_s: float
    wchan: str | None
    stack: list[str]


class Blocked(msgspec.Struct, kw_only=True):
    """The answer of ``/blocked``."""

    looked_at: float | None
    total: int
    threads: list[BlockedThread]


class TcpTotals(msgspec.Struct, kw_only=True):
    """Counts since the probe was attached."""

    retransmits: int
    resets_sent: int
    resets_received: int
    connects: int
    refused: int
    timed_out: int
    unreachable: int
    failed: int


class TcpProcess(msgspec.Struct, kw_only=True):
    """Of the connections of one process; its ids are 0 and its name null for those whose owner is not known."""

    pid: int
    start_ns: int
    comm: str | None
    counts: TcpTotals


class TcpCgroup(msgspec.Struct, kw_only=True):
    """Of the sockets that were made in one cgroup; its id is 0 where there was no socket."""

    cgroup_id: int
    cgroup: str | None
    unit: str | None
    counts: TcpTotals


class Tcp(msgspec.Struct, kw_only=True):
    """The answer of ``/tcp``."""

    totals: TcpTotals
    unattributed: int
    processes: list[TcpProcess]
    cgroups: list[TcpCgroup]


class Filesystem(msgspec.Struct, kw_only=True):
    """One filesystem; sizes are null where it was not asked because it may not answer."""

    mount: str
    kind: str
    source: str
    read_only: bool
    network: bool
    size_bytes: int | None
    used_bytes: int | None
    avail_bytes: int | None
    used_pct: float | None
    inodes: int | None
    inodes_used: int | None


class Filesystems(msgspec.Struct, kw_only=True):
    """The answer of ``/filesystems``."""

    read_at: float | None
    filesystems: list[Filesystem]


class SystemFilesystem(msgspec.Struct, kw_only=True):
    """A filesystem in ``/system``."""

    mount: str
    used_pct: float
    avail_bytes: int
