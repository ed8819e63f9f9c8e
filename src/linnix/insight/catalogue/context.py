"""What else there is to know, and what is not known.

Owns two slots: the rest of the host, and doubt. Refuses reassurance: what was not seen is not said to be well.
Invariants: another finding worth an alarm is told of; where Linnix does not see all, or lost something, that is said.
"""

from __future__ import annotations

from linnix.insight.catalogue.clause import (
    BIRTHS,
    CALM_PCT,
    CPU,
    MEMORY,
    MEMORY_PCT,
    MUCH_PCT,
    STORAGE,
    Predicate,
    Shelf,
    alarming,
    both,
    nobody,
)
from linnix.insight.classes import SEVERITIES
from linnix.insight.scope import Scope

CONTEXT, DOUBT = Shelf("context"), Shelf("doubt")
_add = CONTEXT.add

#: Of two scores, the smaller as a share of the larger from which on they are told as nearly alike; and the score below
#: which a cause is told as uncertain.
_NEAR = 0.8
_UNSURE = 0.25


def _mem(low: float, high: float) -> Predicate:
    return lambda s: s.cls not in MEMORY and low <= s.facts.host.mem_pct < high


def _load_over(s: Scope) -> bool:
    return s.facts.host.load_avg[0] > s.facts.host.cores


def _group(root: str, field: str, least: float) -> Predicate:
    def test(s: Scope) -> bool:
        group = s.group(root)
        return group is not None and float(getattr(group, field)) >= least and group.count >= 2

    return test


def _host(field: str, least: float) -> Predicate:
    def test(s: Scope) -> bool:
        value: float | None = getattr(s.facts.host, field)
        return value is not None and value >= least

    return test


_add("second", None,
     "A rule has found something of {O} as well: {E.class}.",
     "There is something else: {E.class}, and that is {O}.")  # fmt: skip
_add("second_host", None, "A rule has found something of the host as well: {E.class}.",
     when=lambda s: s.second is not None and s.second.process is None)  # fmt: skip
_add("group_mem", None, "The resident memory of {G.count} {G.comm} processes adds up to {G.mem_pct} of the host's.",
     when=lambda s: _group("G", "mem_pct", 10)(s)
     and not (s.cls == "oom_risk" and s.group("G") is s.group("C")))  # fmt: skip
_add("group_cpu", None, "{H.count} {H.comm} processes use {H.cpu_pct} of one core together.",
     when=lambda s: _group("H", "cpu_pct", MUCH_PCT)(s) and s.group("H") is not s.group("C"))  # fmt: skip
_add("trend", None,
     "Over the last {T.window_s}, {T.what} has {T.direction} by {T.delta}.",
     "{T.what} has {T.direction} by {T.delta} over the last {T.window_s}.")  # fmt: skip
_add("unusual", None,
     "Unusual for this host: {U.series} is {U.value}, where {U.typical} is usual.",
     "{U.series} is {U.value}, and that is unusual here: it mostly is {U.typical}.",
     when=lambda s: s.cls != "unknown")  # fmt: skip
_add("overload", None, "The load average is {S.load_1}; the host has {S.cores} cores.",
     when=lambda s: _load_over(s) and s.facts.host.cores > 1)  # fmt: skip
_add("mem_full", None, "Memory is nearly used up, at {S.mem_pct}.", when=_mem(MEMORY_PCT, 1e9))
_add("mem_high", None, "Memory is {S.mem_pct} used.", when=_mem(75, MEMORY_PCT))
_add("steals_time", None, "The hypervisor takes {S.steal_pct} of the CPU time for others.", when=_host("steal_pct", 5))
_add("host_in_kernel", CPU | BIRTHS, "The host spends {S.system_pct} of its CPU time in the kernel.",
     when=_host("system_pct", 30))  # fmt: skip
_add("swap", MEMORY, "Of swap, {S.swap_used_bytes} of {S.swap_total_bytes} is in use.",
     when=lambda s: s.facts.host.swap_used_bytes > 0)  # fmt: skip
_add("no_swap", MEMORY, "This host has no swap to fall back on.", when=lambda s: s.facts.host.swap_total_bytes == 0)
_add("refaults", MEMORY, "What was dropped from the page cache is read again, at {S.refaulted_bytes_per_s}.",
     when=_host("refaulted_bytes_per_s", 1e6))  # fmt: skip
_add("disk_moves", STORAGE, "All disks together read {S.disk_read_bytes_per_s} and write {S.disk_write_bytes_per_s}.",
     when=lambda s: None not in (moved := (s.facts.host.disk_read_bytes_per_s, s.facts.host.disk_write_bytes_per_s))
     and max(value or 0.0 for value in moved) >= 65_536)  # fmt: skip
_add("another_disk", None, "The file system at {X.mount} is used to {X.used_pct}.",
     when=lambda s: s.cls != "disk_full" and s.fullest is not None and s.fullest.used_pct >= 90)  # fmt: skip
_add("network", "net_flood", "The host sends {S.net_tx_bytes_per_s} and receives {S.net_rx_bytes_per_s}.",
     when=_host("net_tx_bytes_per_s", 1e5))  # fmt: skip
_add("biggest", None, "The most memory is held by {M}: {M.rss_bytes}.",
     when=lambda s: s.proc("M") is not s.process and (m := s.proc("M")) is not None and m.mem_pct >= 5)  # fmt: skip
_add("births", None, "The host sees {S.forks_per_s} forks and {S.execs_per_s} execs a second.",
     when=lambda s: s.cls not in BIRTHS and s.facts.activity.forks_per_s >= 10)  # fmt: skip
_add("load", None, "The load average is {S.load_1} on {S.cores} cores.",
     when=lambda s: not _load_over(s) and s.facts.host.cores > 1)  # fmt: skip
_add("mem_fine", None, "Memory is no concern: {S.mem_pct} of {S.mem_total_bytes} is used, and hardly anything waits.",
     when=both(_mem(0, 75), lambda s: s.psi("psi_mem") is not None and (s.psi("psi_mem") or 0.0) < CALM_PCT)
     )  # fmt: skip
_add("cpu_free", MEMORY | STORAGE, "The CPUs are {S.cpu_pct} busy.",
     when=lambda s: s.facts.host.cpu_pct < 70)  # fmt: skip


def _near(s: Scope) -> bool:
    if s.finding is None or s.second is None or s.finding.score <= 0:
        return False
    return _NEAR <= s.second.score / s.finding.score <= 1 / _NEAR


def _likelier(s: Scope) -> bool:
    return s.finding is not None and s.second is not None and _NEAR * s.second.score > s.finding.score


def _graver(s: Scope) -> bool:
    here = SEVERITIES.index(s.severity)
    return s.second is not None and SEVERITIES.index(s.second.severity) > here


_add = DOUBT.add
_add(
    "blind_graver",
    None,
    "That other finding is the graver one: look at it first. Linnix does not see all of this host: {S.degraded}.",
    when=_graver,
)
_add("blind", None, "Linnix does not see all of this host: {S.degraded}.", when=lambda s: not _graver(s))
_add(
    "graver",
    None,
    "That other finding is the graver one: look at it first.",
    when=lambda s: _graver(s) and not s.facts.degraded,
)
_add("likelier", None, "That other finding is the likelier cause: look at it first.",
     when=lambda s: alarming(s) and _likelier(s) and not _graver(s) and not s.facts.degraded)  # fmt: skip
_add("as_likely", None, "The other finding is about as likely to be the cause.", when=both(alarming, _near))
_add("lost", None, "{S.lost_events} events were lost since the daemon started, so true rates may be higher.",
     when=lambda s: s.facts.activity.lost_events > 0)  # fmt: skip
_add("nameless", None, "No process could be made out as the cause.", when=both(alarming, nobody))
_add("unsure", None, "The rules are not sure of this: they give it a score of {F.score}.",
     when=both(alarming, lambda s: s.finding is not None and 0 < s.finding.score < _UNSURE))  # fmt: skip
_add("unmeasured", "noisy_neighbour io_saturation swap_thrash",
     "Who waits for whom is not measured at this moment.",
     when=both(alarming, lambda s: not s.facts.host.measures_blame and not s.facts.blame))  # fmt: skip
_add("inferred", None, "That {V} waits for it is inferred, not measured.",
     when=lambda s: s.alarms and s.blame is not None and s.blame.kind == "inferred")  # fmt: skip
_add("elsewhere", CPU | BIRTHS, "Of all cores {S.unaccounted_cpu_pct} are used by what these facts do not list.",
     when=_host("unaccounted_cpu_pct", 10))  # fmt: skip
_add("brief", None, "It began only {F.age_s} ago.",
     when=both(alarming, lambda s: s.finding is not None and s.facts.timestamp - s.finding.since < 15))  # fmt: skip

MUST = frozenset(["second", "second_host", "blind_graver", "blind", "graver", "likelier"])
