"""Who is busy and has nothing to do with it.

Owns the exoneration of those whom a look at top would accuse. Refuses to clear anybody whom a rule accuses, and to say
why somebody is busy. Invariant: whoever is busier than the chosen process is named.
"""

from __future__ import annotations

from collections.abc import Callable

from linnix.insight.catalogue.clause import BUSY_PCT, CPU, MUCH_PCT, Predicate, Shelf, both, is_busiest, overshadowed
from linnix.insight.facts import Process
from linnix.insight.fields import moves
from linnix.insight.scope import Scope

SHELF = Shelf("innocent")
_add = SHELF.add


def _clears(test: Callable[[Process], bool] = lambda _: True) -> Predicate:
    """The next busiest program is one that nobody accuses, busy enough to be suspected, and this is true of it."""

    def holds(s: Scope) -> bool:
        p = s.innocent
        return s.alarms and p is not None and p in s.others[:1] and p.cpu_pct >= MUCH_PCT and test(p)

    return holds


def _next_cpu(low: float, high: float) -> Predicate:
    return lambda s: is_busiest(s) and bool(s.others) and low <= s.others[0].cpu_pct < high


def _traffic(p: Process) -> float:
    return (p.tx_calls_per_s or 0.0) + (p.rx_calls_per_s or 0.0)


_add("gives_way", None,
     "{I} uses {I.cpu_pct} of one core, too, but it is niced: it gives way.",
     "{I} with its {I.cpu_pct} of one core is not to blame: it is niced, and gives way.",
     when=_clears(lambda p: (p.nice or 0) > 0))  # fmt: skip
_add("works_disk", None,
     "{I} uses {I.cpu_pct} of one core, too, but has something to show for it: it moves {I.moved_bytes_per_s}.",
     "{I} with its {I.cpu_pct} of one core works: it moves {I.moved_bytes_per_s} to and from disks.",
     when=_clears(lambda p: moves(p) >= 1e6))  # fmt: skip
_add("works_net", None,
     "{I} uses {I.cpu_pct} of one core, too, but it serves others: it sends {I.tx_calls_per_s} times a second and "
     "receives {I.rx_calls_per_s} times.",
     when=_clears(lambda p: _traffic(p) >= 100))  # fmt: skip
_add("works_memory", None,
     "{I} uses {I.cpu_pct} of one core, too, but it takes in data: {I.minor_faults_per_s} page faults a second.",
     when=_clears(lambda p: (p.minor_faults_per_s or 0.0) >= 500))  # fmt: skip
_add("works_woken", None,
     "{I} uses {I.cpu_pct} of one core, too, but it waits for others in between: {I.voluntary_switches_per_s} times a "
     "second.",
     when=_clears(lambda p: (p.voluntary_switches_per_s or 0.0) >= 100))  # fmt: skip
_add("cleared", None,
     "{I} is busy, too, with {I.cpu_pct} of one core, but no rule objects to that.",
     "No rule objects to {I}, although it uses {I.cpu_pct} of one core.",
     when=_clears())  # fmt: skip
_add("suspect_too", None, "{B} is busier, with {B.cpu_pct} of one core; see below.",
     when=both(overshadowed, lambda s: s.second is not None and s.proc("O") is s.busiest))  # fmt: skip
_add("busiest", None, "The busiest process is {B} with {B.cpu_pct} of one core.", when=overshadowed)
_add("pair", None,
     "Next come {N} with {N.cpu_pct} and {L} with {L.cpu_pct}.",
     "After it come {N} with {N.cpu_pct} of one core and {L} with {L.cpu_pct}.",
     when=lambda s: is_busiest(s) and len(s.others) > 1 and s.others[1].cpu_pct >= BUSY_PCT)  # fmt: skip
_add("next", None, "Next comes {N} with {N.cpu_pct} of one core.", when=_next_cpu(BUSY_PCT, 1e9))
_add("alone", CPU, "Nobody else listed comes near: the next is {N} with {N.cpu_pct}.",
     when=lambda s: _next_cpu(0, 10)(s) and s.process is not None
     and s.process.cpu_pct >= max(MUCH_PCT, 5 * s.others[0].cpu_pct))  # fmt: skip
_add("quiet", None, "No other process listed uses a tenth of a percent of a core.",
     when=lambda s: bool(s.facts.processes) and not overshadowed(s)
     and (not s.others or s.others[0].cpu_pct < BUSY_PCT))  # fmt: skip
_add("unlisted", None, "These facts list no process.", when=lambda s: not s.facts.processes)
