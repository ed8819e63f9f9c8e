"""``oom_risk`` and ``oom_kill``: memory is used up, or nearly.

Owns who is named: who grows, else who holds most; of a kill whoever grew before it, not whom the kernel chose. Refuses
leaks (``leaks``): these look at what is left. Invariant: page cache counts as available.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from linnix.cognitod.detect.past import Identity, Past
from linnix.cognitod.detect.signs import OomKill, OomRisk
from linnix.cognitod.detect.view import MIB, NS, Held, Hit, View, Who
from linnix.insight.facts import Facts, Process
from linnix.insight.facts import OomKill as OomKilled

#: Over this many seconds it is told who grows.
GROWTH_S = 10.0
#: One that takes more than this in a second is named before one that holds more, if at this pace what is left lasts no
#: longer than this, or if it holds this share of what the largest does: a helper that starts is no culprit.
_GROWS_BYTES_PER_S = MIB
_LASTS_S = 60.0
_LARGE = 0.5
#: A limit of which so much is used is near where the rest lasts no longer than that, at the pace of the last ten
#: seconds and at that of the last three: what has loaded itself stands still by then.
_NEARLY_PCT = 80.0
_LATELY_S = 3.0
#: A job is of a kill if it ended so long ago at most.
_JUST_S = 3.0
_SIGKILL = 9

_DEAD = ("Z", "X")
#: In the evidence of a kill: what was used up was the limit of a control group, and not the host's memory.
OF_CGROUP = "cgroup_limit"


def can_be_named(known: Facts) -> Iterable[Process]:
    """Who may be named for what memory suffers."""
    return (p for p in known.processes if p.pid > 1 and not p.kernel_thread and not p.own)


def holds(process: Process) -> int:
    """Bytes that only its end would free: anonymous and shared memory, and what is swapped out."""
    if process.rss_anon_bytes is None:
        return process.rss_bytes
    return process.rss_anon_bytes + (process.rss_shmem_bytes or 0) + (process.swap_bytes or 0)


class Risk:
    """The detector ``oom_risk``."""

    sampled = True

    def __init__(self, params: OomRisk) -> None:
        self._params = params
        self._held: Held[str] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """One hit for the host, and one for each cgroup that is near its limit."""
        known = view.known
        if known is None:
            return []
        short: dict[str, Hit] = {}
        if (host := self._host(known, view.past)) is not None:
            short["host"] = host
        of_group: dict[str, list[Process]] = {}
        nearly_pct = min(_NEARLY_PCT, self._params.cgroup_pct)
        for process in can_be_named(known):
            used_pct = process.cgroup_memory_pct
            if process.cgroup is not None and used_pct is not None and used_pct >= nearly_pct:
                of_group.setdefault(process.cgroup, []).append(process)
        for cgroup, processes in of_group.items():
            if (hit := self._group(processes, view.past)) is not None:
                short[cgroup] = hit
        held = self._held.update(short, view.now_ns)
        return [replace(hit, since_ns=held[key]) for key, hit in short.items() if key in held]

    def _host(self, known: Facts, past: Past) -> Hit | None:
        total, available = known.host.mem_total_bytes, known.host.mem_available_bytes
        if not total or available is None or 100 * available / total >= self._params.threshold_pct:
            return None
        evidence = {
            "available_pct": round(100 * available / total, 1),
            "threshold": self._params.threshold_pct,
            "available_bytes": float(available),
        }
        message = f"{available / MIB:.0f} MiB of the host's memory are available, {100 * available / total:.1f} % of it"
        who = self._who(list(can_be_named(known)), past, available, evidence)
        if who is not None:
            message += f"; pid {who.pid} holds {evidence['held_bytes'] / MIB:.0f} MiB"
        return Hit(cls=self._params.cls, message=message, culprit=who, evidence=evidence)

    def _group(self, processes: list[Process], past: Past) -> Hit | None:
        used_pct = max(process.cgroup_memory_pct or 0.0 for process in processes)
        left_bytes = sum(map(holds, processes)) * (100 / max(used_pct, 1.0) - 1)
        pace = sum(max(_pace(past, process), 0.0) for process in processes)
        evidence = {"cgroup_memory_pct": used_pct, "threshold": self._params.cgroup_pct}
        message = f"{used_pct:.0f} % of the memory that its cgroup may use is in use"
        if pace and left_bytes <= _LASTS_S * pace:
            # That it is full so soon says more than how full it is, and gets graver as it fills.
            lasts_s = float(round(left_bytes / pace))
            evidence = {"exhausted_in_s": lasts_s, "threshold": _LASTS_S, "cgroup_memory_pct": used_pct}
            message += f", and all of it in {evidence['exhausted_in_s']:.0f} s at its pace"
        elif used_pct < self._params.cgroup_pct:
            return None
        who = self._who(processes, past, left_bytes, evidence)
        if who is not None:
            message += f"; pid {who.pid} holds {evidence['held_bytes'] / MIB:.0f} MiB"
        return Hit(cls=self._params.cls, message=message, culprit=who, evidence=evidence, at_most="medium")

    def _who(
        self, processes: Sequence[Process], past: Past, left_bytes: float, evidence: dict[str, float]
    ) -> Who | None:
        """Who grows most, if somebody grows so that it matters, else who holds most; ``evidence`` is told how much."""
        if not processes:
            return None
        largest = max(processes, key=holds)
        growths = [(_growth(past, process), process) for process in processes]
        growing = [
            (growth, holds(process), process)
            for growth, process in growths
            if growth >= _GROWS_BYTES_PER_S
            and (left_bytes <= _LASTS_S * growth or holds(process) >= _LARGE * holds(largest))
        ]
        growth, held, process = max(growing, key=lambda each: each[:2], default=(0.0, holds(largest), largest))
        evidence |= {"held_bytes": float(held), "grows_bytes_per_s": float(round(growth))}
        return Who.named(process)


def _growth(past: Past, process: Process, seconds: float = GROWTH_S) -> float:
    """Bytes a second, over the last seconds; 0 where that is not known."""
    moments = past.last(process, seconds)
    if not moments or moments[-1].ts_ns <= moments[0].ts_ns:
        return 0.0
    return (holds(process) - holds(moments[0].process)) * NS / (moments[-1].ts_ns - moments[0].ts_ns)


def _pace(past: Past, process: Process) -> float:
    """Bytes a second that it grows by, and has not stopped growing by."""
    return min(_growth(past, process), _growth(past, process, _LATELY_S))


def _accused(kill: OomKilled, named: Mapping[str, Process]) -> tuple[str | None, ...]:
    """Who may be behind a kill: who grew; who starts the victim again and again, rather than the one that it started in
    its place and that is the next to be killed; last the victim, whose end may still be to come.
    """
    grower, parent = named.get(kill.largest or ""), named.get(kill.parent or "")
    again = grower and parent and grower.ppid == parent.pid and grower.comm == kill.comm
    if kill.largest == kill.process or again:
        return kill.parent, kill.largest, kill.process
    return kill.largest, kill.parent, kill.process


class Kill:
    """The detector ``oom_kill``."""

    sampled = True

    def __init__(self, params: OomKill) -> None:
        self._params = params
        self._ran_by: dict[int, Identity] = {}  # by the pid of who was killed, whose job it was

    def observe(self, view: View) -> list[Hit]:
        """One hit for each process that is behind the latest kills, or one without a process."""
        known = view.known
        if known is None:
            return []
        named = {process.id: process for process in known.processes}
        self._remember(known, named)
        recent = [kill for kill in known.oom_kills if kill.age_s <= self._params.window_seconds]
        if len(recent) < self._params.threshold:
            return []
        behind_it: dict[str | None, list[OomKilled]] = {}
        for kill in recent:
            grower, parent, victim = _accused(kill, named)
            runner = self._ran_by.get(kill.pid)
            ran_by = next((each.id for each in known.processes if (each.pid, each.start_ns) == runner), None)
            ids = [each for each in (grower, parent, ran_by, victim) if each in named]
            who = next((each for each in ids if named[each].pid > 1 and named[each].state not in _DEAD), None)
            behind_it.setdefault(who, []).append(kill)
        hits = []
        for who, kills in behind_it.items():
            latest = min(kills, key=lambda kill: kill.age_s)
            evidence = {
                "kills": float(len(kills)),
                "threshold": float(self._params.threshold),
                "latest_s_ago": round(latest.age_s, 1),
                "killed_pid": float(latest.pid),
            }
            if latest.limit == "cgroup":
                evidence[OF_CGROUP] = 1.0
            message = (
                f"the kernel killed {len(kills)} processes for memory in the last {self._params.window_seconds:g} s"
            )
            culprit = None
            if who is not None:
                culprit = Who.named(named[who])
                evidence["held_bytes"] = float(holds(named[who]))
                message += f"; pid {culprit.pid} is behind it"
            since_ns = view.now_ns - round(max(kill.age_s for kill in kills) * NS)
            hits.append(
                Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=since_ns, evidence=evidence)
            )
        return hits

    def _remember(self, known: Facts, named: Mapping[str, Process]) -> None:
        """Whose job it was that was killed: of a compiler the build's, and not the driver's that died with it."""
        killed = {kill.pid: kill for kill in known.oom_kills if kill.age_s <= self._params.window_seconds}
        for kill in killed.values():
            if kill.pid not in self._ran_by and kill.age_s <= _JUST_S:
                jobs = [job for job in known.jobs if job.comm == kill.comm and job.code == -_SIGKILL]
                if (runner := next((named[job.parent] for job in jobs if job.parent in named), None)) is not None:
                    self._ran_by[kill.pid] = runner.pid, runner.start_ns
        self._ran_by = {pid: runner for pid, runner in self._ran_by.items() if pid in killed}
