"""Detectors that count events in a sliding window: forks of the host, forks of a tree, short jobs.

Owns the thresholds' meaning and who is behind the events: the parent that forks, or the nearest ancestor it shares
with the others. Refuses single children: they die by design. Invariant: threads are never counted, because no event
tells of them.

A window remembers what is over. So a condition holds only while events keep coming, and who is behind them is told
from the latest: else, once a storm has ended with its culprit, its ancestors would be accused in turn.

Once it is known who is behind them, what is said of it stands until the next sample: to ask a tree of thousands anew at
each of several steps a second would cost more than all else that counts, and tell nothing new.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.lineage import Holder, Lineage
from linnix.cognitod.detect.params import ForkBurst, ForksPerSec, RunawayTree, ShortJobFlood
from linnix.cognitod.detect.view import NS, Hit, View, Who
from linnix.cognitod.events import Array

#: Parents are looked up for at most this many events of a window: enough for shares, and bounded.
_ATTRIBUTED = 4096


#: The latest part of a window, as a share of it, and at least so many seconds.
_LATEST_SHARE = 0.2
_LATEST_S = 2.0
#: Events keep coming while the latest part has this share of what the threshold would put there.
_PACE = 0.5
#: A process that has exited is still named if it lived this long and events ended with it.
_LONG_LIVED_NS = 2_000_000_000
#: What is said of who is known stands no longer than this, though no sample comes.
_STANDS_NS = 1_000_000_000


@dataclass
class _Counting(ABC):
    """A detector whose answer stands until the next sample, unless nobody is known to be behind what it counts."""

    sampled = False
    _behind: Holder | None = field(default=None, init=False)  # now, and when it looked before
    _was: Holder | None = field(default=None, init=False)
    _said: list[Hit] = field(default_factory=list, init=False)
    _stands_until_ns: int = field(default=0, init=False)
    _sample_ns: int = field(default=-1, init=False)

    def observe(self, view: View) -> list[Hit]:
        """What it finds now, or found a moment ago."""
        if view.now_ns >= self._stands_until_ns or view.snapshot.ts_ns != self._sample_ns:
            self._said, self._sample_ns = self.look(view), view.snapshot.ts_ns
            known = self._behind is not None or any(hit.culprit is not None for hit in self._said)
            self._stands_until_ns = view.now_ns + _STANDS_NS * known
        return self._said

    @abstractmethod
    def look(self, view: View) -> list[Hit]:
        """What it finds now."""


@dataclass
class HostForks(_Counting):
    """``forks_per_sec`` and ``fork_burst``: forks of the whole host in a window reach a number."""

    cls: str
    needed: float
    window_s: float
    max_exec_pct: float | None = None

    @classmethod
    def per_second(cls, params: ForksPerSec) -> HostForks:
        """At least ``threshold`` forks even in a window shorter than a second, as in the original."""
        needed = max(params.threshold * params.duration, params.threshold)
        return cls(params.cls, needed, params.duration, params.max_exec_pct)

    @classmethod
    def burst(cls, params: ForkBurst) -> HostForks:
        """A number of forks, however they are spread over the window."""
        return cls(params.cls, params.threshold, params.window_seconds)

    def look(self, view: View) -> list[Hit]:
        """One hit while the count is reached, with the process behind the forks where there is one."""
        self._was, self._behind = self._behind, None
        ring = view.recent.forks
        forks, window_s = ring.count(view.now_ns, self.window_s)
        if forks < self.needed:
            return []
        latest = ring.since(view.now_ns - round(_latest_s(self.window_s) * NS))
        if not _going_on(forks, len(latest), self.needed, self.window_s):
            return []
        self._behind, exec_pct = view.once(
            ("whose forks", _latest_s(self.window_s), None if self._was is None else Who.of(self._was.row)),
            lambda: _whose_forks(latest, view, self._was),
        )
        if self.max_exec_pct is not None and exec_pct > self.max_exec_pct:
            return []
        evidence = {
            "forks": float(forks),
            "forks_per_s": round(forks / window_s, 1),
            "exec_pct": round(exec_pct, 1),
            "window_s": window_s,
            "threshold": float(self.needed),
        }
        message = f"{forks} forks in {window_s:g} s ({evidence['forks_per_s']:g}/s)"
        return [_hit(self.cls, message, self._behind, evidence)]


@dataclass
class TreeForks(_Counting):
    """``runaway_tree``: one process and its descendants forked a number of times in a window."""

    params: RunawayTree

    def look(self, view: View) -> list[Hit]:
        """A hit for each process that reaches it, still forks, and has no descendant that does."""
        threshold = self.params.threshold
        forks, window_s = view.recent.forks.window(view.now_ns, self.params.window_seconds)
        latest = forks.compress(forks["ts_ns"] > view.now_ns - round(_latest_s(self.params.window_seconds) * NS))
        if not _going_on(len(forks), len(latest), threshold, self.params.window_seconds):
            return []
        tree = view.forkers
        totals = np.array(tree.totals(_by_parent(forks, tree)))
        going_on = np.array(tree.totals(_by_parent(latest, tree))) > 0
        hits = []
        for at in tree.nearest(tree.eligible() & (totals >= threshold) & going_on):
            evidence = {"forks": float(totals[at]), "window_s": window_s, "threshold": float(threshold)}
            message = f"{int(totals[at])} forks in {window_s:g} s by one process and its descendants"
            hits.append(Hit(cls=self.params.cls, message=message, culprit=Who.of(tree.rows[at]), evidence=evidence))
        return hits


@dataclass
class ShortJobs(_Counting):
    """``short_job_flood``: programs that were run and ended within a moment, by the host, in a window."""

    params: ShortJobFlood

    def look(self, view: View) -> list[Hit]:
        """One hit while the count is reached, with the process that keeps starting them where there is one."""
        limit_ms = self.params.max_exec_duration_ms
        self._was, self._behind = self._behind, None
        ring, asked_s = view.recent.jobs, self.params.window_seconds
        _, window_s = ring.count(view.now_ns, asked_s)
        lived_us = ring.column("lifetime_us", view.now_ns - round(asked_s * NS)).astype(np.float64)
        lived_us = lived_us[lived_us <= limit_ms * 1000]
        if len(lived_us) < self.params.threshold:
            return []
        latest = ring.since(view.now_ns - round(_latest_s(asked_s) * NS))
        latest = latest.compress(latest["lifetime_us"] <= limit_ms * 1000)
        if not _going_on(len(lived_us), len(latest), self.params.threshold, asked_s):
            return []
        self._behind = _find_behind(latest, view, self._was)
        evidence = {
            "jobs": float(len(lived_us)),
            "short_jobs_per_s": round(len(lived_us) / window_s, 1),
            "median_lifetime_ms": round(float(np.median(lived_us)) / 1000, 1),
            "window_s": window_s,
            "threshold": float(self.params.threshold),
        }
        message = f"{len(lived_us)} programs lived at most {limit_ms:g} ms, in {window_s:g} s"
        return [_hit(self.params.cls, message, self._behind, evidence)]


def _latest_s(window_s: float) -> float:
    """How long the latest part of a window is."""
    return min(max(window_s * _LATEST_SHARE, _LATEST_S), window_s)


def _going_on(number: int, latest: int, needed: float, window_s: float) -> bool:
    """Whether the events of a window reach the number, and those of its latest part keep coming."""
    return number >= needed and latest >= needed * _latest_s(window_s) / window_s * _PACE


def _find_behind(events: Array, view: View, before: Holder | None) -> Holder | None:
    events, tree = events[-_ATTRIBUTED:], view.forkers
    if before is not None and _took_them_along(_now(before.row, view), events):
        return before
    weights = _by_parent(events, tree)
    if len(weights) and weights.max() > len(events) / 2:
        top = tree.rows[int(np.argmax(weights))]
        if _took_them_along(top, events):
            return Holder(top, float(weights.max()) / len(events))
    return tree.resident(weights, whole=float(len(events)), before=before)


def _whose_forks(latest: Array, view: View, before: Holder | None) -> tuple[Holder | None, float]:
    behind = _find_behind(latest, view, before)
    return behind, _exec_pct(latest, view, behind)


def _exec_pct(forks: Array, view: View, behind: Holder | None) -> float:
    """Programs that were run since the first of these forks, in percent of them: of the family of who is behind them,
    where there is one. What a build beside it runs says nothing about a loop.
    """
    execs = view.recent.execs.since(int(forks["ts_ns"].min()))
    if behind is not None:
        below = view.forkers.below(behind.row)
        of_family, run = _not_elsewhere(forks, view.forkers, below), _not_elsewhere(execs, view.forkers, below)
        if of_family >= len(forks) / 3:  # else it is of one that has exited, while others go on
            return 100 * run / of_family
    return 100 * len(execs) / len(forks)


def _not_elsewhere(events: Array, tree: Lineage, below: NDArray[np.bool_]) -> int:
    """How many may be of children of the marked: all but those of whose parent it is known that it is not."""
    at = tree.indices(events["ppid"], events["parent_start_ns"])
    return int(np.count_nonzero((at < 0) | below[at]))


def _now(row: np.void, view: View) -> np.void | None:
    """The row of the same process as it is now, None if the table has forgotten it."""
    same = view.rows[(view.rows["pid"] == row["pid"]) & (view.rows["start_ns"] == row["start_ns"])]
    return same[0] if len(same) else None


def _took_them_along(row: np.void | None, events: Array) -> bool:
    """Whether a process lived for a while and, when it exited, the events ended with it."""
    if row is None or row["alive"] or row["own"]:
        return False
    ended_ns = int(row["exit_ns"])
    after = int(np.count_nonzero(events["ts_ns"] > ended_ns))
    return ended_ns - int(row["first_ns"]) >= _LONG_LIVED_NS and after < len(events) / 10


def _by_parent(events: Array, tree: Lineage) -> NDArray[np.float64]:
    """Events per row of the tree; those whose parent is not in it are left out."""
    at = tree.indices(events["ppid"], events["parent_start_ns"])
    return np.bincount(at[at >= 0], minlength=len(tree.rows)).astype(np.float64)


def _hit(cls: str, message: str, behind: Holder | None, evidence: dict[str, float]) -> Hit:
    if behind is None:
        return Hit(cls=cls, message=f"{message}, by no one process", evidence=evidence)
    evidence["share_pct"] = round(100 * behind.share, 1)
    culprit = Who.of(behind.row)
    message = f"{message}, {evidence['share_pct']:g} % by pid {culprit.pid} and its descendants"
    return Hit(cls=cls, message=message, culprit=culprit, evidence=evidence)
