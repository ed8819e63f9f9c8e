"""What children ran and how it ended, by parent and name: the jobs that facts tell.

Owns the count of what ended or ran a program since the facts before. Refuses verdicts. Invariants: nothing is kept but
how far was counted, so memory is that of the process table; Python objects are made for the groups that may be told,
and no more than ``_LOOKED_AT`` command lines are looked at.

Counted are rows of the table, so of a storm the latest ``slots.MAX_EXITED`` that ended. What a subshell ran is its
shell's: it has died by then, and says nothing that the shell does not. What others ran that lived for a moment, as the
driver of a compiler, is told of who lives above them, as something below it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.detect.recent import identities
from linnix.cognitod.detect.tags import SHORT_NS
from linnix.cognitod.events import Kind
from linnix.cognitod.handles import Index, mixed, of_names
from linnix.cognitod.model import Rows, text
from linnix.insight.facts import Job

MAX_JOBS = 40
#: Of one parent, and as many below it.
MAX_NAMES = 5
MAX_COMMAND = 120
#: Whoever has so many is named: failures, or children that ended.
MIN_FAILED, MIN_ENDED = 2, 5
#: At most so many are named for their jobs.
MAX_PARENTS = 6
#: Groups that may be told: who is named is decided later.
_CANDIDATES = 44
#: Command lines, of all groups; of the failed and of the others of one group; of one without failures.
_LOOKED_AT, _OF_GROUP, _OF_CALM = 192, 24, 3
#: Of a long command line so much of its beginning is told, and of its end.
_HEAD, _TAIL = 79, 40
#: Generations above a child that are gone.
_FAR = 8
#: Who lived longer is told as the parent though it is gone.
_LONG_LIVED_NS = 2_000_000_000

_Value = TypeVar("_Value", int, str)

#: Words of what these processes were started with, by their slots.
StartedWith = Callable[[Index], list[list[str]]]


class Told(NamedTuple):
    """The jobs of an interval. ``groups``: by the parent's place among the moment's rows, most worth telling first;
    ``parents``: places of those who are to be named for them.
    """

    groups: tuple[tuple[int, Job], ...] = ()
    parents: tuple[int, ...] = ()


NONE = Told()


def told(jobs: Told, ids: Mapping[int, str]) -> tuple[Job, ...]:
    """Those of parents that are named; ``ids``: by their place among the moment's rows."""
    named = ((ids[place], job) for place, job in jobs.groups if place in ids)
    return tuple(
        msgspec.structs.replace(job, id=f"J{number}", parent=parent)
        for number, (parent, job) in enumerate(islice(named, MAX_JOBS), 1)
    )


@dataclass
class Tally:
    """``take`` counts what has happened since it was asked last."""

    _ended_ns: int = 0  # the latest end and the latest exec that were counted
    _ran_ns: int = 0

    def take(self, moment: Moment, started_with: StartedWith) -> Told:
        """The jobs since the last call."""
        rows = moment.rows
        ended = (rows["last_kind"] == Kind.EXIT) & ~rows["alive"] & (rows["exit_ns"] > self._ended_ns)
        ran = rows["exec_ns"] > self._ran_ns
        at = np.flatnonzero(ended | ran)
        if not len(at):
            return NONE
        self._ended_ns = max(self._ended_ns, int(rows["exit_ns"].max(where=ended, initial=0)))
        self._ran_ns = max(self._ran_ns, int(rows["exec_ns"].max()))
        parents, direct, below = _starters(rows, at)
        kept = parents >= 0
        if not kept.any():
            return NONE
        return _Children.of(
            rows, at[kept], ended[at[kept]], ran[at[kept]], parents[kept], direct[kept], below[kept]
        ).told(started_with)


@dataclass
class _Children:
    """Columns of those counted, in groups of one parent and name, within each the shortest life first."""

    slots: Index
    comms: NDArray[Any]
    ended: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    codes: NDArray[np.int64]  # negative for a signal
    lived_ns: NDArray[np.int64]
    programs: NDArray[np.bool_]  # ran one
    direct: NDArray[np.bool_]  # no subshell stands between it and its parent
    parents: Index  # of each group
    below: NDArray[np.bool_]  # of each group
    starts: Index  # of each group, and the end
    counts: dict[str, NDArray[np.int64]]  # of each group

    @classmethod
    def of(
        cls,
        rows: Rows,
        at: Index,
        ended: NDArray[np.bool_],
        ran: NDArray[np.bool_],
        parents: Index,
        direct: NDArray[np.bool_],
        below: NDArray[np.bool_],
    ) -> _Children:
        comms = rows["comm"][at]
        keys = mixed(2 * parents + below, of_names(comms))
        _, first, group, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        signals = (rows["exit_signal"][at] & 0x7F).astype(np.int64)
        codes = np.where(ended, np.where(signals > 0, -signals, rows["exit_code"][at].astype(np.int64)), 0)
        lived_ns = rows["exit_ns"][at].astype(np.int64) - rows["first_ns"][at].astype(np.int64)
        programs = rows["exec_ns"][at] > 0
        short = ended & programs & (lived_ns < SHORT_NS)
        masks = {"ended": ended, "failed": codes != 0, "short": short, "execs": ran}
        counts = {name: np.bincount(group[mask], minlength=len(first)) for name, mask in masks.items()}
        order = np.lexsort((np.where(ended, lived_ns, np.iinfo(np.int64).max), group))
        return cls(
            rows["slot"][at][order].astype(np.intp),
            comms[first],
            ended[order],
            (codes != 0)[order],
            codes[order],
            lived_ns[order],
            programs[order],
            direct[order],
            parents[first],
            below[first],
            np.concatenate([[0], np.cumsum(sizes)]),
            counts,
        )

    def told(self, started_with: StartedWith) -> Told:
        counts = self.counts
        order = np.lexsort(
            (self.comms, self.below, self.parents, -counts["execs"], -counts["ended"], counts["failed"] == 0)
        )
        names, chosen = Counter[tuple[int, bool]](), list[int]()
        for group in order.tolist():
            parent = int(self.parents[group]), bool(self.below[group])
            names[parent] += 1
            if names[parent] <= MAX_NAMES:
                chosen.append(group)
            if len(chosen) == _CANDIDATES:
                break
        looked = self._looked_at(chosen)
        asked = np.concatenate([np.zeros(0, np.intp), *looked])
        asked = asked[self.programs[asked]]
        lines = dict(zip(asked.tolist(), map(" ".join, started_with(self.slots[asked])), strict=True))
        jobs = [
            (int(self.parents[group]), self._job(group, which, lines))
            for group, which in zip(chosen, looked, strict=True)
        ]
        return Told(tuple(jobs), self._named())

    def _named(self) -> tuple[int, ...]:
        """Parents above the floor, who fails most first."""
        who, of = np.unique(self.parents, return_inverse=True)
        failed = np.bincount(of, self.counts["failed"])
        ended = np.bincount(of, self.counts["ended"])
        order = np.lexsort((who, -ended, -failed))
        above = (failed >= MIN_FAILED) | (ended >= MIN_ENDED)
        return tuple(who[order][above[order]][:MAX_PARENTS].tolist())

    def _looked_at(self, chosen: list[int]) -> list[Index]:
        """Of each group the members whose command lines are looked at, failed ones first."""
        left, looked = _LOOKED_AT, []
        for group in chosen:
            begin, end = int(self.starts[group]), int(self.starts[group + 1])
            members = np.arange(begin, min(end, begin + _OF_CALM))
            if self.counts["failed"][group]:
                fails = self.failed[begin:end]
                well = np.flatnonzero(self.ended[begin:end] & ~fails)
                members = begin + np.concatenate([np.flatnonzero(fails)[:_OF_GROUP], well[:_OF_GROUP]])
            looked.append(members[:left])
            left -= len(looked[-1])
        return looked

    def _job(self, group: int, looked: Index, lines: Mapping[int, str]) -> Job:
        count = {name: int(counts[group]) for name, counts in self.counts.items()}
        begin, end, middle = int(self.starts[group]), int(self.starts[group + 1]), (count["ended"] - 1) // 2
        said = [lines.get(at, "") for at in looked.tolist()]
        same = same_ended = code = 0
        if count["failed"]:
            fails = self.failed[begin:end]
            code = _most(self.codes[begin:end][fails][:_LOOKED_AT].tolist())
            fell = np.count_nonzero(self.failed[looked])
            line = _most(said[:fell]) if fell else ""
            if fell and self.direct[looked[:fell]].all():
                same = round(said[:fell].count(line) * count["failed"] / fell)
                same_ended = same + said[fell:].count(line)
        else:
            line = _most(said) if said else ""
        return Job(
            id="",
            parent="",
            below=bool(self.below[group]),
            comm=text(bytes(self.comms[group])),
            command=_cut(line),
            **count,
            same=same,
            same_ended=same_ended,
            code=code,
            median_ms=round(int(self.lived_ns[begin + middle]) / 1e6, 1) if count["ended"] else 0.0,
        )


def _most(values: list[_Value]) -> _Value:
    """The most frequent, of several the first in order."""
    distinct = set(values)
    return min(distinct, key=lambda each: (-values.count(each), each)) if len(distinct) > 1 else values[0]


def _cut(line: str) -> str:
    return line if len(line) <= MAX_COMMAND else f"{line[:_HEAD]}…{line[-_TAIL:]}"


def _starters(rows: Rows, at: Index) -> tuple[Index, NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each of these the place of who really started it, -1 where that is not known: of a subshell the shell, of
    another that is gone who lives above it. Whether that is its parent itself; whether others than subshells are
    between.
    """
    able = np.flatnonzero((rows["alive"] | (rows["forks"] > 0)) & ~rows["kthread"])
    keys = identities(rows["pid"][able], rows["start_ns"][able])
    order = np.argsort(keys, kind="stable")
    keys, able = keys[order], able[order]

    def above(of: Index) -> Index:
        if not len(able):
            return np.full(len(of), -1, np.intp)
        wanted = identities(rows["ppid"][of], rows["parent_start_ns"][of])
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, able[place], -1)

    each, back = np.unique(above(at), return_inverse=True)
    starters, below = each.copy(), np.zeros(len(each), np.bool_)
    for _ in range(_FAR):
        gone = np.flatnonzero((starters >= 0) & ~rows["alive"][starters])
        here = starters[gone]
        up = above(here)
        subshell = (up >= 0) & (rows["comm"][up] == rows["comm"][here])
        brief = rows["exit_ns"][here].astype(np.int64) - rows["first_ns"][here].astype(np.int64) < _LONG_LIVED_NS
        gone, up, subshell = (of[subshell | brief] for of in (gone, up, subshell))
        if not len(gone):
            break
        starters[gone] = up
        below[gone[~subshell]] = True
    return starters[back], (starters == each)[back], below[back]
