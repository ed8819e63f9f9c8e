"""Who waits for memory, and who takes memory meanwhile (bpf/blame_memory.bpf.c).

Owns what follows from the causes of waits. Refuses to call a conclusion a measurement: the waits are measured, that
those who took pages at the time caused them is inferred, and a wait for the limit of one's own cgroup is one's own.
Invariant: no row of this meter is ``measured``.

Free pages are one pool, so all who take pages while somebody waits share the blame by the pages they take, the waiter
among them. Where a cgroup's limit is what is short, others' pages are of no account: reclaim for it, sleeping for its
``memory.high``, and waiting for pages it evicted are ``own_quota``. A page that was evicted does not tell for which of
the two; it counts as the cgroup's doing when the same process had to free pages for its limit and the host freed none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel.charge import Ints, Use
from linnix.cognitod.kernel.pairs import ITSELF, Waits, drop_lost, owners_of, pair
from linnix.cognitod.kernel.stalls import ALLOC, OWN_LIMIT, RECORD, REFAULT, Seen, Stalls
from linnix.cognitod.model import RESOURCES, StallReading

#: STALLS_BYTES in bpf/blame_memory.bpf.c.
RING_BYTES = 2 << 20
#: How long after freeing pages for its own limit a process may still wait for what was evicted then.
OWN_LIMIT_NS = 2 * 10**9
#: The finest rate of taking pages that is told apart, per second.
_SHORTEST_NS = 1000

_OPTIONAL = {
    "handle_reclaim": "mm_vmscan_direct_reclaim_begin",
    "handle_reclaim_end": "mm_vmscan_direct_reclaim_end",
    "handle_node_reclaim": "mm_vmscan_node_reclaim_begin",
    "handle_node_reclaim_end": "mm_vmscan_node_reclaim_end",
    "handle_own_limit": "mm_vmscan_memcg_reclaim_begin",
    "handle_own_limit_end": "mm_vmscan_memcg_reclaim_end",
    "handle_compaction": "mm_compaction_begin",
    "handle_compaction_end": "mm_compaction_end",
    "handle_kswapd_wake": "mm_vmscan_kswapd_wake",
    "handle_kswapd_sleep": "mm_vmscan_kswapd_sleep",
}
_PROGRAMS = ("handle_alloc", *_OPTIONAL, "handle_switch")
#: Bytes of key and value.
_MAPS = {"takers": (4, RECORD.itemsize), "threads": (4, 16)}


class BlameMemory:
    """A meter of ``memory``. On the ingest thread, except ``state``."""

    name = "blame_memory"
    resource = "memory"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        probe = ProbeState(name=self.name, what="who waits for memory while who takes it", programs=_PROGRAMS)
        self._environ = environ
        self._stalls = Stalls(probe, "blame_memory.bpf.o", RING_BYTES, _MAPS, _OPTIONAL)
        self._waits = Waits()
        self._last_ns = 0
        self._limits = OwnLimits()

    def load(self) -> None:
        """Open and verify the programs; ``KernelError`` where this kernel cannot have them."""
        self._stalls.load(self._environ)

    def attach(self) -> None:
        """Begin a new epoch. ``KernelError``."""
        self._stalls.attach()
        self._waits, self._limits = Waits(), OwnLimits()
        self._last_ns = self._stalls.attached_ns

    def detach(self) -> None:
        """End the epoch."""
        self._stalls.detach()

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self._stalls.close()

    def state(self) -> ProbeState:
        """Its line in the table of probes."""
        return self._stalls.state

    def collect(self, now_ns: int) -> StallReading | None:
        """Everything since the last collect of this epoch; None when not attached.

        ``now_ns`` is CLOCK_MONOTONIC. A wait that goes on is told up to ``now_ns``, the rest of it later.
        """
        if not self._stalls.attached:
            return None
        seen = self._stalls.look(now_ns)
        begin_ns, self._last_ns = self._last_ns, now_ns
        parts = self._waits.take(seen, now_ns)
        taken = self._take(seen, begin_ns, now_ns)
        owners, owner = owners_of(taken)
        use = Use(taken["begin_ns"].astype(np.int64), taken["ts_ns"].astype(np.int64), owner, _rate(taken))
        source: Ints = np.where(self._limits.find(parts, seen.host_reclaims > 0, now_ns), ITSELF, 0)
        lost_ns = seen.lost_wait_ns + drop_lost(parts, source, seen.lost_from_ns)
        resource, parents = RESOURCES.index(self.resource), self._stalls.parents
        pairs = pair(parts, source, [use], owners, parents, seen.ran, resource, now_ns - begin_ns)
        return StallReading(
            resource=self.resource,
            begin_ns=begin_ns,
            end_ns=now_ns,
            pairs=pairs,
            waited_ns=int((parts["end_ns"] - parts["begin_ns"]).sum()) + seen.lost_wait_ns,
            attributed_ns=int(pairs["task_ns"].sum()),
            lost_ns=lost_ns,
        )

    def _take(self, seen: Seen, begin_ns: int, now_ns: int) -> Array:
        """Who took how many pages from when to when, as dtype RECORD; all of it inferred to matter."""
        told = seen.records[seen.records["kind"] == ALLOC]
        rest = self._stalls.take_hash("takers")
        rest = rest[rest["amount"] > 0]
        rest["ts_ns"] = now_ns
        taken = np.concatenate((told, rest))
        # what was taken at once was taken in no time
        taken["begin_ns"] = np.minimum(np.maximum(taken["begin_ns"], begin_ns), taken["ts_ns"] - _SHORTEST_NS)
        taken["inferred"] = 1
        return taken


class OwnLimits:
    """Remembers whose cgroup was at its limit, and when the host was. One epoch long."""

    def __init__(self) -> None:
        self._limited: dict[tuple[int, int], int] = {}  # processes by when they last freed pages for their own limit
        self._host_ns: int | None = None  # when the host as a whole last freed any

    def find(self, parts: Array, host_reclaims: bool, now_ns: int) -> NDArray[np.bool_]:
        """Which parts of waits up to ``now_ns`` are for a limit of the waiter's own."""
        if host_reclaims:
            self._host_ns = now_ns
        self._limited = {who: at for who, at in self._limited.items() if now_ns - at < OWN_LIMIT_NS}
        who = list(zip(parts["pid"].tolist(), parts["start_ns"].tolist(), strict=True))
        own: NDArray[np.bool_] = parts["cause"] == OWN_LIMIT
        self._limited |= dict.fromkeys((who[at] for at in np.flatnonzero(own)), now_ns)
        if self._host_ns is None or now_ns - self._host_ns >= OWN_LIMIT_NS:
            own |= (parts["cause"] == REFAULT) & np.array([one in self._limited for one in who], bool)
        return own


def _rate(taken: Array) -> Ints:
    """Pages a second, as a whole number above 0."""
    pages = taken["amount"].astype(np.int64)
    rate: Ints = np.maximum(pages * 10**9 // (taken["ts_ns"] - taken["begin_ns"]).astype(np.int64), 1)
    return rate
