"""What the optional instruments told, as long as it is of use.

Owns the last readings: latency over the last ten seconds and since start, OOM kills, TCP trouble by owner, what
processes move through sockets, sync and wait for, stuck threads, filesystems. Refuses names of processes and cgroups:
whoever shows them looks them up. Invariant: everything kept is bounded, and what is forgotten stays in the totals.

Runs on the event loop's thread.
"""

from __future__ import annotations

import mmap
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.host.blocked import BlockedReading
from linnix.cognitod.host.filesystems import FilesystemsReading
from linnix.cognitod.host.waits import WaitsReading
from linnix.cognitod.kernel.latency import BOUNDS_NS, COUNTS, HISTOGRAM, Histograms, LatencyReading
from linnix.cognitod.kernel.oom import OomReading
from linnix.cognitod.kernel.sockets import SOCKET_COUNTS, SocketsReading
from linnix.cognitod.kernel.syncs import SyncsReading
from linnix.cognitod.kernel.tcp import TCP_KINDS, TcpReading
from linnix.cognitod.model import Finding, text
from linnix.cognitod.senses import Identity, SocketRates, Waits

WINDOW_NS = 10 * 10**9
MAX_OOMS = 256
MAX_OWNERS = 2048
#: For how long the last rates of sockets hold: their probe may rest for five seconds, and tells at the next sample.
SOCKETS_HOLD_NS = 8 * 10**9
#: And those of waits, which are told every second while there are any.
WAITS_HOLD_NS = 5 * 10**9

Counts = NDArray[np.uint64]

#: In the order of ``SocketRates``.
_SOCKET_RATES = ("tx_bytes", "rx_bytes", "tx_calls", "rx_calls", "connects")


class Latencies:
    """One kind of latency: cumulative histograms by cgroup, and those of about ten seconds ago to compare with."""

    def __init__(self) -> None:
        self._readings: deque[LatencyReading] = deque()

    def add(self, reading: LatencyReading) -> None:
        """A newer reading."""
        self._readings.append(reading)
        while len(self._readings) > 2 and reading.ts_ns - self._readings[1].ts_ns >= WINDOW_NS:
            self._readings.popleft()

    @property
    def read_ns(self) -> int:
        """When it was read last."""
        return self._readings[-1].ts_ns

    @property
    def window_s(self) -> float:
        """What ``recent`` spans."""
        return (self._readings[-1].ts_ns - self._readings[0].ts_ns) / 10**9

    @property
    def measured_s(self) -> float:
        """For how long it was looked at in all."""
        return self._readings[-1].measured_ns / 10**9

    def total(self) -> Histograms:
        """Since the probe was attached; dtype HISTOGRAM, ordered by cgroup id."""
        return self._readings[-1].rows

    def recent(self) -> Histograms:
        """The same of the last ``window_s`` seconds."""
        now, then = self._readings[-1].rows, self._readings[0].rows
        rows = now.copy()
        at = np.searchsorted(then["cgroup_id"], now["cgroup_id"])
        known = np.isin(now["cgroup_id"], then["cgroup_id"])
        for name in ("sum_ns", "counts"):
            # what was moved to the rest meanwhile makes its cgroup smaller: that is no negative time
            rows[name][known] -= np.minimum(then[name][at[known]], now[name][known])
        return rows


def together(rows: Histograms) -> Any:
    """The histogram of all rows."""
    whole = np.zeros((), HISTOGRAM)
    whole["sum_ns"] = rows["sum_ns"].sum()
    whole["counts"] = rows["counts"].sum(axis=0)
    return whole


def percentile_us(counts: Counts, percent: float) -> float | None:
    """The duration that ``percent`` of them do not exceed; None for none.

    Between the bounds of a class, a factor of two apart, it is a straight line: expect half of that as error. The last
    class has no upper bound, so its lower one is told.
    """
    total = int(counts.sum())
    if not total:
        return None
    wanted = percent / 100.0 * total
    sums = np.cumsum(counts)
    at = int(np.searchsorted(sums, wanted))
    low = 0 if at == 0 else BOUNDS_NS[at - 1]
    if at == COUNTS - 1:
        return low / 1000
    into = (wanted - float(sums[at] - counts[at])) / float(counts[at])
    return (low + into * (BOUNDS_NS[at] - low)) / 1000


class Kill(NamedTuple):
    """One OOM kill: a record of dtype OOM, and when it was."""

    record: Any
    timestamp: float


def finding(kill: Kill) -> Finding:
    """What is wrong when the kernel had to kill: always worth an alert."""
    record = kill.record
    pid, start_ns, name = int(record["pid"]), int(record["start_ns"]), text(bytes(record["comm"]))
    sizes = {kind: int(record[f"{kind}_pages"]) * mmap.PAGESIZE for kind in ("anon", "file", "shmem", "swap")}
    rss_mib = (sizes["anon"] + sizes["file"] + sizes["shmem"]) >> 20
    return Finding(
        rule="oom_kill",
        cls="oom_kill",
        severity="high",
        message=f"the kernel killed pid {pid}, which held {rss_mib} MiB, because memory was used up",
        key=f"oom_kill:{pid}:{start_ns}",
        ts_ns=int(record["ts_ns"]),
        timestamp=kill.timestamp,
        pid=pid,
        start_ns=start_ns,
        comm=name,
        evidence={f"{kind}_bytes": float(size) for kind, size in sizes.items()},
    )


class Owner(NamedTuple):
    """Whose TCP connections; 0 where it is not known."""

    pid: int
    start_ns: int
    cgroup_id: int


class Sights:
    """All of it."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], int] = time.monotonic_ns,
        tell: Callable[[Finding], None] = lambda _finding: None,
        identify: Callable[[int], Identity | None] = lambda _pid: None,
    ) -> None:
        """``tell`` is called for everything that should raise an alert; ``identify`` says who has a pid now."""
        self._wall = wall
        self._clock = clock
        self._tell = tell
        self._identify = identify
        self.latencies: dict[str, Latencies] = {}
        self.kills: deque[Kill] = deque(maxlen=MAX_OOMS)
        self.kills_total = 0
        self.kills_lost = 0
        self.tcp_totals: tuple[int, ...] = (0,) * len(TCP_KINDS)
        self.tcp_lost = 0  # of the totals, not told by owner: no room in the kernel, or forgotten here
        self.tcp: dict[Owner, Counts] = {}
        self.syncs: SyncsReading | None = None
        self.blocked: BlockedReading | None = None
        self.filesystems: FilesystemsReading | None = None
        self._tcp_forgotten = 0
        self.sockets_lost = 0  # calls since the probe was attached that found no room in the kernel
        self.socket_totals = dict.fromkeys(SOCKET_COUNTS.names or (), 0)
        self._sockets: dict[Identity, SocketRates] = {}
        self._waits: dict[Identity, Waits] = {}
        self._sockets_ns = self._waits_ns = 0

    @property
    def receivers(self) -> Mapping[type, Callable[[Any], None]]:
        """For ``Pipeline``: who takes a reading of which type."""
        return {
            LatencyReading: self._on_latency,
            OomReading: self._on_oom,
            TcpReading: self._on_tcp,
            SocketsReading: self._on_sockets,
            SyncsReading: self._on_syncs,
            WaitsReading: self._on_waits,
            BlockedReading: self._on_blocked,
            FilesystemsReading: self._on_filesystems,
        }

    def timestamp(self, ts_ns: int) -> float:
        """A moment of CLOCK_MONOTONIC in unix seconds."""
        return round(self._wall() - (self._clock() - ts_ns) / 10**9, 3)

    def _on_latency(self, reading: LatencyReading) -> None:
        self.latencies.setdefault(reading.name, Latencies()).add(reading)

    def _on_oom(self, reading: OomReading) -> None:
        self.kills_total, self.kills_lost = reading.total, reading.lost
        kills = [Kill(record, self.timestamp(int(record["ts_ns"]))) for record in reading.kills]
        self.kills.extend(kills)
        for kill in kills:
            self._tell(finding(kill))

    def _on_tcp(self, reading: TcpReading) -> None:
        self.tcp_totals = reading.totals
        for key, row in zip(reading.keys, reading.counts, strict=True):
            owner = Owner(int(key["pid"]), int(key["start_ns"]), int(key["cgroup_id"]))
            # taken out and put back: the dictionary stays in the order of last use
            self.tcp[owner] = self.tcp.pop(owner, np.zeros(len(TCP_KINDS), np.uint64)) + row["counts"]
        while len(self.tcp) > MAX_OWNERS:
            self._tcp_forgotten += int(self.tcp.pop(next(iter(self.tcp))).sum())
        self.tcp_lost = reading.lost + self._tcp_forgotten

    @property
    def sockets(self) -> Mapping[Identity, SocketRates]:
        """Of every process that moved something, or was connected, in the last second that was looked at."""
        return self._sockets if self._clock() - self._sockets_ns <= SOCKETS_HOLD_NS else {}

    def _on_sockets(self, reading: SocketsReading) -> None:
        self._sockets_ns, self.sockets_lost = reading.ts_ns, reading.lost
        for name in self.socket_totals:
            self.socket_totals[name] += int(reading.counts[name].sum())
        self._sockets = {
            (int(key["pid"]), int(key["start_ns"])): SocketRates(
                *(float(row[name]) * 10**9 / reading.window_ns for name in _SOCKET_RATES)
            )
            for key, row in zip(reading.keys, reading.counts, strict=True)
            if key["pid"]
        }

    def _on_syncs(self, reading: SyncsReading) -> None:
        self.syncs = reading

    @property
    def waits(self) -> Mapping[Identity, Waits]:
        """Of every process that was looked at in the last ten seconds, or met others at a lock of a file."""
        return self._waits if self._clock() - self._waits_ns <= WAITS_HOLD_NS else {}

    def _on_waits(self, reading: WaitsReading) -> None:
        self._waits_ns = reading.ts_ns
        named = {who: found for pid, found in reading.by_pid.items() if (who := self._identify(pid)) is not None}
        self._waits = reading.waits | named

    def _on_blocked(self, reading: BlockedReading) -> None:
        self.blocked = reading

    def _on_filesystems(self, reading: FilesystemsReading) -> None:
        self.filesystems = reading


def largest(rows: Histograms, limit: int) -> Histograms:
    """The histograms with the most entries, most first; those without any are left out."""
    entries = rows["counts"].sum(axis=1)
    order = np.argsort(entries, kind="stable")[::-1][:limit]
    chosen: Histograms = rows[order[entries[order] > 0]]
    return chosen
