"""Who made whom wait, out of segments: pure functions of what was measured and what is asked.

Owns the choice between the two measures at each level, and what counts as a victim's own doing. Refuses time and HTTP.
Invariants: an inferred amount is never added to a measured one; every amount of a segment is in one pair exactly; task
and stall time are what the meters gave, never scaled to pressure.

Stall time of a group is the union over everything in it, which only the kernel can form: it is taken from rows of
cgroup level. Its task time is the sum over its processes. Where the kernel has no row of a group (all are in the root
of cgroup2, as on hosts of version 1), stall time is the sum over its processes too, and no pressure is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.blame.fold import OTHERS, PARTY
from linnix.cognitod.blame.ledger import AMOUNT, Segment
from linnix.cognitod.blame.levels import NOBODY_NAME, OTHERS_NAME, UNKNOWN_NAME, Name, Scope, Who, label, root
from linnix.cognitod.handles import distinct
from linnix.cognitod.model import PROCESS_LEVEL, STALL_KINDS, Home, Rows, text

MEASURED, INFERRED, OWN_QUOTA, OWN_THREADS = STALL_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How long one victim waited because of one offender."""

    victim: Name
    offender: Name
    kind: str  # of STALL_KINDS
    task_ns: int
    stall_ns: int
    share: float  # of the victim's stall


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything is of exactly from_us to to_us, as far as a meter was attached: ``engaged_us`` of it."""

    from_us: int
    to_us: int
    pairs: tuple[Pair, ...]  # most painful first
    attributed_ns: int  # stall time of all pairs but the inferred ones
    inferred_ns: int
    psi_us: int | None  # pressure of the victims, where the kernel keeps it
    host_psi_us: int
    victims: dict[Name, int | None]  # pressure of each victim that is a group, in microseconds
    waited_ns: int  # task time of every wait on the host, attributed or not
    lost_ns: int
    engaged_us: int
    epochs: int
    coverage: float


def answer(
    segments: Sequence[Segment],
    home_of: Callable[[int], Home],
    *,
    by: str,
    scope: Scope | None,
    from_us: int,
    to_us: int,
) -> Answer:
    """What these segments say. ``from_us`` and ``to_us`` lie at their bounds or where nothing was measured."""
    view = _View(segments, home_of)
    alone = by == "process" or (scope is not None and scope.level == "process")
    amounts, psi_us = (_of_processes(view, by, scope), {}) if alone else _of_groups(view, by, scope, segments)
    pairs = _pairs(amounts, psi_us)
    known = [each for each in psi_us.values() if each is not None]
    engaged_us = sum(each.end_us - each.begin_us for each in segments)
    waited_ns = sum(each.waited_ns for each in segments)
    attributed_ns = sum(each.attributed_ns for each in segments)
    engaged = engaged_us / (to_us - from_us) if to_us > from_us else 0.0
    return Answer(
        from_us=from_us,
        to_us=to_us,
        pairs=pairs,
        attributed_ns=sum(pair.stall_ns for pair in pairs if pair.kind != INFERRED),
        inferred_ns=sum(pair.stall_ns for pair in pairs if pair.kind == INFERRED),
        psi_us=sum(known) if not alone and len(known) == len(psi_us) else None,
        host_psi_us=sum(each.host_us for each in segments),
        victims=psi_us,
        waited_ns=waited_ns,
        lost_ns=sum(each.lost_ns for each in segments),
        engaged_us=engaged_us,
        epochs=len({each.epoch for each in segments}),
        coverage=engaged * (min(attributed_ns / waited_ns, 1.0) if waited_ns else 1.0),
    )


class _View:
    """The rows of several segments over one table of parties."""

    def __init__(self, segments: Sequence[Segment], home_of: Callable[[int], Home]) -> None:
        parties = np.concatenate([np.zeros(0, PARTY), *(each.parties for each in segments)])
        rows = np.concatenate([np.zeros(0, AMOUNT), *(each.amounts for each in segments)])
        counts = [len(each.amounts) for each in segments]
        starts = np.cumsum([0, *(len(each.parties) for each in segments)])[:-1]
        shift = np.repeat(starts, counts).astype(np.int64)
        keys = [parties[name] for name in ("home", "cgroup", "start_ns", "pid")]
        order = np.lexsort(keys)
        new = np.ones(len(parties), bool)
        if len(parties):
            new[1:] = np.logical_or.reduce([key[order][1:] != key[order][:-1] for key in keys])
        place = np.empty(len(parties), np.int64)
        place[order] = np.cumsum(new) - 1
        # of the same party the last one that was met: a process that exec'ed has the newer name
        last = np.zeros(int(np.count_nonzero(new)), np.int64)
        np.maximum.at(last, place, np.arange(len(parties)))
        self.parties = parties[last]
        self.homes = [home_of(number) for number in self.parties["home"].tolist()]
        self.rows: Rows = rows
        self.victim: NDArray[np.int64] = place[rows["victim"] + shift] if len(rows) else np.zeros(0, np.int64)
        self.offender: NDArray[np.int64] = place[rows["offender"] + shift] if len(rows) else np.zeros(0, np.int64)

    def who(self, at: int) -> Who:
        """A party as a process."""
        party, home = self.parties[at], self.homes[at]
        pid, start_ns = int(party["pid"]), int(party["start_ns"])
        if pid == OTHERS:
            return Who(None, 0, OTHERS_NAME, home.cgroup, home.unit)
        if not pid:
            return Who(0, 0, NOBODY_NAME, None, None)
        return Who(pid, start_ns, text(bytes(party["comm"])), home.cgroup, home.unit)

    def name(self, at: int, by: str) -> Name:
        """A party at a level."""
        if by == "process":
            return self.who(at)
        party = self.parties[at]
        if party["cgroup"] == 0 and party["pid"] == OTHERS:
            return OTHERS_NAME
        # a victim of cgroup level has no pid either, and is nobody's offender
        return NOBODY_NAME if not party["pid"] else label(by, self.homes[at])

    def names(self, places: NDArray[np.int64], by: str) -> dict[int, Name]:
        """The names of these parties."""
        return {at: self.name(at, by) for at in distinct(places).tolist()}

    def sums(self, which: NDArray[np.bool_]) -> list[tuple[int, int, int, int, int]]:
        """Victim, offender, kind, task_ns and stall_ns of the chosen rows, merged."""
        rows, victim, offender = self.rows[which], self.victim[which], self.offender[which]
        key = (victim * len(self.parties) + offender) * len(STALL_KINDS) + rows["kind"]
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        totals = []
        for name in ("task_ns", "stall_ns"):
            total = np.zeros(len(first), np.uint64)
            np.add.at(total, group, rows[name])
            totals.append(total.tolist())
        return list(
            zip(victim[first].tolist(), offender[first].tolist(), rows["kind"][first].tolist(), *totals, strict=True)
        )


#: Task and stall time by victim, offender and kind.
_Amounts = dict[tuple[Name, Name, str], list[int]]


def _of_processes(view: _View, by: str, scope: Scope | None) -> _Amounts:
    """Pairs from rows of process level alone."""
    which = view.rows["level"] == PROCESS_LEVEL
    if scope is not None:
        which &= _inside(view, scope)[view.victim]
    victims, offenders = view.names(view.victim[which], by), view.names(view.offender[which], by)
    amounts: _Amounts = defaultdict(lambda: [0, 0])
    for victim, offender, kind, task_ns, stall_ns in view.sums(which):
        pair = _own(
            victims[victim], offenders[offender], STALL_KINDS[kind], _same(victims[victim], offenders[offender])
        )
        amounts[pair][0] += task_ns
        amounts[pair][1] += stall_ns
    return amounts


def _of_groups(
    view: _View, by: str, scope: Scope | None, segments: Sequence[Segment]
) -> tuple[_Amounts, dict[Name, int | None]]:
    """Pairs of groups, and the pressure of each victim in microseconds, None where it is not known."""
    at_process_level = view.rows["level"] == PROCESS_LEVEL
    named: dict[int, Name] = {}  # victims of process level → group
    roots: dict[str, Name] = {}  # path of a group → group
    for at in distinct(view.victim[at_process_level]).tolist():
        home = view.homes[at]
        path = root(by, home) if scope is None else scope.root_of(home)
        if scope is None:
            named[at] = view.name(at, by)
        elif path is not None:
            named[at] = _scope_name(by, scope, path)
        if path is not None and at in named:
            roots.setdefault(path, named[at])
    if scope is not None and scope.path:
        roots.setdefault(scope.path, _scope_name(by, scope, scope.path))

    group_ids: dict[Name, set[int]] = defaultdict(set)
    grouped: dict[int, Name] = {}  # victims of cgroup level → group
    for at in distinct(view.victim[~at_process_level]).tolist():
        group = roots.get(view.homes[at].cgroup or "")
        if group is not None:
            grouped[at] = group
            group_ids[group].add(int(view.parties["cgroup"][at]))
    offenders = view.names(view.offender, by)
    paths = {group: path for path, group in roots.items()}

    def is_own(victim: Name, at: int) -> bool:
        path, its = paths.get(victim), view.homes[at].cgroup
        if _same(victim, offenders[at]):
            return True
        return path not in (None, "/") and its is not None and (its + "/").startswith(f"{path}/")

    amounts: _Amounts = defaultdict(lambda: [0, 0])
    seen_whole = set(grouped.values())
    for victims, which in ((named, at_process_level), (grouped, ~at_process_level)):
        chosen = which & np.isin(view.victim, np.fromiter(victims, np.int64, len(victims)))
        for at, offender, kind, task_ns, stall_ns in view.sums(chosen):
            victim = victims[at]
            pair = _own(victim, offenders[offender], STALL_KINDS[kind], is_own(victim, offender))
            amounts[pair][0] += task_ns
            if (victims is grouped) or victim not in seen_whole:
                amounts[pair][1] += stall_ns
    psi_us: dict[Name, int | None] = {}
    for victim in {victim for victim, _, _ in amounts}:
        psi_us[victim] = _pressure(segments, group_ids[victim]) if victim in seen_whole else None
    if scope is not None and not amounts and scope.ids:
        psi_us[scope.name] = _pressure(segments, scope.ids)
    return amounts, psi_us


def _scope_name(by: str, scope: Scope, path: str) -> Name:
    return path if by == "cgroup" and scope.level != "cgroup" else scope.name


def _inside(view: _View, scope: Scope) -> NDArray[np.bool_]:
    """Which parties are in the scope."""
    if scope.level == "process":
        found: NDArray[np.bool_] = view.parties["pid"] == scope.pid
        return found
    return np.array([scope.root_of(home) is not None for home in view.homes], bool)


def _same(victim: Name, offender: Name) -> bool:
    if isinstance(victim, Who) and isinstance(offender, Who):
        return victim.pid is not None and (victim.pid, victim.start_ns) == (offender.pid, offender.start_ns)
    return victim == offender and victim not in (OTHERS_NAME, UNKNOWN_NAME)


def _own(victim: Name, offender: Name, kind: str, own: bool) -> tuple[Name, Name, str]:
    """The pair an amount belongs to: what a victim does to itself is one pair, with itself."""
    if not own:
        return victim, offender, kind
    return victim, victim, OWN_THREADS if kind == MEASURED else kind


def _pressure(segments: Sequence[Segment], groups: set[int] | frozenset[int]) -> int | None:
    """Microseconds that these groups waited; None where that was not read in every segment."""
    total = 0
    wanted = np.fromiter(groups, np.uint64)
    for segment in segments:
        if not segment.groups_complete and not np.isin(wanted, segment.groups).any():
            return None
        total += int(segment.groups_us[np.isin(segment.groups, wanted)].sum())
    return total


def _pairs(amounts: _Amounts, psi_us: dict[Name, int | None]) -> tuple[Pair, ...]:
    stall_ns: dict[Name, int] = defaultdict(int)
    for (victim, _, _), (_, amount_ns) in amounts.items():
        stall_ns[victim] += amount_ns
    for victim, waited_us in psi_us.items():
        stall_ns[victim] = max(stall_ns[victim], (waited_us or 0) * 1000)
    pairs = [
        Pair(
            victim=victim,
            offender=offender,
            kind=kind,
            task_ns=task_ns,
            stall_ns=amount_ns,
            share=amount_ns / stall_ns[victim] if stall_ns[victim] else 0.0,
        )
        for (victim, offender, kind), (task_ns, amount_ns) in amounts.items()
        if task_ns or amount_ns
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.stall_ns, -pair.task_ns, str(pair.victim), str(pair.offender))))
