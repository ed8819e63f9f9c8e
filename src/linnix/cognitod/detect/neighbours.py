"""``noisy_neighbour`` and ``cgroup_throttle``: who waits for a CPU, and because of whom.

Owns the reading of measured blame. Refuses to measure. Invariant: a neighbour is not above ``info`` unless the waits
were measured, nor where it is niced or fills all cores, and never accused for waits within its own cgroup.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from linnix.cognitod.detect.behind import Behind, behind, outlasting
from linnix.cognitod.detect.past import Identity
from linnix.cognitod.detect.signs import CgroupThrottle, NoisyNeighbour
from linnix.cognitod.detect.view import NS, Held, Hit, View, Who
from linnix.insight.facts import Blame, Facts, Process

#: Where waits are not measured, somebody who waits this long beside a hog is worth a remark.
_WAITS_PCT = 25.0
#: Whoever uses so much of all cores fills them, and is a matter of ``cpu_saturation``.
_FILLS_PCT = 80.0
#: Blame of less than this is not looked at.
_WORTH_MS = 50.0


class Neighbours:
    """The detector ``noisy_neighbour``."""

    sampled = True

    def __init__(self, params: NoisyNeighbour) -> None:
        self._params = params
        self._held: Held[Identity] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for each tree that others, who want little, mostly wait for."""
        if view.known is None:
            return []
        measured = "cpu" in view.known.host.measures_blame or any(pair.resource == "cpu" for pair in view.known.blame)
        found = self._measured(view, view.known) if measured else self._guessed(view, view.known)
        held = self._held.update(found, view.now_ns)
        return [replace(found[key], since_ns=since_ns) for key, since_ns in held.items()]

    def _measured(self, view: View, known: Facts) -> dict[Identity, Hit]:
        named = {process.id: process for process in known.processes}
        of_victim: dict[str, list[Blame]] = defaultdict(list)
        for pair in known.blame:
            if (pair.resource, pair.kind) == ("cpu", "measured") and pair.task_ms >= _WORTH_MS and pair.window_s > 0:
                of_victim[pair.victim].append(pair)
        found: dict[Identity, tuple[Behind, float, float, float, int]] = {}
        for victim, pairs in of_victim.items():
            suffers = self._suffers(view, named.get(victim), pairs, named)
            if suffers is not None:
                head, waits_pct, share_pct, uses_pct = suffers
                before = found.get(head.identity)
                number = 1 + (before[4] if before else 0)
                worst = (head, waits_pct, share_pct, uses_pct, number)
                if before and before[1] >= waits_pct:
                    worst = (*before[:4], number)
                found[head.identity] = worst
        return {key: self._told(known, *each) for key, each in found.items()}

    def _suffers(
        self, view: View, victim: Process | None, pairs: list[Blame], named: dict[str, Process]
    ) -> tuple[Behind, float, float, float] | None:
        """Whom it waits for, in percent of the time and of its waits, and what CPU they use."""
        if victim is None or victim.own or victim.kernel_thread or victim.cpu_pct > self._params.victim_pct:
            return None
        total_share = sum(pair.share for pair in pairs)
        window_ms = pairs[0].window_s * 1000
        waited_ms = sum(pair.task_ms for pair in pairs) / max(total_share, 0.01)
        # Of a process with several threads the waiting adds up to more than there is time.
        waits_pct = min(max(100 * waited_ms / window_ms, victim.run_delay_pct or 0.0), 100.0)
        weights = {
            (offender.pid, offender.start_ns): pair.task_ms
            for pair in pairs
            if pair.same_cgroup is False and (offender := named.get(pair.offender)) is not None
        }
        head = behind(view, weights) if weights else None
        if head is None or waits_pct < self._params.threshold_pct:
            return None
        share_pct = 100 * sum(pair.share for pair in pairs if self._is_of(named.get(pair.offender), head))
        # What the group uses, and not only those of it who were measured: facts tell few pairs.
        cgroups = {process.cgroup for process in named.values() if self._is_of(process, head)}
        uses_pct = sum(p.cpu_pct for p in named.values() if p.cgroup in cgroups and not p.own)
        if share_pct < self._params.share_pct or uses_pct < self._params.hog_pct:
            return None
        return head, waits_pct, share_pct, uses_pct

    def _is_of(self, process: Process | None, head: Behind) -> bool:
        return process is not None and (process.pid, process.start_ns) in head.members

    def _told(
        self, known: Facts, head: Behind, waits_pct: float, share_pct: float, uses_pct: float, victims: int
    ) -> Hit:
        evidence = {
            "victim_waits_pct": round(waits_pct, 1),
            "threshold": self._params.threshold_pct,
            "share_pct": round(share_pct, 1),
            "cpu_pct": round(uses_pct, 1),
            "victims": float(victims),
        }
        message = (
            f"a process of another cgroup waits for a CPU in {waits_pct:.0f} % of the time, {share_pct:.0f} % of that "
            f"because pid {head.who.pid} and its like run"
        )
        theirs = [process for process in known.processes if self._is_of(process, head)]
        gives_way = all((process.nice or 0) > 0 for process in theirs)
        fills = uses_pct >= _FILLS_PCT * max(known.host.cores, 1)
        at_most = "info" if gives_way or fills else "high"
        return Hit(cls=self._params.cls, message=message, culprit=head.who, evidence=evidence, at_most=at_most)

    def _guessed(self, view: View, known: Facts) -> dict[Identity, Hit]:
        """Without measured blame: somebody waits, and somebody else of another cgroup is the only hog."""
        hogs = [p for p in known.processes if p.cpu_pct >= self._params.hog_pct and not p.kernel_thread and not p.own]
        if len(hogs) != 1:
            return {}
        waiting = [
            process
            for process in known.processes
            if process.cgroup != hogs[0].cgroup
            and process.cpu_pct <= self._params.victim_pct
            and not process.kernel_thread
            and not process.own
            and (process.run_delay_pct or 0.0) >= _WAITS_PCT
        ]
        if not waiting or hogs[0].cgroup is None:
            return {}
        worst = max(process.run_delay_pct or 0.0 for process in waiting)
        evidence = {
            "victim_waits_pct": round(min(worst, 100.0), 1),
            "threshold": self._params.threshold_pct,
            "cpu_pct": hogs[0].cpu_pct,
            "victims": float(len(waiting)),
        }
        message = (
            f"a process of another cgroup waits for a CPU in {worst:.0f} % of the time, and pid {hogs[0].pid} is the "
            "only one that uses much of it"
        )
        hit = Hit(cls=self._params.cls, message=message, culprit=Who.named(hogs[0]), evidence=evidence, at_most="info")
        return {(hogs[0].pid, hogs[0].start_ns): hit}


#: A cgroup, or a process of which it is not known.
_Group = str | Identity


class Throttled:
    """The detector ``cgroup_throttle``."""

    sampled = True

    def __init__(self, params: CgroupThrottle) -> None:
        self._params = params
        self._held: Held[_Group] = Held(params.duration)
        self._lasting: Held[Identity] = Held(params.duration)
        self._told: dict[_Group, Identity] = {}

    def observe(self, view: View) -> list[Hit]:
        """A hit for each cgroup that its quota holds back, however short its processes live: of the one that it holds
        back most, and that has been for as long; where none has, of who is behind them.
        """
        if view.known is None:
            return []
        above: dict[_Group, dict[Identity, tuple[Process, float]]] = {}
        cores = max(view.known.host.cores, 1)
        named = {process.id: process for process in view.known.processes}
        for pair in view.known.blame:
            process = named.get(pair.victim)
            # A memory limit of one's own is told by the same word.
            if (pair.resource, pair.kind) != ("cpu", "own_quota") or process is None or process.own:
                continue
            # Task time of a pool of threads is shared out to the CPUs that it could have had.
            waited_ms = max(pair.stall_ms, pair.task_ms / min(max(process.threads, 1), cores))
            # A wait is charged when it ends, so that one which began before the window can be longer than that.
            held_pct = min(waited_ms / (10 * pair.window_s), 100.0) if pair.window_s > 0 else 0.0
            if held_pct >= self._params.threshold_pct:
                key = process.pid, process.start_ns
                above.setdefault(process.cgroup or key, {})[key] = process, held_pct
        held = self._held.update(above, view.now_ns)
        lasting = self._lasting.update((key for party in above.values() for key in party), view.now_ns)
        hits = [self._hit(view, group, above[group], lasting, since_ns) for group, since_ns in held.items()]
        self._told = {group: told for group, told in self._told.items() if group in held}
        return hits

    def _hit(
        self,
        view: View,
        group: _Group,
        party: Mapping[Identity, tuple[Process, float]],
        lasting: Collection[Identity],
        since_ns: int,
    ) -> Hit:
        worst = max(party, key=lambda key: (party[key][1], key in lasting))
        for_long = [key for key in party if key in lasting]
        if self._told.get(group) not in for_long:
            self._told.pop(group, None)
        if for_long:
            worst = self._told.setdefault(group, max(for_long, key=lambda key: party[key][1]))
        process, held_pct = party[worst]
        head = None if for_long else behind(view, {key: pct for key, (_, pct) in party.items()})
        tree = view.tree
        culprit = Who.of(tree.rows[outlasting(tree, head, since_ns)]) if head else Who.named(process)
        evidence = {
            "held_back_pct": round(held_pct, 1),
            "threshold": self._params.threshold_pct,
            "cpu_pct": process.cpu_pct,
            "for_s": round((view.now_ns - since_ns) / NS, 1),
        }
        message = (
            f"the CPU quota of its cgroup held pid {process.pid} back in {held_pct:.0f} % of the time; it got "
            f"{process.cpu_pct:.0f} % of a core"
        )
        if culprit.pid != process.pid:
            message += f", and pid {culprit.pid} started it"
        return Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=since_ns, evidence=evidence)
