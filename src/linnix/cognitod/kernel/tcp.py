"""TCP trouble by process: retransmits, resets and connections that failed.

Owns the maps of ``bpf/tcp.bpf.c``. Refuses names. Invariant: the totals equal what all readings told by process and
cgroup together, plus ``lost``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel.libbpf import Object
from linnix.cognitod.kernel.probes import Probe, map_array

#: In the order of enum linnix_tcp_kind of bpf/sights.h.
TCP_KINDS = (
    "retransmits",
    "resets_sent",
    "resets_received",
    "connects",
    "refused",
    "timed_out",
    "unreachable",
    "failed",
)

#: struct linnix_tcp_key: 0 where the owner of the socket, or its cgroup, is not known.
TCP_KEY = np.dtype([("start_ns", "<u8"), ("cgroup_id", "<u8"), ("pid", "<u4"), ("pad", "<u4")])
#: struct linnix_tcp_counts.
TCP_COUNTS = np.dtype([("counts", "<u8", (len(TCP_KINDS),))])
#: struct linnix_tcp_books.
TCP_BOOKS = np.dtype([("totals", "<u8", (len(TCP_KINDS),)), ("lost", "<u8")])


@dataclass(frozen=True, slots=True)
class TcpReading:
    """What happened since the last reading, by owner; totals since the probe was attached."""

    keys: Array  # dtype TCP_KEY
    counts: Array  # dtype TCP_COUNTS, of equal length
    totals: tuple[int, ...]  # in the order of TCP_KINDS
    lost: int  # of the totals, counted for nobody because the map was full


class Tcp:
    """An ``events.Instrument``."""

    def __init__(self) -> None:
        self._programs = (
            "handle_state",
            "handle_read",
            "handle_retransmit",
            "handle_retransmit_synack",
            "handle_send_reset",
            "handle_receive_reset",
        )
        self._probe = Probe("tcp", "tcp.bpf.o", self._programs)
        self._books: Any = np.zeros(1, TCP_BOOKS)
        self._counts_fd = -1
        self._told = 0

    def open(self) -> None:
        """Load, map and attach; what is missing is told by ``states``."""
        self._probe.open(attach=self._attach)

    def _attach(self, found: Object) -> None:
        self._books = map_array(found, "books", TCP_BOOKS)
        self._counts_fd = found.map_fd("counts")
        for program in self._programs:
            found.attach(program)

    def collect(self, now_ns: int) -> TcpReading | None:
        """What happened since the last call."""
        found = self._probe.object
        if found is None:
            return None
        book = self._books[0]
        totals = book["totals"].tolist()
        if sum(totals) == self._told:  # no system call: nearly always
            return None
        self._told = sum(totals)
        keys, counts = found.read_hash(self._counts_fd, TCP_KEY, TCP_COUNTS, take=True)
        return TcpReading(keys, counts, tuple(totals), int(book["lost"]))

    def refresh(self) -> None:
        """Read the kernel's account of its programs anew."""
        self._probe.refresh()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._probe.state,)

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self._books = np.zeros(1, TCP_BOOKS)
        self._probe.close()
