"""Who made whom wait in the last seconds, as pairs of processes.

Owns which pairs are worth telling beside other facts of a moment. Refuses to end a segment for it: what is told here
each second has no link, so it needs no answer that stays the same. Invariant: the share of a pair is of everything that
its victim waited, whoever it was for.
"""

from __future__ import annotations

import numpy as np

from linnix.cognitod import records
from linnix.cognitod.blame.books import Blame
from linnix.cognitod.blame.fold import NO_ROWS, OTHERS
from linnix.cognitod.blame.ledger import Ledger, Segment
from linnix.cognitod.model import PROCESS_LEVEL, STALL, STALL_KINDS, Rows
from linnix.cognitod.senses import Identity, Stall

WINDOW_US = 10_000_000
#: Of each resource; and as many more between control groups, because a pool that waits for itself has more pairs than
#: whoever waits for it.
MAX_PAIRS = 8
MIN_TASK_NS = 50_000_000

_COLUMNS = ["victim_pid", "victim_start_ns", "offender_pid", "offender_start_ns", "kind", "task_ns", "stall_ns"]

#: Who, and the number of the home (``names.Names``).
_Homes = dict[Identity, int]


def stalls(blame: Blame, to_us: int) -> tuple[Stall, ...]:
    """The worst of each resource, over what was measured of the ten seconds before ``to_us`` (unix, microseconds)."""
    found: list[Stall] = []
    for ledger in blame.ledgers.values():
        rows, homes, measured_ns = _lately(ledger, to_us)
        if len(rows):
            found += _worst(blame, ledger.resource, rows, homes, measured_ns)
    return tuple(found)


def _lately(ledger: Ledger, to_us: int) -> tuple[Rows, _Homes, int]:
    """Rows of dtype STALL, the homes of whom they name, and the time in which they were measured."""
    parts, homes, measured_ns = [NO_ROWS], _Homes(), 0
    for segment in reversed(ledger.segments):
        if segment.begin_us < to_us - WINDOW_US:
            break
        parts.append(_rows(segment))
        measured_ns += segment.measured_ns
        for pid, start_ns, home in segment.parties[["pid", "start_ns", "home"]].tolist():
            homes.setdefault((pid, start_ns), home)
    if (growing := ledger.growing) is not None and growing.begin_us >= to_us - WINDOW_US:
        parts.append(growing.rows)
        measured_ns += growing.measured_ns
        for (pid, start_ns, _), (_, home) in growing.names.items():
            homes[pid, start_ns] = home
    rows = records.join(parts)
    return rows.compress(rows["level"] == PROCESS_LEVEL), homes, measured_ns


def _rows(segment: Segment) -> Rows:
    rows = np.zeros(len(segment.amounts), STALL)
    for side in ("victim", "offender"):
        parties = segment.parties.take(segment.amounts[side])
        for name in ("pid", "start_ns", "cgroup"):
            rows[f"{side}_{name}"] = parties[name]
    for name in ("task_ns", "stall_ns", "level", "kind"):
        rows[name] = segment.amounts[name]
    return rows


def _worst(blame: Blame, resource: str, rows: Rows, homes: _Homes, measured_ns: int) -> list[Stall]:
    amounts: dict[tuple[Identity, Identity, str], tuple[int, int]] = {}
    waited_ns: dict[Identity, int] = {}
    for pid, start_ns, by_pid, by_start_ns, number, task_ns, stall_ns in rows[_COLUMNS].tolist():
        victim, offender, kind = (pid, start_ns), (by_pid, by_start_ns), STALL_KINDS[number]
        if victim == offender and kind == "measured":
            kind = "own_threads"
        waited_ns[victim] = waited_ns.get(victim, 0) + stall_ns
        before = amounts.get((victim, offender, kind), (0, 0))
        amounts[victim, offender, kind] = before[0] + task_ns, before[1] + stall_ns
    worst = [
        Stall(
            resource=resource,
            victim=victim,
            offender=offender,
            kind=kind,
            task_ms=-task_ns / 10**6,
            stall_ms=-stall_ns / 10**6,
            share=-stall_ns / waited_ns[victim] if waited_ns[victim] else 0.0,
            window_s=measured_ns / 10**9,
            same_cgroup=_same_cgroup(blame, homes, victim, offender),
        )
        for stall_ns, task_ns, victim, offender, kind in sorted(
            (-stall_ns, -task_ns, victim, offender, kind)
            for (victim, offender, kind), (task_ns, stall_ns) in amounts.items()
            if task_ns >= MIN_TASK_NS and _is_process(victim) and _is_process(offender)
        )
    ]
    between = [stall for stall in worst[MAX_PAIRS:] if stall.same_cgroup is False]
    return worst[:MAX_PAIRS] + between[:MAX_PAIRS]


def _is_process(who: Identity) -> bool:
    return who[0] not in (0, OTHERS)


def _same_cgroup(blame: Blame, homes: _Homes, victim: Identity, offender: Identity) -> bool | None:
    if victim == offender:
        return True
    one, other = (blame.names.home(homes.get(who, 0)).cgroup for who in (victim, offender))
    return None if one is None or other is None else one == other
