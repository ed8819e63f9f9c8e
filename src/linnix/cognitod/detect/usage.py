"""Detectors of what a process, a tree or the host uses, held against a threshold for a while.

Owns the comparison (strictly above, as in the original), the time it must hold and who is named. Refuses events:
usage comes from samples. Invariant: each process has its own timer, kept by (pid, start_ns), so that neither
another process nor a reused pid can reset or inherit it.

Of a tree the lowest process that is above by itself or with its descendants is named: the compiler that runs for a
minute, not the build that started it; but the build, when its compilers each run for a second.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.lineage import Holder
from linnix.cognitod.detect.params import CpuPct, SubtreeCpuPct, SubtreeRssMb, SystemCpuPct, ZombieCount
from linnix.cognitod.detect.view import MIB, NS, Held, Hit, View, Who
from linnix.cognitod.model import Rows

Identity = tuple[int, int]

#: Above this a process keeps more than one core busy, so it is not one thread that loops.
_ONE_THREAD_PCT = 130.0
#: A host with more of its memory used than this is close to the OOM killer.
_NEARLY_FULL_PCT = 90.0


def identities(rows: Rows) -> list[Identity]:
    """(pid, start_ns) of each row."""
    return list(zip(rows["pid"].tolist(), rows["start_ns"].tolist(), strict=True))


def cpu_class(cpu_pct: float, cores: int) -> str:
    """``cpu_spin`` up to one thread's worth of CPU, ``cpu_saturation`` above."""
    return "cpu_saturation" if cpu_pct > _ONE_THREAD_PCT and cores > 1 else "cpu_spin"


class ProcessCpu:
    """``cpu_pct``: single processes. Kernel threads are left out: no one can stop them."""

    sampled = True

    def __init__(self, params: CpuPct) -> None:
        self._params = params
        self._held: Held[Identity] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process above for long enough."""
        rows = view.living
        above = rows.compress((rows["cpu_pct"] > self._params.threshold) & ~rows["kthread"])
        keys = identities(above)
        held = self._held.update(keys, view.now_ns)
        hits = []
        for row, key in zip(above, keys, strict=True):
            if key not in held:
                continue
            cpu_pct, for_s = float(row["cpu_pct"]), (view.now_ns - held[key]) / NS
            evidence = {
                "cpu_pct": round(cpu_pct, 1),
                "threads": float(row["threads"]),
                "threshold": self._params.threshold,
                "for_s": round(for_s, 1),
            }
            message = (
                f"pid {key[0]} uses {cpu_pct:.0f} % of a core, above {self._params.threshold:g} % for {for_s:.0f} s"
            )
            cls = cpu_class(cpu_pct, view.snapshot.cores)
            hits.append(Hit(cls=cls, message=message, culprit=Who.of(row), since_ns=held[key], evidence=evidence))
        return hits


class _Subtree:
    """Sums over each process and its living descendants."""

    sampled = True

    def __init__(self, threshold: float, duration_s: float) -> None:
        self._threshold = threshold
        self._held: Held[Identity] = Held(duration_s)

    def _above(self, view: View, weights: NDArray[np.float64], hit: Callable[[np.void, float, int], Hit]) -> list[Hit]:
        tree = view.tree
        totals = np.array(tree.totals(weights))
        above = np.flatnonzero(tree.eligible() & (totals > self._threshold))
        keys = identities(tree.rows[above])
        held = self._held.update(keys, view.now_ns)
        matured = np.zeros(len(tree.rows), np.bool_)
        since: dict[int, int] = {}
        for at, key in zip(above.tolist(), keys, strict=True):
            if key in held:
                matured[at] = True
                since[at] = held[key]
        return [hit(tree.rows[at], float(totals[at]), since[at]) for at in tree.nearest(matured)]


class SubtreeCpu(_Subtree):
    """``subtree_cpu_pct``."""

    def __init__(self, params: SubtreeCpuPct) -> None:
        super().__init__(params.threshold, params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for the lowest process of each tree above for long enough."""

        def hit(row: np.void, cpu_pct: float, since_ns: int) -> Hit:
            for_s = (view.now_ns - since_ns) / NS
            evidence = {
                "subtree_cpu_pct": round(cpu_pct, 1),
                "cpu_pct": round(float(row["cpu_pct"]), 1),
                "threshold": self._threshold,
                "for_s": round(for_s, 1),
            }
            message = (
                f"pid {row['pid']} and its descendants use {cpu_pct:.0f} % of a core, "
                f"above {self._threshold:g} % for {for_s:.0f} s"
            )
            cls = cpu_class(cpu_pct, view.snapshot.cores)
            return Hit(cls=cls, message=message, culprit=Who.of(row), since_ns=since_ns, evidence=evidence)

        return self._above(view, view.tree.rows["cpu_pct"].astype(np.float64), hit)


class SubtreeRss(_Subtree):
    """``subtree_rss_mb``. Pages that processes share are counted once for each, as RSS does."""

    def __init__(self, params: SubtreeRssMb) -> None:
        super().__init__(params.threshold, params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for the lowest process of each tree above for long enough.

        Much memory is not yet a leak: the class is ``mem_leak`` only if that process grew lately, else ``oom_risk``
        on a host that is nearly full, else ``unknown``.
        """

        def hit(row: np.void, mib: float, since_ns: int) -> Hit:
            for_s, growth = (view.now_ns - since_ns) / NS, int(row["rss_growth_bytes"])
            full = view.snapshot.mem_pct >= _NEARLY_FULL_PCT
            cls = "mem_leak" if growth > MIB else "oom_risk" if full else "unknown"
            evidence = {
                "subtree_rss_bytes": float(round(mib * MIB)),
                "rss_bytes": float(row["rss_bytes"]),
                "growth_bytes": float(growth),
                "threshold": self._threshold * MIB,
                "for_s": round(for_s, 1),
            }
            message = (
                f"pid {row['pid']} and its descendants hold {mib:.0f} MiB, "
                f"above {self._threshold:g} MiB for {for_s:.0f} s"
            )
            return Hit(cls=cls, message=message, culprit=Who.of(row), since_ns=since_ns, evidence=evidence)

        return self._above(view, view.tree.rows["rss_bytes"].astype(np.float64) / MIB, hit)


class HostCpu:
    """``system_cpu_pct``: the cores are full, and where one process with its descendants holds most of it, which."""

    sampled = True

    def __init__(self, params: SystemCpuPct) -> None:
        self._params = params
        self._behind: Holder | None = None
        self._held: Held[None] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """One hit while the host has been above for long enough."""
        cpu_pct, threshold = view.snapshot.cpu_pct, self._params.threshold_pct
        held = self._held.update([None] if cpu_pct > threshold else [], view.now_ns)
        if not held:
            self._behind = None
            return []
        for_s = (view.now_ns - held[None]) / NS
        evidence = {"host_cpu_pct": round(cpu_pct, 1), "threshold": threshold, "for_s": round(for_s, 1)}
        message = f"the host's cores are {cpu_pct:.0f} % busy, above {threshold:g} % for {for_s:.0f} s"
        behind = self._behind = view.tree.holder(view.tree.rows["cpu_pct"].astype(np.float64), before=self._behind)
        culprit = None
        if behind is not None:
            culprit = Who.of(behind.row)
            evidence["share_pct"] = round(100 * behind.share, 1)
            message += f"; pid {culprit.pid} and its descendants use {evidence['share_pct']:.0f} % of that"
        return [Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=held[None], evidence=evidence)]


class Zombies:
    """``zombie_count``: named is the parent with most dead children, unless that is pid 1."""

    sampled = True

    def __init__(self, params: ZombieCount) -> None:
        self._params = params
        self._held: Held[None] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """One hit while there have been more for long enough."""
        zombies = view.rows.compress(view.rows["state"] == b"Z")
        held = self._held.update([None] if len(zombies) > self._params.threshold else [], view.now_ns)
        if not held:
            return []
        tree = view.tree
        at = tree.indices(zombies["ppid"], zombies["parent_start_ns"])
        counts = np.bincount(at[at >= 0], minlength=len(tree.rows))
        evidence = {"zombies": float(len(zombies)), "threshold": float(self._params.threshold)}
        message = f"{len(zombies)} dead processes wait for their parent"
        culprit = None
        if len(counts) and counts.max() > 0 and tree.eligible()[int(counts.argmax())]:
            culprit = Who.of(tree.rows[int(counts.argmax())])
            evidence["of_culprit"] = float(counts.max())
            message += f", {int(counts.max())} of them for pid {culprit.pid}"
        return [Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=held[None], evidence=evidence)]
