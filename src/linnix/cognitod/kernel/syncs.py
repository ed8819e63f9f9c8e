"""How often every process asks for data to be on disk: fsync and the like, and synchronous writes.

Owns the maps of ``bpf/syncs.bpf.c``. Refuses names and rates. Invariant: a reading holds every call that a file system
traced since the one before, but for those that were lost, and one that comes in the moment in which its count is
taken. It never rests: what is counted waits for a disk, which takes 200 times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel import probes
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.preflight import VMLINUX, traced
from linnix.cognitod.kernel.probes import Probe, map_array

#: struct linnix_sync_key.
SYNC_KEY = np.dtype([("start_ns", "<u8"), ("pid", "<u4"), ("pad", "<u4")])
#: struct linnix_sync_books.
SYNC_BOOKS = np.dtype([("calls", "<u8"), ("lost", "<u8")])
_COUNT = np.dtype([("calls", "<u8")])

#: By program its tracepoint, and the module that it is of where the file system is one.
_TRACED = {
    "handle_ext4": ("ext4_sync_file_enter", "ext4"),
    "handle_xfs": ("xfs_file_fsync", "xfs"),
    "handle_btrfs": ("btrfs_sync_file", "btrfs"),
    "handle_f2fs": ("f2fs_sync_file_enter", "f2fs"),
}
NOT_TRACED = "no file system that traces syncs is loaded: ext4, XFS, btrfs and F2FS do"


@dataclass(frozen=True, slots=True)
class SyncsReading:
    """Calls in the last ``window_ns``, by process. ``total`` and ``lost``: since attachment; the latter of nobody."""

    ts_ns: int
    window_ns: int
    keys: Array  # dtype SYNC_KEY
    calls: Array  # u8, of equal length
    total: int
    lost: int


class Syncs:
    """An ``events.Instrument``."""

    due_ns = 0

    def __init__(self, types: Path = VMLINUX.parent) -> None:
        """``types``: where the kernel and its modules say what types they have, and so what they trace."""
        self._types = types
        self._probe = Probe("syncs", "syncs.bpf.o", tuple(_TRACED))
        self._absent: ProbeState | None = None
        self._books: Any = np.zeros(1, SYNC_BOOKS)
        self._counts_fd = -1
        self._since_ns = 0  # when the window began; 0: not yet

    def open(self) -> None:
        """Load, map and attach what this kernel has; what is missing is told by ``states``."""
        traced = tuple(self._traced())
        if not traced:
            self._absent = probes.off("syncs", NOT_TRACED)
            return

        def configure(_library: Library, found: Object) -> None:
            for program in _TRACED.keys() - set(traced):
                found.set_autoload(program, False)

        def attach(found: Object) -> None:
            self._books = map_array(found, "books", SYNC_BOOKS)
            self._counts_fd = found.map_fd("counts")
            for program in traced:
                found.attach(program)

        self._probe.open(configure=configure, attach=attach)

    def _traced(self) -> Iterator[str]:
        """The programs whose tracepoint is here: in the kernel, or in a module that is loaded."""
        built_in = traced((point for point, _ in _TRACED.values()), self._types / VMLINUX.name)
        for program, (point, module) in _TRACED.items():
            if point in built_in or traced([point], self._types / module):
                yield program

    def collect(self, now_ns: int) -> SyncsReading | None:
        """What was asked for since the last call; None at the first."""
        found = self._probe.object
        if found is None:
            return None
        keys, told = found.read_hash(self._counts_fd, SYNC_KEY, _COUNT, take=True)
        since_ns, self._since_ns = self._since_ns, now_ns
        if not since_ns:
            return None
        books = self._books[0]
        return SyncsReading(now_ns, now_ns - since_ns, keys, told["calls"], int(books["calls"]), int(books["lost"]))

    def refresh(self) -> None:
        """Read the kernel's account of its programs anew."""
        self._probe.refresh()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._absent or self._probe.state,)

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self._books = np.zeros(1, SYNC_BOOKS)
        self._probe.close()
