"""Runs a command under a sight and hands back everything that was seen meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from linnix.cognitod.events import Array, Batch, Counters, Sight

#: Longer than any exit takes from its tracepoint to its parent's wait, and the other way round.
SETTLE_S = 0.3
_LIMIT_S = 90


@dataclass(frozen=True)
class Seen:
    """A command that has ended: its pid, its status as ``Popen.returncode``, what it printed, and all events."""

    pid: int
    status: int
    printed: str
    events: Array
    texts: Array

    def of(self, pid: int) -> Array:
        """Events of one process."""
        return self.events[self.events["pid"] == pid]

    def children(self, ppid: int) -> Array:
        """Events of the children of one process."""
        return self.events[self.events["ppid"] == ppid]


def watch(sight: Sight, command: list[str], environ: Mapping[str, str] | None = None) -> Seen:
    """Run ``command`` to its end, draining all the while."""
    sight.drain()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    batches: list[Batch] = []
    deadline = time.monotonic() + _LIMIT_S
    while process.poll() is None:
        assert time.monotonic() < deadline, f"{command} does not end"
        sight.wait(0.05)
        batches.append(sight.drain())
    assert process.stdout is not None
    printed = process.stdout.read()
    process.stdout.close()
    time.sleep(SETTLE_S)
    batches += [sight.drain(), sight.drain()]
    events = np.concatenate([batch.events for batch in batches])
    texts = np.concatenate([batch.texts for batch in batches])
    return Seen(process.pid, process.returncode, printed, events, texts)


def steady(read: Callable[[], Counters], between: Callable[[], object]) -> Counters:
    """Counters that did not change while ``between`` ran: other processes of the host come and go meanwhile."""
    for _ in range(1000):
        before = read()
        between()
        if read() == before:
            return before
        time.sleep(0.01)
    raise AssertionError("this host is never quiet for a moment")
