"""What measures waiting, what is asked of it, and what is made of its answer on the ingest thread.

Owns the protocols between blame and the kernel's side, and ``BlameReading``, the only thing that crosses from the
ingest thread to the event loop. Refuses BPF and files: ``kernel`` has the meters, ``host`` the pressure, and the daemon
joins them. Invariant: stall and pressure of one reading are of the same interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import ProbeState
from linnix.cognitod.model import StallReading


class Meter(Protocol):
    """Measures who waits for whom while it is attached. All methods but ``state`` run on the ingest thread."""

    name: str
    resource: str  # of model.RESOURCES

    def load(self) -> None:
        """Open and verify the programs; ``KernelError`` where this kernel cannot have them."""
        ...

    def attach(self) -> None:
        """Begin a new epoch: nothing that was seen in an earlier one leaks into it. ``KernelError``."""
        ...

    def detach(self) -> None:
        """End the epoch. Costs nothing from here on."""
        ...

    def collect(self, now_ns: int) -> StallReading | None:
        """Everything since the last collect of this epoch, or since ``attach``; None when not attached."""
        ...

    def state(self) -> ProbeState:
        """Its line in the table of probes. From any thread."""
        ...

    def close(self) -> None:
        """Detach and free. Idempotent."""
        ...


class Watch(Protocol):
    """Says how much the host waits for one resource, at a cost that an idle host does not notice."""

    def look(self, now_ns: int) -> float:
        """Percent of the time since the last look in which something waited; 100 if a trigger fired meanwhile."""
        ...

    def close(self) -> None:
        """Free. Idempotent."""
        ...


class Waited(Protocol):
    """How much the kernel says was waited since the last reading (PSI some), in microseconds."""

    @property
    def host_us(self) -> int:
        """By the host as a whole."""
        ...

    @property
    def groups(self) -> NDArray[np.uint64]:
        """Ids of the control groups that waited."""
        ...

    @property
    def groups_us(self) -> NDArray[np.uint64]:
        """And how much."""
        ...

    @property
    def complete(self) -> bool:
        """A group that is not among ``groups`` did not wait; else it may just not have been read."""
        ...


class Totals(Protocol):
    """Reads how much the host and its control groups have waited for one resource."""

    def begin(self) -> None:
        """Count from now."""
        ...

    def since(self, expected: NDArray[np.uint64]) -> Waited:
        """What was waited since ``begin`` or the last call. ``expected``: groups that a meter saw waiting."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BlameReading:
    """One interval in which a meter was attached; times are CLOCK_MONOTONIC.

    The first of an epoch has no ``stall``: it tells that from ``begin_ns`` on everything is seen.
    """

    resource: str
    epoch: int
    begin_ns: int
    end_ns: int
    wall_offset_ns: int  # unix time less CLOCK_MONOTONIC, at the end
    stall: StallReading | None = None
    waited: Waited | None = None
    last: bool = False  # of its epoch
