"""What a detector sees at one step, and what it may answer.

Owns the two value types between the engine and its detectors, and the timer they share. Refuses policy: cooldown,
staying open and wire names are the engine's. Invariant: a view is read, never changed, by detectors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.detect.past import NS, Past
from linnix.cognitod.detect.recent import Recent
from linnix.cognitod.events import Array
from linnix.cognitod.model import Activity, Rows, Snapshot
from linnix.insight.classes import SEVERITIES
from linnix.insight.facts import Facts, Process

__all__ = ["MIB", "NS", "Detector", "Held", "Hit", "View", "Who"]

MIB = 1024 * 1024

T = TypeVar("T")


@dataclass
class View:
    """One step: the events since the last one, the processes and the host as they are."""

    events: Array
    texts: Array
    rows: Rows
    snapshot: Snapshot
    activity: Activity
    now_ns: int
    recent: Recent
    known: Facts | None = None  # what is known of the moment of the snapshot, without findings; only with a new sample
    past: Past = field(default_factory=Past)  # what was known before, and that
    lineage: Lineage | None = None  # of the living, where somebody has made it already
    _once: dict[Hashable, Any] = field(default_factory=dict, init=False)

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What is found for this key: several rules ask the same of a step, and it takes long."""
        if key not in self._once:
            self._once[key] = find()
        found: T = self._once[key]
        return found

    @cached_property
    def living(self) -> Rows:
        """Processes that run now."""
        living: Rows = self.rows.compress(self.rows["alive"])
        return living

    @cached_property
    def tree(self) -> Lineage:
        """Lineage of the living."""
        return self.lineage or Lineage(self.living)

    @cached_property
    def forkers(self) -> Lineage:
        """Lineage of the living and of the dead who forked lately: what a fork tree hangs together by. Childless dead
        are left out, because after a storm there are tens of thousands of them.
        """
        return Lineage(self.rows.compress(self.rows["alive"] | (self.rows["forks"] > 0)))


@dataclass(frozen=True, slots=True)
class Who:
    """A process by its identity, the name it had and the user it ran as."""

    pid: int
    start_ns: int
    comm: bytes
    uid: int

    @classmethod
    def of(cls, row: np.void) -> Who:
        """The process of a row, dtype ROW."""
        return cls(int(row["pid"]), int(row["start_ns"]), bytes(row["comm"]), int(row["uid"]))

    @classmethod
    def named(cls, process: Process) -> Who:
        """A process of the facts."""
        return cls(process.pid, process.start_ns, process.comm.encode(), process.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A condition that holds now. ``culprit`` None: the host as a whole. ``since_ns`` None: since this step.

    ``message`` is for people and never holds a name: a process chooses its own, and messages end up in prompts.
    """

    cls: str
    message: str
    culprit: Who | None = None
    instead_of: tuple[int, int] | None = None  # whom this was said of before, by mistake: what is open of that one ends
    since_ns: int | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    at_most: str = SEVERITIES[-1]  # it is not graver than this, whatever its rule says: honest work may look like it

    @property
    def uid(self) -> int | None:
        """The user that the culprit runs as."""
        return None if self.culprit is None else self.culprit.uid


class Detector(Protocol):
    """A rule at work. ``sampled``: it looks at usage, so a step without a new sample tells it nothing."""

    sampled: bool

    def observe(self, view: View) -> list[Hit]:
        """Every condition of this rule that holds now."""
        ...


K = TypeVar("K", bound=Hashable)


class Held(Generic[K]):
    """For how long each key has been above a threshold without a break."""

    def __init__(self, duration_s: float) -> None:
        self._duration_ns = round(duration_s * NS)
        self._since: dict[K, int] = {}

    def update(self, above: Iterable[K], now_ns: int) -> dict[K, int]:
        """Tell which keys are above now. Returns those that have been for the whole duration, and since when."""
        since = self._since
        self._since = {key: since.get(key, now_ns) for key in above}
        return {key: start for key, start in self._since.items() if now_ns - start >= self._duration_ns}
