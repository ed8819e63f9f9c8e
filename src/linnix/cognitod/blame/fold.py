"""Makes few rows of many without losing an amount.

Owns which rows of a reading stay themselves and how the rest is carried over. Refuses names and time. Invariant: per
level and kind, task and stall time of what comes out are those of what went in, to the nanosecond. What is carried
over loses detail in steps: first which process the offender was, then the victim (or, at cgroup level, the offender's
group), and only when that is not enough both groups. So an offender of thousands of short-lived processes is still
named as a group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod import records
from linnix.cognitod.handles import mixed
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL, Rows

#: ``pid`` of a party that stands for several. 0 is taken: nobody.
OTHERS = 0xFFFF_FFFF

_KEY = (
    "level",
    "kind",
    "victim_pid",
    "victim_start_ns",
    "victim_cgroup",
    "offender_pid",
    "offender_start_ns",
    "offender_cgroup",
)


def merge(rows: Rows) -> Rows:
    """One row for each victim, offender, level and kind; amounts summed. In no particular order.

    Keys that share a number by chance are told apart all the same, at worst in more than one row.
    """
    if len(rows) < 2:
        return rows
    rows = rows.take(np.argsort(mixed(*(rows[name] for name in _KEY)), kind="stable"))
    new = np.zeros(len(rows), bool)
    new[0] = True
    for name in _KEY:
        new[1:] |= rows[name][1:] != rows[name][:-1]
    first = np.flatnonzero(new)
    merged: Rows = rows.take(first)
    for name in ("task_ns", "stall_ns"):
        merged[name] = np.add.reduceat(rows[name], first)
    return merged


def fold(rows: Rows, room: int) -> Rows:
    """``rows`` (dtype STALL) merged, at most about ``2 * room`` of each level, the most painful as they are."""
    rows = merge(rows)
    parts = [_fold_level(rows.compress(rows["level"] == level), room) for level in (PROCESS_LEVEL, CGROUP_LEVEL)]
    return records.join(parts)


def _fold_level(rows: Rows, room: int) -> Rows:
    kept: list[Rows] = []
    for blur in (_blur_offender, _blur_further, _blur_all):
        if len(rows) <= room:
            break
        pain = np.maximum(rows["stall_ns"], rows["task_ns"])
        order = np.argsort(pain, kind="stable")[::-1]
        kept.append(rows.take(order[:room]))
        rest = rows.take(order[room:])
        blur(rest)
        rows, room = merge(rest), max(room // 2, 1)
    return merge(records.join([*kept, rows]))


def _blur_offender(rows: Rows) -> None:
    rows["offender_pid"] = OTHERS
    rows["offender_start_ns"] = 0


def _blur_further(rows: Rows) -> None:
    at_process_level = rows["level"] == PROCESS_LEVEL
    rows["victim_pid"][at_process_level] = OTHERS
    rows["victim_start_ns"][at_process_level] = 0
    rows["offender_cgroup"][~at_process_level] = 0


def _blur_all(rows: Rows) -> None:
    rows["victim_pid"] = OTHERS
    for name in ("victim_start_ns", "victim_cgroup", "offender_cgroup"):
        rows[name] = 0


def parties(rows: Rows) -> tuple[Rows, NDArray[np.uint16], NDArray[np.uint16]]:
    """Everybody in ``rows`` once (dtype PARTY, names empty), and where the victim and offender of each row are."""
    both = np.zeros(2 * len(rows), PARTY)
    for at, role in enumerate(("victim", "offender")):
        half = both[at * len(rows) : (at + 1) * len(rows)]
        for name in ("pid", "start_ns", "cgroup"):
            half[name] = rows[f"{role}_{name}"]
    if not len(both):
        return both, np.zeros(0, np.uint16), np.zeros(0, np.uint16)
    order = np.lexsort([both[name] for name in ("cgroup", "start_ns", "pid")])
    ordered = both[order]
    new = np.ones(len(both), bool)
    new[1:] = ordered[["pid", "start_ns", "cgroup"]][1:] != ordered[["pid", "start_ns", "cgroup"]][:-1]
    places = np.empty(len(both), np.uint16)
    places[order] = np.cumsum(new) - 1
    return ordered[new], places[: len(rows)], places[len(rows) :]


#: Somebody who waited or made wait. At cgroup level the victim has no pid. ``home`` is a number of ``names.Names``.
PARTY = np.dtype([("start_ns", "<u8"), ("cgroup", "<u8"), ("pid", "<u4"), ("home", "<u4"), ("comm", "S16")])

NO_ROWS = np.zeros(0, STALL)
