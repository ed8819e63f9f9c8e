"""Tags: what is remarkable about a process, as bits.

Owns the thresholds and their hysteresis. Refuses history beyond the bits a row already has. Invariant: ``compute``
is a function of each row alone, so that computing a few rows gives what computing all would.

A tag with two thresholds is gained at or above the first and lost below the second. A process that has exited keeps
those it died with: its exit frame then still says that it was a hog. ``docs/detectors.md`` has the same table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.model import Rows, Tag

#: The window of the columns ``forks`` and ``short_children``, as the process table counts them.
WINDOW_S = 10.0
#: A process that lived less than this was short-lived.
SHORT_NS = 1_000_000_000

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Level:
    """Gained at or above ``on``, lost below ``off``; both in ``unit``."""

    on: float
    off: float
    unit: str


#: Tags with hysteresis. ``mem_growth`` is over the trend window of the table, at most a minute.
LEVELS: dict[Tag, Level] = {
    Tag.HIGH_CPU: Level(80, 50, "percent of a core"),
    Tag.HIGH_MEM: Level(10, 8, "percent of the host's memory"),
    Tag.MEM_GROWTH: Level(64, 16, "MiB grown in the last minute"),
    Tag.FORK_STORM: Level(50, 25, "forks a second over 10 s"),
    Tag.SHORT_JOB_FLOOD: Level(20, 10, "children a second that lived less than a second, over 10 s"),
}

_USAGE = int(sum(LEVELS))
#: The column that each is about, and what of it makes up one unit of its level.
_COLUMNS = (
    (Tag.HIGH_CPU, "cpu_pct", 1.0),
    (Tag.HIGH_MEM, "mem_pct", 1.0),
    (Tag.MEM_GROWTH, "rss_growth_bytes", _MIB),
    (Tag.FORK_STORM, "forks", WINDOW_S),
    (Tag.SHORT_JOB_FLOOD, "short_children", WINDOW_S),
)


def compute(rows: Rows, now_ns: int, cores: int) -> NDArray[np.uint32]:
    """Tag bits of each row, dtype ROW. The row's own ``tags`` are those it had before.

    ``now_ns`` and ``cores`` are part of the interface and do not matter to any tag yet: a core is a core.
    """
    before, alive = rows["tags"], rows["alive"]
    tags = np.where(alive, np.uint32(0), before & np.uint32(_USAGE))
    for tag, column, scale in _COLUMNS:
        level, values = LEVELS[tag], rows[column]
        # On most hosts nobody comes near, and then the lower threshold is all that has to be looked at.
        if len(near := np.flatnonzero(alive & (values >= level.off * scale))):
            had = (before[near] & np.uint32(tag)) != 0
            tags[near[had | (values[near] >= level.on * scale)]] |= np.uint32(tag)

    state = rows["state"].view(np.uint8)
    tags[state == ord("Z")] |= np.uint32(Tag.ZOMBIE)
    tags[alive & (state == ord("D"))] |= np.uint32(Tag.BLOCKED)
    tags[rows["kthread"]] |= np.uint32(Tag.KERNEL_THREAD)
    tags[rows["own"]] |= np.uint32(Tag.OWN)
    if len(ended := np.flatnonzero(rows["exit_ns"])):
        tags[ended] |= _ending(rows, ended)
    return tags


def _ending(rows: Rows, ended: NDArray[np.intp]) -> NDArray[np.uint32]:
    """What the way in which these came to their end says of them."""
    code, signal = rows["exit_code"][ended], rows["exit_signal"][ended]
    lived_ns = rows["exit_ns"][ended].astype(np.int64) - rows["first_ns"][ended].astype(np.int64)
    bits = np.where(lived_ns < SHORT_NS, np.uint32(Tag.SHORT_LIVED), np.uint32(0))
    bits[(code != 0) | (signal != 0)] |= np.uint32(Tag.FAILED_EXIT)
    bits[signal != 0] |= np.uint32(Tag.KILLED)
    return bits
