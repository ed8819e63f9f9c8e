"""The value types that every part of the daemon passes to the others.

Owns their fields and units. Refuses behaviour: nothing here reads a clock, a file or another value. Invariant: a
value of this module never changes once it is made, and ``ROW`` and ``USAGE`` are how processes leave the table.

Clocks: ``_ns`` fields are CLOCK_MONOTONIC, except ``start_ns`` and ``parent_start_ns``, which are boot time and only
serve as identity with the pid; ``timestamp`` is unix seconds. CPU of a process is percent of one core (250 is
legal), CPU of the host percent of all cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.books import Books
from linnix.cognitod.events import COMM_LEN, Array
from linnix.cognitod.totals import Totals
from linnix.insight.answer import Insight

Rows = NDArray[np.void]

#: ``last_kind`` of a process that no event has touched yet; the other values are those of ``events.Kind``.
SEEDED = 255

#: One process as the table hands it out.
ROW = np.dtype(
    [
        ("start_ns", "<u8"),
        ("parent_start_ns", "<u8"),  # 0 when the parent's identity is not known
        ("cgroup_id", "<u8"),
        ("cpu_ns", "<u8"),  # CPU time used so far, all threads; at exit the final count
        ("rss_bytes", "<u8"),
        ("max_rss_bytes", "<u8"),  # peak: of the samples while alive, the kernel's own at exit
        ("rss_growth_bytes", "<i8"),  # over the trend window (at most 60 s), negative when it shrank
        ("rss_window_ns", "<u8"),  # what the trend window really spans for this process
        ("first_ns", "<u8"),  # birth on CLOCK_MONOTONIC
        ("exec_ns", "<u8"),  # last exec seen, 0 if none
        ("exit_ns", "<u8"),  # 0 while alive
        ("last_ts_ns", "<u8"),  # last event or, for one without events, the sample that found it
        ("slot", "<u4"),  # handle for Table.filename and Table.argv, valid until the table changes
        ("pid", "<u4"),
        ("ppid", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("threads", "<u4"),
        ("forks", "<u4"),  # children it forked in the last processes.WINDOW_S seconds
        ("short_children", "<u4"),  # children that died younger than a second, in the same window
        ("child_exits", "<u4"),  # children that ended, in the same window; so are the next two
        ("failed_children", "<u4"),  # ended by a code other than 0 or a signal
        ("child_execs", "<u4"),  # programs that children ran
        ("child_cpu_us", "<u4"),  # of children that ended, what no sample saw of their CPU time; so are the next two
        ("child_read_kib", "<u4"),  # from block devices
        ("child_write_kib", "<u4"),
        ("exit_code", "<u4"),  # 0..255
        ("exit_signal", "<u4"),  # terminating signal, 0 if it returned; bit 7: core dumped
        ("tags", "<u4"),  # Tag bits
        ("home", "<u4"),  # number of what was read about where it lives, 0 where its cgroup tells it
        ("cpu_pct", "<f4"),  # of one core, over the last sample interval
        ("mem_pct", "<f4"),  # rss_bytes of the host's memory
        ("state", "S1"),  # as in proc(5); X once it has exited
        ("last_kind", "u1"),  # events.Kind or SEEDED
        ("alive", "?"),
        ("kthread", "?"),
        ("preexisting", "?"),  # ran before the daemon did
        ("own", "?"),  # one of Linnix's own processes
        ("comm", f"S{COMM_LEN}"),
    ],
    align=True,
)

#: In USAGE: not told by this sight or this kernel, or not yet. Of a rate it is NaN.
UNKNOWN = -1
UNKNOWN_NICE = -128

#: What one process has used since its start and holds now, as the table hands it out beside ROW.
USAGE = np.dtype(
    [
        ("cpu_user_ns", "<i8"),  # with the next they make up ``cpu_ns``, from the first sample that saw it
        ("cpu_system_ns", "<i8"),
        ("run_delay_ns", "<i8"),  # runnable but not running; of all threads, but see accounts.Accounts
        ("voluntary_switches", "<i8"),
        ("involuntary_switches", "<i8"),
        ("minor_faults", "<i8"),
        ("major_faults", "<i8"),
        ("read_bytes", "<i8"),  # from block devices
        ("write_bytes", "<i8"),  # to them, counted when a page is dirtied
        ("cancelled_write_bytes", "<i8"),  # of these, truncated away before they were written
        ("rss_file_bytes", "<i8"),
        ("rss_anon_bytes", "<i8"),
        ("rss_shmem_bytes", "<i8"),
        ("swap_bytes", "<i8"),
        ("run_delay_pct", "<f4"),  # of the time since the last sample, all threads: 250 is legal
        ("voluntary_switches_per_s", "<f4"),
        ("involuntary_switches_per_s", "<f4"),
        ("minor_faults_per_s", "<f4"),
        ("major_faults_per_s", "<f4"),
        ("read_bytes_per_s", "<f4"),
        ("write_bytes_per_s", "<f4"),
        ("cpu_user_pct", "<f4"),  # of one core, over the last sample interval; so is the next
        ("cpu_system_pct", "<f4"),
        ("open_files", "<u4"),  # events.UNKNOWN_FILES, events.MAX_FILES: see there
        ("oom_score", "<i2"),  # as /proc/PID/oom_score, 0 to 1333
        ("oom_score_adj", "<i2"),  # events.UNKNOWN_ADJ: see there
        ("nice", "i1"),  # UNKNOWN_NICE: no sample has seen it
        ("_pad", "V3"),
    ]
)


class Tag(IntFlag):
    """What is remarkable about a process. The wire spelling is the lower-case name."""

    HIGH_CPU = 1 << 0
    HIGH_MEM = 1 << 1
    MEM_GROWTH = 1 << 2
    SHORT_LIVED = 1 << 3
    FORK_STORM = 1 << 4
    SHORT_JOB_FLOOD = 1 << 5
    FAILED_EXIT = 1 << 6
    KILLED = 1 << 7
    ZOMBIE = 1 << 8
    BLOCKED = 1 << 9
    KERNEL_THREAD = 1 << 10
    OWN = 1 << 11


#: Wire spelling of each tag, in the order of their bits.
TAG_NAMES: dict[int, str] = {int(tag): str(tag.name).lower() for tag in Tag}


def tag_names(bits: int) -> tuple[str, ...]:
    """Wire spellings of the tags set in ``bits``, in the order of their bits."""
    return tuple(name for bit, name in TAG_NAMES.items() if bits & bit)


def text(raw: bytes) -> str:
    """Bytes from the kernel as JSON text. A process chooses its own name, so any byte can be in it: what is not
    UTF-8 becomes U+FFFD. Control characters stay; whoever prints to a terminal cleans them there.
    """
    return raw.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Frames:
    """Events ready to be told to a subscriber, as arrays of equal length in ring order; JSON is made only on delivery.

    Where a filter took events out, the arrays are the ones that remained; ``seq`` keeps the numbers they had.
    """

    events: Array  # dtype EVENT
    seq: NDArray[np.uint64]  # the daemon's own count of events, from 1
    tags: NDArray[np.uint32]  # of the process, after the event
    first_ns: NDArray[np.uint64]  # birth of the process
    text_at: NDArray[np.int32]  # exec: index into ``texts``; -1 for none
    texts: Array  # dtype EXEC_TEXT, already redacted
    homes: NDArray[np.uint32]  # as ROW["home"]

    def __len__(self) -> int:
        return len(self.events)

    def select(self, which: NDArray[np.bool_] | slice) -> Frames:
        """The chosen events, with only the texts that they need."""
        at = self.text_at[which]
        has = at >= 0
        texts = self.texts.take(at[has])
        renumbered = np.full(len(at), -1, np.int32)
        renumbered[has] = np.arange(len(texts), dtype=np.int32)
        return Frames(
            self.events[which] if isinstance(which, slice) else self.events.compress(which),
            self.seq[which],
            self.tags[which],
            self.first_ns[which],
            renumbered,
            texts,
            self.homes[which],
        )


#: Tags that are decided by how a process ended.
ENDED = int(Tag.SHORT_LIVED | Tag.FAILED_EXIT | Tag.KILLED)
#: Tags whose gain or loss is not news: what a process always is, and a state that comes and goes with each sample.
QUIET = int(Tag.KERNEL_THREAD | Tag.OWN | Tag.BLOCKED)


@dataclass(frozen=True, slots=True)
class TagChange:
    """Living processes that gained or lost tags: ``rows`` (dtype ROW) hold the tags after the change."""

    ts_ns: int
    rows: Rows
    gained: NDArray[np.uint32]
    lost: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, which: NDArray[np.bool_] | slice) -> TagChange:
        """The chosen processes."""
        return TagChange(self.ts_ns, self.rows[which], self.gained[which], self.lost[which])


@dataclass(frozen=True, slots=True)
class Sample:
    """What the ingest thread saw of the whole host at one moment."""

    rows: Array  # dtype PROCESS
    snapshot: Snapshot
    boot_offset_ns: int  # CLOCK_BOOTTIME less CLOCK_MONOTONIC
    texts: Array  # dtype EXEC_TEXT, redacted: of processes older than the daemon, with the first sample
    books: Books | None = None


#: Kinds in the kernel's books that are no events, but travel with them.
_NO_EVENTS = ("exec_text", "account")


def _events(lost: Mapping[str, int]) -> int:
    return sum(count for kind, count in lost.items() if kind not in _NO_EVENTS)


@dataclass(frozen=True, slots=True)
class Flooder:
    """A cgroup and a user that attempted more than their share of what had room, and lost the rest."""

    cgroup_id: int
    uid: int  # who answers: of the ids of a user namespace, who made it
    lost: Mapping[str, int]  # by kind of the books, and "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Events that did not get through, by cause, since start."""

    ring: Mapping[str, int]  # the kernel found no room; by kind: exec fork exit exec_text account
    flood: Mapping[str, int]  # as `ring`: whoever attempted it held its share of the ring already
    queue: int  # the event loop did not keep up with the ingest thread
    accounts: int  # likewise, final accounts
    subscribers: int  # slow listeners, summed over them

    @property
    def events(self) -> int:
        """Lifecycle events that the daemon itself never saw."""
        return _events(self.ring) + _events(self.flood) + self.queue

    @property
    def by_cause(self) -> dict[str, int]:
        """All of them under the names that the API and the metrics use."""
        return {f"ring_{kind}": lost for kind, lost in self.ring.items()} | {
            "flood": _events(self.flood),
            "ingest_queue": self.queue,
            "ingest_accounts": self.accounts,
            "slow_subscribers": self.subscribers,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Totals of the host at one moment. PSI is percent of the last 10 s, None where the kernel has none."""

    timestamp: float
    ts_ns: int
    hostname: str = ""
    kernel: str = ""
    cores: int = 1
    cpu_pct: float = 0.0
    mem_total_bytes: int = 0
    mem_used_bytes: int = 0
    mem_available_bytes: int = 0
    swap_total_bytes: int = 0
    swap_used_bytes: int = 0
    load_avg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    uptime_s: float = 0.0
    disk_read_bytes: int = 0  # since boot, whole disks
    disk_write_bytes: int = 0
    net_rx_bytes: int = 0  # since boot, without loopback
    net_tx_bytes: int = 0
    forks_total: int = 0  # the kernel's own `processes` counter: threads and kernel workers are in it
    psi_cpu_some_avg10: float | None = None
    psi_memory_some_avg10: float | None = None
    psi_memory_full_avg10: float | None = None
    psi_io_some_avg10: float | None = None
    psi_io_full_avg10: float | None = None
    totals: Totals | None = None

    @property
    def mem_pct(self) -> float:
        """Used memory, percent of all."""
        return 100.0 * self.mem_used_bytes / self.mem_total_bytes if self.mem_total_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Lifecycle events of the whole host per second, over the last ``window_s`` seconds."""

    window_s: float = 0.0
    forks_per_s: float = 0.0
    execs_per_s: float = 0.0
    exits_per_s: float = 0.0
    short_jobs_per_s: float = 0.0  # exits of processes that lived less than a second
    failed_exits_per_s: float = 0.0  # exits with a code other than 0 or by a signal

    @property
    def events_per_s(self) -> float:
        """All lifecycle events."""
        return self.forks_per_s + self.execs_per_s + self.exits_per_s


#: What a stall is of, by the number in ``STALL["resource"]``.
RESOURCES = ("cpu", "io", "memory")
#: How an amount of blame is known, by the number in ``STALL["kind"]``.
STALL_KINDS = ("measured", "inferred", "own_quota", "own_threads")
#: Levels of a victim in ``STALL["level"]``: a process, or a cgroup with everything below it.
PROCESS_LEVEL, CGROUP_LEVEL = 0, 1

#: Waiting of one victim while one offender ran, was served or allocated.
STALL = np.dtype(
    [
        ("victim_start_ns", "<u8"),  # 0 at cgroup level
        ("victim_cgroup", "<u8"),
        ("offender_start_ns", "<u8"),
        ("offender_cgroup", "<u8"),
        ("task_ns", "<u8"),  # summed over the waiting threads; 0 at cgroup level, where it is the sum of its processes
        ("stall_ns", "<u8"),  # the union of their waits per CPU, averaged over CPUs as PSI does
        ("victim_pid", "<u4"),  # 0 at cgroup level
        # 0: nobody ran (the wait was a wake-up); 0xffff_ffff: processes of offender_cgroup that are not told apart
        ("offender_pid", "<u4"),
        ("resource", "u1"),
        ("kind", "u1"),
        ("level", "u1"),
        ("_pad", "V5"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StallReading:
    """Who waited for whom between two readings of one meter; times are CLOCK_MONOTONIC."""

    resource: str  # of RESOURCES
    begin_ns: int
    end_ns: int
    pairs: Rows  # dtype STALL
    waited_ns: int  # task time of all waits that ended in between, attributed or not
    attributed_ns: int  # task time in ``pairs`` at process level
    lost_ns: int = 0  # of the difference: what found no room in a map


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a process lives, in names people use. What is not known is None."""

    cgroup: str | None = None  # path below the cgroup root, beginning with a slash
    unit: str | None = None  # innermost systemd unit
    container: str | None = None  # id, 64 hexadecimal digits
    runtime: str | None = None  # docker containerd cri-o podman
    namespace: str | None = None  # of the pod
    pod: str | None = None
    container_name: str | None = None
    owner_kind: str | None = None  # of the pod, as the API server says; so are the next three
    owner_name: str | None = None
    priority: str | None = None  # critical high medium low
    slo_tier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a detector holds to be wrong at one moment. ``key`` names rule and offender: cooldowns are kept by it."""

    rule: str
    cls: str  # of insight.classes.CLASSES
    severity: str  # info low medium high
    message: str
    key: str
    ts_ns: int
    timestamp: float
    pid: int | None = None  # of the culprit; None when the host as a whole is meant
    start_ns: int | None = None
    comm: str | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)  # of the rule; so is the next
    runbook: str | None = None  # what to do about it


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A cause that is told of, until it is over."""

    id: str  # alert-N, N from 1
    finding: Finding  # as it was when the alert began
    timestamp: float  # unix seconds
    host: str
    home: Home = Home()  # of the culprit, when it was found
    state: str = "firing"  # then resolved
    resolved_at: float | None = None  # unix seconds
    explanation: Insight | None = None  # None until there is one
