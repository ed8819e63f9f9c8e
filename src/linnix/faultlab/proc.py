"""What the laboratory reads of processes: who they are, what they hold.

Owns the parsing of ``/proc/PID/stat``. Refuses names as identity: a process is (pid, start). A process that is gone
is None or absent, never an error. ``start_ns`` is time since boot, rounded down to the 10 ms in which /proc tells it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Seen:
    """A process at one moment."""

    pid: int
    ppid: int
    start_ns: int
    comm: str
    state: str
    rss_bytes: int


def read(pid: int, root: Path = Path("/proc")) -> Seen | None:
    """One process, or None where it is gone."""
    try:
        raw = (root / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # A name may hold spaces and parentheses; the last one that closes ends it.
    head, _, tail = raw.rpartition(b") ")
    comm = head.partition(b" (")[2].decode(errors="replace")
    fields = tail.split()
    return Seen(pid, int(fields[1]), int(fields[19]) * TICK_NS, comm, fields[0].decode(), int(fields[21]) * _PAGE)


def mem_available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """What can be had without swapping, as the kernel estimates it."""
    for line in meminfo.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    raise OSError(0, "no MemAvailable", str(meminfo))
