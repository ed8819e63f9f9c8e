"""How the daemon sees processes without eBPF: by the process connector where it may, else by ``/proc`` alone.

Owns the choice, the waiting and the books. Refuses to pretend: ``degraded`` says in words what this sight does not see.
Invariant: messages are heard before and after a scan, so that the scan never knows of a process that they do not.
"""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

from linnix.cognitod.events import Array, Batch, Counters
from linnix.cognitod.host.cgroup import Cgroups, find_mount
from linnix.cognitod.host.lives import Lives
from linnix.cognitod.host.netlink import Connector
from linnix.cognitod.host.proc import PROC
from linnix.cognitod.host.scan import Scanner

_GATHER_S = 0.05

CONNECTOR_LACKS = (
    "events come from the process connector: CPU time and peak memory at exit are unknown, and programs that end at "
    "once keep their parent's name"
)
SCAN_LACKS = (
    "events are inferred from scans of /proc: processes that live shorter than the sample interval are missed, and "
    "exit codes are unknown"
)
#: Losses are counted under this name: a message that did not arrive does not say what it was.
LOST = "connector"


class FallbackSight:
    """An ``events.Sight`` without eBPF. Without a connector, events are differences between samples."""

    def __init__(self, connector: Connector | None, degraded: tuple[str, ...], proc: Path = PROC) -> None:
        self.name = "netlink" if connector else "proc"
        self.degraded = degraded
        self._connector = connector
        self._scanner = Scanner(proc, Cgroups(find_mount(proc)))
        self._lives = Lives(self._scanner, proc)
        self._seeded = False
        self._lost = 0
        self._lock = threading.Lock()  # wake() may be called while close() runs
        self._closed = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        if connector:
            self._poll.register(connector, select.POLLIN)

    def wait(self, timeout_s: float) -> None:
        """Sleep until there are messages, ``wake`` is called, or the timeout passes."""
        for fd, _ in self._poll.poll(timeout_s * 1000):
            if fd == self._wake_fd:
                os.eventfd_read(fd)

    def gather(self, timeout_s: float) -> None:
        """Sleep for 50 ms at most: a socket holds little, and what finds no room in it is lost."""
        time.sleep(min(timeout_s, _GATHER_S))

    def wake(self) -> None:
        """End a ``wait`` from another thread."""
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake_fd, 1)

    def drain(self) -> Batch:
        """What the connector told, or what the last sample found changed."""
        self._listen()
        return self._lives.take()

    def sample(self) -> Array:
        """All processes now. Where messages were lost, or there are none, what changed becomes events."""
        self._listen()
        rows = self._scanner.scan()
        self._listen()
        lost = self._connector.lost if self._connector else 0
        if not self._seeded:
            self._lives.seed(rows)
            self._seeded = True
        elif self._connector is None or lost != self._lost:
            self._lives.compare(rows, time.monotonic_ns())
        self._lost = lost
        self._lives.settle(rows)
        return rows

    def _listen(self) -> None:
        if self._connector:
            self._lives.hear(self._connector.receive())

    def counters(self) -> Counters:
        """What was told. Only the connector knows that something was lost."""
        lost = {LOST: self._connector.lost} if self._connector else {}
        per_cpu = {cause: [count] for cause, count in lost.items()}
        return Counters(dict(self._lives.produced), lost, per_cpu, self._lives.threads)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._wake_fd)
                if self._connector:
                    self._connector.close()


def open_sight(proc: Path = PROC) -> FallbackSight:
    """The best sight without eBPF that this process may have. Always succeeds where there is a ``/proc``."""
    try:
        connector = Connector()
    except OSError as error:
        needs = "it needs the host's own namespaces and, before Linux 6.6, CAP_NET_ADMIN"
        return FallbackSight(None, (f"no process connector: {error.strerror or error} ({needs})", SCAN_LACKS), proc)
    return FallbackSight(connector, (CONNECTOR_LACKS,), proc)
