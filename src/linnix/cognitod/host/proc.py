"""The host's own totals from procfs.

Owns the formats of ``/proc/{stat,meminfo,loadavg,uptime,diskstats,net/dev}``. Refuses rates: counts are those since
boot. Invariant: ``parse_`` functions are pure and make zeros of no text; reading gives no text, never an exception,
when a file is not there or not allowed, as in some containers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_SECTOR_BYTES = 512  # of diskstats, whatever the device's own
#: Sectors read and written of whole disks; their partitions, and devices stacked on them, would count the same twice.
_DISK = re.compile(
    r"^ *\d+ +\d+ (?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+) \d+ \d+ (\d+) \d+ \d+ \d+ (\d+) ",
    re.MULTILINE,
)
#: The sizes that anybody asks for.
MEMINFO = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
_MEMINFO = re.compile(rf"^({'|'.join(MEMINFO)}): +(\d+) kB", re.MULTILINE)
#: One read is enough for all but the machines with most CPUs or disks.
_READ_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Stat:
    """CPU time in clock ticks over all cores since boot, and how many tasks were ever made.

    ``processes`` counts every clone: threads too, and kernel workers that have no fork event.
    """

    total_ticks: int = 0
    idle_ticks: int = 0  # waiting for IO included
    processes: int = 0
    steal_ticks: int = 0
    irq_ticks: int = 0  # soft ones included
    cores: int = 0  # online


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


class KeptFile:
    """A file of the kernel's that is read again and again: kept open, since to find and open it costs more than to
    read it. One thread uses it.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._fd = -1

    def read(self) -> str:
        """What it holds now, empty if it cannot be read; one that is not there yet is looked for each time."""
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            text = part = os.pread(self._fd, _READ_BYTES, 0)
            while part:
                part = os.pread(self._fd, _READ_BYTES, len(text))
                text += part
        except OSError:
            return ""
        return text.decode("ascii", "replace")

    def close(self) -> None:
        """Let go of it; ``read`` would open it anew. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def parse_stat(text: str) -> Stat:
    """``/proc/stat``. Guest time is in user time already."""
    ticks = [int(part) for part in text.partition("\n")[0].split()[1:9]]
    if len(ticks) < 8:
        return Stat()
    made = text.partition("\nprocesses ")[2].partition("\n")[0]
    return Stat(
        total_ticks=sum(ticks),
        idle_ticks=ticks[3] + ticks[4],
        processes=int(made) if made else 0,
        steal_ticks=ticks[7],
        irq_ticks=ticks[5] + ticks[6],
        cores=text.count("\ncpu"),
    )


def parse_meminfo(text: str) -> Mapping[str, int]:
    """``MEMINFO`` out of ``/proc/meminfo``, in bytes; what is not there is 0."""
    return dict.fromkeys(MEMINFO, 0) | {name: int(kib) * 1024 for name, kib in _MEMINFO.findall(text)}


def parse_loadavg(text: str) -> tuple[float, float, float]:
    """``/proc/loadavg``: load over 1, 5 and 15 minutes."""
    parts = text.split()
    return (float(parts[0]), float(parts[1]), float(parts[2])) if len(parts) >= 3 else (0.0, 0.0, 0.0)


def parse_uptime_s(text: str) -> float:
    """``/proc/uptime``: seconds since boot."""
    parts = text.split()
    return float(parts[0]) if parts else 0.0


def parse_diskstats(text: str) -> Traffic:
    """``/proc/diskstats``: read and written, summed over whole disks."""
    read = written = 0
    for sectors_in, sectors_out in _DISK.findall(text):
        read, written = read + int(sectors_in), written + int(sectors_out)
    return Traffic(read * _SECTOR_BYTES, written * _SECTOR_BYTES)


def parse_net_dev(text: str) -> Traffic:
    """``/proc/net/dev``: received and sent by this network namespace, summed over interfaces, without loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        part = numbers.split()
        if name.strip() != "lo" and len(part) >= 9:
            received, sent = received + int(part[0]), sent + int(part[8])
    return Traffic(received, sent)
