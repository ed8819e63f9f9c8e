"""What words say that a part of a sentence is about.

Owns the words by which things are measured. Refuses figures: ``matters`` has them. Invariant: a word has one topic at
most.
"""

from __future__ import annotations

from collections.abc import Collection

from linnix.insight.prose.claims import FALLING, RISING

Tags = frozenset[str]

_SAID = {
    "cpu": "cpu cpus core cores processor processors compute computes computing",
    "busy": "busy utilization utilisation",
    "memory": "memory rss resident heap ram",
    "swap": "swap swaps swapped swapping",
    "read": "read reads reading",
    "write": "write writes writing written wrote flush flushes flushed flushing push pushes pushed pushing",
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
    "forks": "fork forks forked forking spawn spawns spawned spawning starts create creates created creating",
    "execs": "exec execs program programs",
    "failures": "failure failures fail fails failed failing crash crashes crashed crashing restart restarts restarted "
    "restarting",
    "files": "file files descriptor descriptors handle handles",
    "connections": "connection connections connect connects socket sockets",
    "faults": "fault faults",
    "switches": "switch switches",
    "lock": "lock locks locked contention",
    "kills": "kill kills killed",
    "stuck": "stuck hung sleep sleeps sleeping block blocks blocked blocking",
    "throttle": "throttle throttles throttled quota limit limits limited",
    "available": "available left",
    "total": "total",
    "load": "load",
    "share": "share shares",
    "lasts": "lasts lasting",
    "age": "age old ago started began begun uptime",
    "suffer": "suffer suffers suffered suffering victim victims affect affects affected starve starves starved",
    "trouble": "trouble problem problems issue issues",
    "processes": "processes tasks",
    "change": " ".join(RISING | FALLING),
}
_OF_WORD = {word: tag for tag, words in _SAID.items() for word in words.split()}
ALL: Tags = frozenset(_SAID)
#: What a finding of such a class says to grow.
GROWS = {
    "mem_leak": "memory",
    "fd_leak": "files",
    "thread_leak": "threads",
    "runaway_tree": "descendants",
    "zombie_pileup": "zombies",
}
_HOLDS = frozenset(["hold", "holds", "holding", "held"])


def tags_of(words: Collection[str]) -> Tags:
    """What these words name; in lower case. What somebody holds, and nothing else is said of it, is memory."""
    named = frozenset(_OF_WORD[word] for word in words if word in _OF_WORD)
    return named or frozenset(["memory"] if _HOLDS & set(words) else [])
