"""All processes from ``/proc/[pid]``: what the task iterator tells where eBPF works.

Owns the format of ``/proc/PID/stat`` and the walk over it. Refuses to keep history, except the cgroup of a process,
which rarely changes and costs as much to read as everything else together. Invariant: rows are of dtype PROCESS,
ordered by pid; a process that dies during the walk is left out whole.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from linnix.cognitod.events import ARGV_LEN, EXEC_TEXT, FILENAME_LEN, PROCESS, Array
from linnix.cognitod.host.cgroup import Cgroups, parse_pid_cgroup
from linnix.cognitod.host.proc import PROC

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
PF_KTHREAD = 0x0020_0000
#: A known process is asked for its cgroup again every so many scans.
CGROUP_EVERY = 32
_STAT_BYTES = 4096

#: The fields of PROCESS without its padding, as a tuple.
Row = tuple[int, int, int, int, int, int, int, int, int, bool, bytes, bytes, bytes]


def parse_stat(pid: int, stat: bytes, uid: int, gid: int, cgroup_id: int) -> Row:
    """One line of ``/proc/PID/stat`` as a row; ``ValueError`` for what is none.

    The name is whatever stands between the first ``(`` and the last ``)``: it may hold both, and blanks.
    """
    name, ends = stat.index(b"(") + 1, stat.rindex(b")")
    part = stat[ends + 2 :].split()
    return (
        int(part[19]) * TICK_NS,
        (int(part[11]) + int(part[12])) * TICK_NS,
        int(part[21]) * mmap.PAGESIZE,
        cgroup_id,
        pid,
        int(part[1]),
        uid,
        gid,
        int(part[17]),
        bool(int(part[6]) & PF_KTHREAD),
        part[0],
        b"",
        stat[name:ends],
    )


class Scanner:
    """Walks ``/proc``. One thread uses it."""

    def __init__(self, proc: Path = PROC, cgroups: Cgroups | None = None) -> None:
        self._proc = str(proc)
        self._cgroups = cgroups
        self._known: dict[int, tuple[int, int]] = {}  # pid → (start in ns, cgroup id)
        self._scans = 0

    def scan(self) -> Array:
        """All processes now."""
        self._scans += 1
        rows, known = [], {}
        names = os.listdir(self._proc)  # noqa: PTH208 (a Path for each of 2,000 names costs more than the walk)
        for pid in sorted(int(name) for name in names if name.isdigit()):
            row = self.read(pid)
            if row is not None:
                rows.append(row)
                known[pid] = (row[0], row[3])
        self._known = known
        return np.array(rows, PROCESS)

    def read(self, pid: int) -> Row | None:
        """One process, None if it is gone. The owner is the effective one, root for a process that hides itself."""
        try:
            fd = os.open(f"{self._proc}/{pid}/stat", os.O_RDONLY)
        except OSError:
            return None
        try:
            owner = os.fstat(fd)
            stat = os.read(fd, _STAT_BYTES)
        except OSError:  # died between open and read
            return None
        finally:
            os.close(fd)
        with suppress(ValueError, IndexError):
            row = parse_stat(pid, stat, owner.st_uid, owner.st_gid, 0)
            return (*row[:3], self._cgroup_id(pid, row[0]), *row[4:])
        return None

    def _cgroup_id(self, pid: int, start_ns: int) -> int:
        if self._cgroups is None:
            return 0
        known_start_ns, known = self._known.get(pid, (0, 0))
        if known_start_ns == start_ns and (pid + self._scans) % CGROUP_EVERY:
            return known
        with suppress(OSError):
            path = parse_pid_cgroup(Path(self._proc, str(pid), "cgroup").read_bytes())
            return self._cgroups.id_of(path) if path else 0
        return 0


def read_text(proc: Path, pid: int, start_ns: int, seq: int) -> np.void:
    """What a process runs, one element of dtype EXEC_TEXT; empty fields where it is gone or another user's."""
    text: np.void = np.zeros(1, EXEC_TEXT)[0]
    line = name = b""
    with suppress(OSError):
        line = (proc / str(pid) / "cmdline").read_bytes()
    with suppress(OSError):
        name = os.fsencode((proc / str(pid) / "exe").readlink())[: FILENAME_LEN - 1]
    text["pid"], text["start_ns"], text["seq"] = pid, start_ns, seq
    text["argv_len"], text["argv_total"], text["filename_len"] = min(len(line), ARGV_LEN), len(line), len(name)
    text["filename"], text["argv"] = name, np.void(line[:ARGV_LEN].ljust(ARGV_LEN, b"\0"))
    return text
