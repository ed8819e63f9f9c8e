"""Third sentences: who suffers from it, or that nobody does.

Owns measured waits and pressure. Refuses guesses at consequences: who was not measured to wait is not said to.
Invariant: pressure is of the whole host, and is told as that.
"""

from __future__ import annotations

from linnix.insight.catalogue.clause import (
    CALM_PCT,
    STORAGE,
    Predicate,
    Shelf,
    alarming,
    both,
    evidence,
    pressed,
    process,
)
from linnix.insight.scope import Scope

SHELF = Shelf("effect")
#: Of its waiting: from here on somebody waits for this one.
_MOSTLY = 0.3
_add = SHELF.add


def _all_psi(known: bool) -> Predicate:
    """No pressure is felt; ``known`` whether the kernel reports all three."""

    def test(s: Scope) -> bool:
        values = [s.psi(f) for f in ("psi_cpu", "psi_mem", "psi_io")]
        there = [v for v in values if v is not None]
        return bool(there) and max(there) < CALM_PCT and (None not in values) == known

    return test


def _no_psi(s: Scope) -> bool:
    return all(s.psi(f) is None for f in ("psi_cpu", "psi_mem", "psi_io"))


def _measured(s: Scope) -> bool:
    """Somebody who wants little, or does not give way, was measured to wait for it."""
    pair, victim = s.blame, s.proc("V")
    if pair is None or victim is None or pair.kind != "measured" or pair.task_ms < 50:
        return False
    named = s.finding is not None and victim.id in s.finding.victims
    return named or (pair.share >= _MOSTLY and (victim.nice or 0) <= 0 and victim.cpu_pct < 50)


_add("delays", None,
     "Of all that {V} waited for {D.resource} in the last {D.window_s}, {D.share} was because of it.",
     "{V} waits for it: {D.share} of its waiting for {D.resource} in the last {D.window_s}.",
     when=both(alarming, _measured, lambda s: s.cls != "noisy_neighbour"))  # fmt: skip
_add("victim", "noisy_neighbour",
     "It is {V} that waits, {D.task_ms} in the last {D.window_s}.",
     "The one that waits is {V}: {D.task_ms} in the last {D.window_s}.",
     when=both(alarming, _measured))  # fmt: skip
_add("victims", None, "{F.suffering} other processes were measured to wait for it.",
     when=both(alarming, process(lambda _: True),
               lambda s: s.cls != "oom_kill" and s.finding is not None and len(s.finding.victims) >= 2))  # fmt: skip
_add("symptoms", None, "It accounts for {F.symptoms} other things that rules have found here.",
     when=lambda s: s.finding is not None and len(s.finding.explains) >= 2)  # fmt: skip
_add("symptom", None, "It accounts for one other thing that a rule has found here.",
     when=lambda s: s.finding is not None and len(s.finding.explains) == 1)  # fmt: skip
_add("exhausts", "mem_leak", "At that pace the host's memory would last for {F.exhausted_in_s} more.",
     when=evidence("exhausted_in_s", 0))  # fmt: skip
_add("fills_soon", "disk_full", "At that pace it would be full in {F.full_in_s}, and writing there would fail.",
     when=evidence("full_in_s", 1))  # fmt: skip
_add("wait_all", STORAGE, "Everything that had work to do waited for storage {S.psi_io_full} of the last 10 s.",
     when=lambda s: (s.psi("psi_io_full") or 0.0) >= CALM_PCT)  # fmt: skip
_add("wait_cpu", None,
     "Some process or other waited for a CPU {S.psi_cpu} of the last 10 s.",
     "For {S.psi_cpu} of the last 10 s something that could have run had no CPU.",
     when=pressed("psi_cpu"))  # fmt: skip
_add("wait_mem", None, "Some process or other waited for memory {S.psi_mem} of the last 10 s.",
     when=lambda s: s.cls != "swap_thrash" and pressed("psi_mem")(s))  # fmt: skip
_add("wait_io", None, "Some process or other waited for storage {S.psi_io} of the last 10 s.", when=pressed("psi_io"))
_add("stalls_all", "swap_thrash oom_risk oom_kill mem_leak",
     "Everything that had work to do waited for memory {S.psi_mem_full} of the last 10 s.",
     when=lambda s: (s.psi("psi_mem_full") or 0.0) >= CALM_PCT)  # fmt: skip
_add("slow_start", None, "Of those that wait for a CPU, one in a hundred waits for {S.runqueue_p99_us} or more.",
     when=lambda s: (s.facts.host.runqueue_p99_us or 0.0) >= 20_000)  # fmt: skip
_add("slow_disk", None, "Of the requests to disks, one in a hundred takes {S.block_io_p99_us} or more.",
     when=lambda s: (s.facts.host.block_io_p99_us or 0.0) >= 50_000)  # fmt: skip
_add("no_wait", None,
     "The kernel tells of hardly any pressure: {S.psi_cpu} of the last 10 s for a CPU, {S.psi_mem} for memory, "
     "{S.psi_io} for storage.",
     "Pressure is low: of the last 10 s, {S.psi_cpu} for a CPU, {S.psi_mem} for memory, {S.psi_io} for storage.",
     when=_all_psi(True))  # fmt: skip
_add("no_wait_known", None, "The pressure figures that this kernel gives show no waiting.", when=_all_psi(False))
_add("no_psi", None, "This kernel gives no pressure figures, so how much is held up is not known.", when=_no_psi)
_add("pressures", None, "Pressure of the last 10 s: {S.psi_cpu} for a CPU, {S.psi_mem} for memory, {S.psi_io} for "
     "storage.")  # fmt: skip
_add("loaded", None, "The load average is {S.load_1}.")

MUST = frozenset(["exhausts"])
#: Said only where nothing more telling holds.
GENERIC = frozenset(["pressures", "loaded"])
