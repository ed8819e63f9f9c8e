"""The process table: who runs, who ran lately, who made whom.

Owns identity, lineage, usage and the fate of every process, as numpy arrays indexed by slot. Refuses clocks, files
and threads: time arrives as ``now_ns``, and one thread owns a table. Invariant: after any batch the table is what
applying its events one by one would have made it; ``tests/unit/cognitod/test_processes.py`` keeps that oracle.

A process is (pid, start_ns): PIDs come back. Events may be missing (lost in the ring, or the daemon started late);
what can be concluded from later ones and from samples is, and counted as missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import EXEC_TEXT, Array, Batch, Kind
from linnix.cognitod.exec_texts import ExecTexts, join
from linnix.cognitod.handles import Handles, Index
from linnix.cognitod.model import ROW, SEEDED, Rows
from linnix.cognitod.trends import RssTrend, Sliding

#: Span of ``forks`` and ``short_children``.
WINDOW_S = 10
#: A process that lived less than this is a short job.
SHORT_NS = 1_000_000_000
#: The kernel's upper bound of pid_max on 64 bits (include/linux/threads.h).
PID_LIMIT = 1 << 22
#: A process younger than this would get its CPU percentage from noise.
MIN_ELAPSED_NS = 10_000_000
_OWN_COMMS = np.array([b"cognitod", b"linnix", b"linnix-reasoner", b"linnix-model"])
_OWN_CHILDREN = np.array([b"llama-server"])

#: What the table knows of a slot beyond what it tells.
_HIDDEN = np.dtype(
    [
        ("cpu_base_ns", "<u8"),  # CPU time at the last sample
        ("cpu_since_ns", "<u8"),  # when that was
        ("parent_start_ns", "<u8"),  # identity of who forked it; ``ppid`` follows reparenting, this does not
        ("seen", "<u8"),  # number of the last sample it was in
        ("parent", "<i4"),  # slot of who forked it, -1 unknown
        ("used", "?"),
        ("assumed", "?"),  # its exit was concluded, not seen
    ]
)

_EMPTY_TEXTS = np.zeros(0, EXEC_TEXT)


@dataclass(frozen=True, slots=True)
class Update:
    """What a batch did, aligned with its events."""

    slots: Index  # of each event's process; -1 where the event was of a process long replaced
    text_at: NDArray[np.int32]  # index into the batch's texts, -1 none
    short: NDArray[np.bool_]  # exits of short jobs
    failed: NDArray[np.bool_]  # exits with a code or by a signal
    changed: Index  # every slot whose row changed, ascending


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


class Table:
    """All processes of the host, living and lately exited."""

    def __init__(self, *, retention_ns: int = 300 * 10**9, max_exited: int = 32_768, page_size: int = 4096) -> None:
        self._retention_ns = retention_ns
        self._max_exited = max_exited
        self._page_size = page_size
        self._rows = np.zeros(512, ROW)
        self._hidden = np.zeros(512, _HIDDEN)
        self._slots = Handles()
        self._by_pid = np.zeros(PID_LIMIT + 1, np.int32)  # slot + 1; pages that no pid touches cost nothing
        self._forks = Sliding(WINDOW_S)
        self._short = Sliding(WINDOW_S)
        self._rss = RssTrend()
        self._texts = ExecTexts()
        for history in (self._forks, self._short, self._rss, self._texts):
            history.resize(len(self._rows))
        self._samples = 0
        self._view: Rows | None = None
        self._boot_offset_ns = 0
        self.totals = Totals()

    # -- what happened ------------------------------------------------------------------------------------------

    def update(self, batch: Batch) -> Update:
        """Apply a batch of events in ring order, and the texts that came with it."""
        self._view = None
        events = batch.events
        ended = self._advance(int(events["ts_ns"].max())) if len(events) else False
        slots, parents, replaced = self._identify(events)
        known = slots >= 0
        self.totals.stale += int(len(events) - np.count_nonzero(known))
        of_kind = [np.flatnonzero(known & (events["kind"] == kind)) for kind in Kind]
        at, told = slots[known], events[known]
        for name in ("ppid", "parent_start_ns", "uid", "gid", "cgroup_id", "comm"):
            self._rows[name][at] = told[name]  # in ring order, so the last one stays
        self._rows["last_ts_ns"][at] = told["ts_ns"]
        self._rows["last_kind"][at] = told["kind"]
        self._revive(np.unique(slots[known & (events["kind"] != Kind.EXIT)]))

        self._apply_forks(events, slots, parents, of_kind[Kind.FORK])
        self._apply_execs(events, slots, of_kind[Kind.EXEC])
        text_at = join(events, batch.texts)
        of_texts = np.full(len(batch.texts), -1, np.intp)
        of_texts[text_at[text_at >= 0]] = slots[text_at >= 0]
        self._take_texts(batch.texts, of_texts)
        short, failed, bereaved = self._apply_exits(events, slots, of_kind[Kind.EXIT])
        self._conclude_exits(*replaced)

        born_by = parents[of_kind[Kind.FORK]]
        changed = np.unique(np.concatenate([at, born_by[born_by >= 0], bereaved]))
        self._refresh_windows(slice(0, self._slots.top) if ended else changed)
        evicted = self._evict()
        if len(evicted):
            changed = changed[~np.isin(changed, evicted)]
            slots = np.where(np.isin(slots, evicted), -1, slots)
        return Update(slots, text_at, short, failed, changed)

    def _identify(self, events: Array) -> tuple[Index, Index, tuple[Index, NDArray[np.uint64]]]:
        """Slot of each event's process and of its parent, -1 where there is none. New processes get one.

        Third: slots whose pid went to a younger process in this batch, and when. They have exited by then, whether
        or not their exit is among the events.
        """
        n = len(events)
        pid = np.concatenate([events["pid"], events["ppid"]])
        start = np.concatenate([events["start_ns"], events["parent_start_ns"]])
        order = np.lexsort((start, pid))  # stable: ring order within one identity, age within one pid
        edge = np.ones(2 * n, np.bool_)
        edge[1:] = (np.diff(pid[order]) != 0) | (np.diff(start[order]) != 0)
        group = np.empty(2 * n, np.intp)
        group[order] = np.cumsum(edge) - 1
        first = order[edge]  # a group's first mention: below n when the batch holds an event of it
        g_pid, g_start = pid[first], start[first]
        holder = self._by_pid[g_pid].astype(np.intp) - 1
        held_start = self._rows["start_ns"][holder]
        g_slot = np.where((holder >= 0) & (held_start == g_start), holder, -1)
        fresh = np.flatnonzero((first < n) & (g_slot < 0) & ~((holder >= 0) & (held_start > g_start)))
        opening = events[first[fresh]]
        g_slot[fresh] = self._add(opening["pid"], opening["start_ns"])
        self.totals.missed_forks += int(np.count_nonzero(opening["kind"] != Kind.FORK))

        has = np.flatnonzero(g_slot >= 0)
        before = np.where(g_pid[has] == np.roll(g_pid[has], 1), np.roll(g_slot[has], 1), holder[has])
        before[:1] = holder[has[:1]]
        is_new = np.isin(has, fresh)
        outlived = is_new & (before >= 0)
        replaced = before[outlived], events["ts_ns"][first[has[outlived]]]
        self._by_pid[g_pid[has]] = g_slot[has] + 1  # the youngest of a pid comes last and stays

        parents = g_slot[group[n:]]
        unnamed = np.flatnonzero(events["parent_start_ns"] == 0)  # a sight that cannot tell: whoever has the pid
        parents[unnamed] = self._by_pid[events["ppid"][unnamed]] - 1
        parents[events["ppid"] == 0] = -1
        made = g_slot[fresh]
        self._adopt(made, parents[first[fresh]])
        return g_slot[group[:n]], parents, replaced

    def _add(self, pid: NDArray[np.uint32], start_ns: NDArray[np.uint64]) -> Index:
        slots = self._slots.take(len(pid))
        while self._slots.top > len(self._rows):
            self._grow()
        self._rows[slots] = 0
        self._hidden[slots] = 0
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
        self._forks.clear(slots)
        self._short.clear(slots)
        self._rss.clear(slots)
        return slots

    def _grow(self) -> None:
        size = 2 * len(self._rows)
        for name in ("_rows", "_hidden"):
            old = getattr(self, name)
            grown = np.zeros(size, old.dtype)
            grown[: len(old)] = old
            setattr(self, name, grown)
        for history in (self._forks, self._short, self._rss, self._texts):
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

    def _apply_forks(self, events: Array, slots: Index, parents: Index, which: Index) -> None:
        child, parent, ts_ns = slots[which], parents[which], events["ts_ns"][which]
        self._rows["first_ns"][child] = ts_ns
        self._rows["preexisting"][child] = False
        unsampled = child[self._rows["cpu_ns"][child] == 0]
        self._hidden["cpu_since_ns"][unsampled] = self._rows["first_ns"][unsampled]
        self._adopt(child, parent)
        self._forks.add(parent[parent >= 0], ts_ns[parent >= 0])
        self.totals.forks += len(which)

    def _apply_execs(self, events: Array, slots: Index, which: Index) -> None:
        at = slots[which]
        self._rows["exec_ns"][at] = events["ts_ns"][which]
        once = np.unique(at)
        self._texts.replace(once, at, events["text_seq"][which])
        comm = self._rows["comm"][once]
        self._rows["own"][once] = np.isin(comm, _OWN_COMMS) | (self._rows["own"][once] & np.isin(comm, _OWN_CHILDREN))
        self.totals.execs += len(which)

    def _apply_exits(
        self, events: Array, slots: Index, which: Index
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Index]:
        """Masks over ``events`` of short jobs and of failures, and the parents of the short jobs."""
        at, told, rows = slots[which], events[which], self._rows
        self.totals.missed_exits -= int(np.count_nonzero(self._hidden["assumed"][at]))
        self._hidden["assumed"][at] = False
        self._bury(at, told["ts_ns"])
        rows["exit_code"][at] = told["exit_code"]
        rows["exit_signal"][at] = told["exit_signal"]
        rows["cpu_ns"][at] = np.maximum(rows["cpu_ns"][at], told["cpu_ns"])
        peak = told["max_rss_pages"] * np.uint64(self._page_size)
        rows["max_rss_bytes"][at] = np.maximum(rows["max_rss_bytes"][at], peak)

        short = np.zeros(len(events), np.bool_)
        short[which] = told["ts_ns"] < rows["first_ns"][at] + np.uint64(SHORT_NS)
        failed = np.zeros(len(events), np.bool_)
        failed[which] = (told["exit_code"] != 0) | (told["exit_signal"] != 0)
        parents = self._parent(at[short[which]])
        self._short.add(parents[parents >= 0], told["ts_ns"][short[which]][parents >= 0])
        self.totals.exits += len(which)
        self.totals.short_jobs += int(np.count_nonzero(short))
        self.totals.failed_exits += int(np.count_nonzero(failed))
        return short, failed, parents[parents >= 0]

    def _bury(self, slots: Index, exit_ns: NDArray[np.uint64] | int) -> None:
        """A process that has exited uses nothing; what it used in all stays in ``cpu_ns`` and ``max_rss_bytes``."""
        self._rows["exit_ns"][slots] = exit_ns
        self._rows["alive"][slots] = False
        self._rows["state"][slots] = b"X"
        for name in ("cpu_pct", "mem_pct", "rss_bytes", "rss_growth_bytes", "rss_window_ns", "threads"):
            self._rows[name][slots] = 0

    def _conclude_exits(self, slots: Index, exit_ns: NDArray[np.uint64] | int) -> None:
        """Those of ``slots`` that still live have exited without an event."""
        living = self._rows["alive"][slots]
        self._bury(slots[living], exit_ns[living] if isinstance(exit_ns, np.ndarray) else exit_ns)
        self._hidden["assumed"][slots[living]] = True
        self.totals.missed_exits += int(np.count_nonzero(living))

    def _revive(self, slots: Index) -> None:
        """Word came from processes whose exit had been concluded."""
        wrong = slots[self._hidden["assumed"][slots]]
        self._hidden["assumed"][wrong] = False
        self._rows["alive"][wrong] = True
        self._rows["exit_ns"][wrong] = 0
        self._rows["state"][wrong] = b"R"
        self.totals.missed_exits -= len(wrong)

    def _advance(self, now_ns: int) -> bool:
        """Let time pass in the sliding counts; True when those of every process may have changed."""
        ended = [window.advance(now_ns) for window in (self._forks, self._short)]
        return any(ended)

    def _refresh_windows(self, which: Index | slice) -> None:
        self._rows["forks"][which] = self._forks.counts(which)
        self._rows["short_children"][which] = self._short.counts(which)

    # -- what was sampled ---------------------------------------------------------------------------------------

    def sample(
        self,
        rows: Array,
        now_ns: int,
        mem_total_bytes: int,
        *,
        boot_offset_ns: int = 0,
        texts: Array = _EMPTY_TEXTS,
    ) -> None:
        """Take in all processes as they were at ``now_ns`` (dtype PROCESS). The first sample seeds the table.

        ``boot_offset_ns`` is CLOCK_BOOTTIME less CLOCK_MONOTONIC: the time the host was suspended. ``texts`` are
        those of processes that ran before the daemon did.
        """
        self._view = None
        self._boot_offset_ns = boot_offset_ns
        self._samples += 1
        holder = self._by_pid[rows["pid"]].astype(np.intp) - 1
        held_start = np.where(holder >= 0, self._rows["start_ns"][holder], 0)
        fresh = (holder < 0) | (held_start < rows["start_ns"])  # held_start greater: the sample is older than events
        replaced = holder[fresh & (holder >= 0)]
        slots = np.where(held_start == rows["start_ns"], holder, -1)
        made = slots[fresh] = self._add(rows["pid"][fresh], rows["start_ns"][fresh])
        self._by_pid[rows["pid"][fresh]] = made + 1
        self._conclude_exits(replaced, now_ns)
        self._rows["preexisting"][made] = self._samples == 1
        self._rows["last_ts_ns"][made] = now_ns
        self.totals.missed_forks += len(made) if self._samples > 1 else 0

        rows, slots = rows[slots >= 0], slots[slots >= 0]
        self._hidden["seen"][slots] = self._samples
        self._revive(slots)
        living = self._rows["alive"][slots]
        zombies = slots[~living & (rows["state"] == b"Z")]
        self._rows["state"][zombies] = b"Z"
        self._usage(slots[living], rows[living], now_ns, mem_total_bytes)
        self._own_and_parents(made, rows[np.isin(slots, made)])
        self._take_texts(texts, np.full(len(texts), -1, np.intp))

        top = self._slots.top
        hidden, kept = self._hidden[:top], self._rows[:top]
        # Absent once may mean that its exit event is still in the ring; absent twice means that there was none.
        absent = hidden["used"] & (hidden["seen"] + 2 <= self._samples) & (kept["first_ns"] < now_ns)
        self._conclude_exits(np.flatnonzero(absent & kept["alive"]), now_ns)
        kept["state"][absent & (kept["state"] == b"Z")] = b"X"
        if self._advance(now_ns):
            self._refresh_windows(slice(0, top))

    def _usage(self, slots: Index, now: Array, now_ns: int, mem_total_bytes: int) -> None:
        rows, hidden = self._rows, self._hidden
        for name in ("ppid", "uid", "gid", "cgroup_id", "threads", "kthread", "state", "comm", "rss_bytes"):
            rows[name][slots] = now[name]
        used_ns = now["cpu_ns"].astype(np.int64) - hidden["cpu_base_ns"][slots].astype(np.int64)
        elapsed_ns = np.maximum(now_ns - hidden["cpu_since_ns"][slots].astype(np.int64), MIN_ELAPSED_NS)
        unknown = rows["preexisting"][slots] & (self._samples == 1)  # no earlier reading to compare with
        # A thread that died during the walk is in neither total: the count steps back once, never the percentage.
        rows["cpu_pct"][slots] = np.where(unknown, 0.0, 100.0 * np.maximum(used_ns, 0) / elapsed_ns)
        cpu_ns = np.maximum(now["cpu_ns"], rows["cpu_ns"][slots])
        rows["cpu_ns"][slots] = cpu_ns
        hidden["cpu_base_ns"][slots] = cpu_ns
        hidden["cpu_since_ns"][slots] = now_ns
        rows["mem_pct"][slots] = 100.0 * now["rss_bytes"] / max(mem_total_bytes, 1)
        rows["max_rss_bytes"][slots] = np.maximum(rows["max_rss_bytes"][slots], now["rss_bytes"])
        growth, window = self._rss.record(slots, now["rss_bytes"], now_ns)
        rows["rss_growth_bytes"][slots] = growth
        rows["rss_window_ns"][slots] = window

    def _own_and_parents(self, made: Index, now: Array) -> None:
        """Lineage of processes met in a sample; only their pids are known, so whoever holds the pid is meant."""
        parents = np.where(now["ppid"] > 0, self._by_pid[now["ppid"]].astype(np.intp) - 1, -1)
        self._rows["parent_start_ns"][made] = np.where(parents >= 0, self._rows["start_ns"][parents], 0)
        self._adopt(made, parents)
        comm = self._rows["comm"][made]
        own = np.isin(comm, _OWN_COMMS)
        self._rows["own"][made] = own
        theirs = (parents >= 0) & self._rows["own"][parents]
        self._rows["own"][made] |= theirs & np.isin(comm, _OWN_CHILDREN)

    # -- what was run -------------------------------------------------------------------------------------------

    def _take_texts(self, texts: Array, slots: Index) -> None:
        own = self._texts.take(texts, slots, self._locate)
        self._rows["own"][own] = True

    def _locate(self, pid: NDArray[np.uint32], start_ns: NDArray[np.uint64]) -> Index:
        """Slots of these identities, -1 where unknown."""
        holder = self._by_pid[pid].astype(np.intp) - 1
        return np.where((holder >= 0) & (self._rows["start_ns"][holder] == start_ns), holder, -1)

    def _text(self, slot: int) -> int:
        """Handle of what ``slot`` runs: its own exec's text, else that of the forebear it is a copy of; -1 unknown."""
        for _ in range(16):
            if self._texts.handle(slot) >= 0 or self._rows["exec_ns"][slot]:
                return self._texts.handle(slot)
            parent = int(self._parent(np.array([slot]))[0])
            if parent < 0 or self._rows["exec_ns"][parent] > self._rows["first_ns"][slot]:
                return -1
            slot = parent
        return -1

    def filename(self, slot: int) -> str | None:
        """Path that the process in ``slot`` was started from, None if unknown."""
        text = self._text(slot)
        return self._texts.filename(text) if text >= 0 else None

    def argv(self, slot: int) -> list[str]:
        """Its command line, redacted; empty if unknown."""
        text = self._text(slot)
        return self._texts.argv(text) if text >= 0 else []

    # -- what is forgotten --------------------------------------------------------------------------------------

    def expire(self, now_ns: int) -> int:
        """Forget exited processes whose retention is over; how many. A zombie stays while it is one."""
        rows = self._rows[: self._slots.top]
        over = self._exited() & (rows["exit_ns"] + np.uint64(self._retention_ns) < now_ns)
        gone = np.flatnonzero(over)
        self._forget(gone)
        return len(gone)

    def _exited(self) -> NDArray[np.bool_]:
        top = self._slots.top
        rows = self._rows[:top]
        exited: NDArray[np.bool_] = self._hidden["used"][:top] & ~rows["alive"] & (rows["state"] != b"Z")
        return exited

    def _evict(self) -> Index:
        """Keep the exited within their bound: the oldest go, a sixteenth at a time so that storms do not pay twice."""
        if len(self._slots) <= self._max_exited:
            return np.zeros(0, np.intp)
        exited = np.flatnonzero(self._exited())
        if len(exited) <= self._max_exited:
            return exited[:0]
        excess = len(exited) - (self._max_exited - self._max_exited // 16)
        oldest = exited[np.argsort(self._rows["exit_ns"][exited], kind="stable")[:excess]]
        self._forget(oldest)
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

    # -- what is known ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Living and exited together."""
        return len(self._slots)

    def rows(self) -> Rows:
        """All processes, dtype ROW, in no particular order. A copy that later updates leave alone."""
        if self._view is None:
            self._view = self._rows[np.flatnonzero(self._hidden["used"][: self._slots.top])]
            self._view.flags.writeable = False
        return self._view

    def at(self, slots: Index) -> Rows:
        """The rows of these slots; a copy."""
        return self._rows[slots]

    def set_tags(self, slots: Index, tags: NDArray[np.uint32]) -> None:
        """Note the tags that the pipeline computed for these slots."""
        self._view = None
        self._rows["tags"][slots] = tags

    def find(self, pid: int) -> np.void | None:
        """The row of the youngest process of this pid, living or exited; None if unknown."""
        slot = int(self._by_pid[pid]) - 1 if 0 <= pid <= PID_LIMIT else -1
        return cast(np.void, self._rows[slot].copy()) if slot >= 0 else None

    def children(self, pid: int) -> Rows:
        """Processes whose parent is ``pid`` now, living and exited."""
        rows = self.rows()
        children: Rows = rows[rows["ppid"] == pid]
        return children

    def rss_history(self, slot: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Resident bytes of the last minute: times (CLOCK_MONOTONIC ns) and values, oldest first."""
        return self._rss.history(slot)
