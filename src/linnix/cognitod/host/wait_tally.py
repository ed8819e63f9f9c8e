"""What looks at threads and locks come to, over the last ten seconds.

Owns which waits are waits for a lock. Refuses to look. Invariant: a wait that is shared by no other thread within the
window is none, and neither is one that an idle pool of threads would show as well.

A lock and an idle pool look alike: many threads that sleep on one word. What tells them apart:

- a contended mutex is told by what is waited for, see ``syscalls``;
- a condition variable of glibc has two words side by side, and a pool that is in use sleeps on both; a semaphore that
  serves as a lock, as Python's do, has one. And who waits for a lock gets it before long, where who is idle sleeps on;
- a semaphore may count pieces of work, as the one of Python's ThreadPoolExecutor does: then all who ever wait for it
  are found to wait at once, where one of those who want a lock has it;
- Python's interpreter lock is a condition variable that every waiter wakes from each 5 ms (sys.getswitchinterval) to
  ask for it; a pool wakes when there is work.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from linnix.cognitod.host.locks import LockLook
from linnix.cognitod.host.syscalls import Kind, Wait
from linnix.cognitod.senses import Identity, Waits

WINDOW_NS = 10 * 10**9
#: How often a thread runs that waits for an interpreter lock: it wakes 200 times a second, and less on a busy host.
MIN_ASKS_PER_S = 50.0
#: Who holds a lock does not wait for it. Threads are looked at one after another, so that it may have been passed on.
MAX_UNHELD = 0.25
#: The other word of a condition variable of glibc.
_BESIDE = 4


class Look(NamedTuple):
    """One look at the threads of one process: the tids of all, and of those that wait, by for what."""

    ts_ns: int
    threads: frozenset[int]
    waits: Mapping[Wait, list[int]]


class Tally:
    """Everything of the last ten seconds."""

    def __init__(self) -> None:
        self._looks: dict[Identity, deque[Look]] = {}
        self._runs: dict[int, deque[tuple[int, int]]] = {}  # of threads: when, and how often it had run until then
        self._locks: deque[LockLook] = deque()
        self._sharing: dict[Wait, set[int]] = {}  # as of the last summary

    def add(self, who: Identity, look: Look) -> None:
        """A look at the threads of a process."""
        self._looks.setdefault(who, deque()).append(look)

    def add_runs(self, tid: int, ts_ns: int, runs: int) -> None:
        """How often a thread has run since its birth."""
        self._runs.setdefault(tid, deque()).append((ts_ns, runs))

    def add_locks(self, look: LockLook) -> None:
        """A look at the locks of files."""
        self._locks.append(look)

    def forget(self, now_ns: int) -> None:
        """What is older than the window."""
        since_ns = now_ns - WINDOW_NS
        for who, looks in list(self._looks.items()):
            while looks and looks[0].ts_ns < since_ns:
                looks.popleft()
            if not looks:
                del self._looks[who]
        for tid, runs in list(self._runs.items()):
            while runs and runs[0][0] < since_ns:
                runs.popleft()
            if not runs:
                del self._runs[tid]
        while self._locks and self._locks[0].ts_ns < since_ns:
            self._locks.popleft()

    def summary(self) -> dict[Identity, Waits]:
        """Of every process that was looked at."""
        self._sharing = defaultdict(set)
        for looks in self._looks.values():
            for look in looks:
                for wait, tids in look.waits.items():
                    self._sharing[wait].update(tids)
        locks = {wait for wait, tids in self._sharing.items() if self._is_lock(wait, tids)}
        longest = {wait: max(count for count, _ in self._queues(wait)) for wait in locks}
        return {who: _waits(looks, locks, longest) for who, looks in self._looks.items()}

    def _queues(self, wait: Wait) -> list[tuple[int, int]]:
        """At each moment at which somebody waited for it: how many did, of how many who ever do, in all processes."""
        sharing = self._sharing[wait]
        waited: Counter[int] = Counter()
        could: Counter[int] = Counter()
        for looks in self._looks.values():
            for look in looks:
                waited[look.ts_ns] += len(look.waits.get(wait, ()))
                could[look.ts_ns] += len(sharing & look.threads)
        return [(count, could[ts_ns]) for ts_ns, count in waited.items() if count]

    def is_shared(self, wait: Wait) -> bool:
        """Whether several threads waited for it, as of the last summary."""
        return len(self._sharing.get(wait, ())) > 1

    def _is_lock(self, wait: Wait, tids: set[int]) -> bool:
        if wait.kind in (Kind.SYNC, Kind.FILE):
            return wait.kind is Kind.FILE
        if len(tids) < 2 or wait._replace(key=wait.key ^ _BESIDE) in self._sharing:
            return False
        if wait.kind is Kind.MUTEX:
            return True
        rates = list(self._rates(tids))
        if wait.kind is Kind.TIMED:
            return sum(rates) >= MIN_ASKS_PER_S * max(len(rates), 1)
        if 2 * sum(rate > 0 for rate in rates) < max(len(rates), 1):
            return False
        queues = self._queues(wait)
        return sum(count >= could for count, could in queues) <= MAX_UNHELD * len(queues)

    def _rates(self, tids: set[int]) -> Iterator[float]:
        for tid in tids:
            runs = self._runs.get(tid)
            if runs is not None and len(runs) > 1:
                yield (runs[-1][1] - runs[0][1]) * 10**9 / (runs[-1][0] - runs[0][0])

    def file_waits(self, threads: Mapping[int, int]) -> dict[int, Waits]:
        """By pid, of those that waited for locks of files or held one that others waited for.

        ``threads``: how many each has; one where it is not known.
        """
        told = {}
        for pid in {pid for look in self._locks for pid in look.queue}:
            first = next(at for at, look in enumerate(self._locks) if pid in look.queue)
            looks = list(self._locks)[first:]
            waited = sum(look.waiting[pid] for look in looks)
            share = 100.0 * waited / (len(looks) * threads.get(pid, 1))
            told[pid] = Waits(min(share, 100.0), max(look.queue.get(pid, 0) for look in looks), None)
        return told


def _waits(looks: deque[Look], locks: set[Wait], longest: Mapping[Wait, int]) -> Waits:
    threads = sum(len(look.threads) for look in looks)
    waited: Counter[Wait] = Counter()
    synced = 0
    for look in looks:
        synced += any(wait.kind is Kind.SYNC for wait in look.waits)
        for wait in look.waits.keys() & locks:
            waited[wait] += len(look.waits[wait])
    sync_pct = 100.0 * synced / len(looks)
    if not waited:
        return Waits(0.0, 0, sync_pct)
    [(most, times)] = waited.most_common(1)
    return Waits(100.0 * times / threads, longest[most], sync_pct)


def together(one: Waits, other: Waits) -> Waits:
    """The more telling of two accounts of one process: that of its threads, and that of the locks of files."""
    shares = [each.lock_wait_pct for each in (one, other) if each.lock_wait_pct is not None]
    queues = [each.lock_waiters for each in (one, other) if each.lock_waiters is not None]
    syncs = [each.sync_pct for each in (one, other) if each.sync_pct is not None]
    return Waits(max(shares, default=None), max(queues, default=None), max(syncs, default=None))
