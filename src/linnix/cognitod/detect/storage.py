"""``io_saturation`` and ``fsync_storm``: storage is the bottleneck.

Owns who is named: by measured waits where there are any, else who reads and writes most; never the kernel's flusher.
Refuses to call every busy disk a fault, or every commit. Invariant: saturation that concerns its culprit alone, and
what gives way by its nice value, is not above ``info``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linnix.cognitod.detect.behind import Behind, behind, outlasting
from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.detect.past import Identity, moves
from linnix.cognitod.detect.signs import FsyncStorm, IoSaturation
from linnix.cognitod.detect.view import MIB, NS, Held, Hit, View, Who
from linnix.insight.facts import Facts, Process

#: Of measured waits for storage this much is enough to tell by them who causes it.
_MEASURED_MS = 500.0
#: A process suffers if it waits this share of the time; one of another cgroup, if this share of it is for the culprit.
_SUFFERS_PCT = 10.0
_MOSTLY = 0.4
#: Who moves less than this is not behind a busy disk.
_WORTH_BYTES_PER_S = 256 * 1024
#: Syncs are too many only where some tasks wait for storage in this share of the time, or a disk is as busy.
_SLOW_PCT = 5.0
_BUSY_PCT = 30.0
#: Pressure and what has ended are of the last ten seconds: where no disk is this busy now it is over.
_OVER_PCT = 5.0
#: Where a disk is this busy it does nothing else.
_KEPT_BUSY_PCT = 80.0
#: Who has this share of its cgroup's syncs takes turns with nobody: of two clients one may have a little over half.
_ALONE = 2 / 3


def can_be_named(known: Facts) -> dict[str, Process]:
    """By id who may be named for what storage suffers."""
    return {p.id: p for p in known.processes if p.pid > 1 and not p.kernel_thread and not p.own}


def _victims(known: Facts, found: Behind) -> int:
    """How many processes of other cgroups wait for storage, and mostly for the culprit."""
    named = {process.id: process for process in known.processes}
    waits: dict[str, tuple[float, float]] = {}
    for pair in known.blame:
        offender = named.get(pair.offender)
        if pair.resource != "io" or pair.same_cgroup is not False or offender is None or pair.window_s <= 0:
            continue
        if (offender.pid, offender.start_ns) in found.members:
            waited_ms, share = waits.get(pair.victim, (0.0, 0.0))
            waits[pair.victim] = waited_ms + pair.task_ms / (pair.window_s * 1000), share + pair.share
    return sum(
        1
        for victim, (waited, share) in waits.items()
        if 100 * waited >= _SUFFERS_PCT
        and share >= _MOSTLY
        and (suffers := named.get(victim)) is not None
        and not suffers.own
        and not suffers.kernel_thread
    )


def _delayed(known: Facts, cgroup: str | None) -> list[Process]:
    """Who of this cgroup waits for storage, whoever it is for; of one that is younger than what was measured, since its
    birth.
    """
    named = can_be_named(known)
    waits: dict[str, tuple[float, float, float]] = {}
    for pair in known.blame:
        victim = named.get(pair.victim)
        if pair.resource != "io" or cgroup is None or victim is None or victim.cgroup != cgroup or pair.window_s <= 0:
            continue
        task_ms, share, _ = waits.get(pair.victim, (0.0, 0.0, 0.0))
        waits[pair.victim] = task_ms + pair.task_ms, share + pair.share, min(pair.window_s, max(victim.age_s, 1.0))
    return [
        named[victim]
        for victim, (task_ms, share, seconds) in waits.items()
        if task_ms / max(share, 0.01) / (10 * seconds) >= _SUFFERS_PCT
    ]


def _besides(known: Facts, culprit: Who, concerned: Sequence[Process]) -> int:
    """How many of these are somebody else than the culprit. One that it started itself does what it is told to; several
    are in each other's way.
    """
    parents = {process.pid: process.ppid for process in known.processes}
    elsewhere = below = 0
    for process in concerned:
        above = process.ppid
        for _ in range(len(parents)):
            if above == culprit.pid or above not in parents:
                break
            above = parents[above]
        if above == culprit.pid:
            below += 1
        elif process.pid != culprit.pid:
            elsewhere += 1
    return elsewhere + (below if below > 1 else 0)


def _needs_it(process: Process) -> bool:
    """Whether it waits for storage, or would have to."""
    return (
        (process.read_bytes_per_s or 0.0) > 0 or moves(process) >= _WORTH_BYTES_PER_S or (process.sync_pct or 0.0) > 0
    )


class Saturation:
    """The detector ``io_saturation``."""

    sampled = True

    def __init__(self, params: IoSaturation) -> None:
        self._params = params
        self._held: Held[None] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """One hit while storage is the bottleneck, with whom the others wait for."""
        known = view.known
        if known is None:
            return []
        some_pct, full_pct = known.pressure.io_some_pct or 0.0, known.pressure.io_full_pct or 0.0
        busy_pct = known.host.disk_busy_pct or 0.0
        above = some_pct >= self._params.threshold_pct or busy_pct >= self._params.busy_pct
        held = self._held.update([None] if above else [], view.now_ns)
        if not held:
            return []
        found = behind(view, self._weights(known))
        evidence = {
            "io_some_pct": round(some_pct, 1),
            "threshold": self._params.threshold_pct,
            "io_full_pct": round(full_pct, 1),
            "disk_busy_pct": round(busy_pct, 1),
            "for_s": round((view.now_ns - held[None]) / NS, 1),
        }
        if some_pct < self._params.threshold_pct:
            evidence = {"disk_busy_pct": round(busy_pct, 1), "threshold": self._params.busy_pct} | evidence
            evidence["threshold"] = self._params.busy_pct
        message = f"some tasks waited for storage in {some_pct:.0f} % of the last 10 s, all in {full_pct:.0f} %"
        victims, grave = 0, False
        if found is not None:
            theirs = [p for p in known.processes if (p.pid, p.start_ns) in found.members]
            gives_way = bool(theirs) and all((process.nice or 0) > 0 for process in theirs)
            victims = 0 if gives_way else self._victims(known, found, theirs)
            alone = not _besides(known, found.who, [p for p in can_be_named(known).values() if _needs_it(p)])
            grave = victims > 0 or (full_pct >= self._params.full_pct and not gives_way and not alone)
            evidence["moved_bytes_per_s"] = float(round(sum(map(moves, theirs))))
            evidence["victims"] = float(victims)
            message += f"; pid {found.who.pid} and its like moved {evidence['moved_bytes_per_s'] / MIB:.1f} MiB/s"
        return [
            Hit(
                cls=self._params.cls,
                message=message,
                culprit=found.who if found else None,
                since_ns=held[None],
                evidence=evidence,
                at_most="high" if grave else "info",
            )
        ]

    def _victims(self, known: Facts, found: Behind, theirs: Sequence[Process]) -> int:
        """Who suffers: others elsewhere; and where a disk has no time left and tasks wait, those of its cgroup too."""
        elsewhere = _victims(known, found)
        busy_pct = known.host.disk_busy_pct
        short = (known.pressure.io_some_pct or 0.0) >= self._params.threshold_pct
        if elsewhere or not short or (busy_pct is not None and busy_pct < self._params.busy_pct):
            return elsewhere
        cgroup = next((process.cgroup for process in theirs), None)
        return _besides(known, found.who, _delayed(known, cgroup))

    def _weights(self, known: Facts) -> dict[Identity, float]:
        named = can_be_named(known)
        measured: dict[Identity, float] = {}
        for pair in known.blame:
            offender = named.get(pair.offender)
            if pair.resource == "io" and offender is not None:
                key = (offender.pid, offender.start_ns)
                measured[key] = measured.get(key, 0.0) + pair.task_ms
        if sum(measured.values()) >= _MEASURED_MS:
            return measured
        return {
            (process.pid, process.start_ns): moves(process)
            for process in named.values()
            if moves(process) >= _WORTH_BYTES_PER_S
        }


def _syncs(process: Process) -> float:
    """How often it asks for data to be on disk, a second, or its children did before they ended."""
    return (process.syncs_per_s or 0.0) + process.ended_syncs_per_s


def _syncs_alone(tree: Lineage, lead: int, theirs: Sequence[Process]) -> float:
    """What it syncs itself, with the one below it that does most: it may run commands one after the other."""
    pids, starts = np.array([p.pid for p in theirs], np.uint32), np.array([p.start_ns for p in theirs], np.uint64)
    own = most = 0.0
    for process, index in zip(theirs, tree.indices(pids, starts).tolist(), strict=True):
        at = index
        while at >= 0 and at != lead:
            at = tree.parents[at]
        if index == lead:
            own = _syncs(process)
        elif at == lead:
            most = max(most, _syncs(process))
    return own + most


class Syncs:
    """The detector ``fsync_storm``."""

    sampled = True

    def __init__(self, params: FsyncStorm) -> None:
        self._params = params
        self._held: Held[Identity] = Held(params.duration)
        self._held_cgroups: Held[str | None] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process that does little but sync, and for each cgroup whose syncs are too many."""
        known = view.known
        if known is None:
            return []
        named = list(can_be_named(known).values())
        sampled = {
            (process.pid, process.start_ns): process
            for process in named
            if (process.sync_pct or 0.0) >= self._params.threshold_pct and process.cpu_pct <= self._params.max_cpu_pct
        }
        hits = {
            key: self._doing_little_else(known, sampled[key], since_ns, view.now_ns)
            for key, since_ns in self._held.update(sampled, view.now_ns).items()
        }
        counted = self._counted(view, known, named)
        for cgroup, since_ns in self._held_cgroups.update(counted, view.now_ns).items():
            hit = self._too_many(view, known, counted[cgroup], since_ns)
            if hit.culprit is not None:
                hits.setdefault((hit.culprit.pid, hit.culprit.start_ns), hit)
        return list(hits.values())

    def _counted(self, view: View, known: Facts, named: Sequence[Process]) -> dict[str | None, Behind]:
        """Of each cgroup that syncs enough, while storage is slow or busy, who is behind it."""
        busy_pct = known.host.disk_busy_pct
        pressed = (known.pressure.io_some_pct or 0.0) >= _SLOW_PCT and (busy_pct is None or busy_pct >= _OVER_PCT)
        if not pressed and (busy_pct or 0.0) < _BUSY_PCT:
            return {}
        of_cgroups: dict[str | None, dict[Identity, float]] = {}
        for process in named:
            if _syncs(process) > 0:
                of_cgroups.setdefault(process.cgroup, {})[process.pid, process.start_ns] = _syncs(process)
        return {
            cgroup: found
            for cgroup, weights in of_cgroups.items()
            if (found := behind(view, weights)) is not None and found.weight >= self._params.syncs_per_s
        }

    def _doing_little_else(self, known: Facts, process: Process, since_ns: int, now_ns: int) -> Hit:
        evidence = {
            "sync_pct": process.sync_pct or 0.0,
            "threshold": self._params.threshold_pct,
            "write_bytes_per_s": process.write_bytes_per_s or 0.0,
            "voluntary_switches_per_s": process.voluntary_switches_per_s or 0.0,
            "io_some_pct": known.pressure.io_some_pct or 0.0,
            "for_s": round((now_ns - since_ns) / NS, 1),
        }
        message = f"pid {process.pid} was in fsync or the like in {evidence['sync_pct']:.0f} % of the looks at it"
        culprit = Who.named(process)
        return Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=since_ns, evidence=evidence)

    def _too_many(self, view: View, known: Facts, found: Behind, since_ns: int) -> Hit:
        lead = outlasting(view.tree, found, since_ns)
        who = Who.of(view.tree.rows[lead])
        theirs = [process for process in known.processes if (process.pid, process.start_ns) in found.members]
        busy_pct, victims = known.host.disk_busy_pct or 0.0, _victims(known, found)
        # Clients of a database take turns, and each commit must be on disk: nothing is wrong with that unless others
        # are measured to wait for it, or a disk has no time left for anything else. pgbench with four clients syncs
        # 1,500 times a second, and keeps a virtual disk on flash busy in 20 % of the time.
        in_turns = _syncs_alone(view.tree, lead, theirs) < _ALONE * found.weight
        harmless = in_turns and not victims and busy_pct < _KEPT_BUSY_PCT
        return Hit(
            cls=self._params.cls,
            message=f"pid {who.pid} and its like ask {found.weight:.0f} times a second for data to be on disk",
            culprit=who,
            since_ns=since_ns,
            evidence={
                "syncs_per_s": round(found.weight, 1),
                "threshold": self._params.syncs_per_s,
                "io_some_pct": known.pressure.io_some_pct or 0.0,
                "disk_busy_pct": busy_pct,
                "processes": float(len(theirs)),
                "victims": float(victims),
                "for_s": round((view.now_ns - since_ns) / NS, 1),
            },
            at_most="info" if harmless else "high",
        )
