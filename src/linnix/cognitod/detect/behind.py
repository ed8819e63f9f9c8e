"""Who is behind something that several processes do together.

Owns the choice of one process from weights of many. Refuses thresholds on the sum. Invariant: pid 1, kernel threads and
Linnix's own processes are never chosen, and nobody is held responsible for what is done in another cgroup: a supervisor
of containers is no culprit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.detect.past import Identity
from linnix.cognitod.detect.view import View, Who


@dataclass(frozen=True, slots=True)
class Behind:
    """A process, and the weight of the processes of its cgroup together."""

    who: Who
    weight: float
    identity: Identity
    members: frozenset[Identity]


def behind(view: View, weights: Mapping[Identity, float]) -> Behind | None:
    """Of the cgroup with most weight the lowest process that, with its descendants, holds more than half of it; where
    there is none in that cgroup the heaviest. None where nobody may be chosen.
    """
    tree = view.tree
    keys = list(weights)
    at = tree.indices(np.array([pid for pid, _ in keys], np.uint32), np.array([start for _, start in keys], np.uint64))
    eligible = tree.eligible()
    of_each = [
        (index, weight, key)
        for index, weight, key in zip(at.tolist(), weights.values(), keys, strict=True)
        if index >= 0 and weight > 0 and eligible[index]
    ]
    if not of_each:
        return None
    cgroups = tree.rows["cgroup_id"]
    sums: dict[int, float] = {}
    for index, weight, _ in of_each:
        sums[int(cgroups[index])] = sums.get(int(cgroups[index]), 0.0) + weight
    cgroup = max(sums, key=sums.__getitem__)
    of_each = [each for each in of_each if int(cgroups[each[0]]) == cgroup]
    spread = np.zeros(len(tree.rows))
    for index, weight, _ in of_each:
        spread[index] = weight
    holder = tree.holder(spread)
    if holder is not None and int(holder.row["cgroup_id"]) == cgroup:
        row = holder.row
    else:
        row = tree.rows[max(of_each, key=lambda each: each[1])[0]]
    who = Who.of(row)
    return Behind(who, sums[cgroup], (who.pid, who.start_ns), frozenset(key for _, _, key in of_each))


def outlasting(tree: Lineage, found: Behind, since_ns: int) -> int:
    """Index of whoever was there when it began: of commands that come and go, who runs them."""
    rows, eligible = tree.rows, tree.eligible()
    pid, start_ns = found.identity
    at = int(tree.indices(np.array([pid], np.uint32), np.array([start_ns], np.uint64))[0])
    while rows["first_ns"][at] > since_ns:
        above = tree.parents[at]
        if above < 0 or not eligible[above] or rows["cgroup_id"][above] != rows["cgroup_id"][at]:
            break
        at = above
    return at
