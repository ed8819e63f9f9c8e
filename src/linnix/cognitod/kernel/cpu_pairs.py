"""From what the programs of CPU blame added up to the rows of ``model.STALL``.

Owns the averaging of stalls over CPUs. Refuses to read maps. Invariant: the ``task_ns`` of the rows is exactly the sum of
the pairs they were made from, and a stall on one CPU only is told as it was measured there.

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

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def make_rows(pairs: Array, parents: Mapping[int, int]) -> Rows:
    """Rows of dtype STALL from pairs of dtype PAIR; ``parents`` names the control group above each, 0 for none."""
    is_pair = pairs["what"] & (RAN | SLEPT) == 0
    waits, runs = pairs[is_pair], pairs[~is_pair]
    shares = _shares(waits, runs, parents)
    columns = [
        (waits["what"] & CGROUP).astype(np.int64),
        (waits["what"] & QUOTA).astype(np.int64),
        *(waits[name].astype(np.int64) for name in ("victim", "victim_start_ns", "victim_cgroup")),
        *(waits[name].astype(np.int64) for name in ("offender", "offender_start_ns", "offender_cgroup")),
    ]
    first, number = number_rows(*columns)
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
    rows["task_ns"] = _sum(number, waits["task_ns"].astype(np.float64), len(first)).astype(np.uint64)
    rows["stall_ns"] = np.rint(_sum(number, waits["stall_ns"] * shares, len(first))).astype(np.uint64)
    return rows[(rows["task_ns"] > 0) | (rows["stall_ns"] > 0)]


def _sum(number: Ints, amounts: Floats, count: int) -> Floats:
    return np.bincount(number, weights=amounts, minlength=count)


def _shares(waits: Array, runs: Array, parents: Mapping[int, int]) -> Floats:
    """What each pair's CPU counts for in its victim's average; 1 where there is nothing to average."""
    shares = np.ones(len(waits))
    averaged = np.flatnonzero(waits["cpu"] != ANY_CPU)
    if not len(averaged):
        return shares
    pairs = waits[averaged]
    busy: dict[tuple[int, int], dict[int, float]] = {}

    def count(kind: int, victim: int, cpu: int, ns: float) -> None:
        lanes = busy.setdefault((kind, victim), {})
        lanes[cpu] = lanes.get(cpu, 0.0) + ns

    slots = {}  # of control groups by id
    for victim, cgroup in {(int(v), int(c)) for v, c in zip(*_of_groups(pairs), strict=True)}:
        slots[cgroup] = victim
    for run in runs:
        kind = int(run["what"]) & CGROUP
        if not kind:
            count(0, int(run["victim"]), int(run["cpu"]), float(run["stall_ns"]))
            continue
        for group in lineage(int(run["victim_cgroup"]), parents):
            if group in slots:
                count(CGROUP, slots[group], int(run["cpu"]), float(run["stall_ns"]))
    inside: dict[tuple[int, int], bool] = {}
    for pair in pairs:
        kind, victim, offender = int(pair["what"]) & CGROUP, int(pair["victim"]), int(pair["offender"])
        if kind:
            key = int(pair["victim_cgroup"]), int(pair["offender_cgroup"])
            if key not in inside:
                inside[key] = key[0] in lineage(key[1], parents)
            is_own = inside[key]
        else:
            is_own = victim == offender
        if not is_own or int(pair["what"]) & QUOTA:  # else it is in the time the group ran
            count(kind, victim, int(pair["cpu"]), float(pair["stall_ns"]))
    for at, pair in zip(averaged.tolist(), pairs, strict=True):
        lanes = busy.get((int(pair["what"]) & CGROUP, int(pair["victim"])), {})
        if len(lanes) > 1:
            shares[at] = lanes.get(int(pair["cpu"]), 0.0) / sum(lanes.values())
    return shares


def _of_groups(pairs: Array) -> tuple[list[int], list[int]]:
    groups = pairs[pairs["what"] & CGROUP != 0]
    return groups["victim"].tolist(), groups["victim_cgroup"].tolist()


def lineage(cgroup: int, parents: Mapping[int, int]) -> list[int]:
    """The control group and all above it, up to but without the root."""
    found = []
    while cgroup and cgroup in parents:
        found.append(cgroup)
        cgroup = parents[cgroup]
    return found
