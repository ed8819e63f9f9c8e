"""Who waits for block devices, and whose requests they serve meanwhile (bpf/blame_io.bpf.c).

Owns the requests in flight and the choice of device for each wait. Refuses to guess: a wait that belongs to no device,
and service to requests whose owner nobody saw, are charged to nobody. Invariant: owners that were observed and owners
that were inferred are different owners, so that no row mixes the two.

A device with several requests in flight serves all of them: its time is split equally among them, whatever their size.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel.charge import Ints, Use
from linnix.cognitod.kernel.pairs import NOBODY, Waits, drop_lost, owners_of, pair
from linnix.cognitod.kernel.stalls import DONE, MISSED, RECORD, SERVED, UNSEEN, Seen, Stalls
from linnix.cognitod.model import RESOURCES, StallReading

#: STALLS_BYTES in bpf/blame_io.bpf.c.
RING_BYTES = 4 << 20
#: A request in flight for longer than this may be one whose completion was missed.
GONE_NS = 10**9

_PROGRAMS = (
    "handle_dirty",
    "handle_dirty_page",
    "handle_getrq",
    "handle_frontmerge",
    "handle_issue",
    "handle_complete",
    "handle_requeue",
    "handle_inode_start",
    "handle_inode_end",
    "handle_wakeup",
    "handle_waking",
    "handle_switch",
)
_OPTIONAL = {
    "handle_dirty": "writeback_dirty_folio",  # since 5.16; before, pages
    "handle_dirty_page": "writeback_dirty_page",
}
#: Bytes of key and value.
_MAPS = {
    "owners": (8, RECORD.itemsize),
    "flushers": (4, RECORD.itemsize),
    "dirtiers": (8, RECORD.itemsize),
    "writing": (4, 8),
    "threads": (4, 32),
}


class BlameIo:
    """A meter of ``io``. On the ingest thread, except ``state``."""

    name = "blame_io"
    resource = "io"

    def __init__(self, environ: Mapping[str, str] = os.environ, sys: Path = Path("/sys")) -> None:
        probe = ProbeState(name=self.name, what="who waits for whose block IO", programs=_PROGRAMS)
        self._environ, self._sys = environ, sys
        self._stalls = Stalls(probe, "blame_io.bpf.o", RING_BYTES, _MAPS, _OPTIONAL)
        self._waits = Waits()
        self._late = np.empty(0, RECORD)  # requests that ended after the last moment of collection
        self._epoch_ns = self._last_ns = 0
        #: The requests that completed in the last interval that was collected, : dtype RECORD. Of who writes
        #: around the page cache, ``amount`` sums to the bytes written exactly.
        self.completed = np.empty(0, RECORD)

    def load(self) -> None:
        """Open and verify the programs; ``KernelError`` where this kernel cannot have them."""
        self._stalls.load(self._environ)

    def attach(self) -> None:
        """Begin a new epoch. ``KernelError``."""
        self._stalls.attach()
        self._waits, self._late = Waits(), np.empty(0, RECORD)
        self._epoch_ns = self._last_ns = self._stalls.attached_ns

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
        in_flight = self._stalls.read_open("in_flight", np.dtype("<u8"))
        seen = self._stalls.look(now_ns)
        begin_ns, self._last_ns = self._last_ns, now_ns
        parts = self._waits.take(seen, now_ns)
        waited_ns = int((parts["end_ns"] - parts["begin_ns"]).sum())
        served = self._serve(seen, in_flight, begin_ns, now_ns)
        devices, source = _choose_device(served, parts)
        lost_ns = seen.lost_wait_ns + drop_lost(parts, source, seen.lost_from_ns)
        owners, owner = owners_of(served)
        uses = [
            Use(served["begin_ns"][mine].astype(np.int64), served["ts_ns"][mine].astype(np.int64), owner[mine])
            for mine in (served["dev"] == dev for dev in devices)
        ]
        resource, parents = RESOURCES.index(self.resource), self._stalls.parents
        pairs = pair(parts, source, uses, owners, parents, seen.ran, resource, now_ns - begin_ns)
        return StallReading(
            resource=self.resource,
            begin_ns=begin_ns,
            end_ns=now_ns,
            pairs=pairs,
            waited_ns=waited_ns + seen.lost_wait_ns,
            attributed_ns=int(pairs["task_ns"].sum()),
            lost_ns=lost_ns,
        )

    def _serve(self, seen: Seen, in_flight: Array, begin_ns: int, now_ns: int) -> Array:
        """What the devices had to do between the two moments: requests, with both ends of theirs within."""
        told = np.concatenate((self._late, seen.records[seen.records["kind"] == SERVED]))
        is_late = told["ts_ns"] > now_ns
        self._late, ended = told[is_late], told[~is_late]
        in_flight, gone = self._tell_gone(in_flight, now_ns)
        self.completed = np.concatenate((ended[np.isin(ended["cause"], (DONE, MISSED))], gone))
        # Of requests whose issue was not seen only those count that this epoch found in flight; when a request whose
        # completion was missed was done with is not known.
        ended = ended[(ended["cause"] != UNSEEN) | (ended["begin_ns"] < self._epoch_ns)]
        ended = ended[ended["cause"] != MISSED]
        done = set(zip(ended["key"].tolist(), ended["begin_ns"].tolist(), strict=True))
        going_on = np.concatenate((in_flight, self._late))
        names = zip(going_on["key"].tolist(), going_on["begin_ns"].tolist(), strict=True)
        fresh = []
        for name in names:
            fresh.append(name not in done)
            done.add(name)
        going_on = going_on[np.array(fresh, bool)]
        going_on["ts_ns"] = now_ns
        served = np.concatenate((ended, going_on))
        served["begin_ns"] = np.maximum(served["begin_ns"], begin_ns)
        return served

    def _tell_gone(self, in_flight: Array, now_ns: int) -> tuple[Array, Array]:
        """Tell requests that are in flight from those whose completion was missed, by how many their device has.

        Only what is older than GONE_NS is doubted, the oldest first. What is found to be gone is forgotten.
        """
        old = np.flatnonzero(in_flight["begin_ns"] + GONE_NS < now_ns)
        if not len(old):
            return in_flight, in_flight[:0]
        old = old[np.argsort(in_flight["begin_ns"][old])]
        gone = [old[:0]]
        for dev in np.unique(in_flight["dev"][old]).tolist():
            of_dev = old[in_flight["dev"][old] == dev]
            gone.append(of_dev[: max(0, len(of_dev) - read_in_flight(dev, self._sys))])
        which = np.concatenate(gone)
        for at in which:
            self._stalls.forget("in_flight", in_flight["key"][at].tobytes())
        return np.delete(in_flight, which), in_flight[which]


def read_in_flight(dev: int, sys: Path = Path("/sys")) -> int:
    """How many requests a disk has, of either direction; flushes are not among them. 0 for a disk that has gone."""
    try:
        text = (sys / f"dev/block/{dev >> 20}:{dev & 0xFFFFF}/inflight").read_text()
    except OSError:
        return 0
    return sum(map(int, text.split()))


def _choose_device(served: Array, parts: Array) -> tuple[NDArray[np.uint32], Ints]:
    """The devices that served anything, and for each part of a wait which of them it waited for."""
    devices = np.unique(served["dev"])
    if not len(devices):
        return devices, np.full(len(parts), NOBODY, np.int64)
    place = np.minimum(np.searchsorted(devices, parts["dev"]), len(devices) - 1)
    return devices, np.where(devices[place] == parts["dev"], place, NOBODY)
