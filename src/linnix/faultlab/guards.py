"""Whether a run may begin, and whether it may go on.

Owns the limits and the words: each says the number it saw and the number it needs. Refuses to act: it raises, and who
asked cleans up. Invariant: a run never begins where what it may use at most, and a reserve, is not free.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from linnix.faultlab import cgroups, proc
from linnix.faultlab.errors import RefusedError, RunFailedError, TooBusyError
from linnix.faultlab.scenario import Needs

MIB = 1024 * 1024
RESERVE_MEMORY_MIB = 512
RESERVE_DISK_MIB = 512
# Where more wait than this, nothing that is measured beside a fault is of that fault.
MAX_LOAD_PER_CORE = 1.5


@dataclass(frozen=True)
class Host:
    """What the guards look at."""

    mem_available_mib: int
    disk_free_mib: int
    load: float
    cores: int


def read_host(out: Path) -> Host:
    """This host now, and the file system of ``out``, which exists."""
    return Host(
        mem_available_mib=proc.mem_available_bytes() // MIB,
        disk_free_mib=shutil.disk_usage(out).free // MIB,
        load=os.getloadavg()[0],
        cores=len(os.sched_getaffinity(0)),
    )


def refusals(host: Host, needs: Needs, max_load: float | None = None) -> list[RefusedError]:
    """Why a run must not begin now; the load is last, for it is what passes by itself."""
    found = []
    memory, disk = needs.memory_mib + RESERVE_MEMORY_MIB, needs.disk_mib + RESERVE_DISK_MIB
    if host.mem_available_mib < memory:
        words = f"{host.mem_available_mib} MiB of memory are available, this run needs {memory} MiB"
        found.append(RefusedError(f"{words} (its {needs.memory_mib} and a reserve of {RESERVE_MEMORY_MIB})"))
    if host.disk_free_mib < disk:
        words = f"{host.disk_free_mib} MiB of disk are free, this run needs {disk} MiB"
        found.append(
            RefusedError(f"{words} (its {needs.disk_mib} and a reserve of {RESERVE_DISK_MIB})", "Name another --out")
        )
    most = max_load if max_load is not None else MAX_LOAD_PER_CORE * host.cores
    if host.load > most:
        words = f"the load average is {host.load:.2f}, this run needs {most:.2f} or less"
        found.append(TooBusyError(words, "Wait until the host is quieter, or allow it with --max-load"))
    return found


@dataclass
class Watch:
    """Looks at a run while it goes: at everything in its groups, and at what it wrote."""

    needs: Needs
    groups: Sequence[Path]
    work: Path
    out: Path
    read_free_mib: Callable[[Path], int] = lambda out: shutil.disk_usage(out).free // MIB

    def look(self) -> None:
        """Raises RunFailedError where the run uses more than it may, or the host is about to run out."""
        pids = [pid for group in self.groups for pid in cgroups.pids(group)]
        if len(pids) > self.needs.processes:
            raise RunFailedError(f"{len(pids)} processes, this run may have {self.needs.processes} (needs.processes)")
        found = filter(None, map(proc.read, pids))
        if (memory := sum(process.rss_bytes for process in found) // MIB) > self.needs.memory_mib:
            words = f"{memory} MiB resident, this run may have {self.needs.memory_mib}"
            raise RunFailedError(f"{words} (needs.memory_mib; pages that processes share count for each)")
        if (disk := written_bytes(self.work) // MIB) > self.needs.disk_mib:
            raise RunFailedError(f"{disk} MiB written, this run may have {self.needs.disk_mib} (needs.disk_mib)")
        if (available := proc.mem_available_bytes() // MIB) < RESERVE_MEMORY_MIB // 2:
            raise RunFailedError(f"{available} MiB of memory are left, {RESERVE_MEMORY_MIB // 2} must be")
        if (free := self.read_free_mib(self.out)) < RESERVE_DISK_MIB // 2:
            raise RunFailedError(f"{free} MiB of disk are left, {RESERVE_DISK_MIB // 2} must be")


def written_bytes(place: Path) -> int:
    """What the files below a folder take on disk; files that go meanwhile are none."""
    total, waiting = 0, [str(place)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total
