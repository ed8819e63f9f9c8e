"""Pressure stall information: the share of time in which tasks waited for a resource.

Owns the format of ``/proc/pressure/*`` and of a cgroup's ``*.pressure``, and triggers on the host's. Refuses to decide
what pressure is worth. Invariant: a kernel without PSI, or booted with ``psi=0`` (the files are there and answer
EOPNOTSUPP), gives None, not 0: unknown is not calm.
"""

from __future__ import annotations

import os
import re
import select
from dataclasses import dataclass
from pathlib import Path

from linnix.cognitod.host.proc import PROC, read_text

_LINE = re.compile(r"^(some|full) avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stall:
    """Percent of the last 10, 60 and 300 seconds, and microseconds since boot."""

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """``some``: at least one task waited. ``full``: all that could have run did; not for CPU on older kernels."""

    some: Stall | None = None
    full: Stall | None = None


def parse(text: str) -> Pressure:
    """One pressure file."""
    found = {scope: Stall(float(a), float(b), float(c), int(total)) for scope, a, b, c, total in _LINE.findall(text)}
    return Pressure(found.get("some"), found.get("full"))


def read(resource: str, proc: Path = PROC) -> Pressure:
    """Pressure of the host on ``cpu``, ``memory`` or ``io``."""
    return read_file(proc / "pressure" / resource)


def read_file(path: Path) -> Pressure:
    """Pressure from one file: the host's or a cgroup's."""
    return parse(read_text(path))


def read_total_us(path: Path | str) -> int | None:
    """Microseconds in which some task waited, since boot or since the group was made; None where it cannot be read.

    One open, one read: ``read_file`` costs ten times as much, and this is asked of every group of a host in a row.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _some_total_us(fd)
    finally:
        os.close(fd)


def _some_total_us(fd: int) -> int | None:
    try:
        line = os.pread(fd, 256, 0).partition(b"\n")[0]
    except OSError:  # EOPNOTSUPP: switched off; ENODEV: the group is gone
        return None
    number = line.rpartition(b"total=")[2]
    return int(number) if line.startswith(b"some ") and number.isdigit() else None


#: The shortest window that the kernel grants without CAP_SYS_RESOURCE (kernel/sched/psi.c since 6.4; none before).
TRIGGER_WINDOW_US = 2_000_000


class HostWatch:
    """How much the host waits for one resource: a trigger of the kernel, and the total between two looks.

    The trigger notices a burst between looks that are far apart, and never says that pressure fell; the total says
    both, sooner when looks are close. Where a trigger is refused (no privilege, old kernel) the total serves alone.
    Two system calls a look: 3 microseconds. One thread uses it.
    """

    def __init__(self, path: Path, threshold_pct: float) -> None:
        self._poll = select.poll()
        self._fd = -1
        self._last_us: int | None = None
        self._last_ns = 0
        self.triggers = False
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            threshold_us = max(int(TRIGGER_WINDOW_US * threshold_pct / 100), 1)
            os.write(self._fd, b"some %d %d\0" % (threshold_us, TRIGGER_WINDOW_US))
            self._poll.register(self._fd, select.POLLPRI)
            self.triggers = True
        except OSError:
            self._reopen(path)

    def _reopen(self, path: Path) -> None:
        self.close()
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1  # no PSI: nothing will ever be waited for

    def look(self, now_ns: int) -> float:
        """Percent of the time since the last look in which a task waited; 100 if the trigger fired meanwhile.

        0 at the first look, and where the kernel does not say.
        """
        if self._fd < 0:
            return 0.0
        total_us, last_us, passed_ns = _some_total_us(self._fd), self._last_us, now_ns - self._last_ns
        self._last_us, self._last_ns = total_us, now_ns
        if self.triggers and any(events & select.POLLPRI for _, events in self._poll.poll(0)):
            return 100.0
        if total_us is None or last_us is None or passed_ns <= 0:
            return 0.0
        return min(100.0 * (total_us - last_us) * 1000 / passed_ns, 100.0)

    def close(self) -> None:
        """Give the trigger back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self.triggers = False
