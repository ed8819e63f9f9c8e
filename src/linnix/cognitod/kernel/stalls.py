"""The records of ``bpf/stall.h``, and the life of an object that writes them: load once, attach and detach often.

Owns epochs: what an epoch sees begins with its attach. Refuses to charge anybody: that is ``blame_io`` and
``blame_memory``. Invariant: no record, no map entry and no open wait of an earlier epoch is seen in a later one.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel import preflight
from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.ring import MappedRing

#: ``struct linnix_stall``.
RECORD = np.dtype(
    [
        ("ts_ns", "<u8"),
        ("begin_ns", "<u8"),
        ("start_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("key", "<u8"),
        ("pid", "<u4"),
        ("tid", "<u4"),
        ("dev", "<u4"),
        ("amount", "<u4"),
        ("cpu", "<u4"),
        ("kind", "u1"),
        ("cause", "u1"),
        ("inferred", "u1"),
        ("op", "u1"),
    ]
)
#: ``enum linnix_stall_kind``.
WAIT, SERVED, ALLOC, CGROUP = range(4)
KINDS = 4
#: ``enum linnix_stall_cause``.
IO, RECLAIM, OWN_LIMIT, COMPACTION, REFAULT = range(5)

#: ``enum linnix_stall_end``.
DONE, REFUSED, UNSEEN, MISSED = range(4)

#: ``struct linnix_stall_books``.
BOOKS = np.dtype(
    [
        ("lost", "<u8", (KINDS,)),
        ("lost_wait_ns", "<u8"),
        ("lost_from_ns", "<u8"),
        ("unseen_waits", "<u8"),
        ("host_reclaims", "<u8"),
    ]
)


#: ``struct linnix_ran``.
RAN = np.dtype([("ns", "<u8"), ("until_ns", "<u8")])
#: ``struct linnix_running``.
RUNNING = np.dtype([("cgroup_id", "<u8"), ("since_ns", "<u8"), ("ran_ns", "<u8")])


@dataclass(frozen=True, slots=True)
class Seen:
    """What a ring held, what has not ended, and what was lost since the last look."""

    records: Array  # dtype RECORD, in ring order, all kinds but CGROUP
    open: Array  # dtype RECORD, ts_ns is 0
    lost_from_ns: int | None  # what was told is complete up to here; None: to the end
    lost_wait_ns: int
    host_reclaims: int
    ran: dict[int, NDArray[np.int64]]  # by leaf cgroup: how long its tasks ran or wanted to on each CPU


class Stalls:
    """One such object. On the ingest thread, except ``state``."""

    def __init__(
        self,
        probe: ProbeState,
        file: str,
        ring_bytes: int,
        maps: Mapping[str, tuple[int, int]],
        optional: Mapping[str, str],
    ) -> None:
        """``maps``: hashes to empty for a new epoch, with bytes of key and value.

        ``optional``: programs that not every kernel has a tracepoint for, and its name.
        """
        self.state = replace(probe, state="idle", reason="not loaded yet")
        self._file, self._ring_bytes, self._optional = file, ring_bytes, optional
        self._maps = {"open_waits": (4, RECORD.itemsize), "told_cgroups": (8, 8), **maps}
        self._object: Object | None = None
        self._ring: MappedRing | None = None
        self._books = np.zeros((), BOOKS)
        self._refreshed_ns = self.attached_ns = 0
        self._looked_ns = 0
        self._ahead: dict[tuple[int, int], int] = {}  # by CPU and cgroup: run time told before it was handed in
        self.parents: dict[int, int] = {}

    def load(self, environ: Mapping[str, str] = os.environ) -> None:
        """Open and verify; ``KernelError``. Loaded already: nothing."""
        if self._object is not None:
            return
        try:
            failed = [check for check in preflight.checks(environ) if not check.ok]
            if failed:
                raise KernelError(*(str(check) for check in failed))
            with suppress(ValueError, OSError):  # needed before 5.11, see sight.open_sight
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            here = preflight.traced(self._optional.values())
            missing = [name for name, point in self._optional.items() if point not in here]
            self._object = self._open(environ, missing)
        except KernelError as error:
            self.state = replace(self.state, state="failed", reason="; ".join(error.reasons))
            raise
        programs = tuple(name for name in self.state.programs if name not in missing)
        self.state = replace(self.state, state="idle", reason="loaded, not attached", programs=programs)

    def _open(self, environ: Mapping[str, str], missing: Collection[str]) -> Object:
        found = Object(Library(), preflight.object_dir(environ) / self._file)
        try:
            for program in missing:
                found.set_autoload(program, False)
            found.load()
        except KernelError:
            found.close()
            raise
        return found

    @property
    def attached(self) -> bool:
        """Whether an epoch is going on."""
        return self._ring is not None

    def attach(self) -> None:
        """Begin an epoch; ``KernelError``, and then nothing is attached."""
        if self._object is None:
            raise KernelError(f"{self.state.name} is not loaded: {self.state.reason}")
        if self._ring is not None:
            raise ValueError(f"{self.state.name} is attached already")
        began_ns = time.monotonic_ns()
        for name, sizes in self._maps.items():
            key, value = (np.dtype((np.void, size)) for size in sizes)
            self._object.read_hash(self._object.map_fd(name), key, value, take=True)
        ring = MappedRing(self._object.map_fd("stalls"), self._ring_bytes, RECORD)
        ring.drain()
        running = self._object.map_fd("running")
        idle = np.zeros(len(self._read_per_cpu("running", RUNNING)), RUNNING)
        self._object.update(running, b"\0" * 4, idle.tobytes())
        self._books = self._sum_books()
        self._ahead, self.parents = {}, {}
        self._looked_ns = began_ns
        try:
            for program in self.state.programs:
                self._object.attach(program)
        except KernelError as error:
            self._object.detach()
            ring.close()
            self.state = replace(self.state, state="failed", reason="; ".join(error.reasons))
            raise
        self._ring, self.attached_ns = ring, time.monotonic_ns()
        self._refreshed_ns = self.attached_ns
        self.state = replace(
            self.state,
            state="on",
            reason="",
            attach_ms=(self.attached_ns - began_ns) / 1e6,
            attachments=self.state.attachments + 1,
        )

    def _read_per_cpu(self, name: str, dtype: np.dtype[np.void]) -> Array:
        assert self._object is not None
        return np.frombuffer(self._object.read_per_cpu(self._object.map_fd(name), 0, dtype.itemsize), dtype)

    def _sum_books(self) -> Array:
        cpus = self._read_per_cpu("books", BOOKS)
        books = np.zeros((), BOOKS)
        for name in BOOKS.names or ():
            books[name] = cpus[name].sum(axis=0)
        full = cpus["lost_from_ns"][cpus["lost_from_ns"] > 0]
        books["lost_from_ns"] = full.min() if len(full) else 0
        return books

    def look(self, now_ns: int) -> Seen:
        """Take everything out of the ring; waits that began after ``now_ns`` are left for the next look."""
        if self._object is None or self._ring is None:
            raise ValueError(f"{self.state.name} is not attached")
        waits = self.read_open("open_waits", np.dtype("<u4"))
        last, self._books = self._books, self._sum_books()  # before the ring has room again
        books = self._books
        records = self._ring.drain()
        groups = records["kind"] == CGROUP
        told = records[groups]
        self.parents.update(zip(told["cgroup_id"].tolist(), told["key"].tolist(), strict=True))
        seen = Seen(
            records[~groups],
            waits[waits["begin_ns"] < now_ns],
            self._find_lost(last),
            int(books["lost_wait_ns"] - last["lost_wait_ns"]),
            int(books["host_reclaims"] - last["host_reclaims"]),
            self._take_ran(now_ns),
        )
        self._looked_ns = now_ns
        self._refresh()
        return seen

    def _find_lost(self, last: Array) -> int | None:
        """Since when records were lost, if any were; no earlier than the last look, which told of what was before."""
        if (self._books["lost"] == last["lost"]).all():
            return None
        return max(int(self._books["lost_from_ns"]), self._looked_ns)

    def read_open(self, name: str, key: np.dtype[Any]) -> Array:
        """The records in a hash of what has not ended.

        To be called before ``look``: what ends in between is then in the ring, and told twice rather than never.
        """
        if self._object is None:
            raise ValueError(f"{self.state.name} is not loaded")
        records = self._object.read_hash(self._object.map_fd(name), key, RECORD)[1]
        going_on: Array = records[records["ts_ns"] == 0]
        return going_on

    def forget(self, name: str, key: bytes) -> None:
        """Take one element out of a hash, if it is there."""
        assert self._object is not None
        self._object.delete(self._object.map_fd(name), key)

    def _take_ran(self, now_ns: int) -> dict[int, NDArray[np.int64]]:
        """How long tasks of each cgroup ran or wanted to, by CPU, since the last call; those that run now included."""
        assert self._object is not None
        running = self._read_per_cpu("running", RUNNING)
        per_cpu: np.dtype[np.void] = np.dtype((RAN, (len(running),)))
        cgroups, told = self._object.read_hash(self._object.map_fd("ran"), np.dtype("<u8"), per_cpu, take=True)
        ran = {int(cgroup): row["ns"].astype(np.int64) for cgroup, row in zip(cgroups, told, strict=True)}
        ahead = {}
        for cpu, (cgroup, since_ns, ran_ns) in enumerate(running.tolist()):
            ahead[cpu, cgroup] = ran_ns + (max(0, now_ns - since_ns) if since_ns else 0)
        # what was not handed in yet counts now, and not again when it is
        for (cpu, cgroup), amount in ahead.items():
            ran.setdefault(cgroup, np.zeros(len(running), np.int64))[cpu] += amount
        for (cpu, cgroup), amount in self._ahead.items():
            ran.setdefault(cgroup, np.zeros(len(running), np.int64))[cpu] -= amount
        self._ahead = ahead
        return ran

    def take_hash(self, name: str) -> Array:
        """Empty a hash whose values are records."""
        if self._object is None:
            raise ValueError(f"{self.state.name} is not loaded")
        return self._object.read_hash(self._object.map_fd(name), np.dtype("<u4"), RECORD, take=True)[1]

    def _refresh(self) -> None:
        assert self._object is not None
        runs, run_ns = self._object.run_stats(self.state.programs)
        now_ns = time.monotonic_ns()
        attached_s = self.state.attached_s + (now_ns - self._refreshed_ns) / 1e9
        self._refreshed_ns = now_ns
        self.state = replace(self.state, runs=runs, run_ns=run_ns, attached_s=attached_s)

    def detach(self) -> None:
        """End the epoch and give its memory back. Not attached: nothing."""
        if self._object is None or self._ring is None:
            return
        self._refresh()
        self._object.detach()
        self._ring.close()
        self._ring = None
        self.state = replace(self.state, state="idle", reason="loaded, not attached")

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self.detach()
        if self._object is not None:
            self._object.close()
            self._object = None
            self.state = replace(self.state, state="idle", reason="closed")
