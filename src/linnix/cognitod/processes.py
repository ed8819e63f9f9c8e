"""The process table: who runs, who ran lately, who made whom.

Owns identity, lineage, usage and the fate of every process, as numpy arrays indexed by slot. Refuses clocks, files
and threads: time arrives as ``now_ns``, and one thread owns a table. Invariant: after any batch the table is what
applying its events one by one would have made it; ``tests/unit/cognitod/test_table_oracle.py`` keeps that oracle.

A process is (pid, start_ns): PIDs come back. Events may be missing (lost in the ring, or the daemon started late);
what can be concluded from later ones and from samples is, and counted as missed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import EXEC_TEXT, Array, Batch, Kind
from linnix.cognitod.exec_texts import join
from linnix.cognitod.handles import Index, distinct
from linnix.cognitod.slots import WINDOW_S, Slots

__all__ = ["SHORT_NS", "WINDOW_S", "Table", "Update"]

#: A process that lived less than this is a short job.
SHORT_NS = 1_000_000_000
#: A process younger than this would get its CPU percentage from noise.
MIN_ELAPSED_NS = 10_000_000

#: So many dead generations are gone up to somebody who lives.
_DEAD_FOREBEARS = 4
#: Of one child in one account, lest sums of many wrap around.
_MOST = 1 << 28

_OWN_COMMS = np.array([b"cognitod", b"linnix", b"linnix-reasoner", b"linnix-model"])
_OWN_CHILDREN = np.array([b"llama-server"])
_EMPTY_TEXTS = np.zeros(0, EXEC_TEXT)


@dataclass(frozen=True, slots=True)
class Update:
    """What a batch did, aligned with its events."""

    slots: Index  # of each event's process; -1 where the event was of a process long replaced
    text_at: NDArray[np.int32]  # index into the batch's texts, -1 none
    short: NDArray[np.bool_]  # exits of short jobs
    failed: NDArray[np.bool_]  # exits with a code or by a signal
    changed: Index  # every slot whose row changed, ascending


class Table(Slots):
    """All processes of the host, living and lately exited."""

    def update(self, batch: Batch) -> Update:
        """Apply a batch of events in ring order, and the texts that came with it."""
        self._view = None
        events = batch.events
        ended = self._advance(int(events["ts_ns"].max())) if len(events) else False
        slots, parents, replaced = self._identify(events)
        known = slots >= 0
        self.totals.stale += int(len(events) - np.count_nonzero(known))
        of_kind = [np.flatnonzero(known & (events["kind"] == kind)) for kind in Kind]
        at, told = slots[known], events.compress(known)
        for name in ("ppid", "parent_start_ns", "uid", "gid", "cgroup_id", "comm"):
            self._rows[name][at] = told[name]  # in ring order, so the last one stays
        self._rows["last_ts_ns"][at] = told["ts_ns"]
        self._rows["last_kind"][at] = told["kind"]
        self._revive(distinct(slots[known & (events["kind"] != Kind.EXIT)]))

        self._apply_forks(events, slots, parents, of_kind[Kind.FORK])
        supervised = self._apply_execs(events, slots, of_kind[Kind.EXEC])
        text_at = join(events, batch.texts)
        of_texts = np.full(len(batch.texts), -1, np.intp)
        of_texts[text_at[text_at >= 0]] = slots[text_at >= 0]
        self._take_texts(batch.texts, of_texts)
        short, failed, bereaved = self._apply_exits(events, slots, of_kind[Kind.EXIT])
        self._conclude_exits(*replaced)

        born_by = parents[of_kind[Kind.FORK]]
        changed = distinct(np.concatenate([at, born_by[born_by >= 0], supervised, bereaved]))
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
        is_new = (first < n) & (g_slot < 0) & ~((holder >= 0) & (held_start > g_start))
        fresh = np.flatnonzero(is_new)
        opening = events.take(first[fresh])
        g_slot[fresh] = self._add(opening["pid"], opening["start_ns"])
        self.totals.missed_forks += int(np.count_nonzero(opening["kind"] != Kind.FORK))

        has = np.flatnonzero(g_slot >= 0)
        before = holder[has]
        again = np.flatnonzero(g_pid[has[1:]] == g_pid[has[:-1]])
        before[again + 1] = g_slot[has[again]]
        outlived = is_new[has] & (before >= 0)
        replaced = before[outlived], events["ts_ns"][first[has[outlived]]]
        self._by_pid[g_pid[has]] = g_slot[has] + 1  # the youngest of a pid comes last and stays

        parents = g_slot[group[n:]]
        unnamed = np.flatnonzero(events["parent_start_ns"] == 0)  # a sight that cannot tell: whoever has the pid
        parents[unnamed] = self._by_pid[events["ppid"][unnamed]] - 1
        parents[events["ppid"] == 0] = -1
        made = g_slot[fresh]
        self._adopt(made, parents[first[fresh]])
        return g_slot[group[:n]], parents, replaced

    def _apply_forks(self, events: Array, slots: Index, parents: Index, which: Index) -> None:
        child, parent, ts_ns = slots[which], parents[which], events["ts_ns"][which]
        self._rows["first_ns"][child] = ts_ns
        self._rows["preexisting"][child] = False
        unsampled = child[self._rows["cpu_ns"][child] == 0]
        self._hidden["cpu_since_ns"][unsampled] = self._rows["first_ns"][unsampled]
        self._adopt(child, parent)
        self._inherit_homes(child)
        self._lately["forks"].add(parent[parent >= 0], ts_ns[parent >= 0])
        self.totals.forks += len(which)

    def _apply_execs(self, events: Array, slots: Index, which: Index) -> Index:
        """Returns the parents of those that ran a program."""
        if not len(which):
            return which
        at = slots[which]
        self._rows["exec_ns"][at] = events["ts_ns"][which]
        once = distinct(at)
        self._texts.replace(once, at, events["text_seq"][which])
        comm = self._rows["comm"][once]
        self._rows["own"][once] = np.isin(comm, _OWN_COMMS) | (self._rows["own"][once] & np.isin(comm, _OWN_CHILDREN))
        self.totals.execs += len(which)
        return self._count("child_execs", self._parent(at), events["ts_ns"][which])

    def _count(self, name: str, parents: Index, ts_ns: NDArray[np.uint64]) -> Index:
        """One child each of these (-1: nobody known) did something then. Returns those who are known."""
        known = parents >= 0
        self._lately[name].add(parents[known], ts_ns[known])
        return parents[known]

    def _apply_exits(
        self, events: Array, slots: Index, which: Index
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Index]:
        """Masks over ``events`` of short jobs and of failures, and the parents of all that ended."""
        at, told, rows = slots[which], events.take(which), self._rows
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
        parents = self._parent(at)
        bereaved = self._count("child_exits", parents, told["ts_ns"])
        for name, mask in (("short_children", short[which]), ("failed_children", failed[which])):
            self._count(name, parents[mask], told["ts_ns"][mask])
        self.totals.exits += len(which)
        self.totals.short_jobs += int(np.count_nonzero(short))
        self.totals.failed_exits += int(np.count_nonzero(failed))
        return short, failed, bereaved

    def settle(self, accounts: Array) -> None:
        """Raise what exited processes used to their final accounts (dtype ACCOUNT); those already forgotten are passed
        over. Times and counts that a sample saw are kept where the account, begun later, has less.
        """
        slots = self._locate(accounts["pid"], accounts["start_ns"])
        slots, final = slots[slots >= 0], accounts[slots >= 0]
        if not len(slots):
            return
        self._view = None
        self._credit_parents(slots, final)
        self._rows["cpu_ns"][slots] = np.maximum(self._rows["cpu_ns"][slots], final["cpu_ns"])
        self._accounts.settle(slots, final, self._rows["cpu_ns"][slots])

    def _credit_parents(self, slots: Index, final: Array) -> None:
        """Add what these used since a sample last saw them to what their nearest living forebears' children did: a loop
        of short commands shows nowhere else.
        """
        above = self._alive_or_above(self._parent(slots))
        has = above >= 0
        slots, final, above = slots[has], final[has], above[has]
        seen = self._accounts.of(slots)
        ts_ns = self._rows["exit_ns"][slots]
        for name, now, before, unit in (
            ("child_cpu_us", final["cpu_ns"], self._hidden["cpu_base_ns"][slots].view(np.int64), 1000),
            ("child_read_kib", final["read_bytes"], seen["read_bytes"], 1024),
            ("child_write_kib", final["write_bytes"], seen["write_bytes"], 1024),
        ):
            used = np.maximum(now.astype(np.int64) - np.maximum(before, 0), 0) // unit
            self._lately[name].add(above, ts_ns, np.minimum(used, _MOST).astype(np.uint32))
        self._refresh_windows(distinct(above))

    def _alive_or_above(self, slots: Index) -> Index:
        """These where they live, else their nearest forebear that does; -1 where there is none, or it is not known."""
        at = slots.copy()
        for _ in range(_DEAD_FOREBEARS):
            dead = (at >= 0) & ~self._rows["alive"][at]
            if not dead.any():
                break
            at[dead] = self._parent(at[dead])
        return at

    def survivors(
        self, pid: NDArray[np.uint32], start_ns: NDArray[np.uint64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Pid and start of these identities where they live, else of their nearest forebear that does; 0 for none."""
        at = self._alive_or_above(self._locate(pid, start_ns))
        lives = (at >= 0) & self._rows["alive"][at]
        return np.where(lives, self._rows["pid"][at], 0), np.where(lives, self._rows["start_ns"][at], 0)

    def _advance(self, now_ns: int) -> bool:
        """Let time pass in the sliding counts; True when those of every process may have changed."""
        ended = [window.advance(now_ns) for window in self._lately.values()]
        return any(ended)

    def _refresh_windows(self, which: Index | slice) -> None:
        for name, window in self._lately.items():
            self._rows[name][which] = window.counts(which)

    def sample(
        self,
        rows: Array,
        now_ns: int,
        mem_total_bytes: int,
        *,
        swap_total_bytes: int = 0,
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
        self._conclude_exits(replaced, now_ns)
        if len(made):
            self._by_pid[rows["pid"][fresh]] = made + 1
            self._rows["preexisting"][made] = self._samples == 1
            self._rows["last_ts_ns"][made] = now_ns
            self.totals.missed_forks += len(made) if self._samples > 1 else 0

        if not (known := slots >= 0).all():
            rows, slots = rows.compress(known), slots[known]
        self._hidden["seen"][slots] = self._samples
        self._revive(slots)
        told, at = rows, slots
        living = self._rows["alive"][slots]
        zombies = slots[~living & (rows["state"] == b"Z")]
        self._rows["state"][zombies] = b"Z"
        if not living.all():
            rows, slots = rows.compress(living), slots[living]
        self._usage(slots, rows, now_ns, mem_total_bytes, swap_total_bytes)
        if len(made):
            self._own_and_parents(made, told.compress(np.isin(at, made)))
        self._take_texts(texts, np.full(len(texts), -1, np.intp))

        top = self._slots.top
        hidden, kept = self._hidden[:top], self._rows[:top]
        # Absent once may mean that its exit event is still in the ring; absent twice means that there was none.
        absent = hidden["used"] & (hidden["seen"] + 2 <= self._samples) & (kept["first_ns"] < now_ns)
        self._conclude_exits(np.flatnonzero(absent & kept["alive"]), now_ns)
        if absent.any():
            reaped = absent & (kept["state"] == b"Z")
            kept["state"][reaped] = b"X"
            self._exited_at_most += int(np.count_nonzero(reaped))
        if self._advance(now_ns):
            self._refresh_windows(slice(0, top))

    def _usage(self, slots: Index, now: Array, now_ns: int, mem_total_bytes: int, swap_total_bytes: int) -> None:
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
        self._accounts.record(
            slots,
            now,
            cpu_ns,
            elapsed_ns,
            unrated=unknown,
            mem_total_bytes=mem_total_bytes,
            swap_total_bytes=swap_total_bytes,
        )
        growth, window = self._rss.record(slots, now["rss_bytes"], now_ns)
        rows["rss_growth_bytes"][slots] = growth
        rows["rss_window_ns"][slots] = window

    def _own_and_parents(self, made: Index, now: Array) -> None:
        """Lineage of processes met in a sample; only their pids are known, so whoever holds the pid is meant."""
        parents = np.where(now["ppid"] > 0, self._by_pid[now["ppid"]].astype(np.intp) - 1, -1)
        self._rows["parent_start_ns"][made] = np.where(parents >= 0, self._rows["start_ns"][parents], 0)
        self._adopt(made, parents)
        self._inherit_homes(made)
        comm = self._rows["comm"][made]
        own = np.isin(comm, _OWN_COMMS)
        self._rows["own"][made] = own
        theirs = (parents >= 0) & self._rows["own"][parents]
        self._rows["own"][made] |= theirs & np.isin(comm, _OWN_CHILDREN)

    def _take_texts(self, texts: Array, slots: Index) -> None:
        own = self._texts.take(texts, slots, self._locate)
        self._rows["own"][own] = True
