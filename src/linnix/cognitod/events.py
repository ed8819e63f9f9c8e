"""The user-space mirror of ``bpf/event.h``.

Owns the numpy layouts of everything the kernel side writes and the batch type that carries them. Refuses any
meaning: what an event does to the process table is decided in ``processes``. Invariant: every layout here equals
the C struct of the same name, field by field, which ``tests/layout`` proves from the BTF of the compiled objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

COMM_LEN = 16
FILENAME_LEN = 128
ARGV_LEN = 256


class Kind(IntEnum):
    """Kinds of lifecycle event; the numbers are the original's ``event_type`` on the wire."""

    EXEC = 0
    FORK = 1
    EXIT = 2


EVENT = np.dtype(
    [
        ("ts_ns", "<u8"),
        ("start_ns", "<u8"),
        ("parent_start_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("text_seq", "<u8"),
        ("cpu_ns", "<u8"),
        ("max_rss_pages", "<u8"),
        ("pid", "<u4"),
        ("ppid", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("kind", "<u4"),
        ("cpu", "<u4"),
        ("exit_code", "<u4"),
        ("exit_signal", "<u4"),
        ("comm", f"S{COMM_LEN}"),
    ]
)

EXEC_TEXT = np.dtype(
    [
        ("start_ns", "<u8"),
        ("seq", "<u8"),
        ("pid", "<u4"),
        ("argv_len", "<u4"),
        ("filename_len", "<u4"),
        ("argv_total", "<u4"),
        ("filename", f"S{FILENAME_LEN}"),
        ("argv", f"V{ARGV_LEN}"),
    ]
)

TASK = np.dtype(
    [
        ("run_ns", "<u8"),
        ("utime_ns", "<u8"),
        ("stime_ns", "<u8"),
        ("run_delay_ns", "<u8"),
        ("nvcsw", "<u8"),
        ("nivcsw", "<u8"),
        ("min_flt", "<u8"),
        ("maj_flt", "<u8"),
        ("read_bytes", "<u8"),
        ("write_bytes", "<u8"),
        ("cancelled_write_bytes", "<u8"),
        ("file_pages", "<u8"),
        ("anon_pages", "<u8"),
        ("shmem_pages", "<u8"),
        ("swap_pages", "<u8"),
        ("pgtables_bytes", "<u8"),
        ("start_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("ppid", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("state", "<u4"),
        ("threads", "<u4"),
        ("flags", "<u4"),
        ("open_files", "<u4"),
        ("oom_score_adj", "<i4"),
        ("nice", "<i4"),
        ("_pad", "<u4"),
        ("comm", f"S{COMM_LEN}"),
    ]
)

#: What a process used in all, told when its thread-group leader is freed: the end of its account. On kernels
#: where the exit event precedes teardown this alone holds the whole of it.
ACCOUNT = np.dtype(
    [
        ("start_ns", "<u8"),
        ("cpu_ns", "<u8"),
        ("utime_ns", "<u8"),
        ("stime_ns", "<u8"),
        ("run_delay_ns", "<u8"),
        ("nvcsw", "<u8"),
        ("nivcsw", "<u8"),
        ("min_flt", "<u8"),
        ("maj_flt", "<u8"),
        ("read_bytes", "<u8"),
        ("write_bytes", "<u8"),
        ("pid", "<u4"),
        ("threads", "<u4"),
    ]
)

#: How the books name what they count, in the order of ``enum linnix_kind``.
BOOK_KINDS = ("exec", "fork", "exit", "exec_text", "account")

#: One CPU's account of what the lifecycle programs produced and lost, and of what they only count.
BOOKS = np.dtype(
    [
        ("produced", "<u8", (len(BOOK_KINDS),)),
        ("lost", "<u8", (len(BOOK_KINDS),)),
        ("flood", "<u8", (len(BOOK_KINDS),)),
        ("threads", "<u8"),
        ("workers", "<u8"),
        ("buried_run_ns", "<u8"),
        ("buried_read_bytes", "<u8"),
        ("buried_write_bytes", "<u8"),
    ]
)

#: Instead of a value that this sight or this kernel cannot tell: of counters and sizes; of open files; of the
#: adjustment, whose own range is -1000 to 1000.
UNKNOWN = 2**64 - 1
UNKNOWN_FILES = 2**32 - 1
UNKNOWN_ADJ = -(2**15)
#: Open files are counted up to here; this many may be more.
MAX_FILES = 65_536

#: What a process has used since its start: the first fields of PROCESS, in order. All but the first may be UNKNOWN.
COUNTERS = (
    "cpu_ns",  # to the nanosecond; the next two by ticks where the kernel samples, so that only their ratio counts
    "utime_ns",
    "stime_ns",
    "run_delay_ns",  # of threads that are alive: it falls when one of them dies
    "nvcsw",
    "nivcsw",
    "min_flt",
    "maj_flt",
    "read_bytes",  # that went to block devices, or would have but for the cache being cleaned later
    "write_bytes",
    "cancelled_write_bytes",  # of these: dirtied, then truncated away before they were written
)

#: Who holds a part of a ring.
FLOOD_KEY = np.dtype([("cgroup_id", "<u8"), ("uid", "<u4"), ("ring", "<u4")])

#: What it holds, and what it lost.
FLOOD = np.dtype([("drained", "<u8"), ("used", "<u8"), ("lost", "<u8", (len(BOOK_KINDS),))])

#: As ``uid`` of a ``FLOOD_KEY``: the cgroup with all its users. As ``cgroup_id``: the user in all cgroups.
EVERYBODY, ANYWHERE = 0xFFFF_FFFF, 0

#: CPUs beyond these are not looked at one by one.
MAX_CPUS = 1024

#: The scheduler's own clocks, as of the last walk of the task iterator.
CLOCKS = np.dtype([("living_run_ns", "<u8"), ("irq_ns", "<u8"), ("read_bytes", "<u8"), ("write_bytes", "<u8")])

#: How long the idle task has been on a CPU.
IDLE = np.dtype(
    [
        ("total_ns", "<u8"),
        ("since_ns", "<u8"),
        ("irq_ns", "<u8"),
        ("clock_ns", "<u8"),
        ("irq_since_ns", "<u8"),
        ("unused", "<u8", (3,)),
    ]
)

#: One process, its threads already summed: what a ``Sight.sample`` returns, ordered by pid.
PROCESS = np.dtype(
    [
        *((name, "<u8") for name in COUNTERS),
        ("rss_file_bytes", "<u8"),
        ("rss_anon_bytes", "<u8"),
        ("rss_shmem_bytes", "<u8"),
        ("swap_bytes", "<u8"),
        ("pgtables_bytes", "<u8"),  # 0: it has no memory of its own, as kernel threads and zombies
        ("rss_bytes", "<u8"),
        ("start_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("pid", "<u4"),
        ("ppid", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("threads", "<u4"),
        ("open_files", "<u4"),
        ("oom_score_adj", "<i2"),
        ("nice", "i1"),
        ("kthread", "?"),
        ("state", "S1"),  # R S D T Z I X as in proc(5)
        ("_pad", "V3"),
        ("comm", f"S{COMM_LEN}"),
    ]
)

#: A thread in uninterruptible sleep: struct linnix_blocked of bpf/sights.h.
BLOCKED = np.dtype(
    [
        ("start_ns", "<u8"),  # of the thread-group leader
        ("switches", "<u8"),  # unchanged between two looks: it has not run
        ("cgroup_id", "<u8"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("comm", f"S{COMM_LEN}"),
    ]
)

Array = NDArray[np.void]


NO_ACCOUNTS: Array = np.zeros(0, ACCOUNT)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one drain, in ring order, and the exec texts and final accounts that arrived with them.

    An account comes after the exit of its process, in the same batch or in a later one: a process is freed when its
    parent has waited for it.
    """

    events: Array  # dtype EVENT
    texts: Array  # dtype EXEC_TEXT
    accounts: Array = field(default_factory=lambda: NO_ACCOUNTS)  # dtype ACCOUNT


@dataclass(frozen=True, slots=True)
class Clocks:
    """The scheduler's own clocks at the last ``sample``."""

    living_run_ns: int  # se.sum_exec_runtime of every task that has not exited, kernel threads too
    irq_timed: bool  # the kernel times interrupts, and takes that time from the tasks that they hit
    read_bytes: int = 0  # from block devices, by all of them
    write_bytes: int = 0  # to block devices or dirtied, less what was cancelled


@dataclass(frozen=True, slots=True)
class Flood:
    """A group that attempted more than its share, and what it lost by that since it was last forgotten."""

    cgroup_id: int
    uid: int  # who answers: of the ids of a user namespace, who made it
    lost: tuple[int, ...]  # in the order of BOOK_KINDS


@dataclass(slots=True)
class Counters:
    """The kernel side's own books, cumulative since attach.

    ``produced`` and ``lost`` are keyed by ``BOOK_KINDS``; produced counts what reached the ring.
    ``threads`` counts thread creations, which are never forks; ``workers`` the tasks that the kernel makes for io_uring
    and vhost, which no fork event tells of; ``buried_run_ns`` is the CPU time of all tasks that exited,
    ``buried_read_bytes`` and ``buried_write_bytes`` what they had read and written, less what was cancelled.
    ``flood`` is lost as well: attempted by groups that already held their share of a ring that was filling up; the
    ``floods`` are these groups, as far as they are remembered. ``clocks`` is None before the first sample and without
    eBPF.
    """

    produced: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    lost_per_cpu: dict[str, list[int]] = field(default_factory=dict)
    threads: int = 0
    workers: int = 0
    buried_run_ns: int = 0
    buried_read_bytes: int = 0
    buried_write_bytes: int = 0
    flood: dict[str, int] = field(default_factory=dict)
    floods: tuple[Flood, ...] = ()
    clocks: Clocks | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeState:
    """One line of the table of probes that ``/status``, ``/readyz``, the metrics and ``linnix doctor`` show.

    ``runs`` and ``run_ns`` are the kernel's own account of its programs (``bpf_prog_info``, include/uapi/linux/bpf.h),
    cumulative; None where the kernel does not keep it or the probe is no BPF program.
    """

    name: str
    what: str  # what it sees, in a few words
    required: bool = False
    state: str = "on"  # on; idle: ready, not attached now; off: by configuration; failed: see reason
    reason: str = ""  # why it is idle, off or failed
    programs: tuple[str, ...] = ()
    runs: int | None = None
    run_ns: int | None = None
    attach_ms: float | None = None  # how long the last attachment took
    attachments: int = 0
    attached_s: float = 0.0  # in all, since start


class Instrument(Protocol):
    """An optional eye beside the ``Sight``: one subject, with programs or files of its own.

    ``open``, ``collect`` and ``close`` are called on the ingest thread; ``states`` from any.
    """

    @property
    def due_ns(self) -> int:
        """CLOCK_MONOTONIC before which there is nothing to ask it for, 0: ask at every sample. An idle host has none of
        this in its caches, and every instrument that need not be asked is a page less to fetch.
        """
        ...

    def open(self) -> None:
        """Begin to see. Never raises: what is missing is told by ``states``."""
        ...

    def collect(self, now_ns: int) -> object | None:
        """What was seen since the last call, about once per sample interval; None when there is nothing to tell."""
        ...

    def states(self) -> tuple[ProbeState, ...]:
        """Its lines in the table of probes."""
        ...

    def close(self) -> None:
        """Detach and free. Idempotent."""
        ...


@runtime_checkable
class Glancing(Protocol):
    """An ``Instrument`` that at times looks more often than the host is sampled; what it saw its ``collect`` tells."""

    @property
    def glance_ns(self) -> int:
        """CLOCK_MONOTONIC of its next look; 0: it wants none now, and nobody wakes for it."""
        ...

    def glance(self, now_ns: int) -> None:
        """Look; on the ingest thread."""
        ...


class Sight(Protocol):
    """How the daemon sees processes: eBPF, or netlink and /proc where eBPF cannot be used.

    All methods are called from the ingest thread only, except ``wake`` and ``counters``.
    """

    #: ``bpf``, ``netlink`` or ``proc``
    name: str
    #: why this is less than full sight; empty when nothing is missing
    degraded: tuple[str, ...]

    def wait(self, timeout_s: float) -> None:
        """Sleep until events may be waiting, ``wake`` is called, or the timeout passes."""
        ...

    def gather(self, timeout_s: float) -> None:
        """Sleep so that more comes, but no longer than there is surely room for it, nor after ``wake``."""
        ...

    def wake(self) -> None:
        """End a ``wait`` or ``gather`` from another thread."""
        ...

    def drain(self) -> Batch:
        """Everything committed so far, copied out of the kernel's memory. Never blocks."""
        ...

    def sample(self) -> Array:
        """All processes now: dtype PROCESS, one row a process, threads summed, ordered by pid."""
        ...

    def counters(self) -> Counters:
        """The books so far."""
        ...

    def close(self) -> None:
        """Detach and free. Idempotent."""
        ...
