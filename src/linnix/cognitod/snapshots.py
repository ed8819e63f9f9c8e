"""The host's totals at one moment, and what processes that were there before us run.

Owns the composition of a ``Snapshot`` from the kernel's files. Refuses history, except for the one reading of
``/proc/stat`` that a percentage needs. Invariant: what cannot be read is absent or zero, and never ends the daemon.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from linnix.cognitod.events import ARGV_LEN, EXEC_TEXT, FILENAME_LEN, Array
from linnix.cognitod.model import Snapshot

#: Processes older than the daemon whose command line is read at start, youngest first.
MAX_SEED_TEXTS = 4096

_SECTOR_BYTES = 512
#: Whole disks; their partitions, and devices stacked on them, would count the same bytes twice.
_DISK = re.compile(r"(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+)$")


class HostReader:
    """Reads the host. ``proc`` is where procfs is. Used by one thread."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._hostname = socket.gethostname()
        self._kernel = platform.release()
        self._cores = os.cpu_count() or 1
        self._busy = (0, 0)

    def read_snapshot(self) -> Snapshot:
        """Everything now. CPU is that since the last call; at the first, that since boot."""
        memory = self._read_sizes()
        total, available = memory.get("MemTotal", 0), memory.get("MemAvailable", 0)
        swap, swap_free = memory.get("SwapTotal", 0), memory.get("SwapFree", 0)
        read, written = self._read_disks()
        received, sent = self._read_network()
        cpu_pct, forks = self._read_stat()
        one, five, fifteen = (float(part) for part in (self._text("loadavg").split() or ["0"] * 3)[:3])
        return Snapshot(
            timestamp=time.time(),
            ts_ns=time.monotonic_ns(),
            hostname=self._hostname,
            kernel=self._kernel,
            cores=self._cores,
            cpu_pct=cpu_pct,
            mem_total_bytes=total,
            mem_used_bytes=total - available,
            mem_available_bytes=available,
            swap_total_bytes=swap,
            swap_used_bytes=swap - swap_free,
            load_avg=(one, five, fifteen),
            uptime_s=float((self._text("uptime").split() or ["0"])[0]),
            disk_read_bytes=read,
            disk_write_bytes=written,
            net_rx_bytes=received,
            net_tx_bytes=sent,
            forks_total=forks,
            psi_cpu_some_avg10=self._read_pressure("cpu", "some"),
            psi_memory_some_avg10=self._read_pressure("memory", "some"),
            psi_memory_full_avg10=self._read_pressure("memory", "full"),
            psi_io_some_avg10=self._read_pressure("io", "some"),
            psi_io_full_avg10=self._read_pressure("io", "full"),
        )

    def read_texts(self, rows: Array) -> Array:
        """Command lines (dtype EXEC_TEXT, not redacted yet) of these processes (dtype PROCESS); kernel threads have none."""
        chosen = rows[~rows["kthread"]][-MAX_SEED_TEXTS:]
        texts = np.zeros(len(chosen), EXEC_TEXT)
        for at, pid in enumerate(chosen["pid"].tolist()):
            line = b""
            with suppress(OSError):  # gone meanwhile, or another user's
                line = (self._proc / str(pid) / "cmdline").read_bytes()
            name = b""
            with suppress(OSError):
                name = os.fsencode((self._proc / str(pid) / "exe").readlink())[: FILENAME_LEN - 1]
            texts["argv"][at] = np.void(line[:ARGV_LEN].ljust(ARGV_LEN, b"\0"))
            texts["argv_len"][at], texts["argv_total"][at] = min(len(line), ARGV_LEN), len(line)
            texts["filename"][at], texts["filename_len"][at] = name, len(name)
        texts["pid"], texts["start_ns"] = chosen["pid"], chosen["start_ns"]
        return texts[(texts["argv_len"] > 0) | (texts["filename_len"] > 0)]

    def _text(self, name: str) -> str:
        with suppress(OSError):
            return (self._proc / name).read_text()
        return ""

    def _read_sizes(self) -> Mapping[str, int]:
        return {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", self._text("meminfo"), re.M)}

    def _read_stat(self) -> tuple[float, int]:
        """Percent of all cores in use, and the kernel's count of tasks ever made."""
        content = self._text("stat")
        ticks = [int(part) for part in content.partition("\n")[0].split()[1:9]]
        forks = re.search(r"^processes (\d+)", content, re.M)
        if len(ticks) < 8:
            return 0.0, 0
        idle, total = ticks[3] + ticks[4], sum(ticks)  # guest time is in user time already
        before_idle, before_total = self._busy
        self._busy = idle, total
        passed = total - before_total
        busy = 100.0 * (passed - (idle - before_idle)) / passed if passed > 0 else 0.0
        return min(max(busy, 0.0), 100.0), int(forks[1]) if forks else 0

    def _read_disks(self) -> tuple[int, int]:
        read = written = 0
        for line in self._text("diskstats").splitlines():
            part = line.split()
            if len(part) >= 10 and _DISK.match(part[2]):
                read, written = read + int(part[5]) * _SECTOR_BYTES, written + int(part[9]) * _SECTOR_BYTES
        return read, written

    def _read_network(self) -> tuple[int, int]:
        received = sent = 0
        for line in self._text("net/dev").splitlines()[2:]:
            name, _, numbers = line.partition(":")
            part = numbers.split()
            if name.strip() != "lo" and len(part) >= 9:
                received, sent = received + int(part[0]), sent + int(part[8])
        return received, sent

    def _read_pressure(self, resource: str, scope: str) -> float | None:
        found = re.search(rf"^{scope} avg10=([\d.]+)", self._text(f"pressure/{resource}"), re.M)
        return float(found[1]) if found else None
