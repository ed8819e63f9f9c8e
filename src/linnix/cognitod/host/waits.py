"""Looks at what threads of suspects wait for: locks, and data to be on disk.

Owns the looks. Refuses to choose whom to look at (``suspects``) and to judge what was found (``wait_tally``).
Invariant: where nobody is suspected no thread is looked at, and of nobody more than ``MAX_THREADS`` in one look.

Source is /proc/PID/task/TID/syscall, which needs CAP_SYS_PTRACE and stops nobody. Its files are kept open while their
process is suspected: reading them anew costs half of opening them. Locks of files are in /proc/locks, all at once.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from linnix.cognitod.events import ProbeState
from linnix.cognitod.host import locks, suspects, syscalls
from linnix.cognitod.host.syscalls import Kind, Wait
from linnix.cognitod.host.wait_tally import Look, Tally, together
from linnix.cognitod.senses import Identity, Waits
from linnix.insight.facts import Facts

#: Between two looks at suspects, and longer where looking costs more than this part of a CPU's time.
LOOK_NS = 250_000_000
BUDGET = 0.002
MAX_THREADS = 32
#: A look that takes longer ends, and the next one begins with another process.
LONGEST_LOOK_NS = 100_000_000
#: Of so many threads of a process that wait for the same it is asked whether they run in between.
MAX_ASKED = 4

WHAT = "threads that wait for locks or for data to be on disk, of processes that may do so much"
NO_NUMBERS = "locks of files only: the numbers of this machine's system calls are not known"
NO_FILE = "locks of files only: this kernel does not tell what threads wait for (CONFIG_HAVE_ARCH_TRACEHOOK)"
NOT_ALLOWED = "locks of files, and threads of this user, for want of CAP_SYS_PTRACE"


_CAP_SYS_PTRACE = 19  # include/uapi/linux/capability.h
_O_DSYNC = 0o10000  # include/uapi/asm-generic/fcntl.h; O_SYNC has it too
_FLAGS = re.compile(r"^flags:\s*([0-7]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WaitsReading:
    """Over the last ten seconds of looks, by process. ``by_pid``: those of which only the pid is known."""

    ts_ns: int
    waits: dict[Identity, Waits]
    by_pid: dict[int, Waits]


class _Watched:
    """The files of one process."""

    def __init__(self, place: str) -> None:
        self._place = place  # a string: a Path costs as much as reading the file
        self._from = 0
        self.fds: dict[int, int] = {}

    def choose(self) -> None:
        """Which threads: all of them, or the next ``MAX_THREADS``. OSError when the process is gone."""
        tids = sorted(int(name) for name in os.listdir(self._place))  # noqa: PTH208 (names only)
        if len(tids) > MAX_THREADS:
            turned = self._from % len(tids)
            self._from = turned + MAX_THREADS
            tids = (tids[turned:] + tids[:turned])[:MAX_THREADS]
        chosen = set(tids)
        for tid in [tid for tid in self.fds if tid not in chosen]:
            os.close(self.fds.pop(tid))
        for tid in chosen - self.fds.keys():
            self.fds[tid] = os.open(f"{self._place}/{tid}/syscall", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


class WaitLooks:
    """An ``events.Instrument`` that also looks between samples: an ``events.Glancing``."""

    due_ns = 0

    def __init__(self, proc: Path = Path("/proc"), machine: str | None = None) -> None:
        """``machine``: whose numbers of system calls, as in uname(2); this one's unless told."""
        self._proc = proc
        self._numbers = syscalls.numbers(machine)
        self._state = ProbeState(name="waits", what=WHAT, state="idle", reason="not opened yet")
        self._known: Facts | None = None  # put by ``watch``, from another thread
        self._chosen: Facts | None = None
        self._often: list[Identity] = []
        self._watched: dict[Identity, _Watched] = {}
        self._tally = Tally()
        self._found: dict[Identity, dict[Wait, list[int]]] = {}  # at the last look at each
        self._syncing: dict[Wait, bool] = {}  # whether a write waits for the disk, as of the last sample
        self._turn = 0
        self._told = False
        self.glance_ns = 0

    def watch(self, known: Facts) -> None:
        """The facts of this second; from any thread, the newer replace the older."""
        self._known = known

    def open(self) -> None:
        """See whether it may look."""
        self._state = ProbeState(name="waits", what=WHAT, reason=self._missing())

    def _missing(self) -> str:
        if self._numbers is syscalls.UNKNOWN:
            return NO_NUMBERS
        if not (self._proc / "self" / "syscall").exists():
            return NO_FILE
        found = re.search(r"^CapEff:\s*([0-9a-f]+)", _read(f"{self._proc}/self/status"), re.MULTILINE)
        return "" if found and int(found[1], 16) >> _CAP_SYS_PTRACE & 1 else NOT_ALLOWED

    def collect(self, now_ns: int) -> WaitsReading | None:
        """Choose anew whom to look at, look at all of them, and tell what the last ten seconds come to."""
        known = self._known
        if known is not None and known is not self._chosen:
            self._choose(known)
        self._syncing.clear()
        self._look(list(self._watched), now_ns)
        self._ask(now_ns)
        self._tally.add_locks(locks.look(_read(f"{self._proc}/locks"), now_ns))
        self._tally.forget(now_ns)
        reading = self._reading(now_ns)
        told, self._told = self._told, bool(reading.waits or reading.by_pid)
        return reading if told or self._told else None

    def _reading(self, now_ns: int) -> WaitsReading:
        waits = self._tally.summary()
        files = self._tally.file_waits(self._threads)
        named = {pid: (pid, start_ns) for pid, start_ns in waits}
        if self._chosen is not None:
            named |= {one.pid: (one.pid, one.start_ns) for one in self._chosen.processes}
        for pid in files.keys() & named.keys():
            who, found = named[pid], files.pop(pid)
            waits[who] = together(waits[who], found) if who in waits else found
        return WaitsReading(now_ns, waits, files)

    @property
    def _threads(self) -> dict[int, int]:
        return {} if self._chosen is None else {one.pid: one.threads for one in self._chosen.processes}

    def _choose(self, known: Facts) -> None:
        self._chosen = known
        self._often = suspects.suspects(known)
        wanted = [*self._often, *suspects.doubtful(known)]
        for who in [who for who in self._watched if who not in wanted]:
            self._watched.pop(who).close()
        for who in wanted:
            watched = self._watched.setdefault(who, _Watched(f"{self._proc}/{who[0]}/task"))
            try:
                watched.choose()
            except OSError:  # gone meanwhile, or not for us
                self._watched.pop(who).close()

    def glance(self, now_ns: int) -> None:
        """Look at those who may wait for something now."""
        self._look([who for who in self._often if who in self._watched], now_ns)

    def _look(self, whom: list[Identity], now_ns: int) -> None:
        self._turn += 1
        turn = self._turn % len(whom) if whom else 0
        began_ns, end_ns = time.thread_time_ns(), time.monotonic_ns() + LONGEST_LOOK_NS
        for who in whom[turn:] + whom[:turn]:
            self._look_at(who, now_ns)
            if time.monotonic_ns() > end_ns:
                break
        rest_ns = max(LOOK_NS, round((time.thread_time_ns() - began_ns) / BUDGET))
        self.glance_ns = now_ns + rest_ns if any(who in self._watched for who in self._often) else 0

    def _look_at(self, who: Identity, now_ns: int) -> None:
        found: dict[Wait, list[int]] = {}
        threads = []
        for tid, fd in self._watched[who].fds.items():
            try:
                line = os.pread(fd, 256, 0)
            except OSError:  # the thread has ended
                continue
            threads.append(tid)
            wait = syscalls.parse_wait(line, who[0], self._numbers)
            if wait is not None and wait.kind is Kind.WRITE:
                wait = self._synced(wait)
            if wait is not None:
                found.setdefault(wait, []).append(tid)
        self._found[who] = found
        if threads:
            self._tally.add(who, Look(now_ns, frozenset(threads), found))

    def _synced(self, write: Wait) -> Wait | None:
        """What a write waits for: nothing, unless its file was opened with O_DSYNC or O_SYNC."""
        if write not in self._syncing:
            found = _FLAGS.search(_read(f"{self._proc}/{write.owner}/fdinfo/{write.key}"))
            self._syncing[write] = found is not None and bool(int(found[1], 8) & _O_DSYNC)
        return Wait(Kind.SYNC, write.owner, 0) if self._syncing[write] else None

    def _ask(self, now_ns: int) -> None:
        """Whether those run in between of whom waiting alone does not say that they wait for a lock."""
        proc = str(self._proc)
        for (pid, _), found in self._found.items():
            for wait, tids in found.items():
                if wait.kind in (Kind.SEMAPHORE, Kind.TIMED) and (len(tids) > 1 or self._tally.is_shared(wait)):
                    for tid in sorted(tids)[:MAX_ASKED]:
                        # time on a CPU, time in its queue, and how often it came on one
                        fields = _read(f"{proc}/{pid}/task/{tid}/schedstat").split()
                        if len(fields) == 3:
                            self._tally.add_runs(tid, now_ns, int(fields[2]))
        self._found.clear()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._state,)

    def close(self) -> None:
        """Let go of all files. Idempotent."""
        for watched in self._watched.values():
            watched.close()
        self._watched.clear()
        self.glance_ns = 0


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # gone, or not for us
        return ""
    try:
        return b"".join(iter(lambda: os.read(fd, 65536), b"")).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
