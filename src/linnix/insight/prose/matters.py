"""Which figures a clause may tell.

Owns of each figure what must be said for it to be meant, and what may be. Refuses figures that no words tell apart from
others. Invariant: a number passes if a figure of whom its clause is about rounds to it,
all that the figure needs is said, and nothing that it is not about.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from linnix.insight.facts import Facts, Filesystem, Finding, Process
from linnix.insight.prose import beside, figures
from linnix.insight.prose.figures import Figure
from linnix.insight.prose.topics import ALL, GROWS, Tags, tags_of

#: Of each figure of a process what must be said, and after a plus what may be; after a tilde what must stand beside the
#: number: ``in``, ``for`` or ``last`` before it, ``of_waiting`` or the counted thing behind it, ``used`` in its clause.
_OF_PROCESS = {
    "cpu_pct": ("cpu +busy", "busy"),
    "subtree_cpu_pct": ("cpu tree +busy +children +descendants",),
    "run_delay_pct": ("wait cpu",),
    "rss_bytes": ("memory",),
    "mem_pct": ("memory +busy",),
    "rss_delta_bytes": ("change +memory",),
    "cgroup_memory_pct": ("memory throttle",),
    "swap_bytes": ("swap +memory",),
    "threads": ("threads",),
    "children": ("children",),
    "descendants": ("descendants",),
    "zombies": ("zombies +children",),
    "open_files": ("files",),
    "forks_per_s": ("forks +children +processes",),
    "failed_children_per_s": ("failures +children",),
    "child_execs_per_s": ("execs +children",),
    "voluntary_switches_per_s": ("switches",),
    "major_faults_per_s": ("faults",),
    "read_bytes_per_s": ("read +disk",),
    "write_bytes_per_s": ("write +disk",),
    "tx_bytes_per_s": ("send +network",),
    "rx_bytes_per_s": ("receive +network",),
    "connects_per_s": ("connections +network",),
    "lock_wait_pct": ("lock wait +threads",),
    "lock_waiters": ("~threads lock threads +wait",),
    "sync_pct": ("sync +disk +wait",),
    "syncs_per_s": ("sync +disk",),
    "stuck_s": ("stuck +disk +wait",),
    "age_s": ("age", "~running"),
}
#: Of what detectors give as evidence, what is no field of a process, and is of the culprit and not of the host.
_OF_FINDING = {
    "wanted_cpu_pct": ("cpu want",),
    "anonymous_mib_per_s": ("change +memory",),
    "grown_bytes": ("change +memory",),
    "held_bytes": ("memory",),
    "grows_bytes_per_s": ("change +memory",),
    "moved_bytes_per_s": ("disk +busy", "disk read write"),
    "tx_mb_per_s": ("send +network",),
    "forks": ("forks +children +processes",),
    "descendants_per_s": ("descendants change",),
    "threads_per_s": ("threads change",),
    "open_files_per_s": ("files change",),
    "zombies_per_s": ("zombies change +children",),
    "failures": ("failures +children",),
    "kills": ("kills +memory",),
    "held_back_pct": ("~of_time throttle +cpu",),
    "exhausted_in_s": ("~in ~ahead memory change", "memory lasts", "lasts"),
}
_OF_HOST = {
    "cpu_pct": ("cpu +busy +load", "busy +load"),
    "mem_pct": ("memory +busy",),
    "mem_used_bytes": ("~used ~bare memory",),
    "mem_total_bytes": ("memory total", "~unused memory", "~of memory"),
    "mem_available_bytes": ("memory available",),
    "swap_used_bytes": ("swap +memory",),
    "swap_total_bytes": ("swap total +memory",),
    "cores": ("~cpu cpu +load",),
    "load": ("load +cpu",),
    "processes_total": ("processes",),
    "uptime_s": ("age", "~running"),
    "major_faults_per_s": ("faults",),
    "disk_busy_pct": ("disk busy",),
    "disk_read_bytes_per_s": ("read +disk",),
    "disk_write_bytes_per_s": ("write +disk",),
    "net_rx_bytes_per_s": ("receive +network",),
    "net_tx_bytes_per_s": ("send +network",),
    "runqueue_p99_us": ("wait cpu +processes",),
    "block_io_p99_us": ("wait disk",),
    "cpu_some_pct": ("wait cpu +processes",),
    "memory_some_pct": ("wait memory +processes",),
    "io_some_pct": ("wait disk +processes",),
    "forks_per_s": ("forks +processes",),
    "execs_per_s": ("execs",),
    "failed_exits_per_s": ("failures",),
}
_OF_FILESYSTEM = {
    "used_pct": ("+space +disk",),
    "available_bytes": ("available +space +disk",),
    "inodes_used_pct": ("inodes +space +disk",),
    "fill_bytes_per_s": ("change +space +disk",),
}
_RATELESS = ("percent", "seconds")
#: For how long something has been so: about what, by what it is.
_LASTING = {
    **dict.fromkeys(("cpu_spin", "cpu_saturation", "noisy_neighbour"), frozenset(["cpu", "busy", "want"])),
    "cgroup_throttle": frozenset(["cpu", "throttle"]),
    **dict.fromkeys(("mem_leak", "oom_risk", "oom_kill", "swap_thrash"), frozenset(["memory", "change", "swap"])),
    **dict.fromkeys(("io_saturation", "fsync_storm"), frozenset(["disk", "busy", "sync"])),
    "lock_contention": frozenset(["lock", "threads"]),
    "hung_task": frozenset(["stuck"]),
    "net_flood": frozenset(["network", "send", "receive", "connections"]),
    **dict.fromkeys(("fork_storm", "short_job_flood"), frozenset(["forks", "execs", "children"])),
    "crash_loop": frozenset(["failures", "children"]),
    "fd_leak": frozenset(["files"]),
    "thread_leak": frozenset(["threads"]),
    "zombie_pileup": frozenset(["zombies"]),
    "runaway_tree": frozenset(["descendants"]),
}


@dataclass(frozen=True, slots=True)
class Told:
    """A figure, what must be said for it to be meant, and what may be."""

    figure: Figure
    needs: Tags
    may: Tags


def of_process(facts: Facts, process: Process) -> list[Told]:
    """What may be told of a process, of what was found of it, and of what was measured to be done to it."""
    found = list(_by(figures.of_fields(process), _OF_PROCESS))
    for finding in facts.findings:
        if finding.process == process.id:
            found += _of_finding(facts, finding)
    for pair in facts.blame:
        if process.id == pair.victim and pair.victim != pair.offender:
            may = tags_of([{"io": "disk"}.get(pair.resource, pair.resource)]) | {"share"}
            share, waited = Figure("share", 100 * pair.share, "percent"), Figure("s", pair.task_ms / 1e3, "seconds")
            found.append(Told(share, frozenset(["wait", "~of_waiting"]), may))
            found.append(Told(waited, frozenset(["wait"]), may))
            found.append(_window(pair.window_s))
    return found


def _of_finding(facts: Facts, finding: Finding) -> Iterator[Told]:
    evidence = [figures.named(name, value) for name, value in finding.evidence.items()]
    yield from _by(evidence, _OF_PROCESS | _OF_FINDING)
    if (counted := GROWS.get(finding.cls)) is not None:
        yield from _by(evidence, {"grown": (f"change {counted}",)})
    may = _LASTING.get(finding.cls, frozenset())
    since_s = facts.timestamp - finding.since if finding.since > 0 else 0.0
    for name, value in (("for_s", finding.evidence.get("for_s", 0.0)), ("since_s", since_s)):
        if value > 0:
            yield Told(Figure(name, value, "seconds"), frozenset(["~for"]), may)
            yield Told(Figure(name, value, "seconds"), frozenset(["age", "trouble"]), may)
    for name in ("window_s", "span_s"):
        if finding.evidence.get(name):
            yield _window(finding.evidence[name])
            yield Told(Figure(name, finding.evidence[name], "seconds"), frozenset(["~in", "~past"]), may | {"change"})


def of_host(facts: Facts) -> list[Told]:
    """What may be told of the host as a whole."""
    own = [*figures.of_fields(facts.host), *figures.of_fields(facts.activity), *figures.of_fields(facts.pressure)]
    own += [Figure("load", value, "count") for value in facts.host.load_avg]
    own.append(Figure("processes_total", facts.processes_total, "count"))
    lasts = [figures.named(*each) for f in facts.findings for each in f.evidence.items() if each[0] == "exhausted_in_s"]
    return [*_by(own, _OF_HOST), *_by(lasts, _OF_FINDING), _window(10.0)]


def of_filesystem(space: Filesystem) -> list[Told]:
    """What may be told of one file system."""
    return list(_by(figures.of_fields(space), _OF_FILESYSTEM))


def is_told(number: re.Match[str], clause: str, tags: Tags, told: Collection[Told]) -> bool:
    """Whether this number of a clause about these things is one of these figures."""
    rest = clause[number.end() :]
    each_second = number["rate"] is not None or beside.each_second(rest)
    if number["unit"] is None and number["rate"] is None and not beside.counts(rest, tags, each_second):
        return False
    if number["unit"] in ("%", "percent") and beside.is_share(rest, clause):
        return False
    tags -= {"trouble"} if "age" not in tags else set()
    signs = beside.signs(clause[: number.start()], rest, clause)
    spans = [each for each in figures.NUMBER.finditer(clause) if (each["unit"] or "") in beside.SECONDS]
    fit = [
        each.figure
        for each in told
        if each.needs <= tags | signs
        and tags <= each.needs | each.may
        # How much in how long is told of what a detector has measured, together.
        and not (each.figure.name == "rss_delta_bytes" and spans)
    ]
    return figures.is_told(
        number, [each for each in fit if each.rate == each_second or each.kind in _RATELESS], any_rate=True
    )


def _by(found: Iterable[Figure], table: Mapping[str, tuple[str, ...]]) -> Iterator[Told]:
    for each in found:
        for spec in table.get(each.name, ()) if each.value else ():
            names = spec.split()
            needs = frozenset(name for name in names if not name.startswith("+"))
            yield Told(each, needs, frozenset(name[1:] for name in names if name.startswith("+")))


def _window(seconds: float) -> Told:
    """Over how long something was measured: whatever the clause is about."""
    return Told(Figure("window", seconds, "seconds"), frozenset(["~last"]), ALL - {"age"})
