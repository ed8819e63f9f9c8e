"""Files that the daemon appends to: alerts, and whatever ``--handler jsonl:`` asked for.

Owns the one rule of writing: a disk that is full or gone is said once and counted, and never stops the daemon.
Refuses rotation: each write opens the file anew, so whoever rotates it needs to tell nobody. Invariant: what is
written are whole lines.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from linnix.cognitod.api import frames, wire
from linnix.cognitod.api.alerts import as_entry
from linnix.cognitod.hub import Filter, Subscription
from linnix.cognitod.model import Alert, Frames
from linnix.cognitod.pipeline import Pipeline

log = logging.getLogger(__name__)


class LineFile:
    """Appends lines, and survives when it cannot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._broken = False
        self.failed = 0

    def append(self, lines: bytes) -> None:
        """Write whole lines at the end. A failure is logged when it begins and when it is over."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640), "wb") as file:
                file.write(lines)
        except OSError as error:
            self.failed += 1
            if not self._broken:
                log.error("cannot write %s: %s; going on without it", self._path, error.strerror or error)
            self._broken = True
            return
        if self._broken:
            log.info("%s can be written again; %d writes were lost", self._path, self.failed)
        self._broken = False


def alert_sink(file: LineFile) -> Callable[[Alert], None]:
    """What the pipeline calls for each alert, when it begins and when it is over: a line in the file, in the shape of
    ``/timeline``, and one in the log.
    """

    def tell(alert: Alert) -> None:
        finding = alert.finding
        if alert.state == "firing":
            log.warning("%s %s (%s): %s", alert.id, finding.rule, finding.severity, finding.message)
        else:
            log.info("%s %s is over", alert.id, finding.rule)
        file.append(wire.encode(as_entry(alert)) + b"\n")

    return tell


def subscribe_all(pipeline: Pipeline) -> Subscription:
    """Every event and alert, for a file."""
    return pipeline.hub.subscribe(Filter(tag_changes=False, alerts=True))


async def write_events(pipeline: Pipeline, subscription: Subscription, file: LineFile) -> None:
    """Append every event in the shape of ``/stream``, and every alert in that of ``/timeline``, until it is closed."""
    async for item in subscription:
        if isinstance(item, Alert):
            file.append(wire.encode(as_entry(item)) + b"\n")
        elif isinstance(item, Frames):
            memory = pipeline.snapshot.mem_total_bytes if pipeline.snapshot else 0
            file.append(b"".join(frames.event_lines(item, pipeline.place, memory)))
        if lost := subscription.take_lost():
            file.append(b'{"lost":%d}\n' % lost)
