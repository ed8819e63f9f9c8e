"""All that is known of the processes at one moment, side by side.

Owns how the process table's rows, its accounts, the process tree and what instruments tell are held together. Refuses
to choose and to describe. Invariant: rows, usage and family are of equal length, one entry a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.family import Family, family, of_living
from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.model import Rows
from linnix.cognitod.senses import NOTHING, Identity, Senses

#: What a process may have more and more of.
COUNTS = np.dtype([("open_files", "<i8"), ("threads", "<i8"), ("descendants", "<i8"), ("zombies", "<i8")])


@dataclass(frozen=True)
class Moment:
    """``rows``: dtype ROW, living and exited. ``usage``: dtype USAGE of the same processes, None: not known. ``grown``:
    dtype COUNTS, likewise: by how much they grew lately.
    """

    rows: Rows
    usage: Rows | None
    family: Family
    senses: Senses
    tree: Lineage  # of the living
    grown: Rows | None = None

    @classmethod
    def of(cls, rows: Rows, usage: Rows | None = None, senses: Senses = NOTHING) -> Moment:
        """With the tree that these rows make."""
        tree, living = of_living(rows)
        return cls(rows, usage, family(rows, tree, living), senses, tree)

    def at(self, identity: Identity | None) -> int:
        """Where this process is among the rows, -1 where it is not."""
        if identity is None:
            return -1
        found: list[int] = np.flatnonzero(self._pids == identity[0]).tolist()
        return next((place for place in found if self.rows["start_ns"][place] == identity[1]), -1)

    def lives(self, identity: Identity | None) -> bool:
        """Whether it is there and has not exited."""
        place = self.at(identity)
        return place >= 0 and bool(self.rows["alive"][place])

    @cached_property
    def users(self) -> NDArray[np.bool_]:
        """Which of them live and are no threads of the kernel."""
        users: NDArray[np.bool_] = self.rows["alive"] & ~self.rows["kthread"]
        return users

    @cached_property
    def _pids(self) -> NDArray[np.uint32]:
        return np.ascontiguousarray(self.rows["pid"])
