"""``hung_task`` and ``lock_contention``: threads that wait, and for what.

Owns who is named where several wait for each other. Refuses to tell a lock from a pool that waits for work: who looks
at threads does that. Invariant: kernel threads and Linnix are not told of.
"""

from __future__ import annotations

from linnix.cognitod.detect.behind import Behind, behind
from linnix.cognitod.detect.signs import HungTask, LockContention
from linnix.cognitod.detect.view import NS, Held, Hit, View, Who
from linnix.insight.facts import Process

#: Cgroup, name and, of a process that has threads enough to wait for each other, pid.
Party = tuple[str | None, str, int]

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
        self._held: Held[Party] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for each program that mostly waits for one lock of its own. Where its processes share it, it is of the
        lowest that holds most of them with its descendants, else of who waits least, because it has the lock.
        """
        if view.known is None:
            return []
        parties: dict[Party, list[Process]] = {}
        for process in view.known.processes:
            if process.kernel_thread or process.own or (process.lock_waiters or 0) < self._params.waiters:
                continue
            alone = process.threads > self._params.waiters
            parties.setdefault((process.cgroup, process.comm, process.pid if alone else 0), []).append(process)
        above = {}
        for key, party in parties.items():
            weights = {(p.pid, p.start_ns): 200.0 - (p.lock_wait_pct or 0.0) for p in party}
            waits_pct = max(p.lock_wait_pct or 0.0 for p in party)
            if waits_pct >= self._params.threshold_pct and (head := behind(view, weights)) is not None:
                above[key] = head, party, waits_pct
        held = self._held.update(above, view.now_ns)
        return [self._hit(*above[key], since_ns) for key, since_ns in held.items()]

    def _hit(self, head: Behind, party: list[Process], waits_pct: float, since_ns: int) -> Hit:
        waiters = max(process.lock_waiters or 0 for process in party)
        evidence = {
            "lock_wait_pct": waits_pct,
            "threshold": self._params.threshold_pct,
            "lock_waiters": float(waiters),
            "processes": float(len(party)),
            "voluntary_switches_per_s": round(sum(p.voluntary_switches_per_s or 0.0 for p in party), 1),
        }
        message = (
            f"threads of pid {head.who.pid} or of its like were found waiting for one lock in {waits_pct:.0f} % of the "
            f"looks, up to {waiters} at once"
        )
        return Hit(cls=self._params.cls, message=message, culprit=head.who, since_ns=since_ns, evidence=evidence)
