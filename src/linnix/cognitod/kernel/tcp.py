"""TCP trouble by process: retransmits, resets and connections that failed.

Owns the maps of ``bpf/tcp.bpf.c``. Refuses names. Invariant: the totals equal what all readings told by process and
cgroup together, plus ``lost``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.probes import Probe, map_array
from linnix.cognitod.kernel.thrift import BUDGET, Thrift

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


#: struct linnix_tcp_reads.
TCP_READS = np.dtype([("count", "<u8"), ("pad", "<u8", (7,))])

#: Measured in interleaved pairs over the loopback, see docs/probes.md.
READ_COST_NS = 80
#: How often reads are judged.
JUDGE_NS = 2 * 10**9
_READER = "handle_read"


@dataclass(frozen=True, slots=True)
class TcpReading:
    """What happened since the last reading, by owner; totals since the probe was attached."""

    keys: Array  # dtype TCP_KEY
    counts: Array  # dtype TCP_COUNTS, of equal length
    totals: tuple[int, ...]  # in the order of TCP_KINDS
    lost: int  # of the totals, counted for nobody because the map was full


class Tcp:
    """An ``events.Instrument``.

    The one program that runs at every read rests where there are very many: a connection's owner is noted at any of
    its reads, and until then it is its listener's.
    """

    due_ns = 0

    def __init__(self) -> None:
        self._programs = (
            "handle_state",
            _READER,
            "handle_retransmit",
            "handle_retransmit_synack",
            "handle_send_reset",
            "handle_receive_reset",
        )
        self._probe = Probe("tcp", "tcp.bpf.o", self._programs)
        self._books: Any = np.zeros(1, TCP_BOOKS)
        self._reads: Any = np.zeros(0, TCP_READS)
        self._thrift = Thrift(READ_COST_NS)
        self._judged_ns = self._rest_until_ns = 0
        self._counts_fd = -1
        self._told = 0

    def open(self) -> None:
        """Load, map and attach; what is missing is told by ``states``."""
        self._probe.open(configure=self._configure, attach=self._attach)

    def _configure(self, library: Library, found: Object) -> None:
        self._cpus = library.possible_cpus()
        found.set_max_entries("reads", self._cpus)

    def _attach(self, found: Object) -> None:
        self._reads = map_array(found, "reads", TCP_READS, self._cpus)
        self._books = map_array(found, "books", TCP_BOOKS)
        self._counts_fd = found.map_fd("counts")
        for program in self._programs:
            found.attach(program)

    def collect(self, now_ns: int) -> TcpReading | None:
        """What happened since the last call."""
        found = self._probe.object
        if found is None:
            return None
        self._spare(found, now_ns)
        book = self._books[0]
        totals = book["totals"].tolist()
        if sum(totals) == self._told:  # no system call: nearly always
            return None
        self._told = sum(totals)
        keys, counts = found.read_hash(self._counts_fd, TCP_KEY, TCP_COUNTS, take=True)
        return TcpReading(keys, counts, tuple(totals), int(book["lost"]))

    def _spare(self, found: Object, now_ns: int) -> None:
        window_ns = now_ns - self._judged_ns
        if window_ns < JUDGE_NS or now_ns < self._rest_until_ns:
            return
        self._judged_ns = now_ns
        if _READER not in found.attached:
            found.attach(_READER)
            self._probe.note("")
        elif rest_ns := self._thrift.rest_ns(self._reads["count"].copy(), window_ns):
            self._rest_until_ns = now_ns + rest_ns
            found.detach(_READER)
            share = window_ns / (window_ns + rest_ns)
            self._probe.note(f"looks who reads {share:.0%} of the time: more would slow a CPU by over {BUDGET:.0%}")

    def refresh(self) -> None:
        """Read the kernel's account of its programs anew."""
        self._probe.refresh()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._probe.state,)

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self._books = np.zeros(1, TCP_BOOKS)
        self._reads = np.zeros(0, TCP_READS)
        self._probe.close()
