"""Facts: the one source of everything that explains a host.

Owns the shape of ``GET /facts``. Refuses to compute: cognitod fills it in, the reasoner and the model's prompt only
read it. Invariant: every process, group, finding and blame pair has a short id that is unique in its Facts, and
every id that is referred to exists. ``version`` changes when a reader of the old shape would be misled.

Units: ``_pct`` of CPU is percent of one core for a process (250 is legal) and percent of all cores for the host;
``_bytes`` bytes; ``_per_s`` events a second over ``window_s``; ``since``, ``timestamp`` unix seconds; ``ts_ns``
CLOCK_MONOTONIC; ``start_ns`` boot time of the thread-group leader.
"""

from __future__ import annotations

import msgspec

VERSION = 1

UNITS = {
    "process.cpu_pct": "percent of one core",
    "host.cpu_pct": "percent of all cores",
    "pressure": "percent of the last 10 s",
}


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and its totals."""

    hostname: str
    kernel: str
    cores: int
    mem_total_bytes: int
    mem_used_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int
    cpu_pct: float  # of all cores, 0..100
    mem_pct: float
    load_avg: tuple[float, float, float]
    uptime_s: float


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """PSI, percent of the last 10 s (kernel Documentation/accounting/psi.rst); None where the kernel has no PSI."""

    cpu_some_pct: float | None = None
    memory_some_pct: float | None = None
    memory_full_pct: float | None = None
    io_some_pct: float | None = None
    io_full_pct: float | None = None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """Lifecycle events over the last ``window_s`` seconds."""

    window_s: float
    forks_per_s: float
    execs_per_s: float
    exits_per_s: float
    short_jobs_per_s: float  # exits of processes that lived less than a second
    failed_exits_per_s: float
    lost_events: int  # since the daemon started, all causes


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process worth mentioning. ``comm`` is raw: renderers sanitise it, prompts never trust it."""

    id: str  # P1, P2 …
    pid: int
    ppid: int
    start_ns: int
    comm: str
    uid: int
    cpu_pct: float  # of one core
    rss_bytes: int
    mem_pct: float
    rss_delta_bytes: int  # growth over the trend window, may be negative
    threads: int
    state: str
    age_s: float
    forks_per_s: float  # children forked by it over Activity.window_s
    short_jobs_per_s: float = 0.0  # children of it that lived less than a second
    cgroup: str | None = None
    unit: str | None = None
    container: str | None = None  # its id
    container_name: str | None = None
    pod: str | None = None  # namespace/name
    tags: tuple[str, ...] = ()
    own: bool = False  # one of Linnix's own processes: listed and marked, never hidden


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Processes of one name, at least two of them."""

    id: str  # G1 …
    comm: str
    count: int
    cpu_pct: float
    rss_bytes: int
    mem_pct: float
    members: tuple[str, ...]  # ids of those among ``Facts.processes``; may be fewer than ``count``


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector holds to be wrong now."""

    id: str  # F1 …
    cls: str = msgspec.field(name="class")  # of the table in insight.classes
    severity: str  # info low medium high
    rule: str
    process: str | None = None  # id of the culprit
    group: str | None = None
    since: float = 0.0
    message: str = ""
    evidence: dict[str, float] = {}


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """Measured: ``victim`` waited while ``offender`` ran."""

    id: str  # B1 …
    resource: str
    victim: str
    offender: str
    task_ms: float
    share: float


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """A direction that code has computed; the model never derives one."""

    id: str  # T1 …
    metric: str  # cpu_pct mem_pct psi_cpu psi_memory psi_io rss
    direction: str  # rising falling steady
    delta: float
    window_s: float
    process: str | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an explanation of one moment may use."""

    version: int = VERSION
    timestamp: float
    ts_ns: int
    host: Host
    pressure: Pressure
    activity: Activity
    processes: tuple[Process, ...]
    groups: tuple[Group, ...] = ()
    findings: tuple[Finding, ...] = ()
    blame: tuple[Blame, ...] = ()
    trends: tuple[Trend, ...] = ()
    processes_total: int = 0
    degraded: tuple[str, ...] = ()
    units: dict[str, str] = msgspec.field(default_factory=lambda: dict(UNITS))


def decode(data: bytes) -> Facts:
    """Parse a ``/facts`` body. Raises ``msgspec.ValidationError`` naming the offending field."""
    return msgspec.json.decode(data, type=Facts)


def encode(facts: Facts) -> bytes:
    """The body of ``/facts``; ``encode(decode(b)) == b`` for any body of this version."""
    return msgspec.json.encode(facts)
