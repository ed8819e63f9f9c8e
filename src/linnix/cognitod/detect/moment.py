"""All that is known of the processes at one moment, side by side.

Owns how the process table's rows, its accounts, the process tree and what instruments tell are held together. Refuses
to choose and to describe. Invariant: rows, usage and family are of equal length, one entry a process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linnix.cognitod.detect.family import Family, family
from linnix.cognitod.model import Rows
from linnix.cognitod.senses import NOTHING, Identity, Senses


@dataclass(frozen=True, slots=True)
class Moment:
    """``rows``: dtype ROW, living and exited. ``usage``: dtype USAGE of the same processes, None: not known."""

    rows: Rows
    usage: Rows | None
    family: Family
    senses: Senses

    @classmethod
    def of(cls, rows: Rows, usage: Rows | None = None, senses: Senses = NOTHING) -> Moment:
        """With the tree that these rows make."""
        return cls(rows, usage, family(rows), senses)

    def at(self, identity: Identity | None) -> int:
        """Where this process is among the rows, -1 where it is not."""
        if identity is None:
            return -1
        found = np.flatnonzero((self.rows["pid"] == identity[0]) & (self.rows["start_ns"] == identity[1]))
        return int(found[0]) if len(found) else -1

    def lives(self, identity: Identity | None) -> bool:
        """Whether it is there and has not exited."""
        place = self.at(identity)
        return place >= 0 and bool(self.rows["alive"][place])
