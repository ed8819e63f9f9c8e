"""What instruments tell of single processes, in the form that facts take it: rates and shares of the last seconds.

Owns the value types between those who keep readings and ``detect.facts``. Refuses to measure and to judge. Invariant: a
value of this module never changes once it is made; what is not known is None or not there, never 0.

An identity is (pid, start_ns).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Identity = tuple[int, int]


class SocketRates(NamedTuple):
    """What a process sent and received through sockets of IP, loopback included, in the last second."""

    tx_bytes_per_s: float
    rx_bytes_per_s: float
    tx_calls_per_s: float
    rx_calls_per_s: float
    connects_per_s: float  # TCP connections that it opened, or that were opened to it


class Waits(NamedTuple):
    """Where the threads of a process were found, over the looks of the last ten seconds; percent of looks and threads.

    ``lock_wait_pct``: waiting for one and the same lock, a futex or a lock of a file. ``lock_waiters``: most threads at
    once that waited for it. ``sync_pct``: percent of the looks that found a thread of it in fsync or the like.
    """

    lock_wait_pct: float | None
    lock_waiters: int | None
    sync_pct: float | None


class SyncRates(NamedTuple):
    """How often a process asked for data to be on disk: by fsync and the like, or by a synchronous write."""

    syncs_per_s: float | None  # itself, in the last second; None if it did not
    ended_syncs_per_s: float  # children of it, and theirs, that ended untold; over the last ten seconds


class Stuck(NamedTuple):
    """The thread of a process that has been in uninterruptible sleep for longest, without a break."""

    since_s: float
    where: str | None  # the kernel's function, where it says


class Stall(NamedTuple):
    """How long one process waited because of another, or because of itself, over the last ``window_s`` seconds."""

    resource: str  # of model.RESOURCES
    victim: Identity
    offender: Identity
    kind: str  # of model.STALL_KINDS
    task_ms: float
    stall_ms: float
    share: float  # of the victim's stall
    window_s: float
    same_cgroup: bool | None


#: From so much on, of bytes or inodes, a file system is nearly full. Below it rules cannot ask for one that is.
NEARLY_FULL_PCT = 80.0


class Space(NamedTuple):
    """A mounted file system that is nearly full, or filling."""

    mount: str
    used_pct: float
    available_bytes: int
    inodes_used_pct: float | None
    fill_bytes_per_s: float  # negative when it empties


class Kill(NamedTuple):
    """The kernel killed this process for memory."""

    victim: Identity
    comm: str
    age_s: float
    rss_bytes: int
    parent: Identity | None  # who had started it
    largest: Identity | None  # who grew most before
    cgroup: str | None
    limit: str  # host or cgroup: whose memory was used up


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """All that instruments tell of one moment. Of a process that is not in a mapping nothing is known."""

    sockets: Mapping[Identity, SocketRates] = field(default_factory=dict)
    waits: Mapping[Identity, Waits] = field(default_factory=dict)
    syncs: Mapping[Identity, SyncRates] = field(default_factory=dict)
    stuck: Mapping[Identity, Stuck] = field(default_factory=dict)
    tcp_failures_per_s: Mapping[Identity, float] = field(default_factory=dict)
    stalls: tuple[Stall, ...] = ()  # most painful first
    spaces: tuple[Space, ...] = ()
    kills: tuple[Kill, ...] = ()  # newest first
    memory_limits: Mapping[Identity, float] = field(default_factory=dict)  # percent used of the tightest one
    runqueue_p99_us: float | None = None
    block_io_p99_us: float | None = None
    measures_blame: tuple[str, ...] = ()  # the resources of which it is measured now who waits for whom


NOTHING = Senses()
