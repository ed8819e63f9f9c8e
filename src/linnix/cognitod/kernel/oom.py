"""Who was killed for want of memory, on whose behalf, and what it held then.

Owns the ring of ``bpf/oom.bpf.c``. Refuses to judge. Invariant: kills = told + lost, both cumulative since attach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from linnix.cognitod.events import COMM_LEN, Array, ProbeState
from linnix.cognitod.kernel import preflight
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.probes import Probe, map_array
from linnix.cognitod.kernel.ring import MappedRing

#: ``OOMS_BYTES`` of bpf/oom.bpf.c.
RING_BYTES = 32 << 10
MEMCG_LEN = 64

#: struct linnix_oom of bpf/sights.h.
OOM = np.dtype(
    [
        ("ts_ns", "<u8"),
        ("start_ns", "<u8"),
        ("invoker_start_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("memcg_id", "<u8"),
        ("total_pages", "<u8"),
        ("anon_pages", "<u8"),
        ("file_pages", "<u8"),
        ("shmem_pages", "<u8"),
        ("swap_pages", "<u8"),
        ("pgtables_bytes", "<u8"),
        ("pid", "<u4"),
        ("uid", "<u4"),
        ("invoker_pid", "<u4"),
        ("oom_score_adj", "<i4"),
        ("comm", f"S{COMM_LEN}"),
        ("invoker_comm", f"S{COMM_LEN}"),
        ("memcg_name", f"S{MEMCG_LEN}"),
    ]
)
#: struct linnix_oom_books.
OOM_BOOKS = np.dtype([("kills", "<u8"), ("lost", "<u8")])


@dataclass(frozen=True, slots=True)
class OomReading:
    """Kills since the last reading (dtype OOM), and all since the probe was attached, lost ones included."""

    kills: Array
    total: int
    lost: int


class Ooms:
    """An ``events.Instrument``."""

    due_ns = 0

    def __init__(self, release: tuple[int, int] | None = None) -> None:
        self._names_task = (release or preflight.running_kernel()) >= (6, 9)
        self._programs = ("handle_victim",) if self._names_task else ("handle_signal", "handle_victim")
        self._probe = Probe("oom", "oom.bpf.o", self._programs)
        self._ring: MappedRing | None = None
        self._books: Any = np.zeros(1, OOM_BOOKS)
        self._told = 0

    def open(self) -> None:
        """Load, map and attach; what is missing is told by ``states``."""
        self._probe.open(configure=self._configure, attach=self._attach)

    def _configure(self, _library: Library, found: Object) -> None:
        # On older kernels the tracepoint names a pid only, and every signal of the host is looked at.
        found.set_autoload("handle_signal", not self._names_task)

    def _attach(self, found: Object) -> None:
        self._ring = MappedRing(found.map_fd("ooms"), RING_BYTES, OOM)
        self._books = map_array(found, "books", OOM_BOOKS)
        for program in self._programs:
            found.attach(program)

    def collect(self, now_ns: int) -> OomReading | None:
        """The kills since the last call."""
        if self._ring is None:
            return None
        kills, lost = int(self._books["kills"][0]), int(self._books["lost"][0])
        if kills == self._told:  # no system call, nothing copied: nearly always
            return None
        self._told = kills
        return OomReading(self._ring.drain(), kills, lost)

    def refresh(self) -> None:
        """Read the kernel's account of its programs anew."""
        self._probe.refresh()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._probe.state,)

    def close(self) -> None:
        """Detach and free. Idempotent."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        self._books = np.zeros(1, OOM_BOOKS)
        self._probe.close()
