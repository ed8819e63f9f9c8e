"""``cpu_spin`` and ``cpu_saturation``: much CPU, and nothing to show for it.

Owns what tells a loop from work. Work reads, writes, takes in memory, waits for others or is answered by them, and
leaves traces of that in every second; a loop does not. Where several fill the cores for long, taking in some memory is
no excuse: a compressor whose output goes nowhere does that, too, but a compiler never stops. What wants a CPU is what
runs and what waits for one to run, so that a loop is seen on a crowded host; but cores are filled by what runs, where
there is room on others: processes that were put on one CPU wait for each other, and leave the rest of the host alone.
Refuses short-lived processes: a build's compilers fill the cores rightly. Invariant: what is niced, or does anything
else, is not above ``info``; what its own quota holds back is left to ``cgroup_throttle``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linnix.cognitod.detect.behind import behind
from linnix.cognitod.detect.past import Identity, Moment, calm, mean, wants_pct
from linnix.cognitod.detect.signs import CpuSaturation, CpuSpin
from linnix.cognitod.detect.view import NS, Hit, View, Who
from linnix.insight.facts import Facts, Process

#: Of what it wants it must get this share, else it is a victim.
_GETS = 0.1
#: And this one, else it has had too little time to leave traces of work; a family that shares a core, so much of that.
_SHOWS = 0.3
_SHOW_TOGETHER_PCT = 60.0
#: Nobody is held to leave traces of less CPU time than this.
_LEAST_CORES = 0.1
#: One thread wants no more than this.
_ONE_THREAD_PCT = 130.0
#: The parts of a pipeline are started together, and the others tell what it is for.
_TOGETHER_NS = NS // 2
_MATE_SWITCHES_PER_S = 20.0
#: Cores as busy as this are full. Loops that want as much of all cores together are no longer told one by one.
_FULL_PCT = 90.0
_MOST_CORES = 80.0


def does_nothing_else(moments: Sequence[Moment], params: CpuSpin | CpuSaturation) -> bool:
    """Whether over these moments the process left hardly any trace but CPU time. False where that is not told.

    Rates are held against the CPU time that it got: on a crowded host work goes on slowly.
    """
    cores = max((mean(moments, lambda p: p.cpu_pct) or 0.0) / 100, _LEAST_CORES)
    switches = calm(moments, lambda p: p.voluntary_switches_per_s)
    faults = calm(moments, lambda p: p.minor_faults_per_s)
    if switches is None or faults is None:
        return False
    if switches > params.max_switches_per_s * cores or faults > params.max_faults_per_s * cores:
        return False
    traffic = calm(moments, lambda p: (p.read_bytes_per_s or 0.0) + (p.write_bytes_per_s or 0.0)) or 0.0
    calls = calm(moments, lambda p: (p.tx_calls_per_s or 0.0) + (p.rx_calls_per_s or 0.0)) or 0.0
    children = calm(moments, lambda p: p.forks_per_s + p.child_exits_per_s) or 0.0
    return (
        traffic <= params.max_io_kib_per_s * 1024 * cores
        and calls <= params.max_switches_per_s * cores
        and children < cores
    )


def works_for_others(process: Process, known: Facts) -> bool:
    """Whether it is the busy part of a pipeline whose other parts read, write or wait."""
    return any(
        other.ppid == process.ppid > 1
        and other.cgroup == process.cgroup
        and other.pid != process.pid
        and other.comm != process.comm  # workers of one pool are no pipeline
        and abs(other.start_ns - process.start_ns) < _TOGETHER_NS
        and (
            (other.voluntary_switches_per_s or 0.0) >= _MATE_SWITCHES_PER_S
            or (other.read_bytes_per_s or 0.0) + (other.write_bytes_per_s or 0.0) > 0
        )
        for other in known.processes
    )


class _Cores:
    """What both look at: processes that have wanted CPU all the time."""

    sampled = True

    def __init__(self, params: CpuSpin | CpuSaturation) -> None:
        self._limits = params
        self._duration_s = params.duration
        self._seen: list[tuple[int, float, float]] = []

    def _host(self, known: Facts) -> tuple[float, float]:
        """In percent of the time some waited for a CPU, and the cores were busy, on average of the duration."""
        begin_ns = known.ts_ns - round(self._duration_s * NS)
        self._seen.append((known.ts_ns, known.pressure.cpu_some_pct or 0.0, known.host.cpu_pct))
        self._seen = [seen for seen in self._seen if seen[0] >= begin_ns]
        _, pressures, busies = zip(*self._seen, strict=True)
        return sum(pressures) / len(pressures), sum(busies) / len(busies)

    def _busy(self, view: View, known: Facts) -> dict[Identity, tuple[Process, Sequence[Moment], float]]:
        """Who wanted a tenth of a core at least for the whole duration, and how much on average."""
        throttled = {pair.victim for pair in known.blame if (pair.resource, pair.kind) == ("cpu", "own_quota")}
        busy = {}
        for process in known.processes:
            if process.kernel_thread or process.own or process.id in throttled:
                continue
            moments = view.past.last(process, self._duration_s)
            wants = mean(moments, wants_pct) if moments else None
            if wants is not None and wants >= 10:
                busy[process.pid, process.start_ns] = process, moments, wants
        return busy

    def _loops(self, process: Process, moments: Sequence[Moment], known: Facts) -> bool:
        return (
            (process.nice or 0) <= 0
            and does_nothing_else(moments, self._limits)
            and not works_for_others(process, known)
        )


class Spin(_Cores):
    """The detector ``cpu_spin``."""

    def __init__(self, params: CpuSpin) -> None:
        super().__init__(params)
        self._params = params

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process that wants most of a core all the time, and does nothing else. Several that fill the
        cores together are a matter of ``cpu_saturation``.
        """
        if view.known is None:
            return []
        most = _MOST_CORES * max(view.known.host.cores, 1)
        full = self._host(view.known)[1] >= _FULL_PCT
        loops = {}
        for key, (process, moments, wants) in self._busy(view, view.known).items():
            uses = mean(moments, lambda p: p.cpu_pct) or 0.0
            takes = wants if full else uses
            if wants < self._params.threshold or takes > max(_ONE_THREAD_PCT, most) or uses < _GETS * wants:
                continue
            if does_nothing_else(moments, self._params) and not works_for_others(process, view.known):
                loops[key] = process, moments, wants, uses
        # Who gives way fills no cores, and is told by itself; so is everybody else then.
        alike = {key: loop for key, loop in loops.items() if (loop[0].nice or 0) <= 0}
        together = behind(view, {key: wants if full else uses for key, (_, _, wants, uses) in alike.items()})
        shown = {key for key, (_, _, wants, uses) in loops.items() if uses >= _SHOWS * wants}
        left_out = frozenset[Identity]()
        if together is not None and len(together.members) > 1:
            if sum(loops[key][3] for key in together.members) >= _SHOW_TOGETHER_PCT:
                shown |= together.members
            left_out = together.members
            if together.weight < most:
                # They share what there is for them: one of them, the oldest, is told for all.
                sharing = {key for key in together.members if loops[key][3] < self._params.threshold}
                left_out = frozenset(sorted(sharing, key=lambda key: (key[1], key[0]))[1:])
        loops = {key: loop for key, loop in loops.items() if key in shown}
        return [self._hit(view, *loop) for key, loop in loops.items() if key not in left_out]

    def _hit(self, view: View, process: Process, moments: Sequence[Moment], wants: float, uses: float) -> Hit:
        for_s = (view.now_ns - moments[0].ts_ns) / NS
        evidence = {
            "wanted_cpu_pct": round(wants, 1),
            "threshold": self._params.threshold,
            "cpu_pct": round(uses, 1),
            "voluntary_switches_per_s": round(calm(moments, lambda p: p.voluntary_switches_per_s) or 0.0, 1),
            "minor_faults_per_s": round(calm(moments, lambda p: p.minor_faults_per_s) or 0.0, 1),
            "threads": float(process.threads),
            "for_s": round(for_s, 1),
        }
        if process.nice:
            evidence["nice"] = float(process.nice)
        message = (
            f"pid {process.pid} loops: {uses:.0f} % of a core for {for_s:.0f} s, and it neither sleeps, reads, writes "
            "nor takes in memory"
        )
        return Hit(
            cls=self._params.cls,
            message=message,
            culprit=Who.named(process),
            since_ns=moments[0].ts_ns,
            evidence=evidence,
            at_most="info" if (process.nice or 0) > 0 else "high",
        )


class Saturation(_Cores):
    """The detector ``cpu_saturation``."""

    def __init__(self, params: CpuSaturation) -> None:
        super().__init__(params)
        self._params = params

    def observe(self, view: View) -> list[Hit]:
        """One hit while one tree of long-lived processes wants most of the cores; ``info`` where they do work."""
        known = view.known
        if known is None:
            return []
        pressure_pct, host_pct = self._host(known)
        full = host_pct >= _FULL_PCT
        busy = self._busy(view, known)
        takes = {
            key: wants if full else mean(moments, lambda p: p.cpu_pct) or 0.0
            for key, (_, moments, wants) in busy.items()
        }
        loops = {key: takes[key] for key, (p, moments, _) in busy.items() if self._loops(p, moments, known)}
        gets = {key: mean(busy[key][1], lambda p: p.cpu_pct) or 0.0 for key in loops}
        hits = self._told(view, loops, pressure_pct, full, "high", gets)
        # Work is worth a remark only where it leaves no room; what loops on nearly all cores is a fault before that.
        if not hits and (full or pressure_pct >= self._params.min_pressure_pct):
            hits = self._told(view, takes, pressure_pct, full, "info")
        return hits

    def _told(
        self,
        view: View,
        takes: Mapping[Identity, float],
        pressure_pct: float,
        full: bool,
        at_most: str,
        gets: Mapping[Identity, float] | None = None,
    ) -> list[Hit]:
        cores = max(view.snapshot.cores, 1)
        found = behind(view, takes)
        if found is None or (taken_pct := found.weight / cores) < self._params.threshold_pct:
            return []
        if len(found.members) == 1 and max(takes[key] for key in found.members) <= _ONE_THREAD_PCT:
            return []  # on a single core: that is a spin
        if gets is not None and sum(map(gets.__getitem__, found.members)) < _SHOWS * min(found.weight, 100.0 * cores):
            return []
        evidence = {
            f"{'wanted' if full else 'used'}_of_all_cores_pct": round(taken_pct, 1),
            "threshold": self._params.threshold_pct,
            "processes": float(len(found.members)),
            "cpu_some_pct": round(pressure_pct, 1),
            "cores": float(cores),
            "for_s": self._duration_s,
        }
        message = (
            f"{len(found.members)} long-lived processes of one tree, with pid {found.who.pid} at their head, "
            f"{'want' if full else 'use'} {taken_pct:.0f} % of all {cores} cores"
        )
        if at_most == "info":
            message += "; they work, give way, or get too little to tell"
        since_ns = view.now_ns - round(self._duration_s * NS)
        return [
            Hit(
                cls=self._params.cls,
                message=message,
                culprit=found.who,
                since_ns=since_ns,
                evidence=evidence,
                at_most=at_most,
            )
        ]
