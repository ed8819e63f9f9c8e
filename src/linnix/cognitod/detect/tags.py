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


def compute(rows: Rows, now_ns: int, cores: int) -> NDArray[np.uint32]:
    """Tag bits of each row, dtype ROW. The row's own ``tags`` are those it had before.

    ``now_ns`` and ``cores`` are part of the interface and do not matter to any tag yet: a core is a core.
    """
    values: dict[Tag, NDArray[np.float64]] = {
        Tag.HIGH_CPU: rows["cpu_pct"].astype(np.float64),
        Tag.HIGH_MEM: rows["mem_pct"].astype(np.float64),
        Tag.MEM_GROWTH: rows["rss_growth_bytes"] / _MIB,
        Tag.FORK_STORM: rows["forks"] / WINDOW_S,
        Tag.SHORT_JOB_FLOOD: rows["short_children"] / WINDOW_S,
    }
    before, alive = rows["tags"], rows["alive"]
    usage = np.zeros(len(rows), np.uint32)
    for tag, level in LEVELS.items():
        limit = np.where(before & np.uint32(tag), level.off, level.on)
        usage[values[tag] >= limit] |= np.uint32(tag)
    tags = np.where(alive, usage, before & np.uint32(_USAGE))

    exited = rows["exit_ns"] > 0
    lived_ns = rows["exit_ns"].astype(np.int64) - rows["first_ns"].astype(np.int64)
    state = rows["state"]
    facts: dict[Tag, NDArray[np.bool_]] = {
        Tag.SHORT_LIVED: exited & (lived_ns < SHORT_NS),
        Tag.FAILED_EXIT: exited & ((rows["exit_code"] != 0) | (rows["exit_signal"] != 0)),
        Tag.KILLED: exited & (rows["exit_signal"] != 0),
        Tag.ZOMBIE: state == b"Z",
        Tag.BLOCKED: alive & (state == b"D"),
        Tag.KERNEL_THREAD: rows["kthread"],
        Tag.OWN: rows["own"],
    }
    for tag, holds in facts.items():
        tags[holds] |= np.uint32(tag)
    return tags
