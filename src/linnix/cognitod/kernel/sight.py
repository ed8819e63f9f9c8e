"""The daemon's eyes where eBPF works: lifecycle events from the rings, processes from the task iterator.

Owns the BPF objects, the rings and the order in which they are made and freed. Refuses to interpret what it sees.
Invariant: what the kernel attempted equals what ``drain`` returned, plus what ``counters`` reports lost, plus what
still waits in the ring.
"""

from __future__ import annotations

import os
import resource
import select
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from linnix.cognitod.events import (
    ACCOUNT,
    ANYWHERE,
    BOOK_KINDS,
    BOOKS,
    CLOCKS,
    EVENT,
    EVERYBODY,
    EXEC_TEXT,
    FLOOD,
    FLOOD_KEY,
    Array,
    Batch,
    Clocks,
    Counters,
    Flood,
    ProbeState,
)
from linnix.cognitod.kernel import cputime, preflight
from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.probes import LIFECYCLE, TASKS
from linnix.cognitod.kernel.ring import MappedRing
from linnix.cognitod.kernel.tasks import read_walk, sum_threads

#: ``max_entries`` of the rings in bpf/lifecycle.bpf.c and bpf/account.bpf.h.
EVENTS_BYTES = 4 << 20
TEXTS_BYTES = 1 << 20
ACCOUNTS_BYTES = 512 << 10


class RingSizes(NamedTuple):
    """In bytes, by the name of the ring."""

    events: int = EVENTS_BYTES
    texts: int = TEXTS_BYTES
    accounts: int = ACCOUNTS_BYTES


RING_SIZES = RingSizes()
#: In this order: who is born while they are attached is known to those that see it die.
_PROGRAMS = ("handle_free", "handle_exit", "handle_exec", "handle_birth", "handle_fork")


class BpfSight:
    """An ``events.Sight``. Making one attaches the programs; ``open_sight`` gives reasons when that is impossible."""

    name = "bpf"
    degraded: tuple[str, ...] = ()

    def __init__(self, environ: Mapping[str, str] = os.environ, sizes: RingSizes = RING_SIZES) -> None:
        """``sizes`` other than those of the object must be powers of two, and multiples of the page size."""
        began_s = time.monotonic()
        place = preflight.object_dir(environ)
        library = Library()
        self._lock = threading.Lock()  # wake() and counters() may be called while close() runs
        self._last = Counters()
        self._sampled: Clocks | None = None
        self._ahead = np.empty(0, EXEC_TEXT)
        with ExitStack() as stack:
            self._tasks = stack.enter_context(Object(library, place / "tasks.bpf.o"))
            self._tasks.load()
            self._walks = self._tasks.attach_iterator("write_task")
            self._clocks = self._tasks.map_fd("clocks")
            self._lifecycle = stack.enter_context(Object(library, place / "lifecycle.bpf.o"))
            for ring, size in sizes._asdict().items():
                self._lifecycle.set_max_entries(ring, size)
            self._lifecycle.load()
            self._books = self._lifecycle.map_fd("books")
            self._groups = self._lifecycle.map_fd("floods")
            self._epoll = stack.enter_context(select.epoll())
            self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            stack.callback(os.close, self._wake_fd)
            self._epoll.register(self._wake_fd, select.EPOLLIN)
            self._marks = stack.enter_context(select.epoll())
            self._marks.register(self._wake_fd, select.EPOLLIN)
            self._events = self._map_ring(stack, "events", sizes.events, EVENT)
            self._texts = self._map_ring(stack, "texts", sizes.texts, EXEC_TEXT)
            self._accounts = self._map_ring(stack, "accounts", sizes.accounts, ACCOUNT)
            for program in _PROGRAMS:  # last: nothing is produced before it can be drained
                self._lifecycle.attach(program)
            self._began_s = time.monotonic()
            self._states = _lines((self._began_s - began_s) * 1000)
            self._open: ExitStack | None = stack.pop_all()

    def _map_ring(self, stack: ExitStack, name: str, size: int, record: np.dtype[np.void]) -> MappedRing:
        fd = self._lifecycle.map_fd(name)
        ring = MappedRing(fd, size, record)
        stack.callback(ring.close)
        # What waits in the ring of events ends a wait. What goes with events, or has time, does so by the programs' own
        # wake-up mark only: hence edge-triggered.
        self._epoll.register(fd, select.EPOLLIN if record is EVENT else select.EPOLLIN | select.EPOLLET)
        if record is not EVENT:  # the large one holds tens of thousands: the others are full long before
            self._marks.register(fd, select.EPOLLIN | select.EPOLLET)
        return ring

    def wait(self, timeout_s: float) -> None:
        """Sleep until there is an event, another ring is an eighth full, ``wake`` is called, or the timeout passes."""
        for fd, _ in self._epoll.poll(timeout_s):
            if fd == self._wake_fd:
                os.eventfd_read(fd)

    def gather(self, timeout_s: float) -> None:
        """Sleep until the timeout, ``wake``, or until a small ring is an eighth full."""
        self._marks.poll(timeout_s)

    def wake(self) -> None:
        """End a ``wait`` or ``gather`` from another thread."""
        with self._lock:
            if self._open:
                os.eventfd_write(self._wake_fd, 1)

    def drain(self) -> Batch:
        """Everything committed so far. ``KernelError`` when the objects are of another build."""
        # Events first: the programs commit a text before its event, so the text of an event seen here is there by now.
        events = self._events.drain()
        texts = self._texts.drain()
        accounts = self._accounts.drain()
        if len(accounts):
            times = cputime.split(accounts["cpu_ns"], accounts["utime_ns"], accounts["stime_ns"])
            accounts["utime_ns"], accounts["stime_ns"] = times
        if not len(texts) and not len(self._ahead):
            return Batch(events, texts, accounts)
        early = np.isin(texts["seq"], events["text_seq"], invert=True)
        # a text whose event came too late for this batch goes with the next one
        batch = Batch(events, np.concatenate((self._ahead, texts[~early])), accounts)
        self._ahead = texts[early]
        return batch

    def sample(self) -> Array:
        """All processes now: dtype PROCESS, ordered by pid. ``KernelError`` when the iterator cannot be opened."""
        walk = self._tasks.open_iterator(self._walks)
        try:
            rows = sum_threads(read_walk(walk))
        finally:
            os.close(walk)
        self._sampled = self._read_clocks()
        return rows

    def _read_clocks(self) -> Clocks:
        clocks = np.frombuffer(self._tasks.read(self._clocks, 0, CLOCKS.itemsize), CLOCKS)[0]
        return Clocks(
            living_run_ns=int(clocks["living_run_ns"]),
            irq_timed=bool(clocks["irq_ns"]),
            read_bytes=int(clocks["read_bytes"]),
            write_bytes=int(clocks["write_bytes"].astype(np.int64)),
        )

    def counters(self) -> Counters:
        """The kernel's books, summed over CPUs; after ``close`` those of its last moment."""
        with self._lock:
            if self._open:
                self._last = self._read_books()
            return self._last

    def _read_books(self) -> Counters:
        cpus = np.frombuffer(self._lifecycle.read_per_cpu(self._books, 0, BOOKS.itemsize), BOOKS)
        # All of them are 64-bit numbers: one sum over CPUs, three times a second.
        whole = cpus.view("<u8").reshape(len(cpus), -1).sum(axis=0, keepdims=True).view(BOOKS)[0, 0]
        flood = dict(zip(BOOK_KINDS, whole["flood"].tolist(), strict=True))
        return Counters(
            produced=dict(zip(BOOK_KINDS, whole["produced"].tolist(), strict=True)),
            lost=dict(zip(BOOK_KINDS, whole["lost"].tolist(), strict=True)),
            lost_per_cpu=dict(zip(BOOK_KINDS, cpus["lost"].T.tolist(), strict=True)),
            threads=int(whole["threads"]),
            workers=int(whole["workers"]),
            buried_run_ns=int(whole["buried_run_ns"]),
            buried_read_bytes=int(whole["buried_read_bytes"]),
            buried_write_bytes=int(whole["buried_write_bytes"].astype(np.int64)),
            flood=flood,
            floods=self._last.floods if flood == self._last.flood else self._read_floods(),
            clocks=self._sampled,
        )

    def _read_floods(self) -> tuple[Flood, ...]:
        keys, values = self._lifecycle.read_hash(self._groups, FLOOD_KEY, FLOOD)
        groups = (keys["uid"] != EVERYBODY) & (keys["cgroup_id"] != ANYWHERE) & values["lost"].any(axis=1)
        names, at = np.unique(keys[groups][["cgroup_id", "uid"]], return_inverse=True)
        lost = np.zeros((len(names), len(BOOK_KINDS)), np.uint64)
        np.add.at(lost, at, values["lost"][groups])  # of the rings that it flooded
        return tuple(
            Flood(int(name["cgroup_id"]), int(name["uid"]), tuple(row))
            for name, row in zip(names, lost.tolist(), strict=True)
        )

    def states(self) -> tuple[ProbeState, ...]:
        """Its lines in the table of probes, with the kernel's account of them; after ``close`` the last ones."""
        with self._lock:
            if self._open:
                self._states = tuple(
                    replace(state, runs=stats.runs, run_ns=stats.run_ns, attached_s=time.monotonic() - self._began_s)
                    for state, found in zip(self._states, (self._lifecycle, self._tasks), strict=True)
                    for stats in (found.run_stats(state.programs),)
                )
            return self._states

    def close(self) -> None:
        """Detach and free. Idempotent."""
        with self._lock:
            if self._open:
                self._last = self._read_books()
                stack, self._open = self._open, None
                stack.close()


def _lines(attach_ms: float) -> tuple[ProbeState, ...]:
    """What the daemon cannot do without; ``attach_ms`` is that of both objects together."""
    lines = (
        ProbeState(name="lifecycle", what=LIFECYCLE, programs=_PROGRAMS),
        ProbeState(name="tasks", what=TASKS, programs=("write_task",)),
    )
    return tuple(replace(line, required=True, attach_ms=attach_ms, attachments=1) for line in lines)


def open_sight(environ: Mapping[str, str] = os.environ, sizes: RingSizes = RING_SIZES) -> BpfSight:
    """Attach, or raise ``KernelError`` whose ``reasons`` say all that is missing on this host."""
    failed = [check for check in preflight.checks(environ) if not check.ok]
    if failed:
        raise KernelError(*(str(check) for check in failed))
    # Needed before 5.11 and harmless after; where it is refused the load says so itself.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return BpfSight(environ, sizes)
