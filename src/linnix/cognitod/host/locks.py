"""Who waits for whom at locks of files.

Owns the reading of /proc/locks (proc_locks(5); fs/locks.c). Refuses the locks that nobody waits for. Invariant: a lock
that is held by no process in particular (an open file description's) is nobody's, and its waiters are told all the
same as far as the kernel names them.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Contended(NamedTuple):
    """One lock: who holds it, and who waits for it, a pid for every thread that does. ``holder`` -1: not known."""

    holder: int
    waiters: tuple[int, ...]


def parse_locks(text: str) -> list[Contended]:
    """Those that somebody waits for. A lock and its waiters, marked by ``->``, have the same number."""
    holders: dict[str, int] = {}
    waiters: dict[str, list[int]] = {}
    for line in text.splitlines():
        number, *fields = line.split()
        waits = fields[:1] == ["->"]
        # kind, ADVISORY or MANDATORY, READ or WRITE, pid
        if len(fields) < 4 + waits:
            continue
        pid = int(fields[3 + waits])
        if waits:
            waiters.setdefault(number, []).append(pid)
        else:
            holders[number] = pid
    return [Contended(holders.get(number, -1), tuple(pids)) for number, pids in waiters.items()]


class LockLook(NamedTuple):
    """One reading of all locks, by pid."""

    ts_ns: int
    waiting: Counter[int]  # threads of it that wait for locks
    queue: dict[int, int]  # threads that wait for one lock that it holds or waits for, where there are most


def look(text: str, ts_ns: int) -> LockLook:
    """What a reading of /proc/locks says of processes."""
    waiting: Counter[int] = Counter()
    queue: dict[int, int] = {}
    for lock in parse_locks(text):
        waiting.update(pid for pid in lock.waiters if pid > 0)
        for pid in {lock.holder, *lock.waiters} - {-1, 0}:
            queue[pid] = max(queue.get(pid, 0), len(lock.waiters))
    return LockLook(ts_ns, waiting, queue)
