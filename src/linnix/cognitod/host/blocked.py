"""Threads that are stuck in uninterruptible sleep, and where in the kernel.

Owns what "stuck" means: in state D at two looks in a row without having run in between, by the kernel's own count of
context switches, as its hung-task detector sees it (kernel/hung_task.c). Refuses to find candidates: a ``Finder`` does.
Invariant: at most ``MAX_STACKS`` stacks are read in one look, those of the longest stuck.

Source of the stacks is /proc/PID/task/TID/stack (fs/proc/base.c), which needs CAP_SYS_ADMIN and CONFIG_STACKTRACE;
``wchan`` is the function alone and needs less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from linnix.cognitod.events import BLOCKED, Array, ProbeState

#: Between two looks.
LOOK_NS = 2 * 10**9
MAX_STACKS = 32
MAX_FRAMES = 32

_NS_PER_TICK = 10**7  # USER_HZ is 100 on every architecture that Linux supports
_FRAME = re.compile(r"^\[<[0-9a-fx]+>\] ", re.MULTILINE)
_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)


class Finder(Protocol):
    """Finds threads that are in uninterruptible sleep now."""

    def open(self) -> bool:
        """Begin; False when it cannot."""
        ...

    def find(self) -> Array:
        """Those of now: dtype BLOCKED."""
        ...

    def refresh(self) -> None:
        """Bring ``state`` up to date."""
        ...

    @property
    def state(self) -> ProbeState:
        """Its line in the table of probes."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Stuck:
    """One thread. It has slept at least since ``since_ns``, when it was first found so."""

    pid: int
    tid: int
    start_ns: int
    comm: bytes  # of the thread
    cgroup_id: int
    since_ns: int
    wchan: str  # empty where the kernel does not say
    stack: tuple[str, ...]  # innermost first, ``function+offset/size``


@dataclass(frozen=True, slots=True)
class BlockedReading:
    """One look: those that are stuck, longest first; ``total`` counts also those beyond ``MAX_STACKS``."""

    ts_ns: int
    stuck: tuple[Stuck, ...]
    total: int


class ProcFinder:
    """Where the task iterator cannot be used: /proc/PID/stat of every process, leaders only."""

    def __init__(self, proc: Path = Path("/proc"), reason: str = "") -> None:
        """``reason``: why nothing better finds them."""
        self._proc = proc
        self._state = ProbeState(name="blocked", what="processes in uninterruptible sleep, leaders only", reason=reason)

    def open(self) -> bool:
        """Needs nothing."""
        return True

    def find(self) -> Array:
        """Those of now."""
        return np.array(list(self._records()), BLOCKED)

    def _records(self) -> Iterator[tuple[int, int, int, int, int, bytes]]:
        for place in self._proc.iterdir():
            if not place.name.isdecimal():
                continue
            try:
                head, _, tail = (place / "stat").read_bytes().rpartition(b")")
                fields = tail.split()
                if fields[0] == b"D":
                    counts = _SWITCHES.findall((place / "status").read_text(errors="replace"))
                    comm = head.partition(b"(")[2]
                    pid = int(place.name)
                    yield int(fields[19]) * _NS_PER_TICK, sum(map(int, counts)), 0, pid, pid, comm
            except (OSError, IndexError):  # gone meanwhile
                continue

    def refresh(self) -> None:
        """Nothing is counted."""

    @property
    def state(self) -> ProbeState:
        """Always on."""
        return self._state

    def close(self) -> None:
        """Holds nothing."""


class Blocked:
    """An ``events.Instrument``."""

    def __init__(self, *finders: Finder, proc: Path = Path("/proc")) -> None:
        """The first finder that opens is used."""
        self._finders = finders
        self._finder = finders[0]
        self._proc = proc
        self._seen: dict[tuple[int, int, int], int] = {}  # thread, its switches → first seen
        self.due_ns = 0

    def open(self) -> None:
        """Choose how they are found."""
        self._finder = next((finder for finder in self._finders if finder.open()), self._finders[-1])

    def collect(self, now_ns: int) -> BlockedReading | None:
        """Every ``LOOK_NS`` those that are stuck."""
        if now_ns < self.due_ns:
            return None
        self.due_ns = now_ns + LOOK_NS
        found = self._finder.find()
        before, self._seen = self._seen, {}
        stuck = []
        for row in found:
            key = (int(row["tid"]), int(row["start_ns"]), int(row["switches"]))
            self._seen[key] = since_ns = before.get(key, now_ns)
            if key in before:
                comm, cgroup = bytes(row["comm"]), int(row["cgroup_id"])
                stuck.append(Stuck(int(row["pid"]), key[0], key[1], comm, cgroup, since_ns, "", ()))
        stuck.sort(key=lambda one: (one.since_ns, one.tid))
        return BlockedReading(now_ns, tuple(self._place(one) for one in stuck[:MAX_STACKS]), len(stuck))

    def _place(self, one: Stuck) -> Stuck:
        place = self._proc / str(one.pid) / "task" / str(one.tid)
        frames = _FRAME.sub("", _read(place / "stack")).splitlines()[:MAX_FRAMES]
        wchan = _read(place / "wchan")
        return replace(one, wchan="" if wchan == "0" else wchan, stack=tuple(frames))

    def refresh(self) -> None:
        """Bring the finder's line up to date."""
        self._finder.refresh()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._finder.state,)

    def close(self) -> None:
        """Let go of the finders. Idempotent."""
        for finder in self._finders:
            finder.close()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # gone, or not for us
        return ""
