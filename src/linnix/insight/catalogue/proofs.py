"""Second sentences: what was measured that says so.

Owns evidence about the chosen process. Refuses the finding's main figure, which the first sentence tells. Invariant:
each is about the process that the first sentence names, as "it".
"""

from __future__ import annotations

from linnix.insight.catalogue.clause import (
    BIRTHS,
    CPU,
    LEAKS,
    MEMORY,
    STORAGE,
    Shelf,
    alarming,
    both,
    evidence,
    is_of_kill,
    nobody,
    process,
)
from linnix.insight.scope import Scope

SHELF = Shelf("proof")
_add = SHELF.add

_IO = 65_536


def _is_not_all(s: Scope) -> bool:
    """Its parent is somebody else that facts name."""
    return s.proc("Q") is not None and s.proc("Q") is not s.process


_add("own", None, "It is one of Linnix's own processes.", when=process(lambda p: p.own))

# --- CPU
_add("traceless", "cpu_spin",
     "It leaves no trace of work: {F.voluntary_switches_per_s} switches, {F.minor_faults_per_s} page faults a second.",
     "Work would show: it has {F.voluntary_switches_per_s} switches and {F.minor_faults_per_s} page faults a second.",
     when=alarming)  # fmt: skip
_add("single", CPU, "It has a single thread, so one core is all it can take.",
     when=process(lambda p: p.threads == 1 and 80 <= p.cpu_pct <= 115))  # fmt: skip
_add("in_kernel", CPU, "Most of its time is spent in the kernel: {P.cpu_system_pct} of one core, of {P.cpu_pct}.",
     when=process(lambda p: p.cpu_system_pct is not None and p.cpu_pct >= 20
                  and p.cpu_pct / 2 < p.cpu_system_pct <= p.cpu_pct))  # fmt: skip
_add("starved", CPU, "It would use more: it waits for a CPU {P.run_delay_pct} of the time.",
     when=process(lambda p: p.threads == 1 and 10 <= (p.run_delay_pct or 0) <= 100))  # fmt: skip
_add("share", CPU | {"noisy_neighbour"}, "It alone takes {P.cpu_share} of all CPU time in use.",
     when=process(lambda p: p.cpu_pct >= 20))  # fmt: skip
_add("below", CPU | BIRTHS, "With all that runs below it, it uses {P.subtree_cpu_pct} of one core.",
     when=process(lambda p: p.descendants > 0 and p.subtree_cpu_pct >= max(20.0, 1.5 * p.cpu_pct)))  # fmt: skip
_add("hog", "noisy_neighbour", "It and its like use {F.cpu_pct} of one core.")
_add("capped", "cgroup_throttle", "It got {P.cpu_pct} of one core, and wanted more.", when=alarming)

# --- births and deaths
_add("bare", "fork_storm", "Hardly any fork of this host is followed by a program, as those of a build would be.",
     when=lambda s: s.finding is not None and s.finding.evidence.get("exec_pct", 100.0) <= 10)  # fmt: skip
_add("few", "short_job_flood", "Four fifths of them are one of {F.programs} programs.", when=evidence("programs", 2))
_add("one", "short_job_flood", "Four fifths of them, or more, are the same program.",
     when=both(evidence("programs", 1), lambda s: not evidence("programs", 2)(s)))  # fmt: skip
_add("turn", "crash_loop", "One round takes {F.turn_s}, and {F.failing_pct} of them end in failure.")
_add("failing", "crash_loop", "Of its children {P.failed_children_per_s} a second fail.",
     when=process(lambda p: p.failed_children_per_s >= 0.1))  # fmt: skip
_add("faster", "zombie_pileup", "In those {F.window_s} there were {F.zombies_per_s} more each second.",
     when=evidence("zombies_per_s", 0.1))  # fmt: skip
_add("faster_tree", "runaway_tree", "In that time there were {F.descendants_per_s} more each second.",
     when=evidence("descendants_per_s", 0.1))  # fmt: skip
_add("children", BIRTHS - {"short_job_flood", "crash_loop"},
     "Of its children, {P.short_jobs_per_s} a second live less than a second.",
     when=process(lambda p: p.short_jobs_per_s >= 1))  # fmt: skip
_add("rates", BIRTHS, "The host sees {S.execs_per_s} execs and {S.exits_per_s} exits a second.")

# --- memory
_add("pace", "mem_leak", "In those {F.window_s} it grew by {F.anonymous_mib_per_s}, all of it memory of its own.",
     when=alarming)  # fmt: skip
_add("holds_now", "mem_leak", "It holds {P.rss_bytes} now, {P.mem_pct} of the host's memory.")
_add("takes_more", "oom_risk oom_kill", "It grew by {P.rss_delta_bytes} of late.",
     when=process(lambda p: p.rss_delta_bytes >= 1_000_000))  # fmt: skip
_add("swapped", "swap_thrash", "Of it {P.swap_bytes} are swapped out, and it has {P.major_faults_per_s} major faults a "
     "second.", when=process(lambda p: (p.swap_bytes or 0) >= 1_000_000))  # fmt: skip
_add("reads_back", "swap_thrash", "It has {P.major_faults_per_s} major faults a second: it reads back what was taken.",
     when=process(lambda p: (p.major_faults_per_s or 0) >= 1))  # fmt: skip
_add("killed_size", "oom_kill", "What was killed held {K.rss_bytes}.",
     when=both(is_of_kill, lambda s: s.kill is not None and s.kill.rss_bytes > 0))  # fmt: skip
_add("share_mem", MEMORY, "It holds {P.mem_pct} of the host's memory.",
     when=both(lambda s: s.cls != "swap_thrash", process(lambda p: p.mem_pct >= 1)))  # fmt: skip

# --- storage, files, locks, network
_add("disk", STORAGE, "The disk {S.disk} is busy {S.disk_busy_pct} of the time.",
     when=lambda s: (s.facts.host.disk_busy_pct or 0.0) >= 5)  # fmt: skip
_add("reads_writes", STORAGE, "It reads {P.read_bytes_per_s} and writes {P.write_bytes_per_s}.",
     when=process(lambda p: (p.read_bytes_per_s or 0) + (p.write_bytes_per_s or 0) >= _IO))  # fmt: skip
_add("sync_rate", "fsync_storm", "It asks for that {P.all_syncs_per_s} times a second.",
     when=process(lambda p: (p.syncs_per_s or 0) + p.ended_syncs_per_s >= 1))  # fmt: skip
_add("where_full", "disk_full", "It is the one at {X.mount}, used to {X.used_pct}.",
     when=lambda s: s.finding is not None and s.fullest is not None
     and s.finding.evidence.get("used_pct") == s.fullest.used_pct
     and s.finding.evidence.get("available_bytes") == s.fullest.available_bytes)  # fmt: skip
_add("full_soon", "disk_full", "At this pace it is full in {F.full_in_s}.", when=evidence("full_in_s", 1))
_add("faster_files", "fd_leak", "In that time there were {F.open_files_per_s} more each second.")
_add("faster_threads", "thread_leak", "In that time there were {F.threads_per_s} more each second.")
_add("sleeps_in", "hung_task", "It sleeps in {P.stuck_in}.")
_add("not_alone", "hung_task", "In all {F.stuck_processes} processes are stuck.", when=evidence("stuck_processes", 2))
_add("switching", "lock_contention", "They give up the CPU {F.voluntary_switches_per_s} times a second.",
     when=evidence("voluntary_switches_per_s", 1))  # fmt: skip
_add("unanswered", "net_flood", "It sends {P.tx_calls_per_s} times a second, and receives {P.rx_calls_per_s} times.",
     when=process(lambda p: (p.tx_calls_per_s or 0) > 2 * (p.rx_calls_per_s or 0)))  # fmt: skip

# --- of any class
_add("since", None, "It has been so for {F.age_s}.", when=lambda s: s.cls not in LEAKS and s.cls != "hung_task"
     and "for_s" not in (s.finding.evidence if s.finding else {}))  # fmt: skip
_add("unit", None, "It belongs to {P.unit}.", when=lambda s: s.cls != "normal")
_add("age", None, "It has been running for {P.age_s}.", when=process(lambda p: p.age_s >= 1))
_add("young", None, "It was started {P.age_s} ago.", when=process(lambda p: 1 <= p.age_s < 120))
_add("parent", None, "Its parent is {Q}.", when=_is_not_all)
_add("threaded", CPU, "It runs {P.threads} threads.", when=process(lambda p: p.threads >= 2))
_add("usage", None, "It holds {P.rss_bytes} of memory and uses {P.cpu_pct} of one core.",
     when=lambda s: s.cls not in CPU | MEMORY | {"normal", "noisy_neighbour"})  # fmt: skip
_add("memory", None, "It holds {P.rss_bytes} of memory.", when=lambda s: s.cls not in MEMORY)
_add("cpu", MEMORY, "It uses {P.cpu_pct} of one core.")
_add("totals", None, "The host is {S.cpu_pct} busy, and {S.mem_pct} of its memory is used.", when=nobody)

MUST = frozenset(["own"])
