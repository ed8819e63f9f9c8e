"""OOM kills of the last minutes, with who stood behind them.

Owns what has to be noted when a kill is new, because soon after nobody can tell: who had started the victim, who was
growing, and whose memory was used up. Refuses to see kills: ``sights`` keeps them. Invariant: as many are remembered as
are told, those of the last ten minutes.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from linnix.cognitod.model import Home, Rows, Snapshot, text
from linnix.cognitod.processes import Table
from linnix.cognitod.senses import Identity, Kill
from linnix.cognitod.sights import Kill as Seen

TOLD_NS = 600 * 10**9
#: A host of which this much is still available does not kill for itself: a control group was at its limit.
HOST_HAS_PCT = 10.0
#: Who grew by less than half of what the victim held, or by less than this, was not what used memory up.
MIN_GROWTH_BYTES = 32 << 20
MAX_GROWERS = 16

_HELD = ("anon_pages", "file_pages", "shmem_pages")


@dataclass(frozen=True, slots=True)
class _Noted:
    parent: Identity | None
    grower: Identity | None  # None: the victim itself
    cgroup: str | None
    limit: str


class Kills:
    """Used once a sample, after the table took it in."""

    def __init__(self, table: Table, home_of: Callable[[int, int, int], Home]) -> None:
        self._table = table
        self._home_of = home_of
        self._noted: dict[tuple[int, Identity], _Noted] = {}
        self._samples: deque[Snapshot] = deque(maxlen=3)

    def at(self, snapshot: Snapshot, seen: Iterable[Seen]) -> tuple[Kill, ...]:
        """Those that are to be told now, newest first."""
        self._samples.append(snapshot)
        before, self._noted = self._noted, {}
        told = []
        for record in (kill.record for kill in seen):
            ts_ns, victim = int(record["ts_ns"]), (int(record["pid"]), int(record["start_ns"]))
            if snapshot.ts_ns - ts_ns > TOLD_NS:
                continue
            rows = self._table.rows()
            held = sum(int(record[name]) for name in _HELD) * mmap.PAGESIZE
            comm = bytes(record["comm"])
            noted = before.get((ts_ns, victim)) or self._note(rows, ts_ns, victim, held, int(record["cgroup_id"]))
            self._noted[ts_ns, victim] = noted
            told.append(
                Kill(
                    victim=victim,
                    comm=text(comm),
                    age_s=max(snapshot.ts_ns - ts_ns, 0) / 10**9,
                    rss_bytes=held,
                    parent=noted.parent,
                    largest=noted.grower or _successor(rows, noted.parent, comm) or victim,
                    cgroup=noted.cgroup,
                    limit=noted.limit,
                )
            )
        return tuple(sorted(told, key=lambda kill: kill.age_s))

    def _note(self, rows: Rows, ts_ns: int, victim: Identity, held: int, cgroup_id: int) -> _Noted:
        cgroup, limit = self._home_of(*victim, cgroup_id).cgroup, self._limit(ts_ns)
        return _Noted(
            parent=self._parent(victim),
            grower=self._grower(rows, victim, max(MIN_GROWTH_BYTES, held // 2), cgroup if limit == "cgroup" else None),
            cgroup=cgroup,
            limit=limit,
        )

    def _grower(self, rows: Rows, victim: Identity, least: int, within: str | None) -> Identity | None:
        """Who lives and grew most, if that is enough to have used memory up; in this group, if one was at its limit."""
        at = np.flatnonzero(rows["alive"] & ~rows["kthread"] & (rows["rss_growth_bytes"] >= least))
        for row in rows[at[np.argsort(-rows["rss_growth_bytes"][at], kind="stable")][:MAX_GROWERS]]:
            who = int(row["pid"]), int(row["start_ns"])
            if who != victim and within in (None, self._home_of(*who, int(row["cgroup_id"])).cgroup):
                return who
        return None

    def _parent(self, victim: Identity) -> Identity | None:
        row = self._table.find(victim[0])
        if row is None or int(row["start_ns"]) != victim[1]:
            return None
        above = self._table.find(int(row["ppid"]))
        if above is None or int(row["parent_start_ns"]) not in (0, int(above["start_ns"])):
            return None
        return int(above["pid"]), int(above["start_ns"])

    def _limit(self, ts_ns: int) -> str:
        """Judged by the last sample before the kill: right after it there is room again."""
        earlier = [sample for sample in self._samples if sample.ts_ns < ts_ns and sample.mem_total_bytes]
        if not earlier:
            return "host"
        last = earlier[-1]
        return "cgroup" if 100 * last.mem_available_bytes >= HOST_HAS_PCT * last.mem_total_bytes else "host"


def _successor(rows: Rows, parent: Identity | None, comm: bytes) -> Identity | None:
    """The largest child of the same name that the parent has now: what it started in the victim's place."""
    if parent is None:
        return None
    mine = (rows["ppid"] == parent[0]) & (rows["parent_start_ns"] == parent[1]) & rows["alive"]
    at = np.flatnonzero(mine & (rows["comm"] == comm))
    if not len(at):
        return None
    largest = rows[at[np.argmax(rows["rss_bytes"][at])]]
    return int(largest["pid"]), int(largest["start_ns"])
