"""``short_job_loop``: one process that runs the same few programs again and again.

Owns what tells such a loop from a build, which also runs hundreds of short programs: a build's programs are many, and
most are started by other short-lived ones, as a compiler driver starts its passes. Refuses to count what never ran a
program. Invariant: a parent is named only while it lives and is not younger than the window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.lineage import Lineage
from linnix.cognitod.detect.signs import ShortJobLoop
from linnix.cognitod.detect.view import NS, Hit, View, Who
from linnix.cognitod.handles import of_names

#: Programs that lived longer are not short.
SHORT_JOB_US = 1_000_000
#: The names that make up so much of a loop's programs are counted.
_MOST = 0.8
#: It goes on at half the pace in every second of the window but one. What comes in bursts, as the checks of a configure
#: script do between two pauses, is work in steps.
_PACE = 0.5
_SPARED = 1
#: Also in the latest part of the window, as long as this.
_LATEST_S = 2.0
_FAR = 8


class JobLoops:
    """The detector. It looks once a sample: what goes on for seconds need not be looked for twice in each."""

    sampled = True

    def __init__(self, params: ShortJobLoop) -> None:
        self._params = params
        self._needed = params.threshold * params.duration

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process that started enough of them itself."""
        number, window_s = view.recent.jobs.count(view.now_ns, self._params.duration)
        if number < self._needed:
            return []
        jobs, window_s = view.recent.jobs.window(view.now_ns, self._params.duration)
        jobs = jobs[jobs["lifetime_us"] <= SHORT_JOB_US]
        tree = view.forkers
        of = _starters(tree, tree.indices(jobs["ppid"], jobs["parent_start_ns"]))
        own = np.bincount(of[of >= 0], minlength=len(tree.rows))
        below = np.array(tree.totals(own.astype(np.float64)))
        begin_ns = view.now_ns - round(self._params.duration * NS)
        latest = jobs["ts_ns"] > view.now_ns - round(_LATEST_S * NS)
        seconds = np.clip((view.now_ns - jobs["ts_ns"].astype(np.int64)) // NS, 0, None)
        wanted = max(int(self._params.duration) - _SPARED, 1)
        enough = tree.eligible() & (own >= self._needed) & (tree.rows["first_ns"] <= begin_ns)
        hits = []
        for at in np.flatnonzero(enough).tolist():
            theirs = of == at
            share_pct = 100 * own[at] / max(below[at], 1)
            programs = _names(jobs["comm"][theirs])
            goes_on = np.count_nonzero(theirs & latest) >= self._params.threshold * _LATEST_S * _PACE
            in_each = np.bincount(seconds[theirs])
            goes_on &= np.count_nonzero(in_each >= self._params.threshold * _PACE) >= wanted
            if goes_on and share_pct >= self._params.share_pct and programs <= self._params.programs:
                median_ms = float(np.median(jobs["lifetime_us"][theirs])) / 1000
                hits.append(self._hit(tree.rows[at], int(own[at]), window_s, programs, share_pct, median_ms))
        return hits

    def _hit(
        self, row: np.void, number: int, window_s: float, programs: int, share_pct: float, median_ms: float
    ) -> Hit:
        evidence = {
            "short_jobs_per_s": round(number / window_s, 1),
            "threshold": float(self._params.threshold),
            "programs": float(programs),
            "median_lifetime_ms": round(median_ms, 1),
            "share_pct": round(float(share_pct), 1),
            "window_s": window_s,
        }
        message = (
            f"pid {row['pid']} started {number} programs in {window_s:g} s that were gone within a second, "
            f"nearly all of them one of {programs}"
        )
        return Hit(cls=self._params.cls, message=message, culprit=Who.of(row), evidence=evidence)


def _starters(tree: Lineage, at: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each parent by its index who really started the program: of a subshell, the shell."""
    comms, alive = tree.rows["comm"], tree.rows["alive"]
    starter = np.full(len(tree.rows) + 1, -1, np.intp)  # the last is of those whose parent is not known
    for index in np.flatnonzero(np.bincount(at[at >= 0])).tolist():
        found = index
        for _ in range(_FAR):
            above = tree.parents[found] if found >= 0 else -1
            if found < 0 or alive[found] or above < 0 or comms[above] != comms[found]:
                break
            found = above
        starter[index] = found
    found_by: NDArray[np.intp] = starter[at]
    return found_by


def _names(comms: NDArray[np.bytes_]) -> int:
    """How many names make up most of these."""
    _, counts = np.unique(of_names(comms), return_counts=True)
    sums = np.cumsum(np.sort(counts)[::-1])
    return int(np.searchsorted(sums, _MOST * sums[-1])) + 1
