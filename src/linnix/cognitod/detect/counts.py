"""Detectors that count events in a sliding window: forks of the host, forks of a tree, short jobs.

Owns the thresholds' meaning and who is behind the events: the parent that forks, or the nearest ancestor it shares
with the others. Refuses single children: they die by design. Invariant: threads are never counted, because no event
tells of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.lineage import Holder, Lineage
from linnix.cognitod.detect.params import ForkBurst, ForksPerSec, RunawayTree, ShortJobFlood
from linnix.cognitod.detect.view import Hit, View, Who
from linnix.cognitod.events import Array

#: Parents are looked up for at most this many events of a window: enough for shares, and bounded.
_ATTRIBUTED = 16_384


@dataclass
class HostForks:
    """``forks_per_sec`` and ``fork_burst``: forks of the whole host in a window reach a number."""

    cls: str
    needed: float
    window_s: float
    sampled: bool = False

    @classmethod
    def per_second(cls, params: ForksPerSec) -> HostForks:
        """At least ``threshold`` forks even in a window shorter than a second, as in the original."""
        return cls(params.cls, max(params.threshold * params.duration, params.threshold), params.duration)

    @classmethod
    def burst(cls, params: ForkBurst) -> HostForks:
        """A number of forks, however they are spread over the window."""
        return cls(params.cls, params.threshold, params.window_seconds)

    def observe(self, view: View) -> list[Hit]:
        """One hit while the count is reached, with the process behind the forks where there is one."""
        forks, window_s = view.recent.forks.window(view.now_ns, self.window_s)
        if len(forks) < self.needed:
            return []
        behind = _behind(forks, view.forkers)
        evidence = {
            "forks": float(len(forks)),
            "forks_per_s": round(len(forks) / window_s, 1),
            "execs_per_s": round(view.activity.execs_per_s, 1),
            "window_s": window_s,
            "threshold": float(self.needed),
        }
        message = f"{len(forks)} forks in {window_s:g} s ({evidence['forks_per_s']:g}/s)"
        return [_hit(self.cls, message, behind, evidence)]


@dataclass
class TreeForks:
    """``runaway_tree``: one process and its descendants forked a number of times in a window."""

    params: RunawayTree
    sampled: bool = False

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process that reaches it and has no descendant that does."""
        threshold = self.params.threshold
        forks, window_s = view.recent.forks.window(view.now_ns, self.params.window_seconds)
        if len(forks) < threshold:
            return []
        tree = view.forkers
        totals = np.array(tree.totals(_by_parent(forks, tree)))
        hits = []
        for at in tree.nearest(tree.eligible() & (totals >= threshold)):
            evidence = {"forks": float(totals[at]), "window_s": window_s, "threshold": float(threshold)}
            message = f"{int(totals[at])} forks in {window_s:g} s by one process and its descendants"
            hits.append(Hit(cls=self.params.cls, message=message, culprit=Who.of(tree.rows[at]), evidence=evidence))
        return hits


@dataclass
class ShortJobs:
    """``short_job_flood``: programs that were run and ended within a moment, by the host, in a window."""

    params: ShortJobFlood
    sampled: bool = False

    def observe(self, view: View) -> list[Hit]:
        """One hit while the count is reached, with the process that keeps starting them where there is one."""
        limit_ms = self.params.max_exec_duration_ms
        jobs, window_s = view.recent.jobs.window(view.now_ns, self.params.window_seconds)
        jobs = jobs[jobs["lifetime_us"] <= limit_ms * 1000]
        if len(jobs) < self.params.threshold:
            return []
        evidence = {
            "jobs": float(len(jobs)),
            "short_jobs_per_s": round(len(jobs) / window_s, 1),
            "median_lifetime_ms": round(float(np.median(jobs["lifetime_us"])) / 1000, 1),
            "window_s": window_s,
            "threshold": float(self.params.threshold),
        }
        message = f"{len(jobs)} programs lived at most {limit_ms:g} ms, in {window_s:g} s"
        return [_hit(self.params.cls, message, _behind(jobs, view.forkers), evidence)]


def _behind(events: Array, tree: Lineage) -> Holder | None:
    return tree.holder(_by_parent(events[-_ATTRIBUTED:], tree))


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
