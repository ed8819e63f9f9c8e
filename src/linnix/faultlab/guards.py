"""Whether a run may begin, and whether it may go on.

Owns the limits and the words: each says the number it saw and the number it needs. Refuses to act: it raises, and who
asked cleans up. Invariants: a run never begins where what it may use at most, and a reserve, is not free; and nothing
that the laboratory waits for meanwhile, as an answer of the daemon, keeps ``Guard`` from looking.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from linnix.faultlab import cgroups, proc
from linnix.faultlab.errors import LabError, RefusedError, RunFailedError, TooBusyError
from linnix.faultlab.scenario import Needs

MIB = 1024 * 1024
RESERVE_MEMORY_MIB = 512
RESERVE_DISK_MIB = 512
# Where more wait than this, nothing that is measured beside a fault is of that fault.
MAX_LOAD_PER_CORE = 1.5
_LOOK_EVERY_S = 0.25


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


class Looks(Protocol):
    """What looks at a run."""

    def look(self) -> None:
        """Raises RunFailedError where the run must end."""


class Guard:
    """Looks again and again, from a thread of its own, while the block lasts."""

    def __init__(self, watch: Looks, end: Callable[[], None]) -> None:
        """``end`` ends what the run has started; it is called from that thread, at once, and may be called again."""
        self._watch = watch
        self._end = end
        self._over = threading.Event()
        self._error: RunFailedError | None = None
        self._thread = threading.Thread(target=self._go_on, name="guard", daemon=True)

    def __enter__(self) -> Guard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raises RunFailedError where the run went beyond what it may use; what it had started has been ended then."""
        if self._error is not None:
            raise self._error

    def _go_on(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                self._watch.look()
            except RunFailedError as error:
                self._error = error
            except OSError as error:  # a run that nobody can look at must not go on
                self._error = RunFailedError(f"the guards cannot look: {error}")
            if self._error is not None:
                with suppress(LabError):  # who waits for it to end will say so
                    self._end()
                return


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
