"""What every process sends and receives through sockets of IP, and the TCP connections of each.

Owns the maps of ``bpf/sockets.bpf.c``. Refuses names and rates. Invariant: a reading holds every call since the one
before it, but for those that were lost, and those while the programs rested, a time that is in no ``window_ns``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel import probes
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.preflight import VMLINUX, traced
from linnix.cognitod.kernel.probes import Probe, map_array
from linnix.cognitod.kernel.thrift import BUDGET, Thrift

#: struct linnix_socket_key: 0 where the owner of a connection is not known.
SOCKET_KEY = np.dtype([("start_ns", "<u8"), ("pid", "<u4"), ("pad", "<u4")])
_COUNTS = ("tx_bytes", "tx_calls", "rx_bytes", "rx_calls", "connects")
#: struct linnix_socket_counts.
SOCKET_COUNTS = np.dtype([(name, "<u8") for name in _COUNTS])
#: struct linnix_socket_books.
SOCKET_BOOKS = np.dtype([("calls", "<u8"), ("lost", "<u8"), ("pad", "<u8", (6,))])

#: Measured in interleaved pairs over the loopback, see docs/probes.md.
CALL_COST_NS = 130
#: Where it has to rest, it looks for so long at a time: short looks make short rests.
SHORT_NS = 100_000_000
#: After the look that finds that it has to rest, which is of a whole sample interval.
LONGEST_REST_NS = 5 * 10**9

#: Those that run at every call, and may rest.
_COUNTERS = ("handle_send", "handle_receive")
_PROGRAMS = ("handle_connection", *_COUNTERS)
#: As it stands in the names of the kernel's type information.
_TRACED = "sock_send_length"
NOT_TRACED = "this kernel does not trace what sockets send and receive: Linux does since 6.3"


@dataclass(frozen=True, slots=True)
class SocketsReading:
    """What was moved in the last ``window_ns``, by process. ``lost``: calls since attachment, told of nobody."""

    ts_ns: int
    window_ns: int
    keys: Array  # dtype SOCKET_KEY
    counts: Array  # dtype SOCKET_COUNTS, of equal length
    lost: int


class Sockets:
    """An ``events.Instrument``, and ``events.Glancing`` where calls are so many that it rests.

    That is where counting them would cost a CPU more than ``BUDGET``: what it told last holds until it looks again.
    """

    due_ns = 0

    def __init__(self, types: Path = VMLINUX) -> None:
        """``types``: the kernel's type information, which says what it traces."""
        self._types = types
        self._probe = Probe("sockets", "sockets.bpf.o", _PROGRAMS)
        self._absent: ProbeState | None = None
        self._books: Any = np.zeros(0, SOCKET_BOOKS)
        self._thrift = Thrift(CALL_COST_NS)
        self._value = SOCKET_COUNTS
        self._counts_fd = -1
        self._since_ns = 0  # when the window began; 0: not yet
        self._rest_until_ns = 0
        self._glanced: SocketsReading | None = None
        self.glance_ns = 0

    def open(self) -> None:
        """Load, map and attach; what is missing is told by ``states``."""
        if not self._is_traced():
            self._absent = probes.off("sockets", NOT_TRACED)
        else:
            self._probe.open(configure=self._configure, attach=self._attach)

    def _is_traced(self) -> bool:
        # Where there are no types at all, it is not this that is missing first.
        return not self._types.exists() or bool(traced([_TRACED], self._types))

    def _configure(self, library: Library, found: Object) -> None:
        self._cpus = library.possible_cpus()
        self._value = np.dtype((SOCKET_COUNTS, (self._cpus,)))
        found.set_max_entries("books", self._cpus)

    def _attach(self, found: Object) -> None:
        self._books = map_array(found, "books", SOCKET_BOOKS, self._cpus)
        self._counts_fd = found.map_fd("counts")
        for program in _PROGRAMS:
            found.attach(program)

    def collect(self, now_ns: int) -> SocketsReading | None:
        """What was moved since the last call; None while it rests, and at the call that ends its rest."""
        found = self._probe.object
        if found is None or now_ns < self._rest_until_ns:
            glanced, self._glanced = self._glanced, None
            return glanced
        if _COUNTERS[0] not in found.attached:
            for program in _COUNTERS:
                found.attach(program)
            self._take(found)
            self._since_ns, self.glance_ns = now_ns, now_ns + SHORT_NS
            return None
        if self._glanced is None:
            return self._close_window(found, now_ns)
        glanced, self._glanced = self._glanced, None
        return glanced

    def glance(self, now_ns: int) -> None:
        """End the short look after a rest."""
        if (found := self._probe.object) is not None:
            self._glanced = self._close_window(found, now_ns)

    def _close_window(self, found: Object, now_ns: int) -> SocketsReading | None:
        self.glance_ns = 0
        keys, counts = self._take(found)
        since_ns, self._since_ns = self._since_ns, now_ns
        window_ns = now_ns - since_ns
        rest_ns = min(self._thrift.rest_ns(self._books["calls"].copy(), window_ns), LONGEST_REST_NS)
        if not since_ns:
            return None
        if rest_ns:
            found.detach(*_COUNTERS)
            self._rest_until_ns = now_ns + rest_ns
            share = window_ns / (window_ns + rest_ns)
            self._probe.note(f"looks {share:.0%} of the time: more would slow a CPU by over {BUDGET:.0%}")
        else:
            self._probe.note("")
        return SocketsReading(now_ns, window_ns, keys, counts, int(self._books["lost"].sum()))

    def _take(self, found: Object) -> tuple[Array, Array]:
        keys, per_cpu = found.read_hash(self._counts_fd, SOCKET_KEY, self._value, take=True)
        counts = np.zeros(len(keys), SOCKET_COUNTS)
        for name in _COUNTS:
            counts[name] = per_cpu[name].sum(axis=1)
        return keys, counts

    def refresh(self) -> None:
        """Read the kernel's account of its programs anew."""
        self._probe.refresh()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._absent or self._probe.state,)

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self._books = np.zeros(0, SOCKET_BOOKS)
        self.glance_ns = 0
        self._probe.close()
