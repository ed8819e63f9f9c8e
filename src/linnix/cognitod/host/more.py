"""What ``/proc/PID/stat`` does not tell of a process: five more files, each asked once.

Owns the formats of ``/proc/PID/{status,io,schedstat,oom_score_adj}`` and the size of its ``fd``. Refuses to guess:
what a file does not say, or says of one thread of several, is UNKNOWN. Invariant: reading never raises; a process that
dies meanwhile has the rest unknown.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

from linnix.cognitod.events import MAX_FILES, UNKNOWN, UNKNOWN_ADJ, UNKNOWN_FILES

_BYTES = 8192
_STATUS = re.compile(
    rb"^(Rss(?:Anon|File|Shmem)|VmSwap|VmPTE|(?:non)?voluntary_ctxt_switches):\s+(\d+)(?: (kB))?$", re.MULTILINE
)
_IO = re.compile(rb"^(read_bytes|write_bytes|cancelled_write_bytes): (\d+)$", re.MULTILINE)


class More(NamedTuple):
    """Fields of PROCESS, by their names there."""

    run_delay_ns: int = UNKNOWN
    nvcsw: int = UNKNOWN
    nivcsw: int = UNKNOWN
    read_bytes: int = UNKNOWN
    write_bytes: int = UNKNOWN
    cancelled_write_bytes: int = UNKNOWN
    rss_file_bytes: int = UNKNOWN
    rss_anon_bytes: int = UNKNOWN
    rss_shmem_bytes: int = UNKNOWN
    swap_bytes: int = UNKNOWN
    pgtables_bytes: int = UNKNOWN
    open_files: int = UNKNOWN_FILES
    oom_score_adj: int = UNKNOWN_ADJ


def parse_status(text: bytes) -> dict[bytes, int]:
    """Sizes in bytes and counts of ``/proc/PID/status``, under its names. No sizes: it has no memory of its own."""
    return {name: int(number) * (1024 if unit else 1) for name, number, unit in _STATUS.findall(text)}


def read(folder: str, threads: int, counts_files: bool) -> More:
    """The process whose ``/proc/PID`` is ``folder``.

    ``status`` and ``schedstat`` count switches and waiting for the first thread only: known when there is but one.
    ``counts_files``: this kernel tells how many files are open by the size of ``fd`` (since 6.2, fs/proc/fd.c).
    """
    status = parse_status(_text(folder + "/status"))
    io = {name: int(number) for name, number in _IO.findall(_text(folder + "/io"))}
    schedstat = _text(folder + "/schedstat").split()
    adj = _text(folder + "/oom_score_adj")
    without = 0 if status else UNKNOWN  # of memory: a kernel thread's status tells of switches alone
    alone = threads == 1
    return More(
        int(schedstat[1]) if alone and len(schedstat) == 3 else UNKNOWN,
        status.get(b"voluntary_ctxt_switches", UNKNOWN) if alone else UNKNOWN,
        status.get(b"nonvoluntary_ctxt_switches", UNKNOWN) if alone else UNKNOWN,
        io.get(b"read_bytes", UNKNOWN),
        io.get(b"write_bytes", UNKNOWN),
        io.get(b"cancelled_write_bytes", UNKNOWN),
        status.get(b"RssFile", without),
        status.get(b"RssAnon", without),
        status.get(b"RssShmem", without),
        status.get(b"VmSwap", without),
        status.get(b"VmPTE", without),
        _open_files(folder) if counts_files else UNKNOWN_FILES,
        int(adj) if adj else UNKNOWN_ADJ,
    )


def counts_files(proc: str) -> bool:
    """True where the size of ``/proc/PID/fd`` is the number of open files; we have some ourselves."""
    with suppress(OSError):
        return os.stat(proc + "/self/fd").st_size > 0  # noqa: PTH116 (see _text)
    return False


def _open_files(folder: str) -> int:
    with suppress(OSError):
        return min(os.stat(folder + "/fd").st_size, MAX_FILES)  # noqa: PTH116 (see _text)
    return UNKNOWN_FILES


def _text(path: str) -> bytes:
    """The file's bytes, none where it is gone or forbidden. No Path: there are five a process."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(fd, _BYTES)
    except OSError:
        return b""
    finally:
        os.close(fd)
