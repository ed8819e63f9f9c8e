"""What a clause is about, and which figures it may tell.

Owns the words by which things are measured, and of each figure what must be said for it to be meant. Refuses figures
that no words tell apart from others. Invariant: a number passes if a figure of whom its clause is about rounds to it,
all that the figure needs is said, and nothing that it is not about.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from linnix.insight.facts import Facts, Filesystem, Finding, Process
from linnix.insight.prose import figures
from linnix.insight.prose.claims import FALLING, RISING
from linnix.insight.prose.figures import Figure

Tags = frozenset[str]

_SAID = {
    "cpu": "cpu cpus core cores processor processors compute computes computing",
    "busy": "busy",
    "memory": "memory rss resident heap ram",
    "swap": "swap swaps swapped swapping",
    "read": "read reads reading",
    "write": "write writes writing written wrote",
    "send": "send sends sending sent",
    "receive": "receive receives receiving received",
    "disk": "disk disks storage io",
    "network": "network traffic packet packets",
    "sync": "sync syncs synced syncing fsync fsyncs",
    "space": "space full filesystem filesystems volume volumes",
    "inodes": "inode inodes",
    "wait": "wait waits waiting waited waiter waiters pressure psi stall stalls stalled stalling delay delays delayed "
    "latency",
    "want": "want wants wanted wanting",
    "tree": "tree subtree together",
    "threads": "thread threads",
    "children": "child children",
    "descendants": "descendant descendants",
    "zombies": "zombie zombies unreaped",
    "forks": "fork forks forked forking spawn spawns spawned spawning starts",
    "execs": "exec execs program programs",
    "failures": "failure failures crash crashes crashed crashing restart restarts restarted restarting",
    "files": "file files descriptor descriptors handle handles",
    "connections": "connection connections connect connects socket sockets",
    "faults": "fault faults",
    "switches": "switch switches",
    "lock": "lock locks locked contention",
    "kills": "kill kills killed",
    "stuck": "stuck hung sleep sleeps sleeping",
    "throttle": "throttle throttles throttled quota limit limits limited",
    "available": "available left",
    "total": "total",
    "load": "load",
    "share": "share shares",
    "age": "age old ago started began begun uptime running",
    "processes": "processes tasks",
    "change": " ".join(RISING | FALLING),
}
_OF_WORD = {word: tag for tag, words in _SAID.items() for word in words.split()}
_ALL: Tags = frozenset(_SAID)
_HOLDS = frozenset(["hold", "holds", "holding", "held"])

#: Of each figure of a process what must be said, and after a plus what may be.
_OF_PROCESS = {
    "cpu_pct": ("cpu +busy", "busy"),
    "subtree_cpu_pct": ("cpu tree +busy +children +descendants",),
    "run_delay_pct": ("wait cpu",),
    "rss_bytes": ("memory",),
    "mem_pct": ("memory",),
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
    "lock_waiters": ("lock +wait +threads",),
    "sync_pct": ("sync +disk +wait",),
    "syncs_per_s": ("sync +disk",),
    "stuck_s": ("stuck +disk +wait",),
    "age_s": ("age",),
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
    "held_back_pct": ("throttle +cpu",),
    "used_pct": ("space +disk",),
    "available_bytes": ("space available +disk",),
    "fill_bytes_per_s": ("space change +disk",),
    "inodes_used_pct": ("inodes +space +disk",),
}
#: Of how many more there are, which of them.
_GROWN = {"fd_leak": "files", "thread_leak": "threads", "zombie_pileup": "zombies", "runaway_tree": "descendants"}
_OF_HOST = {
    "cpu_pct": ("cpu +busy", "busy"),
    "mem_pct": ("memory",),
    "mem_used_bytes": ("memory",),
    "mem_total_bytes": ("memory total",),
    "mem_available_bytes": ("memory available",),
    "swap_used_bytes": ("swap +memory",),
    "swap_total_bytes": ("swap total +memory",),
    "cores": ("cpu +load",),
    "load": ("load +cpu",),
    "processes_total": ("processes",),
    "uptime_s": ("age",),
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
#: After a count without a unit: nothing, one of these, or within two words what is counted.
_AFTER_COUNT = frozenset(
    ["of", "in", "on", "at", "by", "with", "for", "within", "during", "now", "as", "a", "per", "each", "from", "is"]
)
_NEXT = re.compile(r"[\s,]*([A-Za-z]+)?\s*([A-Za-z]+)?")
_RATE = re.compile(r"\s+[A-Za-z]+(?:\s+[A-Za-z]+)?\s+(?:a|per|each|every) second\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """A figure, what must be said for it to be meant, and what may be."""

    figure: Figure
    needs: Tags
    may: Tags


def tags_of(words: Collection[str]) -> Tags:
    """What these words name; in lower case. What somebody holds, and nothing else is said of it, is memory."""
    named = frozenset(_OF_WORD[word] for word in words if word in _OF_WORD)
    return named or frozenset(["memory"] if _HOLDS & set(words) else [])


def of_process(facts: Facts, process: Process) -> list[Told]:
    """What may be told of a process, of what was found of it, and of what was measured to be done to it."""
    found = list(_by(figures.of_fields(process), _OF_PROCESS))
    for finding in facts.findings:
        if finding.process == process.id:
            found += _of_finding(facts, finding)
    for pair in facts.blame:
        if process.id == pair.victim and pair.victim != pair.offender:
            may = tags_of([{"io": "disk"}.get(pair.resource, pair.resource)]) | {"share"}
            waits = Figure("share", 100 * pair.share, "percent"), Figure("task_ms", pair.task_ms / 1e3, "seconds")
            found += [Told(figure, frozenset(["wait"]), may) for figure in waits]
            found.append(_span(Figure("window_s", pair.window_s, "seconds")))
    return found


def _of_finding(facts: Facts, finding: Finding) -> Iterator[Told]:
    evidence = [figures.named(name, value) for name, value in finding.evidence.items()]
    yield from _by(evidence, _OF_PROCESS | _OF_FINDING)
    if (counted := _GROWN.get(finding.cls)) is not None:
        yield from _by(evidence, {"grown": (f"change {counted}",)})
    for each in evidence:
        if each.kind == "seconds" and each.name not in _OF_PROCESS:
            yield _span(each)
    if finding.since > 0:
        yield _span(Figure("since_s", facts.timestamp - finding.since, "seconds"))


def of_host(facts: Facts) -> list[Told]:
    """What may be told of the host as a whole."""
    own = [*figures.of_fields(facts.host), *figures.of_fields(facts.activity), *figures.of_fields(facts.pressure)]
    own += [Figure("load", value, "count") for value in facts.host.load_avg]
    own.append(Figure("processes_total", facts.processes_total, "count"))
    lasts = [figures.named(*each) for f in facts.findings for each in f.evidence.items() if each[0] == "exhausted_in_s"]
    spans = [_span(Figure("psi_window", 10.0, "seconds"))]
    return [*_by(own, _OF_HOST), *_by(lasts, {"exhausted_in_s": ("memory +change +available",)}), *spans]


def of_filesystem(space: Filesystem) -> list[Told]:
    """What may be told of one file system."""
    return list(_by(figures.of_fields(space), _OF_FILESYSTEM))


def is_told(number: re.Match[str], clause: str, tags: Tags, told: Collection[Told]) -> bool:
    """Whether this number of a clause about these things is one of these figures."""
    rest = clause[number.end() :]
    each_second = number["rate"] is None and _RATE.match(rest) is not None
    if number["unit"] is None and number["rate"] is None and not _counts(rest, tags, each_second):
        return False
    fit = [each.figure for each in told if each.needs <= tags <= each.needs | each.may]
    rates = [each for each in fit if each.rate == each_second or number["rate"] is not None or each.kind != "count"]
    return figures.is_told(number, rates, any_rate=each_second)


def _counts(rest: str, tags: Tags, each_second: bool) -> bool:
    """Whether what follows a bare number says what was counted, or nothing, or how often a second."""
    found = _NEXT.match(rest)
    words = [word.lower() for word in (found.groups() if found else ()) if word]
    if not words or words[0] in _AFTER_COUNT or (words[0] == "times" and each_second):
        return True
    return bool(tags_of(words) & tags)


def _by(found: Collection[Figure], table: dict[str, tuple[str, ...]]) -> Iterator[Told]:
    for each in found:
        for spec in table.get(each.name, ()) if each.value else ():
            names = spec.split()
            needs = frozenset(name for name in names if not name.startswith("+"))
            yield Told(each, needs, frozenset(name[1:] for name in names if name.startswith("+")))


def _span(figure: Figure) -> Told:
    """How long something has been so: about whatever the clause is about, but for how old somebody is."""
    return Told(figure, frozenset(), _ALL - {"age"})
