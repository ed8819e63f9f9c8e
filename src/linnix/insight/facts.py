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
    # Rates are of the last second; None where this host does not tell, or not yet.
    mem_available_bytes: int | None = None
    user_pct: float | None = None  # of all cores, as the next three
    system_pct: float | None = None
    iowait_pct: float | None = None
    steal_pct: float | None = None
    unaccounted_cpu_pct: float | None = None  # of all cores: busy, but in the account of no process
    blocked: int | None = None  # tasks in uninterruptible sleep (/proc/stat procs_blocked)
    swap_in_bytes_per_s: float | None = None
    swap_out_bytes_per_s: float | None = None
    reclaimed_bytes_per_s: float | None = None  # by those who wanted memory themselves: direct reclaim
    refaulted_bytes_per_s: float | None = None  # dropped from the page cache, and read again
    major_faults_per_s: float | None = None
    disk: str | None = None  # the busiest whole disk, of which the next is told
    disk_busy_pct: float | None = None
    disk_read_bytes_per_s: float | None = None  # all whole disks
    disk_write_bytes_per_s: float | None = None
    net_rx_bytes_per_s: float | None = None  # all interfaces but loopback
    net_tx_bytes_per_s: float | None = None
    runqueue_p99_us: float | None = None  # latencies of the last ten seconds
    block_io_p99_us: float | None = None
    measures_blame: tuple[str, ...] = ()  # cpu io memory: who waits for whom is being measured


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
    kernel_thread: bool = False
    # None: not told by this sight or this kernel, or not yet. Rates are of the last second, but where it says of
    # ``Activity.window_s``.
    cpu_user_pct: float | None = None  # of one core, as the next two, all threads: 250 is legal
    cpu_system_pct: float | None = None
    run_delay_pct: float | None = None  # runnable, but not running
    voluntary_switches_per_s: float | None = None
    involuntary_switches_per_s: float | None = None
    minor_faults_per_s: float | None = None
    major_faults_per_s: float | None = None
    read_bytes_per_s: float | None = None  # from block devices
    write_bytes_per_s: float | None = None  # to them, counted when a page is dirtied
    rss_anon_bytes: int | None = None
    rss_shmem_bytes: int | None = None
    swap_bytes: int | None = None
    open_files: int | None = None
    oom_score: int | None = None
    cgroup_memory_pct: float | None = None  # in use, but for page cache, of the tightest memory limit that it is under
    nice: int | None = None
    children: int = 0  # living ones
    descendants: int = 0  # living ones, children included
    zombies: int = 0  # dead children that it has not reaped
    subtree_cpu_pct: float = 0.0  # with all living descendants
    child_exits_per_s: float = 0.0  # over Activity.window_s, as the next two
    failed_children_per_s: float = 0.0  # ended by a code other than 0 or a signal
    child_execs_per_s: float = 0.0  # programs that its children ran
    # Of its children, and theirs, that ended: what was told of no process while they lived, over Activity.window_s.
    ended_cpu_pct: float = 0.0  # of one core
    ended_read_bytes_per_s: float = 0.0  # from block devices
    ended_write_bytes_per_s: float = 0.0
    ended_syncs_per_s: float = 0.0  # fsync and the like, and synchronous writes
    tx_bytes_per_s: float | None = None  # through sockets of IP, loopback included
    rx_bytes_per_s: float | None = None
    tx_calls_per_s: float | None = None
    rx_calls_per_s: float | None = None
    connects_per_s: float | None = None  # TCP connections that it opened or that it was connected to by
    tcp_failures_per_s: float | None = None  # retransmits, resets and failed connections, over Activity.window_s
    # Where its threads were found, over Activity.window_s of looks: percent of its threads and looks.
    lock_wait_pct: float | None = None  # waiting for one and the same lock (a futex, or a lock of a file)
    lock_waiters: int | None = None  # most threads at once, of it or of others, that waited for that lock
    sync_pct: float | None = None  # percent of the looks that found one of its threads in fsync or the like
    syncs_per_s: float | None = None  # its calls of fsync and the like, and its synchronous writes
    stuck_s: float | None = None  # for how long a thread of it has been in uninterruptible sleep without a break
    stuck_in: str | None = None  # the kernel's function that it sleeps in


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
    evidence: dict[str, float] = {}  # the first is what was held against ``threshold``
    resource: str | None = None  # cpu memory io disk network processes files locks
    score: float = 0.0  # 0..1: how likely this is a cause, and worth looking at first; see docs/findings.md
    victims: tuple[str, ...] = ()  # ids of processes that suffer from it, as far as that was measured
    explains: tuple[str, ...] = ()  # ids of findings that are its symptoms


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """``victim`` waited because of ``offender``, over the last ten seconds."""

    id: str  # B1 …
    resource: str
    victim: str
    offender: str  # for ``own_quota`` and ``own_threads`` the victim itself
    task_ms: float
    share: float  # of the victim's stall
    kind: str = "measured"  # measured inferred own_quota own_threads
    stall_ms: float = 0.0
    window_s: float = 10.0
    same_cgroup: bool | None = None


class Filesystem(msgspec.Struct, frozen=True, kw_only=True):
    """A mounted file system that is nearly full, or filling."""

    id: str  # D1 …
    mount: str
    used_pct: float
    available_bytes: int
    inodes_used_pct: float | None = None
    fill_bytes_per_s: float = 0.0  # over the last ten seconds or more; negative when it empties
    writers: tuple[str, ...] = ()  # ids of processes that write most to block devices now: inferred


class OomKill(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel killed ``comm`` for memory. ``process`` and ``largest`` are ids where the facts name them."""

    id: str  # K1 …
    pid: int
    comm: str
    age_s: float
    rss_bytes: int
    process: str | None = None
    parent: str | None = None  # who had started it, if that still lives
    largest: str | None = None  # who grew most before; may be the victim's parent's next child
    cgroup: str | None = None
    limit: str = "host"  # host or cgroup: whose memory was used up


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What children of one process and one name came to in the last sample interval, about a second."""

    id: str  # J1 …
    parent: str  # id of who started them; of a subshell's, its shell
    below: bool = False  # not it, but children of it that are gone: nearest of their forebears that lives
    comm: str
    #: The redacted command line that failed most; where none failed, the most frequent of a few. Of one longer than 120
    #: characters the middle is left out. Empty: they ran no program, or it is not known.
    command: str = ""
    ended: int = 0
    failed: int = 0  # of these: by a status other than 0, or a signal
    short: int = 0  # of these: ran a program and lived for less than a second
    execs: int = 0  # ran a program, whether or not they have ended
    same: int = 0  # of the failed: those of ``command``; 0 where those of several subshells were put together
    same_ended: int = 0  # of the ended: those of ``command``, failed ones included
    code: int = 0  # most frequent exit status of the failed ones, negative for a signal
    median_ms: float = 0.0  # half of the ended lived so long at most


class Unusual(msgspec.Struct, frozen=True, kw_only=True):
    """A series that is far from what is usual on this host."""

    id: str  # U1 …
    series: str
    value: float
    typical: float  # its median here
    spread: float  # what it usually strays from that: 1.4826 times the median deviation
    score: float  # how many spreads away


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
    filesystems: tuple[Filesystem, ...] = ()
    oom_kills: tuple[OomKill, ...] = ()  # of the last ten minutes
    jobs: tuple[Job, ...] = ()  # five names a parent, as many below it, 40 in all: failed, then most ended first
    unusual: tuple[Unusual, ...] = ()
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
