"""Pressure stall information: the share of time in which tasks waited for a resource.

Owns the format of ``/proc/pressure/*`` and of a cgroup's ``*.pressure``. Refuses triggers. Invariant: a kernel without
PSI, or booted with ``psi=0`` (the files are there and answer EOPNOTSUPP), gives None, not 0: unknown is not calm.
"""

from __future__ import annotations

import re
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
