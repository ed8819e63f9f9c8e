"""Where what instruments told becomes ``senses.Senses``, once a sample.

Owns the little history that rates need and readings do not have. Refuses to measure, and to decide what is worth
naming. Invariants: everything kept is of the last ten seconds or bounded by whom it is kept for; what has not been
renewed for longer than its instrument takes between two looks is not told any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from linnix.cognitod.blame import recent
from linnix.cognitod.blame.books import Blame
from linnix.cognitod.host import blocked, filesystems
from linnix.cognitod.host.filesystems import Filesystem, FilesystemsReading
from linnix.cognitod.host.memory_limits import MemoryLimits
from linnix.cognitod.kernel.syncs import SyncsReading
from linnix.cognitod.kernel.tcp import TCP_KINDS
from linnix.cognitod.kills import Kills
from linnix.cognitod.model import Home, Snapshot, text
from linnix.cognitod.processes import Table
from linnix.cognitod.senses import NEARLY_FULL_PCT, Identity, Senses, Space, Stuck, SyncRates
from linnix.cognitod.sights import Sights, percentile_us, together

WINDOW_NS = 10 * 10**9
#: A file system is told from ``NEARLY_FULL_PCT`` on, and below where it fills by ``FILLING_BYTES_PER_S`` and would be
#: full as soon as the default rules ask for: what an unpacked archive writes into a large one, at a pace that fills it
#: within the hour, is over before.
FILLING_BYTES_PER_S = 1 << 20
SOON_S = 1800.0
#: A percentile is of the last ten seconds, read every five.
_LATENCY_NS = 16 * 10**9
#: Syncs are counted anew with every sample.
_SYNCS_HOLD_NS = 3 * 10**9
#: How many of the processes with most memory are asked for their memory limits.
_ASKED = 12
_FAILURES = np.array([kind != "connects" for kind in TCP_KINDS])


class Sensing:
    """Called with each sample, after the table and the readings before it were taken in."""

    def __init__(self, sights: Sights, blame: Blame, table: Table, home_of: Callable[[int, int, int], Home]) -> None:
        self._sights = sights
        self._blame = blame
        self._kills = Kills(table, home_of)
        self._table = table
        self._limits = MemoryLimits()
        self._filling = Filling()
        self._failing = Failing()
        self._syncing = Syncing(table)
        self._percentiles: dict[str, tuple[int, float | None]] = {}

    def __call__(self, snapshot: Snapshot) -> Senses:
        """What is known at the moment of this sample."""
        now_ns, sights = snapshot.ts_ns, self._sights
        return Senses(
            sockets=sights.sockets,
            waits=sights.waits,
            syncs=self._syncing.at(now_ns, sights.syncs),
            stuck=_stuck(sights, now_ns),
            tcp_failures_per_s=self._failing.at(now_ns, sights),
            stalls=recent.stalls(self._blame, int(snapshot.timestamp * 10**6)),
            spaces=self._filling.at(now_ns, sights.filesystems),
            kills=self._kills.at(snapshot, sights.kills),
            memory_limits=self._memory_limits(),
            runqueue_p99_us=self._p99_us("runqueue", now_ns),
            block_io_p99_us=self._p99_us("block", now_ns),
            measures_blame=tuple(name for name, ledger in self._blame.ledgers.items() if ledger.engaged),
        )

    def _memory_limits(self) -> dict[Identity, float]:
        rows = self._table.rows()
        rows = rows.compress(rows["alive"] & (rows["rss_bytes"] > 0))
        if len(rows) > _ASKED:
            rows = rows.take(np.argpartition(rows["rss_bytes"], -_ASKED)[-_ASKED:])
        used = {
            (pid, start_ns): self._limits.used_pct(pid)
            for pid, start_ns in zip(rows["pid"].tolist(), rows["start_ns"].tolist(), strict=True)
        }
        return {who: pct for who, pct in used.items() if pct is not None}

    def _p99_us(self, name: str, now_ns: int) -> float | None:
        found = self._sights.latencies.get(name)
        if found is None or now_ns - found.read_ns > _LATENCY_NS:
            return None
        known = self._percentiles.get(name)
        if known is None or known[0] != found.read_ns:
            known = found.read_ns, percentile_us(together(found.recent())["counts"], 99)
            self._percentiles[name] = known
        return known[1]


def _stuck(sights: Sights, now_ns: int) -> dict[Identity, Stuck]:
    """By process its thread that has been stuck for longest."""
    seen = sights.blocked
    if seen is None or now_ns - seen.ts_ns > 2 * blocked.LOOK_NS:
        return {}
    stuck: dict[Identity, Stuck] = {}
    for one in seen.stuck:  # longest first
        frame = one.stack[0].partition("+")[0] if one.stack else None
        told = Stuck((seen.ts_ns - one.since_ns) / 10**9, one.wchan or frame)
        stuck.setdefault((one.pid, one.start_ns), told)
    return stuck


class _Failures(NamedTuple):
    ts_ns: int
    totals: tuple[int, ...]
    by_process: Mapping[Identity, int]


class Failing:
    """TCP trouble by process as a rate, out of counts since the daemon began."""

    def __init__(self) -> None:
        self._kept: deque[_Failures] = deque()

    def at(self, now_ns: int, sights: Sights) -> dict[Identity, float]:
        """Over about the last ten seconds, of those that had any."""
        totals = tuple(sights.tcp_totals)
        last = self._kept[-1] if self._kept else None
        counts = last.by_process if last and last.totals == totals else _failures(sights)
        self._kept.append(_Failures(now_ns, totals, counts))
        while len(self._kept) > 2 and now_ns - self._kept[1].ts_ns >= WINDOW_NS:
            self._kept.popleft()
        then = self._kept[0]
        if then.totals == totals or now_ns <= then.ts_ns:
            return {}
        grown = {who: count - then.by_process.get(who, 0) for who, count in counts.items()}
        return {who: more * 1e9 / (now_ns - then.ts_ns) for who, more in grown.items() if more > 0}


def _failures(sights: Sights) -> dict[Identity, int]:
    counts: dict[Identity, int] = {}
    for owner, row in sights.tcp.items():
        if owner.pid:
            who = owner.pid, owner.start_ns
            counts[who] = counts.get(who, 0) + int(row[_FAILURES].sum())
    return counts


class Syncing:
    """Syncs by process as rates: of who lives its own, and of who has ended that of its nearest forebear that lives.

    Who was told of while it lived is not told again once it has ended: its parent is no new culprit.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._last: SyncsReading | None = None
        self._own: dict[Identity, float] = {}
        self._ended: deque[tuple[int, dict[Identity, int]]] = deque()

    def at(self, now_ns: int, reading: SyncsReading | None) -> dict[Identity, SyncRates]:
        """Own ones in the last second, those of children over the last ten; of those that have any."""
        if reading is not None and reading is not self._last:
            self._last = reading
            self._take(reading)
        elif self._last is None or now_ns - self._last.ts_ns > _SYNCS_HOLD_NS:
            self._own = {}
        while self._ended and now_ns - self._ended[0][0] >= WINDOW_NS:
            self._ended.popleft()
        ended: dict[Identity, float] = {}
        for _, counts in self._ended:
            for who, count in counts.items():
                ended[who] = ended.get(who, 0.0) + count * 1e9 / WINDOW_NS
        return {who: SyncRates(self._own.get(who), ended.get(who, 0.0)) for who in self._own | ended}

    def _take(self, reading: SyncsReading) -> None:
        pids, starts = reading.keys["pid"], reading.keys["start_ns"]
        heir_pids, heir_starts = self._table.survivors(pids, starts)
        people = zip(pids.tolist(), starts.tolist(), strict=True)
        heirs = zip(heir_pids.tolist(), heir_starts.tolist(), strict=True)
        own, ended = dict[Identity, float](), dict[Identity, int]()
        for who, heir, calls in zip(people, heirs, reading.calls.tolist(), strict=True):
            if heir == who:
                own[who] = calls * 1e9 / reading.window_ns
            elif heir != (0, 0) and who not in self._own:
                ended[heir] = ended.get(heir, 0) + calls
        self._own = own
        self._ended.append((reading.ts_ns, ended))


class Filling:
    """File systems that are nearly full, or will be."""

    def __init__(self) -> None:
        self._kept: deque[FilesystemsReading] = deque()

    def at(self, now_ns: int, reading: FilesystemsReading | None) -> tuple[Space, ...]:
        """Those to be told, fullest first."""
        if reading is None or now_ns - reading.ts_ns > 3 * filesystems.READ_NS:
            return ()
        if not self._kept or self._kept[-1] is not reading:
            self._kept.append(reading)
        while len(self._kept) > 2 and reading.ts_ns - self._kept[1].ts_ns >= WINDOW_NS:
            self._kept.popleft()
        then = self._kept[0]
        before = {(one.mount.device, one.mount.point): one for one in then.filesystems}
        passed_s = (reading.ts_ns - then.ts_ns) / 10**9
        found = [
            space
            for one in reading.filesystems
            if not one.mount.read_only
            and (space := _space(one, before.get((one.mount.device, one.mount.point)), passed_s)) is not None
        ]
        return tuple(sorted(found, key=lambda space: (-space.used_pct, space.mount)))


def _space(now: Filesystem, before: Filesystem | None, passed_s: float) -> Space | None:
    used_pct, used, available = now.used_pct, now.used_bytes, now.avail_bytes
    if used_pct is None or used is None or available is None:
        return None
    fill = 0.0
    if before is not None and before.used_bytes is not None and passed_s * 10**9 >= WINDOW_NS:
        fill = (used - before.used_bytes) / passed_s
    inodes_pct = 100.0 * now.inodes_used / now.inodes if now.inodes and now.inodes_used is not None else None
    filling = fill >= FILLING_BYTES_PER_S and available / fill <= SOON_S
    if max(used_pct, inodes_pct or 0.0) < NEARLY_FULL_PCT and not filling:
        return None
    return Space(text(now.mount.point), used_pct, available, inodes_pct, fill)
