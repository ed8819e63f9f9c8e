"""First sentences: who it is and what is wrong, in the words of the class.

Owns one clause at least for every class. Refuses accusations without a finding: those are for ``alarming`` causes only;
what merely stands out is told as that. Invariant: the sentence names the chosen process, where there is one.
"""

from __future__ import annotations

from linnix.insight.catalogue.clause import (
    BUSY_PCT,
    CPU,
    FULL_PCT,
    MUCH_PCT,
    Shelf,
    alarming,
    both,
    evidence,
    foremost,
    is_busiest,
    is_of_kill,
    leads,
    nobody,
    process,
)
from linnix.insight.fields import moves
from linnix.insight.scope import Scope

SHELF = Shelf("cause")
#: Waiting for memory from which nobody says that all is well, whatever rules say; for storage it is twice as much.
UNEASY_PCT = 10.0
_add = SHELF.add


def _of_inodes(s: Scope) -> bool:
    """It is the inodes of a file system that made the rule fire, and not its room."""
    return s.finding is not None and next(iter(s.finding.evidence), "") == "inodes_used_pct"


def _of_space(s: Scope) -> bool:
    return not _of_inodes(s)


def _easy(s: Scope) -> bool:
    return (s.psi("psi_mem") or 0.0) < UNEASY_PCT and (s.psi("psi_io") or 0.0) < 2 * UNEASY_PCT


def _asked(s: Scope) -> bool:
    return s.asked


def _calm(s: Scope) -> bool:
    return s.facts.host.cpu_pct < FULL_PCT / 2


# --- CPU
_add("loops", "cpu_spin",
     "{P} loops: it has wanted {F.wanted_cpu_pct} of one core for {F.for_s}, and got {F.cpu_pct}.",
     "{P} runs in a loop: for {F.for_s} it has wanted {F.wanted_cpu_pct} of one core, of which it got {F.cpu_pct}.",
     when=alarming)  # fmt: skip
_add("spins", "cpu_spin", "{P} keeps a core busy: it uses {P.cpu_pct} of one core.",
     when=both(alarming, process(lambda p: p.cpu_pct >= 80)))  # fmt: skip
_add("crowd", "cpu_saturation",
     "{C.count} {C.comm} processes use {C.cpu_pct} of one core together; the busiest is {P} with {P.cpu_pct}.",
     when=leads("C", "cpu_pct"))  # fmt: skip
_add("pack", "cpu_saturation",
     "{P} and its like fill the cores: {F.processes} processes want {F.wanted_of_all_cores_pct} of them all.",
     "The cores are filled by {P} and its like, {F.processes} processes that want {F.wanted_of_all_cores_pct} of all.",
     when=both(alarming, evidence("processes", 2)))  # fmt: skip
_add("fills", "cpu_saturation",
     "{P} fills the cores: it wants {F.wanted_of_all_cores_pct} of them all.",
     "One process fills the cores: {P} wants {F.wanted_of_all_cores_pct} of them all.",
     when=both(alarming, lambda s: not evidence("processes", 2)(s)))  # fmt: skip
_add("pack_takes", "cpu_saturation",
     "{P} and its like take up the cores: {F.processes} processes use {F.used_of_all_cores_pct} of them all.",
     "The cores are taken up by {P} and its like, {F.processes} processes that use {F.used_of_all_cores_pct} of all.",
     when=both(alarming, evidence("processes", 2)))  # fmt: skip
_add("takes", "cpu_saturation",
     "{P} takes up the cores: it uses {F.used_of_all_cores_pct} of them all.",
     "One process takes up the cores: {P} uses {F.used_of_all_cores_pct} of them all.",
     when=both(alarming, lambda s: not evidence("processes", 2)(s)))  # fmt: skip
_add("leads", "cpu_saturation",
     "{P} is the busiest process of a host that is {S.cpu_pct} busy: it uses {P.cpu_pct} of one core.",
     when=both(is_busiest, lambda s: s.facts.host.cpu_pct >= 70))  # fmt: skip
_add("tree", CPU, "{P} and the processes below it use {F.subtree_cpu_pct} of one core together.")
_add("family", CPU, "{P} and the processes below it take {F.share_pct} of all CPU time in use.")
_add("crowds_out", "noisy_neighbour",
     "{P} crowds others out: a process of another control group waits for a CPU {F.victim_waits_pct} of the time, "
     "{F.share_pct} of that because of it and its like.",
     "Because of {P}, a process of another control group waits for a CPU: {F.victim_waits_pct} of the time, "
     "{F.share_pct} of it for this one and its like.",
     when=alarming)  # fmt: skip
_add("steals", "noisy_neighbour",
     "{P} ran while {V} waited {D.task_ms} for a CPU.",
     "While {P} ran, {V} waited {D.task_ms} for a CPU.",
     when=lambda s: s.blame is not None and s.blame.task_ms >= 50
     and (s.blame.resource, s.blame.kind) == ("cpu", "measured"))  # fmt: skip
_add("quota", "cgroup_throttle",
     "{P} may not run as it wants: the CPU quota of its control group holds it back {F.held_back_pct} of the time.",
     "The CPU quota of its own control group holds {P} back, {F.held_back_pct} of the time.",
     when=alarming)  # fmt: skip
_add("held", "cgroup_throttle",
     "{P} is held back by the CPU quota of its control group {P.cgroup}.",
     when=alarming)  # fmt: skip

# --- births and deaths
_add("storm", "fork_storm",
     "{P} drives a fork storm: {P.forks_per_s} of the host's {S.forks_per_s} forks a second are its own.",
     "{P} forks without pause: {P.forks_per_s} of the {S.forks_per_s} forks that this host sees each second.",
     when=both(alarming, lambda s: s.process is not None
               and 1 <= s.process.forks_per_s <= s.facts.activity.forks_per_s))  # fmt: skip
_add("clan", "fork_storm",
     "{P} and its descendants make {F.share_pct} of the host's {S.forks_per_s} forks a second.",
     "{F.share_pct} of this host's {S.forks_per_s} forks a second come from {P} and its descendants.",
     when=alarming)  # fmt: skip
_add("again", "short_job_flood",
     "{P} runs the same few programs again and again: {F.short_jobs_per_s} a second that are gone within one.",
     "Again and again {P} starts the same few programs, {F.short_jobs_per_s} a second, none of which lives for one.",
     when=both(alarming, lambda s: s.finding is not None and "programs" in s.finding.evidence))  # fmt: skip
_add("grows_tree", "runaway_tree",
     "The tree below {P} keeps growing: {F.grown} more processes in {F.window_s}, {F.descendants} in all.",
     "{P} has {F.descendants} processes below it, {F.grown} more than {F.window_s} before.",
     when=alarming)  # fmt: skip
_add("fails", "crash_loop",
     "{P} starts a program again and again, and it fails: {F.failures} times in {F.span_s}.",
     "What {P} starts keeps failing: {F.failures} times in {F.span_s}, and it is started anew each time.",
     when=alarming)  # fmt: skip
_add("crashes", "crash_loop",
     "{P} is behind a crash loop: the host sees {S.failed_exits_per_s} failed exits a second.",
     when=both(alarming, lambda s: s.facts.activity.failed_exits_per_s > 0))  # fmt: skip
_add("shortlived", "short_job_flood crash_loop",
     "{P} starts {P.short_jobs_per_s} processes a second that live less than a second.",
     "Of what {P} starts, {P.short_jobs_per_s} a second live for less than a second.",
     when=both(alarming, process(lambda p: p.short_jobs_per_s >= 1)))  # fmt: skip
_add("forks", "fork_storm runaway_tree crash_loop short_job_flood",
     "{P} keeps forking: {P.forks_per_s} children a second.",
     when=both(alarming, process(lambda p: p.forks_per_s >= 1)))  # fmt: skip
_add("unreaped", "zombie_pileup",
     "{P} does not reap its dead children: {F.zombies} wait for it.",
     "{F.zombies} dead children of {P} wait to be reaped by it.",
     when=both(alarming, lambda s: s.finding is not None and "of_culprit" not in s.finding.evidence))  # fmt: skip
_add("unburied", "zombie_pileup", "{P} does not reap its dead children: {F.of_culprit} wait for it.", when=alarming)

# --- memory
_add("leaks", "mem_leak",
     "{P} takes more and more memory: {F.grown_bytes} in {F.window_s}, net of what it gave back.",
     "{P} leaks memory: {F.grown_bytes} more in {F.window_s}, at a steady pace.",
     when=alarming)  # fmt: skip
_add("swells", "mem_leak",
     "{P} keeps growing: by {R.delta} in {R.window_s}, and it now holds {P.rss_bytes}.", when=alarming)  # fmt: skip
_add("runs_out", "oom_risk",
     "Memory runs out: {F.available_pct} of the host's is available, and {P} holds {F.held_bytes}.",
     "Only {F.available_pct} of the host's memory is available; {P} holds {F.held_bytes}.",
     when=alarming)  # fmt: skip
_add("fills_limit", "oom_risk",
     "{P} fills the memory that its control group may use: {F.cgroup_memory_pct} of it is in use, and at its pace the "
     "rest lasts for {F.exhausted_in_s}.",
     when=alarming)  # fmt: skip
_add("at_limit", "oom_risk",
     "{P} is at the memory limit of its control group: {F.cgroup_memory_pct} of it is in use.",
     "The memory limit of its control group leaves {P} little: {F.cgroup_memory_pct} of it is in use.",
     when=both(alarming, lambda s: not evidence("exhausted_in_s", 0)(s)))  # fmt: skip
_add("herd", "oom_risk",
     "The resident memory of {C.count} {C.comm} processes adds up to {C.mem_pct} of the host's; the largest is {P} "
     "with {P.rss_bytes}.",
     when=leads("C", "rss_bytes"))  # fmt: skip
_add("killed", "oom_kill",
     "The kernel killed {K.comm} {K.age_s} ago, for want of memory of {K.limit}; behind it is {P}.",
     "{P} is behind a kill: {K.age_s} ago the kernel ended {K.comm} for want of memory of {K.limit}.",
     when=both(alarming, is_of_kill))  # fmt: skip
_add("kills", "oom_kill", "{P} is behind a kill for want of memory: it holds {P.rss_bytes}.", when=alarming)
_add("thrash", "swap_thrash",
     "{P} needs more memory than there is: processes wait for memory {S.psi_mem} of the time.",
     "Memory is moved to and fro for {P}: processes wait for it {S.psi_mem} of the time.",
     when=alarming)  # fmt: skip
_add("hoards", "oom_risk swap_thrash oom_kill",
     "{P} holds more memory than any other process, {P.rss_bytes}; of the host's, {S.mem_pct} is used.",
     when=lambda s: s.process is not None and s.process is s.biggest and s.facts.host.mem_pct >= 50)  # fmt: skip

# --- storage, files, locks, network
_add("moves", "io_saturation",
     "{P} keeps storage busy: it and its like move {F.moved_bytes_per_s}.",
     "Storage is busy with {P} and its like: they move {F.moved_bytes_per_s}.",
     when=both(alarming, evidence("moved_bytes_per_s", 1)))  # fmt: skip
_add("storage", "io_saturation",
     "{P} keeps storage busy: processes wait for it {S.psi_io} of the time.", when=alarming)  # fmt: skip
_add("unclaimed", "io_saturation",
     "Storage holds processes up {S.psi_io} of the time; these facts do not show who loads it.",
     when=both(alarming, nobody))  # fmt: skip
_add("in_fsync", "fsync_storm",
     "{P} does little but wait for its data to be on disk: {F.sync_pct} of the looks found it in fsync or the like.",
     "{F.sync_pct} of the looks found {P} in fsync or the like: it does little else.",
     when=alarming)  # fmt: skip
_add("syncs", "fsync_storm",
     "{P} and its like ask {F.syncs_per_s} times a second for data to be on disk.",
     "{F.syncs_per_s} times a second {P} and its like want their data on disk.",
     when=alarming)  # fmt: skip
_add("fills_disk", "disk_full",
     "Space runs out: {F.used_pct} of a file system are used, {F.available_bytes} are left; {P} writes to disks.",
     "{P} writes to disks while space runs out: a file system is used to {F.used_pct}, with {F.available_bytes} left.",
     when=both(alarming, _of_space, process(lambda p: moves(p) > 0)))  # fmt: skip
_add("filled_disk", "disk_full",
     "Space runs out: {F.used_pct} of a file system are used, {F.available_bytes} are left; {P} wrote most of late.",
     when=both(alarming, _of_space))  # fmt: skip
_add("fills_inodes", "disk_full",
     "A file system runs out of inodes, one for each file: {F.inodes_used_pct} are used; {P} writes to disks.",
     when=both(alarming, _of_inodes, process(lambda p: moves(p) > 0)))  # fmt: skip
_add("filled_inodes", "disk_full",
     "A file system runs out of inodes, one for each file: {F.inodes_used_pct} are used; {P} wrote most of late.",
     when=both(alarming, _of_inodes))  # fmt: skip
_add("no_inodes", "disk_full",
     "A file system runs out of inodes, one for each file: {F.inodes_used_pct} are used; who makes them is not known.",
     when=both(alarming, _of_inodes, nobody))  # fmt: skip
_add("full", "disk_full",
     "A file system is used to {F.used_pct}, and {F.available_bytes} are left; who fills it is not known.",
     when=both(alarming, _of_space, nobody))  # fmt: skip
_add("opens", "fd_leak",
     "{P} opens more files than it closes: {F.grown} more in {F.window_s}, {F.open_files} in all.",
     "{P} has {F.open_files} open files, {F.grown} more than {F.window_s} before.",
     when=alarming)  # fmt: skip
_add("threads", "thread_leak",
     "{P} starts more threads than end: {F.grown} more in {F.window_s}, {F.threads} in all.",
     "{P} has {F.threads} threads, {F.grown} more than {F.window_s} before.",
     when=alarming)  # fmt: skip
_add("stuck", "hung_task",
     "{P} is stuck in the kernel: a thread of it has been in uninterruptible sleep for {F.stuck_s}.",
     "For {F.stuck_s} a thread of {P} has been in uninterruptible sleep.",
     when=alarming)  # fmt: skip
_add("contends", "lock_contention",
     "Threads of {P} or of its like wait for each other: {F.lock_wait_pct} of the looks found them waiting for one "
     "lock, up to {F.lock_waiters} at once.",
     "A lock holds {P} and its like up: up to {F.lock_waiters} threads wait for it, in {F.lock_wait_pct} of the looks.",
     when=alarming)  # fmt: skip
_add("floods", "net_flood",
     "{P} sends out of all proportion: {F.tx_mb_per_s}, and hardly anything comes back.",
     "{P} sends {F.tx_mb_per_s}, and is hardly answered.",
     when=alarming)  # fmt: skip
_add("packets", "net_flood",
     "{P} sends out of all proportion: {F.tx_calls_per_s} packets or writes a second.", when=alarming)  # fmt: skip
_add("connects", "net_flood",
     "{P} opens connections without end: {F.connects_per_s} a second.", when=alarming)  # fmt: skip

# --- nothing wrong, nothing known, and what only stands out
_add("uneasy_memory", "normal",
     "No rule finds anything wrong, but something waits for memory {S.psi_mem} of the time; the busiest is {P}.",
     when=both(is_busiest, lambda s: (s.psi("psi_mem") or 0.0) >= UNEASY_PCT))  # fmt: skip
_add("uneasy_io", "normal",
     "No rule finds anything wrong, but something waits for storage {S.psi_io} of the time; the busiest is {P}.",
     when=both(is_busiest, lambda s: (s.psi("psi_io") or 0.0) >= 2 * UNEASY_PCT))  # fmt: skip
_add("calm", "normal",
     "Nothing is wrong; the busiest process is {P} with {P.cpu_pct} of one core.",
     "All is well: the busiest process, {P}, uses {P.cpu_pct} of one core.",
     when=both(is_busiest, _easy, _calm, process(lambda p: p.cpu_pct >= BUSY_PCT)))  # fmt: skip
_add("works", "normal",
     "Nothing is wrong: the host is {S.cpu_pct} busy, most of all with {P}, and no rule objects to that.",
     "The host works, {S.cpu_pct} busy and most of all with {P}; no rule finds anything wrong with that.",
     when=both(is_busiest, _easy, process(lambda p: p.cpu_pct >= BUSY_PCT)))  # fmt: skip
_add("idle", "normal",
     "Nothing is wrong and hardly anything runs; {P} uses {P.cpu_pct} of one core.",
     when=both(is_busiest, _easy, process(lambda p: p.cpu_pct < BUSY_PCT), lambda s: s.facts.host.cpu_pct < MUCH_PCT)
     )  # fmt: skip
_add("unlisted_load", "normal",
     "No rule finds anything wrong; the host is {S.cpu_pct} busy, and of that {P}, the busiest process listed, uses "
     "{P.cpu_pct} of one core.",
     when=both(is_busiest, _easy, process(lambda p: p.cpu_pct < BUSY_PCT),
               lambda s: s.facts.host.cpu_pct >= MUCH_PCT))  # fmt: skip
_add("asked_waits", "normal",
     "{P} waits for {Y}: {A.task_ms} in the last {A.window_s}, for {A.resource}.",
     "{P} is held up by {Y}: for {A.resource}, {A.task_ms} in the last {A.window_s}.",
     when=both(_asked, lambda s: s.suffering is not None and s.suffering.kind == "measured"
               and s.suffering.task_ms >= 50))  # fmt: skip
_add("asked_delayed", "normal",
     "{P} waits for a CPU {P.run_delay_pct} of the time; who is in its way is not known.",
     when=both(_asked, process(lambda p: p.threads == 1 and 5 <= (p.run_delay_pct or 0.0) <= 100),
               lambda s: s.suffering is None))  # fmt: skip
_add("asked_well", "normal",
     "No rule finds anything wrong with {P}: it uses {P.cpu_pct} of one core and holds {P.rss_bytes}.",
     "{P} uses {P.cpu_pct} of one core and holds {P.rss_bytes}; no rule finds anything wrong with that.",
     when=_asked)  # fmt: skip
_add("empty", "normal", "Nothing is wrong that these facts can show.", when=nobody)
_add("strange", "unknown",
     "Something is as it hardly ever is here: {U.series} is {U.value}, and usually {U.typical}.",
     "{U.series} is {U.value} here, where it usually is {U.typical}.",
     when=both(nobody, lambda s: not s.alarms))  # fmt: skip
_add("most_cpu", "cpu_saturation", "Of the programs that no rule objects to, {P} uses most CPU: {P.cpu_pct} of one "
     "core.", when=foremost(lambda p: p.cpu_pct))  # fmt: skip
_add("most_memory", "oom_risk", "Of the programs that no rule objects to, {P} holds most memory: {P.rss_bytes}.",
     when=foremost(lambda p: p.rss_bytes))  # fmt: skip
_add("most_io", "io_saturation", "Of the programs that no rule objects to, {P} reads and writes most: "
     "{P.moved_bytes_per_s}.", when=foremost(moves))  # fmt: skip
_add("most_sent", "net_flood", "Of the programs that no rule objects to, {P} sends most: {P.tx_bytes_per_s}.",
     when=foremost(lambda p: p.tx_bytes_per_s or 0.0))  # fmt: skip
_add("most_births", "fork_storm short_job_flood", "Of the programs that no rule objects to, {P} starts most processes: "
     "{P.forks_per_s} a second.", when=foremost(lambda p: p.forks_per_s))  # fmt: skip

# --- where nothing more telling holds
_add("ruled", None,
     "{P} is named by a rule ({F.class}); it uses {P.cpu_pct} of one core and {P.rss_bytes}.",
     when=alarming)  # fmt: skip
_add("found", None, "A rule has fired: {F.class}; it names no process.", when=both(alarming, nobody))
_add("remarked", None, "A rule remarks on {P} ({F.class}), and sees no harm in it.", when=lambda s: not s.alarms)
_add("noticed", None, "A rule remarks on the host ({F.class}), and sees no harm in it.",
     when=both(nobody, lambda s: not s.alarms))  # fmt: skip

#: Said wherever they hold.
MUST = frozenset(["crowd", "herd", "asked_waits", "asked_delayed", "asked_well"])
#: Said only where nothing more telling holds.
GENERIC = frozenset(["ruled", "found", "remarked", "noticed"])
