"""The store under the process table: a slot per process, columns per slot.

Owns who has which slot, which slot has a pid, and when a slot is given up. Refuses to interpret: what an event or a
sample means is decided in ``processes``. Invariant: a living process always has a slot; of those that have exited no
more than ``max_exited`` do, and none for longer than the retention, unless it is a zombie that nobody has reaped.

Whole rows are copied with ``take`` and ``compress``: an index in brackets copies them field by field, which takes ten
times as long.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod import records
from linnix.cognitod.accounts import Accounts
from linnix.cognitod.exec_texts import ExecTexts
from linnix.cognitod.handles import Handles, Index
from linnix.cognitod.model import ROW, SEEDED, Rows
from linnix.cognitod.pids import PID_LIMIT, Pids
from linnix.cognitod.trends import RssTrend, Sliding

#: Span of ``WINDOWED``.
WINDOW_S = 10
#: What children that ended lately had used that no sample saw, by column of ROW.
ENDED_USED = ("child_cpu_us", "child_read_kib", "child_write_kib")
#: What children did lately, by column of ROW.
WINDOWED = ("forks", "short_children", "child_exits", "failed_children", "child_execs", *ENDED_USED)
#: Exited processes kept at most: about 5 MB, and nearly as much again if all of them exec'ed.
MAX_EXITED = 8_192

#: How many generations without an exec are gone back for what a process runs.
_FOREBEARS = 15

#: What the table knows of a slot beyond what it tells.
_HIDDEN = np.dtype(
    [
        ("cpu_base_ns", "<u8"),  # CPU time at the last sample
        ("cpu_since_ns", "<u8"),  # when that was
        ("parent_start_ns", "<u8"),  # identity of who forked it; ``ppid`` follows reparenting, this does not
        ("seen", "<u8"),  # number of the last sample it was in
        ("home_ns", "<u8"),  # when it was last read where it lives, 0 never
        ("parent", "<i4"),  # slot of who forked it, -1 unknown
        ("used", "?"),
        ("assumed", "?"),  # its exit was concluded, not seen
    ]
)


@dataclass(slots=True)
class Totals:
    """Counted since start."""

    forks: int = 0
    execs: int = 0
    exits: int = 0
    short_jobs: int = 0
    failed_exits: int = 0
    missed_forks: int = 0  # processes first met by an exec, an exit or a sample
    missed_exits: int = 0  # processes gone without an exit event
    stale: int = 0  # events of a process whose pid has a younger owner
    evicted: int = 0  # exited processes forgotten before their retention was over


class Slots:
    """Everything that is known of a process, by slot."""

    def __init__(
        self, *, retention_ns: int = 300 * 10**9, max_exited: int = MAX_EXITED, page_size: int = mmap.PAGESIZE
    ) -> None:
        self._retention_ns = retention_ns
        self._max_exited = max_exited
        self._page_size = page_size
        self._rows = np.zeros(512, ROW)
        self._hidden = np.zeros(512, _HIDDEN)
        self._slots = Handles()
        self._pids = Pids()
        self._by_pid = self._pids.numbers  # slot + 1
        self._lately = {name: Sliding(WINDOW_S) for name in WINDOWED}
        self._rss = RssTrend()
        self._texts = ExecTexts()
        self._accounts = Accounts()
        self._resize(len(self._rows))
        self._samples = 0
        self._housed = False
        self._view: Rows | None = None
        self._boot_offset_ns = 0
        self._exited_at_most = 0  # as many have exited, or fewer: counted, since looking costs a pass over all slots
        self.totals = Totals()

    def _add(self, pid: NDArray[np.uint32], start_ns: NDArray[np.uint64]) -> Index:
        if not len(pid):
            return np.zeros(0, np.intp)
        slots = self._slots.take(len(pid))
        while self._slots.top > len(self._rows):
            self._grow()
        records.wipe(self._rows, slots)
        records.wipe(self._hidden, slots)
        for name, value in (("slot", slots), ("pid", pid), ("start_ns", start_ns)):
            self._rows[name][slots] = value
        born_ns = np.maximum(start_ns.astype(np.int64) - self._boot_offset_ns, 0)
        self._rows["first_ns"][slots] = born_ns
        self._rows["alive"][slots] = True
        self._rows["last_kind"][slots] = SEEDED
        self._rows["state"][slots] = b"R"
        self._rows["threads"][slots] = 1
        self._hidden["cpu_since_ns"][slots] = born_ns
        self._hidden["used"][slots] = True
        self._hidden["seen"][slots] = self._samples
        for window in self._lately.values():
            window.clear(slots)
        self._rss.clear(slots)
        self._accounts.clear(slots)
        return slots

    def _grow(self) -> None:
        size = 2 * len(self._rows)
        for name in ("_rows", "_hidden"):
            setattr(self, name, records.grown(getattr(self, name), size))
        self._resize(size)

    def _resize(self, size: int) -> None:
        for window in self._lately.values():
            window.resize(size)
        for history in (self._rss, self._texts, self._accounts):
            history.resize(size)

    def _adopt(self, slots: Index, parents: Index) -> None:
        """Note who forked these, and that Linnix's children are Linnix until they exec something else."""
        self._hidden["parent"][slots] = parents
        self._hidden["parent_start_ns"][slots] = np.where(parents >= 0, self._rows["start_ns"][parents], 0)
        self._rows["own"][slots] |= (parents >= 0) & self._rows["own"][parents]

    def _parent(self, slots: Index) -> Index:
        """Slot of who forked each, -1 where that is not known or forgotten."""
        parents = self._hidden["parent"][slots].astype(np.intp)
        same = (parents >= 0) & (self._rows["start_ns"][parents] == self._hidden["parent_start_ns"][slots])
        return np.where(same & self._hidden["used"][parents], parents, -1)

    def _inherit_homes(self, slots: Index) -> None:
        """Those that have no home yet live where their nearest forebear with one does."""
        if not self._housed:  # on this host cgroup ids tell it all
            return
        wanting = slots[self._rows["home"][slots] == 0]
        up = self._parent(wanting)
        for _ in range(16):
            wanting, up = wanting[up >= 0], up[up >= 0]
            if not len(wanting):
                return
            found = self._rows["home"][up]
            self._rows["home"][wanting] = found
            wanting, up = wanting[found == 0], self._parent(up[found == 0])

    def set_homes(
        self, pid: NDArray[np.uint32], start_ns: NDArray[np.uint64], homes: NDArray[np.uint32], now_ns: int
    ) -> None:
        """Note where these identities live, as read now; 0 for one that could not be read keeps what it has."""
        slots = self._locate(pid, start_ns)
        slots, homes = slots[slots >= 0], homes[slots >= 0]
        self._view = None
        self._housed = True
        self._hidden["home_ns"][slots] = now_ns
        self._rows["home"][slots[homes > 0]] = homes[homes > 0]

    def unhoused(self, now_ns: int, settled_ns: int, again_ns: int) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Pid and start of the living whose home is to be read: never read, or not since they were ``settled_ns`` old,
        or not for ``again_ns``; those that were read longest ago come first.
        """
        rows, read_ns = self._rows[: self._slots.top], self._hidden["home_ns"][: self._slots.top]
        since_ns = rows["first_ns"] + np.uint64(settled_ns)
        due = (read_ns == 0) | ((read_ns < since_ns) & (since_ns < now_ns)) | (read_ns + np.uint64(again_ns) < now_ns)
        chosen = np.flatnonzero(due & rows["alive"] & ~rows["kthread"] & self._hidden["used"][: self._slots.top])
        chosen = chosen[np.argsort(read_ns[chosen], kind="stable")]
        return rows["pid"][chosen], rows["start_ns"][chosen]

    def _locate(self, pid: NDArray[np.uint32], start_ns: NDArray[np.uint64]) -> Index:
        """Slots of these identities, -1 where unknown."""
        holder = self._by_pid[pid].astype(np.intp) - 1
        return np.where((holder >= 0) & (self._rows["start_ns"][holder] == start_ns), holder, -1)

    def _bury(self, slots: Index, exit_ns: NDArray[np.uint64] | int) -> None:
        """A process that has exited uses nothing; what it used in all stays in ``cpu_ns`` and ``max_rss_bytes``."""
        self._exited_at_most += len(slots)
        self._rows["exit_ns"][slots] = exit_ns
        self._rows["alive"][slots] = False
        self._rows["state"][slots] = b"X"
        for name in ("cpu_pct", "mem_pct", "rss_bytes", "rss_growth_bytes", "rss_window_ns", "threads"):
            self._rows[name][slots] = 0
        self._accounts.bury(slots)

    def _conclude_exits(self, slots: Index, exit_ns: NDArray[np.uint64] | int) -> None:
        """Those of ``slots`` that still live have exited without an event."""
        if not len(slots):
            return
        living = self._rows["alive"][slots]
        self._bury(slots[living], exit_ns[living] if isinstance(exit_ns, np.ndarray) else exit_ns)
        self._hidden["assumed"][slots[living]] = True
        self.totals.missed_exits += int(np.count_nonzero(living))

    def _revive(self, slots: Index) -> None:
        """Word came from processes whose exit had been concluded."""
        wrong = slots[self._hidden["assumed"][slots]]
        if not len(wrong):
            return
        self._hidden["assumed"][wrong] = False
        self._rows["alive"][wrong] = True
        self._rows["exit_ns"][wrong] = 0
        self._rows["state"][wrong] = b"R"
        self.totals.missed_exits -= len(wrong)

    def _text_handles(self, slots: Index) -> Index:
        """Handles of what these run: of their own exec, else of that of the forebear they are copies of; -1 unknown."""
        rows, at, handles = self._rows, slots.copy(), self._texts.handles(slots)
        asking = np.flatnonzero((handles < 0) & (rows["exec_ns"][at] == 0))
        for _ in range(_FOREBEARS):
            if not len(asking):
                break
            child = at[asking]
            parent = self._parent(child)
            copied = (parent >= 0) & (rows["exec_ns"][parent] <= rows["first_ns"][child])
            asking, parent = asking[copied], parent[copied]
            at[asking], handles[asking] = parent, self._texts.handles(parent)
            asking = asking[(handles[asking] < 0) & (rows["exec_ns"][parent] == 0)]
        return handles

    def started_with(self, slots: Index) -> tuple[list[str | None], list[list[str]]]:
        """Of each of these the path it was started from, None if unknown, and its words, redacted, none if unknown."""
        return self._texts.read(self._text_handles(slots))

    def expire(self, now_ns: int) -> int:
        """Forget exited processes whose retention is over; how many. A zombie stays while it is one."""
        rows = self._rows[: self._slots.top]
        over = self._exited() & (rows["exit_ns"] + np.uint64(self._retention_ns) < now_ns)
        gone = np.flatnonzero(over)
        self._forget(gone)
        return len(gone)

    def tidy(self) -> None:
        """Give back memory that processes long forgotten have touched. Some 0.1 ms: for once in a while."""
        self._pids.tidy(self._rows["pid"][: self._slots.top][self._hidden["used"][: self._slots.top]])

    def _exited(self) -> NDArray[np.bool_]:
        top = self._slots.top
        rows = self._rows[:top]
        exited: NDArray[np.bool_] = self._hidden["used"][:top] & ~rows["alive"] & (rows["state"] != b"Z")
        return exited

    def _evict(self) -> Index:
        """Keep the exited within their bound: the oldest go, an eighth at a time so that storms do not pay twice."""
        if self._exited_at_most <= self._max_exited:
            return np.zeros(0, np.intp)
        exited = np.flatnonzero(self._exited())
        self._exited_at_most = len(exited)
        if len(exited) <= self._max_exited:
            return exited[:0]
        excess = len(exited) - (self._max_exited - self._max_exited // 8)
        oldest = exited[np.argsort(self._rows["exit_ns"][exited], kind="stable")[:excess]]
        self._forget(oldest)
        self._exited_at_most -= len(oldest)
        self.totals.evicted += len(oldest)
        return oldest

    def _forget(self, slots: Index) -> None:
        if not len(slots):
            return
        self._view = None
        mine = self._by_pid[self._rows["pid"][slots]] == slots + 1
        self._by_pid[self._rows["pid"][slots[mine]]] = 0
        self._texts.clear(slots)
        self._hidden["used"][slots] = False
        self._slots.give(slots)

    def __len__(self) -> int:
        """Living and exited together."""
        return len(self._slots)

    def rows(self) -> Rows:
        """All processes, dtype ROW, in no particular order. A copy that later updates leave alone."""
        if self._view is None:
            self._view = self._rows.take(np.flatnonzero(self._hidden["used"][: self._slots.top]))
            self._view.flags.writeable = False
        return self._view

    def at(self, slots: Index) -> Rows:
        """The rows of these slots; a copy."""
        return self._rows.take(slots)

    def usage(self, slots: Index) -> Rows:
        """What the processes in these slots have used and hold, dtype USAGE; a copy."""
        return self._accounts.of(slots)

    def set_tags(self, slots: Index, tags: NDArray[np.uint32]) -> None:
        """Note the tags that the pipeline computed for these slots."""
        self._view = None
        self._rows["tags"][slots] = tags

    def find(self, pid: int) -> np.void | None:
        """The row of the youngest process of this pid, living or exited; None if unknown."""
        slot = int(self._by_pid[pid]) - 1 if 0 <= pid <= PID_LIMIT else -1
        return cast(np.void, self._rows[slot].copy()) if slot >= 0 else None

    def youngest(self, pid: int) -> tuple[int, int] | None:
        """The identity of the youngest process of this pid, (pid, start_ns); None if unknown."""
        row = self.find(pid)
        return None if row is None else (pid, int(row["start_ns"]))

    def children(self, pid: int) -> Rows:
        """Processes whose parent is ``pid`` now, living and exited."""
        rows = self.rows()
        children: Rows = rows[rows["ppid"] == pid]
        return children

    def rss_history(self, slot: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Resident bytes of the last minute: times (CLOCK_MONOTONIC ns) and values, oldest first."""
        return self._rss.history(slot)
