"""The host's own totals from procfs.

Owns the formats of ``/proc/{stat,meminfo,loadavg,uptime,diskstats,net/dev}``. Refuses rates: counts are those since
boot. Invariant: ``parse_`` functions are pure; ``read_`` functions take the root and answer with zeros, never an
exception, when a file is not there or not allowed, as in some containers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_SECTOR_BYTES = 512  # of diskstats, whatever the device's own
#: Whole disks; their partitions, and devices stacked on them, would count the same bytes twice.
_DISK = re.compile(r"(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+)$")


@dataclass(frozen=True, slots=True)
class Stat:
    """CPU time in clock ticks over all cores since boot, and how many tasks were ever made.

    ``processes`` counts every clone: threads too, and kernel workers that have no fork event.
    """

    total_ticks: int = 0
    idle_ticks: int = 0
    processes: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes in and out since boot: read and written, or received and sent."""

    in_bytes: int = 0
    out_bytes: int = 0


def read_text(path: Path) -> str:
    """The file's text, empty if it cannot be read."""
    with suppress(OSError):
        return path.read_text()
    return ""


def parse_stat(text: str) -> Stat:
    """``/proc/stat``. Guest time is in user time already."""
    ticks = [int(part) for part in text.partition("\n")[0].split()[1:9]]
    processes = re.search(r"^processes (\d+)", text, re.MULTILINE)
    if len(ticks) < 8:
        return Stat()
    return Stat(sum(ticks), ticks[3] + ticks[4], int(processes[1]) if processes else 0)


def read_stat(proc: Path = PROC) -> Stat:
    """See ``Stat``."""
    return parse_stat(read_text(proc / "stat"))


def parse_meminfo(text: str) -> Mapping[str, int]:
    """``/proc/meminfo`` in bytes, under the kernel's names."""
    return {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}


def read_meminfo(proc: Path = PROC) -> Mapping[str, int]:
    """Sizes in bytes; empty if unreadable."""
    return parse_meminfo(read_text(proc / "meminfo"))


def read_loadavg(proc: Path = PROC) -> tuple[float, float, float]:
    """Load over 1, 5 and 15 minutes."""
    parts = read_text(proc / "loadavg").split()
    return (float(parts[0]), float(parts[1]), float(parts[2])) if len(parts) >= 3 else (0.0, 0.0, 0.0)


def read_uptime_s(proc: Path = PROC) -> float:
    """Seconds since boot."""
    parts = read_text(proc / "uptime").split()
    return float(parts[0]) if parts else 0.0


def parse_diskstats(text: str) -> Traffic:
    """``/proc/diskstats``, summed over whole disks."""
    read = written = 0
    for line in text.splitlines():
        part = line.split()
        if len(part) >= 10 and _DISK.match(part[2]):
            read, written = read + int(part[5]), written + int(part[9])
    return Traffic(read * _SECTOR_BYTES, written * _SECTOR_BYTES)


def read_disks(proc: Path = PROC) -> Traffic:
    """Read from and written to all disks."""
    return parse_diskstats(read_text(proc / "diskstats"))


def parse_net_dev(text: str) -> Traffic:
    """``/proc/net/dev``, summed over interfaces, without loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        part = numbers.split()
        if name.strip() != "lo" and len(part) >= 9:
            received, sent = received + int(part[0]), sent + int(part[8])
    return Traffic(received, sent)


def read_network(proc: Path = PROC) -> Traffic:
    """Received and sent by this network namespace."""
    return parse_net_dev(read_text(proc / "net/dev"))
