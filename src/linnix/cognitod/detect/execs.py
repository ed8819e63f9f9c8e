"""``exec_rate``: a program, told by a pattern, that is run again and again and ends soon.

Owns the pairing of execs with exits of what the pattern finds. Refuses everything else: what it does not find costs
one look per distinct name. Invariant: memory is bounded by ``MAX_RUNS``; where more come within the window, it gets
shorter and says so.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from statistics import median

import numpy as np

from linnix.cognitod.detect.lineage import Holder
from linnix.cognitod.detect.params import MAX_RUNS, ExecRate
from linnix.cognitod.detect.view import NS, Hit, View, Who
from linnix.cognitod.events import Array, Kind
from linnix.cognitod.model import text

_WINDOW_S = 60
#: It still goes on while this latest part of the window has half of what the rate would put there.
_LATEST_S = 12


@dataclass(slots=True)
class _Run:
    ts_ns: int
    ppid: int
    parent_start_ns: int
    lived_ns: int | None = None


class Execs:
    """The detector. The pattern is searched, not anchored, in comm and in filename."""

    sampled = False

    def __init__(self, params: ExecRate) -> None:
        self._params = params
        self._pattern = re.compile(params.regex)
        self._runs: OrderedDict[tuple[int, int], _Run] = OrderedDict()
        self._behind: Holder | None = None
        self._dropped_ns = -1  # of the latest run for which there was no room

    def observe(self, view: View) -> list[Hit]:
        """One hit while execs of the last minute reach the rate and their median life is short enough."""
        self._take(view.events, view.texts)
        horizon = view.now_ns - _WINDOW_S * NS
        while self._runs and (next(iter(self._runs.values())).ts_ns <= horizon or len(self._runs) > MAX_RUNS):
            full = len(self._runs) > MAX_RUNS
            dropped = self._runs.popitem(last=False)[1]
            self._dropped_ns = dropped.ts_ns if full else self._dropped_ns
        runs = list(self._runs.values())
        lived = [run.lived_ns for run in runs if run.lived_ns is not None]
        if len(runs) < self._params.rate_per_min or not lived:
            return []
        middle_s = median(lived) / NS
        if middle_s > self._params.median_lifetime:
            return []
        latest = [run for run in runs if run.ts_ns > view.now_ns - _LATEST_S * NS]
        if len(latest) < self._params.rate_per_min * _LATEST_S / _WINDOW_S / 2:
            return []
        window_s = float(_WINDOW_S)
        if self._dropped_ns > horizon:
            window_s = max(round((view.now_ns - runs[0].ts_ns) / NS, 3), 0.001)
        tree = view.forkers
        ppids = np.array([run.ppid for run in latest], np.uint32)
        starts = np.array([run.parent_start_ns for run in latest], np.uint64)
        at = tree.indices(ppids, starts)
        weights = np.bincount(at[at >= 0], minlength=len(tree.rows)).astype(np.float64)
        behind = self._behind = tree.resident(weights, whole=float(len(latest)), before=self._behind)
        evidence = {
            "execs": float(len(runs)),
            "window_s": window_s,
            "median_lifetime_s": round(middle_s, 3),
            "threshold": float(self._params.rate_per_min),
        }
        message = f"{len(runs)} execs of one pattern in {window_s:g} s, half of them lived at most {middle_s:.3g} s"
        culprit = Who.of(behind.row) if behind else None
        return [Hit(cls=self._params.cls, message=message, culprit=culprit, evidence=evidence)]

    def _take(self, events: Array, texts: Array) -> None:
        execs = events.compress(events["kind"] == Kind.EXEC)
        for event in execs[self._matches(execs, texts)].tolist() if len(execs) else ():
            run = dict(zip(events.dtype.names or (), event, strict=True))
            key = (run["pid"], run["start_ns"])
            self._runs.pop(key, None)
            self._runs[key] = _Run(run["ts_ns"], run["ppid"], run["parent_start_ns"])
        exits = events.compress(events["kind"] == Kind.EXIT)
        if not self._runs or not len(exits):
            return
        for pid, start_ns, ts_ns in zip(*(exits[name].tolist() for name in ("pid", "start_ns", "ts_ns")), strict=True):
            found = self._runs.get((pid, start_ns))
            if found is not None:
                found.lived_ns = ts_ns - found.ts_ns

    def _matches(self, execs: Array, texts: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        comms, at = np.unique(execs["comm"], return_inverse=True)
        found = np.array([self._finds(comm) for comm in comms])[at]
        if len(texts):
            names, at = np.unique(texts["filename"], return_inverse=True)
            named = np.array([self._finds(name) for name in names])[at]
            wanted = set(zip(texts["pid"][named].tolist(), texts["seq"][named].tolist(), strict=True))
            told = zip(execs["pid"].tolist(), execs["text_seq"].tolist(), strict=True)
            found |= np.array([key in wanted for key in told])
        return found

    def _finds(self, name: bytes) -> bool:
        return self._pattern.search(text(name)) is not None
