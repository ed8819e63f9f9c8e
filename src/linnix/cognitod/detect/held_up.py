"""``hung_task`` and ``lock_contention``: threads that wait, and for what.

Owns who is named where several wait for each other. Refuses waits that are a program's business: a pool that waits for
work waits for one condition variable too, but nobody wakes it. Invariant: kernel threads and Linnix are not told of.
"""

from __future__ import annotations

from linnix.cognitod.detect.past import Identity
from linnix.cognitod.detect.signs import HungTask, LockContention
from linnix.cognitod.detect.view import NS, Held, Hit, View, Who
from linnix.insight.facts import Facts, Process

#: Where a whole service is stuck, these many say enough.
_TOLD = 3


class Hung:
    """The detector ``hung_task``."""

    sampled = True

    def __init__(self, params: HungTask) -> None:
        self._params = params

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process that is stuck, at most three: those that have been for longest."""
        if view.known is None:
            return []
        stuck = [
            process
            for process in view.known.processes
            if (process.stuck_s or 0.0) >= self._params.threshold and not process.kernel_thread and not process.own
        ]
        stuck.sort(key=lambda process: (-(process.stuck_s or 0.0), process.start_ns))
        hits = []
        for process in stuck[:_TOLD]:
            stuck_s = process.stuck_s or 0.0
            evidence = {
                "stuck_s": stuck_s,
                "threshold": self._params.threshold,
                "stuck_processes": float(len(stuck)),
                "io_some_pct": view.known.pressure.io_some_pct or 0.0,
            }
            message = f"a thread of pid {process.pid} has been in uninterruptible sleep for {stuck_s:.0f} s"
            since_ns = view.now_ns - round(stuck_s * NS)
            culprit = Who.named(process)
            hits.append(
                Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=since_ns, evidence=evidence)
            )
        return hits


class Locks:
    """The detector ``lock_contention``."""

    sampled = True

    def __init__(self, params: LockContention) -> None:
        self._params = params
        self._held: Held[Identity] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for each program that mostly waits for one lock of its own: where its processes share it, for the one
        that holds it, or their parent.
        """
        if view.known is None:
            return []
        parties: dict[tuple[str | None, str, int], list[Process]] = {}
        for process in view.known.processes:
            if process.kernel_thread or process.own or (process.lock_waiters or 0) < self._params.waiters:
                continue
            alone = process.threads > self._params.waiters
            parties.setdefault((process.cgroup, process.comm, process.pid if alone else 0), []).append(process)
        above = {}
        for party in parties.values():
            waits_pct = max(process.lock_wait_pct or 0.0 for process in party)
            switches = sum(process.voluntary_switches_per_s or 0.0 for process in party)
            if waits_pct >= self._params.threshold_pct and switches >= self._params.switches_per_s:
                head = self._head(party, view.known)
                above[head.pid, head.start_ns] = head, party, waits_pct, switches
        held = self._held.update(above, view.now_ns)
        return [self._hit(*above[key], since_ns) for key, since_ns in held.items()]

    def _head(self, party: list[Process], known: Facts) -> Process:
        """The parent that all of several share; else who waits least, because it has the lock."""
        parents = {process.ppid for process in party}
        if len(party) > 1 and len(parents) == 1:
            for process in known.processes:
                same = process.cgroup == party[0].cgroup and process.pid in parents and process.pid > 1
                if same and not process.own and not process.kernel_thread:
                    return process
        return min(party, key=lambda process: (process.lock_wait_pct or 0.0, process.start_ns))

    def _hit(self, head: Process, party: list[Process], waits_pct: float, switches: float, since_ns: int) -> Hit:
        waiters = max(process.lock_waiters or 0 for process in party)
        evidence = {
            "lock_wait_pct": waits_pct,
            "threshold": self._params.threshold_pct,
            "lock_waiters": float(waiters),
            "processes": float(len(party)),
            "voluntary_switches_per_s": round(switches, 1),
        }
        message = (
            f"threads of pid {head.pid} or its like were found waiting for one lock in {waits_pct:.0f} % of the looks, "
            f"up to {waiters} at once"
        )
        return Hit(cls=self._params.cls, message=message, culprit=Who.named(head), since_ns=since_ns, evidence=evidence)
