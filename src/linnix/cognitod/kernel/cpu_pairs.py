"""From what the programs of CPU blame added up to the rows of ``model.STALL``.

Owns the averaging of stalls over CPUs. Refuses to read maps. Invariant: the ``task_ns`` of the rows is exactly the sum
of the pairs they were made from, and a stall on one CPU only is told as it was measured there.

Averaging is PSI's (kernel/sched/psi.c, collect_percpu_times()): each CPU counts by the time in which the group was not
idle there. That is the time it ran, plus the time it waited while somebody else ran.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.pairs import MEASURED, OWN_QUOTA, number_rows
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, RESOURCES, STALL, Rows

#: struct blame_key and struct blame_sum of bpf/blame_cpu.h, one after the other: struct blame_pair.
KEY = np.dtype(
    [
        ("victim", "<u4"),
        ("offender", "<u4"),
        ("salt", "<u4"),
        ("cpu", "<u2"),
        ("what", "u1"),
        ("pad", "V1"),
    ]
)
SUM = np.dtype(
    [
        ("task_ns", "<u8"),
        ("stall_ns", "<u8"),
        ("victim_start_ns", "<u8"),
        ("victim_cgroup", "<u8"),
        ("offender_start_ns", "<u8"),
        ("offender_cgroup", "<u8"),
    ]
)
PAIR = np.dtype([(name, KEY.fields[name][0]) for name in KEY.names or () if KEY.fields] + SUM.descr)

#: enum blame_what
CGROUP, QUOTA, RAN, SLEPT = 1, 2, 4, 8
ANY_CPU = 0xFFFF
#: Instead of an offender's pid: processes of its control group that are not told apart.
CROWD = 0xFFFF_FFFF

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


#: Run time that is in no pair, in nanoseconds, by what, control group or pid, and CPU; below 0: it is in one again.
Running = dict[tuple[int, int, int], int]


def make_rows(pairs: Array, parents: Mapping[int, int], window_ns: int, running: Running | None = None) -> Rows:
    """Rows of dtype STALL from pairs of dtype PAIR, added up in ``window_ns``.

    ``parents`` names the control group above each, 0 for none. ``running`` corrects the run time in ``pairs``.
    """
    is_wait = pairs["what"] & (RAN | SLEPT) == 0
    waits = pairs[is_wait]
    shares = _shares(waits, pairs[~is_wait], parents, window_ns, running or {})
    names = ("victim", "victim_start_ns", "victim_cgroup", "offender", "offender_start_ns", "offender_cgroup", "what")
    first, number = number_rows(*(waits[name].astype(np.int64) for name in names))
    rows = np.zeros(len(first), STALL)
    of = waits[first]
    of_group = of["what"] & CGROUP != 0
    rows["victim_pid"] = np.where(of_group, 0, of["victim"])
    rows["offender_pid"] = of["offender"]
    for name in ("victim_start_ns", "victim_cgroup", "offender_start_ns", "offender_cgroup"):
        rows[name] = of[name]
    rows["resource"] = RESOURCES.index("cpu")
    rows["level"] = np.where(of_group, CGROUP_LEVEL, PROCESS_LEVEL)
    rows["kind"] = np.where(of["what"] & QUOTA != 0, OWN_QUOTA, MEASURED)
    for name, amounts in (("task_ns", waits["task_ns"]), ("stall_ns", waits["stall_ns"] * shares)):
        # exact: a second has 30 bits of the 53 that a double has
        rows[name] = np.rint(np.bincount(number, weights=amounts, minlength=len(first)))
    return rows[(rows["task_ns"] > 0) | (rows["stall_ns"] > 0)]


def _shares(waits: Array, used: Array, parents: Mapping[int, int], window_ns: int, running: Running) -> Floats:
    """What each pair's CPU counts for in its victim's average; 1 where there is nothing to average."""
    shares = np.ones(len(waits))
    averaged = np.flatnonzero(waits["cpu"] != ANY_CPU)
    if not len(averaged):
        return shares
    pairs = waits[averaged]
    victims, number = np.unique(_victims(pairs), return_inverse=True)
    cpus = 1 + max(int(pairs["cpu"].max()), *used["cpu"].tolist(), *(cpu for _, _, cpu in running))
    busy = np.zeros(len(victims) * cpus)
    # What a victim waited for itself is in the time that it ran.
    is_own = (pairs["what"] & QUOTA == 0) & _is_own(pairs, parents)
    np.add.at(busy, number * cpus + pairs["cpu"], np.where(is_own, 0, pairs["stall_ns"]))
    of_group = pairs["what"] & CGROUP != 0
    slots = dict(zip(pairs["victim_cgroup"][of_group].tolist(), pairs["victim"][of_group].tolist(), strict=True))
    place = {victim: at for at, victim in enumerate(victims.tolist())}
    told = used[["what", "victim", "victim_cgroup", "cpu", "stall_ns"]].tolist()
    told += [(what, whose, whose, cpu, ns) for (what, whose, cpu), ns in running.items()]
    for what, victim, cgroup, cpu, ns in told:
        if what & CGROUP:
            keys = [_OF_GROUP | slots[group] for group in lineage(cgroup, parents) if group in slots]
        else:
            keys = [victim]
        for key in keys:
            if key in place:
                busy[place[key] * cpus + cpu] += ns
    weights = np.clip(busy, 0, window_ns).reshape(-1, cpus)
    total = weights.sum(axis=1)[number]
    mine = weights[number, pairs["cpu"]]
    shares[averaged] = np.where(total > 0, mine / np.maximum(total, 1), 1)
    return shares


#: Slots of control groups and pids in one column.
_OF_GROUP = 1 << 32


def _victims(pairs: Array) -> Ints:
    return pairs["victim"] + np.where(pairs["what"] & CGROUP != 0, np.int64(_OF_GROUP), np.int64(0))


def _is_own(pairs: Array, parents: Mapping[int, int]) -> NDArray[np.bool_]:
    """Whether the offender is part of the victim."""
    found: NDArray[np.bool_] = pairs["victim"] == pairs["offender"]
    groups = np.flatnonzero(pairs["what"] & CGROUP)
    first, number = number_rows(
        pairs["victim_cgroup"][groups].astype(np.int64), pairs["offender_cgroup"][groups].astype(np.int64)
    )
    inside = [
        victim in lineage(offender, parents)
        for victim, offender in zip(
            pairs["victim_cgroup"][groups[first]].tolist(),
            pairs["offender_cgroup"][groups[first]].tolist(),
            strict=True,
        )
    ]
    found[groups] = np.array(inside, bool)[number]
    return found


def lineage(cgroup: int, parents: Mapping[int, int]) -> list[int]:
    """The control group and all above it, up to but without the root."""
    found = []
    while cgroup in parents:
        found.append(cgroup)
        cgroup = parents[cgroup]
    return found
