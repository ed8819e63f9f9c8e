"""The host's own totals from procfs.

Owns the formats of ``/proc/{stat,meminfo,vmstat,loadavg,uptime,diskstats,net/dev}``. Refuses rates: counts are those
since boot. Invariant: ``parse_`` functions are pure and make zeros of no text; reading gives no text, never an
exception, when a file is not there or not allowed, as in some containers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linnix.cognitod.totals import Disk

PROC = Path("/proc")
_SECTOR_BYTES = 512  # of diskstats, whatever the device's own
#: Whole disks: sectors read and written, milliseconds busy. Their partitions, and devices stacked on them, would count
#: the same twice.
_DISK = re.compile(
    r"^ *\d+ +\d+ (sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+)"
    r" \d+ \d+ (\d+) \d+ \d+ \d+ (\d+) \d+ \d+ (\d+) ",
    re.MULTILINE,
)
#: The sizes that anybody asks for.
MEMINFO = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
_MEMINFO = re.compile(rf"^({'|'.join(MEMINFO)}): +(\d+) kB", re.MULTILINE)
#: The counters that anybody asks for (mm/vmstat.c). ``workingset_refault`` had no kinds before Linux 5.9.
VMSTAT = ("pswpin", "pswpout", "pgsteal_direct", "workingset_refault_file", "workingset_refault", "pgmajfault")
_VMSTAT = re.compile(rf"^({'|'.join(VMSTAT)}) (\d+)$", re.MULTILINE)
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
    user_ticks: int = 0  # niced ones included
    system_ticks: int = 0  # without interrupts
    iowait_ticks: int = 0
    blocked: int | None = None  # tasks in uninterruptible sleep now


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes received and sent since boot."""

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
    made, blocked = (text.partition(f"\n{name} ")[2].partition("\n")[0] for name in ("processes", "procs_blocked"))
    return Stat(
        total_ticks=sum(ticks),
        idle_ticks=ticks[3] + ticks[4],
        processes=int(made) if made else 0,
        steal_ticks=ticks[7],
        irq_ticks=ticks[5] + ticks[6],
        cores=text.count("\ncpu"),
        user_ticks=ticks[0] + ticks[1],
        system_ticks=ticks[2],
        iowait_ticks=ticks[4],
        blocked=int(blocked) if blocked else None,
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


def parse_vmstat(text: str) -> Mapping[str, int]:
    """``VMSTAT`` out of ``/proc/vmstat``; what this kernel does not count is not in it."""
    return {name: int(count) for name, count in _VMSTAT.findall(text)}


def parse_diskstats(text: str) -> Mapping[str, Disk]:
    """``/proc/diskstats``: the whole disks by name."""
    return {
        name: Disk(int(sectors_in) * _SECTOR_BYTES, int(sectors_out) * _SECTOR_BYTES, int(busy_ms))
        for name, sectors_in, sectors_out, busy_ms in _DISK.findall(text)
    }


def parse_net_dev(text: str) -> Traffic:
    """``/proc/net/dev``: received and sent by this network namespace, summed over interfaces, without loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        part = numbers.split()
        if name.strip() != "lo" and len(part) >= 9:
            received, sent = received + int(part[0]), sent + int(part[8])
    return Traffic(received, sent)
