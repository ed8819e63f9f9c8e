"""All processes from ``/proc/[pid]``: what the task iterator tells where eBPF works.

Owns the format of ``/proc/PID/stat`` and the walk over it. Refuses to keep history, except of what costs as much to
read as everything else together: the cgroup, which rarely changes, and what ``more`` reads. That is read again when
``stat`` shows that the process did something, else every ``AGAIN_EVERY`` scans, so that sleepers cost one file each.
Invariant: rows are of dtype PROCESS, ordered by pid; a process that dies during the walk is left out whole.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linnix.cognitod.events import ARGV_LEN, EXEC_TEXT, FILENAME_LEN, PROCESS, Array
from linnix.cognitod.host import more
from linnix.cognitod.host.cgroup import Cgroups, parse_pid_cgroup
from linnix.cognitod.host.more import More
from linnix.cognitod.host.proc import PROC

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
PF_KTHREAD = 0x0020_0000
#: A known process is asked for its cgroup again every so many scans.
CGROUP_EVERY = 32
#: One that seems to sleep is asked for everything again every so many scans.
AGAIN_EVERY = 16
_STAT_BYTES = 4096


class Stat(NamedTuple):
    """One line of ``/proc/PID/stat``, in the units of PROCESS."""

    start_ns: int
    utime_ns: int
    stime_ns: int
    min_flt: int
    maj_flt: int
    rss_bytes: int
    ppid: int
    threads: int
    nice: int
    kthread: bool
    state: bytes
    comm: bytes


class Found(NamedTuple):
    """A process that is there now."""

    stat: Stat
    uid: int
    gid: int
    cgroup_id: int


class _Known(NamedTuple):
    found: Found
    more: More


def parse_stat(stat: bytes) -> Stat:
    """One line of ``/proc/PID/stat``; ``ValueError`` or ``IndexError`` for what is none.

    The name is whatever stands between the first ``(`` and the last ``)``: it may hold both, and blanks.
    """
    name, ends = stat.index(b"(") + 1, stat.rindex(b")")
    part = stat[ends + 2 :].split()
    return Stat(
        start_ns=int(part[19]) * TICK_NS,
        utime_ns=int(part[11]) * TICK_NS,
        stime_ns=int(part[12]) * TICK_NS,
        min_flt=int(part[7]),
        maj_flt=int(part[9]),
        rss_bytes=int(part[21]) * mmap.PAGESIZE,
        ppid=int(part[1]),
        threads=int(part[17]),
        nice=int(part[16]),
        kthread=bool(int(part[6]) & PF_KTHREAD),
        state=part[0],
        comm=stat[name:ends],
    )


def to_row(pid: int, found: Found, more: More) -> tuple[object, ...]:
    """A record of PROCESS as a tuple."""
    stat = found.stat
    return (
        stat.utime_ns + stat.stime_ns,
        stat.utime_ns,
        stat.stime_ns,
        *more[:3],
        stat.min_flt,
        stat.maj_flt,
        *more[3:11],
        stat.rss_bytes,
        stat.start_ns,
        found.cgroup_id,
        pid,
        stat.ppid,
        found.uid,
        found.gid,
        stat.threads,
        *more[11:],
        stat.nice,
        stat.kthread,
        stat.state,
        b"",
        stat.comm,
    )


class Scanner:
    """Walks ``/proc``. One thread uses it."""

    def __init__(self, proc: Path = PROC, cgroups: Cgroups | None = None) -> None:
        self._proc = str(proc)
        self._cgroups = cgroups
        self._counts_files = more.counts_files(self._proc)
        self._known: dict[int, _Known] = {}
        self._scans = 0

    def scan(self) -> Array:
        """All processes now."""
        self._scans += 1
        rows, known = [], {}
        names = os.listdir(self._proc)  # noqa: PTH208 (a Path for each of 2,000 names costs more than the walk)
        for pid in sorted(int(name) for name in names if name.isdigit()):
            found = self.read(pid)
            if found is not None:
                known[pid] = _Known(found, self._more(pid, found))
                rows.append(to_row(pid, *known[pid]))
        self._known = known
        return np.array(rows, PROCESS)

    def read(self, pid: int) -> Found | None:
        """One process, None if it is gone. The owner is the effective one, root for a process that hides itself."""
        try:
            fd = os.open(f"{self._proc}/{pid}/stat", os.O_RDONLY)
        except OSError:
            return None
        try:
            owner = os.fstat(fd)
            line = os.read(fd, _STAT_BYTES)
        except OSError:  # died between open and read
            return None
        finally:
            os.close(fd)
        with suppress(ValueError, IndexError):
            stat = parse_stat(line)
            return Found(stat, owner.st_uid, owner.st_gid, self._cgroup_id(pid, stat.start_ns))
        return None

    def _more(self, pid: int, found: Found) -> More:
        known = self._known.get(pid)
        if known and known.found.stat == found.stat and (pid + self._scans) % AGAIN_EVERY:
            return known.more
        return more.read(f"{self._proc}/{pid}", found.stat.threads, self._counts_files)

    def _cgroup_id(self, pid: int, start_ns: int) -> int:
        if self._cgroups is None:
            return 0
        known = self._known.get(pid)
        if known and known.found.stat.start_ns == start_ns and (pid + self._scans) % CGROUP_EVERY:
            return known.found.cgroup_id
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
