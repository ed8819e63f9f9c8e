"""From waits and uses of resources to pairs of victim and offender, for IO and memory alike.

Owns which part of a wait belongs to which interval (``Waits``) and the rows of ``model.STALL`` (``pair``). Refuses to
know what was waited for. Invariant: over an epoch every wait is handed out exactly once, in parts that meet at the
moments of collection; and the ``task_ns`` of the rows of processes sum to no more than the waiting they were made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array
from linnix.cognitod.handles import mixed
from linnix.cognitod.kernel.charge import UNKNOWN, Floats, Ints, Use, nonidle, psi_weights, sum_by, union
from linnix.cognitod.kernel.stalls import RECORD, WAIT, Seen
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL, STALL_KINDS, Rows

#: Instead of a number of a ``Use``: nobody is charged; the waiter itself is, for a limit of its own.
NOBODY, ITSELF = -1, -2

MEASURED, INFERRED, OWN_QUOTA = (STALL_KINDS.index(kind) for kind in ("measured", "inferred", "own_quota"))

#: Who used a resource.
OWNER = np.dtype([("start_ns", "<u8"), ("cgroup_id", "<u8"), ("pid", "<u4"), ("inferred", "u1"), ("_pad", "V3")])

#: A part of one wait, within one interval.
PART = np.dtype(
    [
        ("begin_ns", "<i8"),
        ("end_ns", "<i8"),
        ("active_ns", "<u8"),  # CPU time of the thread since its last wait; in a wait's first part only
        ("start_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("pid", "<u4"),
        ("dev", "<u4"),
        ("cpu", "<u4"),
        ("cause", "u1"),
        ("_pad", "V3"),
    ]
)


class Waits:
    """Cuts waits at the moments of collection. One epoch long."""

    def __init__(self) -> None:
        self._late = np.empty(0, RECORD)
        self._charged: dict[tuple[int, int], int] = {}  # open waits by (tid, begin): up to when
        self._last_ns = 0

    def take(self, seen: Seen, now_ns: int) -> Array:
        """What was waited from the last call up to ``now_ns``: dtype PART."""
        told = np.concatenate((self._late, seen.records[seen.records["kind"] == WAIT]))
        is_late = told["ts_ns"] > now_ns
        ended, self._late = told[~is_late], told[is_late]
        parts = _parts_of(ended)
        parts["end_ns"] = ended["ts_ns"]
        gone = set()
        for at in np.flatnonzero(np.isin(ended["begin_ns"], [begin for _, begin in self._charged])).tolist():
            key = int(ended["tid"][at]), int(ended["begin_ns"][at])
            if key in self._charged:
                gone.add(key)
                parts["begin_ns"][at], parts["active_ns"][at] = self._charged[key], 0
        just_ended = set(zip(ended["tid"].tolist(), ended["begin_ns"].tolist(), strict=True))
        # an open wait that the reading of the map missed is looked for once more
        charged = {key: to for key, to in self._charged.items() if to == self._last_ns and key not in gone}
        going_on = []
        for record in np.concatenate((seen.open, self._late)):
            key = int(record["tid"]), int(record["begin_ns"])
            if key[1] >= now_ns or key in just_ended or charged.get(key) == now_ns:
                continue
            (part,) = _parts_of(record.reshape(1))
            if key in self._charged:
                part["begin_ns"], part["active_ns"] = self._charged[key], 0
            part["end_ns"] = charged[key] = now_ns
            going_on.append(part)
        self._charged, self._last_ns = charged, now_ns
        parts = np.concatenate((parts, np.array(going_on, PART)))
        return parts[parts["end_ns"] > parts["begin_ns"]]


def _parts_of(records: Array) -> Array:
    parts = np.zeros(len(records), PART)
    for name in ("begin_ns", "start_ns", "cgroup_id", "pid", "dev", "cpu", "cause"):
        parts[name] = records[name]
    parts["active_ns"] = records["key"]
    return parts


def number_rows(*columns: Ints) -> tuple[Ints, Ints]:
    """The place of one example of each distinct row, and the number of each row's example."""
    numbers = mixed(*columns)
    order = np.argsort(numbers, kind="stable")
    new = _edges(order, *columns)
    if np.count_nonzero(new) != np.count_nonzero(_edges(order, numbers)):  # two rows share a number: once in an age
        order = np.lexsort(columns)
        new = _edges(order, *columns)
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(new) - 1
    return order[new], number


def _edges(order: NDArray[np.intp], *columns: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Where, in this order, a row differs from the one before."""
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return new


def owners_of(records: Array) -> tuple[Array, Ints]:
    """Who the records (dtype RECORD) are of, as dtype OWNER, and the place of each record's; UNKNOWN without a pid."""
    names = ("inferred", "cgroup_id", "start_ns", "pid")
    first, number = number_rows(*(records[name].astype(np.int64) for name in names))
    owners = np.zeros(len(first), OWNER)
    for name in names:
        owners[name] = records[name][first]
    number[records["pid"] == 0] = UNKNOWN
    return owners, number


def drop_lost(parts: Array, source: Ints, lost_from_ns: int | None) -> int:
    """Charge nobody for parts that reach beyond what is known completely; returns their nanoseconds."""
    if lost_from_ns is None:
        return 0
    beyond = parts["end_ns"] > lost_from_ns
    source[beyond] = NOBODY
    return int((parts["end_ns"] - parts["begin_ns"])[beyond].sum())


@dataclass(frozen=True, slots=True)
class _Lanes:
    """The unions of waits by group and CPU. Groups are the victims first, then the cgroups."""

    cgroups: list[int]
    of: Ints  # the part that each piece was taken from
    group: Ints
    begin: Ints
    end: Ints
    factor: Floats  # how much of the piece PSI counts


def pair(
    parts: Array,
    source: Ints,
    uses: Sequence[Use],
    owners: Array,
    parents: Mapping[int, int],
    ran: Mapping[int, Ints],
    resource: int,
    window_ns: int,
) -> Rows:
    """Who made whom wait: dtype STALL.

    ``source`` says for each part which of ``uses`` it waited for, NOBODY or ITSELF; the owners in ``uses`` are places
    in ``owners`` (dtype OWNER); ``parents`` knows the cgroup above each cgroup but the root; ``ran`` says how long each
    leaf ran on each CPU.
    """
    first, victim = number_rows(*(parts[name].astype(np.int64) for name in ("cgroup_id", "start_ns", "pid")))
    victims = parts[first]
    lanes = _union_by_group(parts, victim, len(victims), parents, ran, window_ns)
    groups = len(victims) + len(lanes.cgroups)
    rows: list[Rows] = []
    for number, use in enumerate(uses):
        mine, pieces = np.flatnonzero(source == number), np.flatnonzero(source[lanes.of] == number)
        moments = (
            parts["begin_ns"][mine],
            parts["end_ns"][mine],
            lanes.begin[pieces],
            lanes.end[pieces],
        )
        progress = [use.progress(at) for at in moments]
        for place, owner in enumerate(use.owners.tolist()):
            if owner == UNKNOWN:
                continue
            begin, end, piece_begin, piece_end = (
                use.served(place, at, known) for at, known in zip(moments, progress, strict=True)
            )
            task_ns = sum_by(victim[mine], end - begin, groups)
            share = (piece_end - piece_begin) * lanes.factor[pieces]
            stall_ns = sum_by(lanes.group[pieces], share, groups)
            kind = INFERRED if owners["inferred"][owner] else MEASURED
            rows.append(_rows(victims, lanes.cgroups, task_ns, stall_ns, owners[owner], kind))
    rows += _own(parts, source, victim, victims, lanes)
    found = np.concatenate(rows) if rows else np.empty(0, STALL)
    found["resource"] = resource
    return found


def _union_by_group(
    parts: Array, victim: Ints, victims: int, parents: Mapping[int, int], ran: Mapping[int, Ints], window_ns: int
) -> _Lanes:
    leaves, leaf = np.unique(parts["cgroup_id"], return_inverse=True)
    chains = [_chain(int(cgroup), parents) for cgroup in leaves]
    cgroups = sorted({cgroup for chain in chains for cgroup in chain})
    place = {cgroup: victims + at for at, cgroup in enumerate(cgroups)}
    depth = np.array([len(chain) for chain in chains], np.int64)
    places = np.array([place[cgroup] for chain in chains for cgroup in chain], np.int64)
    bounds = np.append(0, np.cumsum(depth))
    # every part once for its process, and once for each cgroup around it
    repeats = depth[leaf] if len(parts) else np.empty(0, np.int64)
    part = np.repeat(np.arange(len(parts)), repeats)
    level = np.arange(len(part)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    of = np.concatenate((np.arange(len(parts)), part))
    group = np.concatenate((victim, places[bounds[leaf[part]] + level] if len(part) else part))
    example, lane = number_rows(group, parts["cpu"][of].astype(np.int64))
    pieces = union(lane, parts["begin_ns"][of], parts["end_ns"][of])
    piece_lane = lane[pieces.of]
    stall_ns = sum_by(piece_lane, pieces.end - pieces.begin, len(example))
    own_ns = np.minimum(sum_by(lane, parts["active_ns"][of], len(example)), window_ns)
    lane_group, lane_cpu = group[example], parts["cpu"][of[example]]
    ran_ns, elsewhere_ns = np.zeros(len(example)), np.zeros(len(example))
    for cgroup, by_cpu in _add_up(ran, parents).items():
        within = lane_group == place.get(cgroup, NOBODY)
        ran_ns[within] = by_cpu[lane_cpu[within]]
        elsewhere_ns[within] = by_cpu.sum() - ran_ns[within].sum()
    busy_ns = nonidle(stall_ns, own_ns, np.maximum(ran_ns - own_ns, 0.0), window_ns)
    factor = psi_weights(lane_group, busy_ns, elsewhere_ns)
    return _Lanes(cgroups, of[pieces.of], group[pieces.of], pieces.begin, pieces.end, factor[piece_lane])


def _add_up(ran: Mapping[int, Ints], parents: Mapping[int, int]) -> dict[int, Ints]:
    """How long everything below each cgroup ran, by CPU: at one moment a CPU runs one task, so it is a sum."""
    total: dict[int, Ints] = {}
    for leaf, by_cpu in ran.items():
        for cgroup in _chain(leaf, parents):
            total[cgroup] = total[cgroup] + by_cpu if cgroup in total else by_cpu
    return total


def _chain(cgroup: int, parents: Mapping[int, int]) -> list[int]:
    """A cgroup and all above it, without the root, which has no parent."""
    chain = []
    while cgroup in parents:
        chain.append(cgroup)
        cgroup = parents[cgroup]
    return chain


def _rows(victims: Array, cgroups: list[int], task_ns: Floats, stall_ns: Floats, owner: np.void, kind: int) -> Rows:
    """The rows of one offender; what is less than a nanosecond is none."""
    chosen = np.flatnonzero((task_ns >= 1) | (stall_ns >= 1))
    rows = np.zeros(len(chosen), STALL)
    of_process = chosen < len(victims)
    who = victims[chosen[of_process]]
    for name, source in (("victim_pid", "pid"), ("victim_start_ns", "start_ns"), ("victim_cgroup", "cgroup_id")):
        rows[name][of_process] = who[source]
    rows["victim_cgroup"][~of_process] = np.array(cgroups, np.uint64)[chosen[~of_process] - len(victims)]
    rows["level"] = np.where(of_process, PROCESS_LEVEL, CGROUP_LEVEL)
    rows["task_ns"], rows["stall_ns"] = task_ns[chosen], stall_ns[chosen]
    rows["offender_pid"], rows["offender_start_ns"] = owner["pid"], owner["start_ns"]
    rows["offender_cgroup"], rows["kind"] = owner["cgroup_id"], kind
    return rows


def _own(parts: Array, source: Ints, victim: Ints, victims: Array, lanes: _Lanes) -> list[Rows]:
    """Waits that are nobody else's doing: each victim is its own offender."""
    mine, pieces = source == ITSELF, source[lanes.of] == ITSELF
    groups = len(victims) + len(lanes.cgroups)
    length = (lanes.end - lanes.begin) * lanes.factor
    rows = []
    for who in np.unique(victim[mine]).tolist():
        own = mine & (victim == who)
        task_ns = np.zeros(groups)
        task_ns[who] = (parts["end_ns"][own] - parts["begin_ns"][own]).sum()
        own_pieces = pieces & (victim[lanes.of] == who)
        stall_ns = sum_by(lanes.group[own_pieces], length[own_pieces], groups)
        rows.append(_rows(victims, lanes.cgroups, task_ns, stall_ns, victims[who], OWN_QUOTA))
    return rows
