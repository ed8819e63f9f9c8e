"""``swap_thrash``: memory is moved to and fro, because more is in use than there is.

Owns the three ways in which that shows: tasks wait for memory; pages are swapped out and others in at once; pages of
mapped files are given up and read again. Refuses each alone where it is no trouble: what is swapped out and left alone,
or read again by a program that reads a file twice. Invariant: who is named needs the pages, and did not only wait.

On a fast disk tasks hardly wait, and what they wait for counts as storage: pressure comes last there, or never.
"""

from __future__ import annotations

from linnix.cognitod.detect.behind import behind
from linnix.cognitod.detect.memory import can_be_named
from linnix.cognitod.detect.past import Identity
from linnix.cognitod.detect.signs import SwapThrash
from linnix.cognitod.detect.view import MIB, NS, Held, Hit, View
from linnix.insight.facts import Facts

#: Of measured waits for memory this much is enough to tell by them who causes it.
_MEASURED_MS = 500.0


class Thrash:
    """The detector ``swap_thrash``."""

    sampled = True

    def __init__(self, params: SwapThrash) -> None:
        self._params = params
        self._held: Held[None] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """One hit while memory is moved to and fro."""
        known = view.known
        if known is None:
            return []
        pressed, moved = self._is_pressed(known), self._moved(known)
        held = self._held.update([None] if pressed or moved else [], view.now_ns)
        if not held:
            return []
        host, some_pct = known.host, known.pressure.memory_some_pct or 0.0
        evidence = {
            "memory_some_pct": round(some_pct, 1),
            "threshold": self._params.threshold_pct,
            "swapped_bytes_per_s": float(round(_swapped(known))),
            "refaulted_bytes_per_s": float(round(host.refaulted_bytes_per_s or 0.0)),
            "reclaimed_bytes_per_s": float(round(host.reclaimed_bytes_per_s or 0.0)),
            "for_s": round((view.now_ns - held[None]) / NS, 1),
        }
        if not pressed:
            evidence = moved | evidence | moved
        message = f"memory is moved to and fro; some tasks waited for it in {some_pct:.0f} % of the last 10 s"
        found = behind(view, self._weights(known))
        if found is not None:
            message += f"; pid {found.who.pid} and its like need most of it"
        return [
            Hit(
                cls=self._params.cls,
                message=message,
                culprit=found.who if found else None,
                since_ns=held[None],
                evidence=evidence,
                at_most="high" if pressed else "medium",
            )
        ]

    def _is_pressed(self, known: Facts) -> bool:
        host, some_pct = known.host, known.pressure.memory_some_pct
        if some_pct is None or some_pct < self._params.threshold_pct:
            return False
        moved = max(_swapped(known), host.refaulted_bytes_per_s or 0.0, host.reclaimed_bytes_per_s or 0.0)
        return moved >= self._params.min_mib_per_s * MIB

    def _moved(self, known: Facts) -> dict[str, float]:
        """What is moved so fast that this is trouble by itself, and from where on it is; empty if nothing is."""
        host, least = known.host, self._params.both_mib_per_s * MIB
        both_ways = min(host.swap_in_bytes_per_s or 0.0, host.swap_out_bytes_per_s or 0.0)
        if both_ways >= least:
            return {"swapped_both_ways_bytes_per_s": float(round(both_ways)), "threshold": least}
        refaulted = host.refaulted_bytes_per_s or 0.0
        faults = max((process.major_faults_per_s or 0.0 for process in can_be_named(known)), default=0.0)
        if refaulted >= least and faults >= self._params.faults_per_s:
            return {"refaulted_bytes_per_s": float(round(refaulted)), "threshold": least}
        return {}

    def _weights(self, known: Facts) -> dict[Identity, float]:
        """By measured waits, where there are enough of them; else by pages read back, else by what is swapped out."""
        named = {process.id: process for process in can_be_named(known)}
        measured: dict[Identity, float] = {}
        for pair in known.blame:
            offender = named.get(pair.offender)
            if pair.resource == "memory" and offender is not None:
                key = (offender.pid, offender.start_ns)
                measured[key] = measured.get(key, 0.0) + pair.task_ms
        if sum(measured.values()) >= _MEASURED_MS:
            return measured
        faults = {(p.pid, p.start_ns): p.major_faults_per_s or 0.0 for p in named.values()}
        if sum(faults.values()) >= 1:
            return faults
        return {(p.pid, p.start_ns): float(p.swap_bytes or 0) for p in named.values()}


def _swapped(known: Facts) -> float:
    """Bytes a second, out and in."""
    return (known.host.swap_in_bytes_per_s or 0.0) + (known.host.swap_out_bytes_per_s or 0.0)
