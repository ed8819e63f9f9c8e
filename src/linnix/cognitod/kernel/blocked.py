"""Finds the threads in uninterruptible sleep, by the task iterator.

Owns the iterator of ``bpf/blocked.bpf.c``. Refuses to judge whether they are stuck. Invariant: nothing is attached to
any event of the kernel; it costs one walk over the tasks whenever it is asked.
"""

from __future__ import annotations

import os

import numpy as np

from linnix.cognitod.events import BLOCKED, Array, ProbeState
from linnix.cognitod.kernel.libbpf import Object
from linnix.cognitod.kernel.probes import Probe
from linnix.cognitod.kernel.tasks import READ_BYTES


class BlockedWalk:
    """Finds them all, threads as well as leaders."""

    def __init__(self) -> None:
        self._probe = Probe("blocked", "blocked.bpf.o", ("write_blocked",))
        self._walks = -1

    def open(self) -> bool:
        """Load; False when that is impossible, and ``state`` says why."""
        return self._probe.open(attach=self._attach)

    def _attach(self, found: Object) -> None:
        self._walks = found.attach_iterator("write_blocked")

    def find(self) -> Array:
        """Those of now: dtype BLOCKED. ``KernelError`` or ``OSError`` when the walk fails."""
        found = self._probe.object
        if found is None:
            return np.zeros(0, BLOCKED)
        walk = found.open_iterator(self._walks)
        try:
            parts = []
            while part := os.read(walk, READ_BYTES):
                parts.append(part)
        finally:
            os.close(walk)
        return np.frombuffer(b"".join(parts), BLOCKED)

    def refresh(self) -> None:
        """Read the kernel's account of its program anew."""
        self._probe.refresh()

    @property
    def state(self) -> ProbeState:
        """Its line in the table of probes."""
        return self._probe.state

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self._probe.close()
