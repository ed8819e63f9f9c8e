"""The host's totals at one moment, and what processes that were there before us run.

Owns the composition of a ``Snapshot`` from what ``host`` reads. Refuses history, except for the one reading of
``/proc/stat`` that a percentage needs. Invariant: what cannot be read is absent or zero, and never ends the daemon.
"""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from linnix.cognitod.events import EXEC_TEXT, Array
from linnix.cognitod.host import proc, psi, scan
from linnix.cognitod.model import Snapshot
from linnix.cognitod.totals import Disk, Totals

RESOURCES = ("cpu", "memory", "io")
_FILES = ("stat", "meminfo", "vmstat", "loadavg", "uptime", "diskstats", "net/dev")
#: Processes older than the daemon whose command line is read at start.
MAX_SEED_TEXTS = 4096


class HostReader:
    """Reads the host. ``root`` is where procfs is, ``psi_paths`` other places of pressure files. Used by one thread."""

    def __init__(self, root: Path = proc.PROC, psi_paths: Mapping[str, Path] = MappingProxyType({})) -> None:
        self._root = root
        pressure = [psi_paths.get(resource, root / "pressure" / resource) for resource in RESOURCES]
        self._files = [proc.KeptFile(path) for path in (*(root / name for name in _FILES), *pressure)]
        self._hostname = socket.gethostname()
        self._kernel = platform.release()
        self._cores = os.cpu_count() or 1
        self._stat = proc.Stat()

    def read_snapshot(self) -> Snapshot:
        """Everything now. CPU is that since the last call; at the first, that since boot."""
        stat, meminfo, vmstat, loadavg, uptime, diskstats, net_dev, *pressure = [file.read() for file in self._files]
        memory = proc.parse_meminfo(meminfo)
        total, available, swap = memory["MemTotal"], memory["MemAvailable"], memory["SwapTotal"]
        disks, network = proc.parse_diskstats(diskstats), proc.parse_net_dev(net_dev)
        before, self._stat = self._stat, proc.parse_stat(stat)
        stalled, short, waiting = map(psi.parse, pressure)
        return Snapshot(
            timestamp=time.time(),
            ts_ns=time.monotonic_ns(),
            hostname=self._hostname,
            kernel=self._kernel,
            cores=self._cores,
            cpu_pct=busy_pct(before, self._stat),
            mem_total_bytes=total,
            mem_used_bytes=total - available,
            mem_available_bytes=available,
            swap_total_bytes=swap,
            swap_used_bytes=swap - memory["SwapFree"],
            load_avg=proc.parse_loadavg(loadavg),
            uptime_s=proc.parse_uptime_s(uptime),
            disk_read_bytes=sum(disk.read_bytes for disk in disks.values()),
            disk_write_bytes=sum(disk.written_bytes for disk in disks.values()),
            net_rx_bytes=network.in_bytes,
            net_tx_bytes=network.out_bytes,
            forks_total=self._stat.processes,
            psi_cpu_some_avg10=_avg10(stalled.some),
            psi_memory_some_avg10=_avg10(short.some),
            psi_memory_full_avg10=_avg10(short.full),
            psi_io_some_avg10=_avg10(waiting.some),
            psi_io_full_avg10=_avg10(waiting.full),
            totals=_totals(self._stat, proc.parse_vmstat(vmstat), disks, network),
        )

    def close(self) -> None:
        """Close the files that are kept open. Idempotent."""
        for file in self._files:
            file.close()

    def read_texts(self, rows: Array) -> Array:
        """Command lines (dtype EXEC_TEXT, not redacted yet) of processes (dtype PROCESS); kernel threads have none."""
        chosen = rows[~rows["kthread"]][-MAX_SEED_TEXTS:]
        texts = np.zeros(len(chosen), EXEC_TEXT)
        for at, (pid, start_ns) in enumerate(zip(chosen["pid"].tolist(), chosen["start_ns"].tolist(), strict=True)):
            texts[at] = scan.read_text(self._root, pid, start_ns, 0)
        return texts[(texts["argv_len"] > 0) | (texts["filename_len"] > 0)]


def busy_pct(before: proc.Stat, now: proc.Stat) -> float:
    """Percent of all cores that were not idle between two readings, 0 when no time passed."""
    passed = now.total_ticks - before.total_ticks
    idle = now.idle_ticks - before.idle_ticks
    return min(max(100.0 * (passed - idle) / passed, 0.0), 100.0) if passed > 0 else 0.0


def _totals(stat: proc.Stat, vmstat: Mapping[str, int], disks: Mapping[str, Disk], network: proc.Traffic) -> Totals:
    return Totals(
        ticks=stat.total_ticks,
        user_ticks=stat.user_ticks,
        system_ticks=stat.system_ticks + stat.irq_ticks,
        iowait_ticks=stat.iowait_ticks,
        steal_ticks=stat.steal_ticks,
        blocked=stat.blocked,
        swapped_in_pages=vmstat.get("pswpin"),
        swapped_out_pages=vmstat.get("pswpout"),
        reclaimed_pages=vmstat.get("pgsteal_direct"),
        refaulted_pages=vmstat.get("workingset_refault_file", vmstat.get("workingset_refault")),
        major_faults=vmstat.get("pgmajfault"),
        disks=disks,
        rx_bytes=network.in_bytes,
        tx_bytes=network.out_bytes,
    )


def _avg10(stall: psi.Stall | None) -> float | None:
    return stall.avg10 if stall else None
