"""Jobs of seconds that no tick of a recording is of.

Owns the guess. Facts tell the jobs of one sample, about a second; where a recording has none for longer, those between
were told to nobody. But how many children of a process ended in ten seconds, and how many of them failed, facts do
tell. Refuses more than these sums have. Invariant: nothing is made up at a tick that follows the one before in time.

What is missing of these sums is taken to have been like the job of that parent that was told last, the failed ones like
the one that failed most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from linnix.cognitod.detect.replayed_counts import Counted
from linnix.cognitod.detect.replayed_jobs import Identity
from linnix.cognitod.detect.tags import WINDOW_S
from linnix.cognitod.detect.view import NS
from linnix.insight.facts import Facts, Job

#: Jobs are those of so long a time.
SAMPLE_NS = NS
#: After this long there is a sample between that no tick is of.
_SKIPPED_NS = 3 * SAMPLE_NS // 2
_WINDOW_NS = round(WINDOW_S * NS)


class Skipped:
    """The books of one recording, tick by tick."""

    def __init__(self) -> None:
        self._ended, self._failed = Counted(), Counted()
        self._told: set[Identity] = set()
        self._like: dict[Identity, tuple[int, Sequence[Job]]] = {}  # by parent, when they were told and what

    def jobs(self, facts: Facts, told: Iterable[tuple[Identity, Job]], begin_ns: int) -> list[tuple[Identity, Job]]:
        """Those of the time between the tick before, at ``begin_ns``, and the sample of these facts. ``told``: jobs
        that these tell of parents themselves.
        """
        now_ns, direct = facts.ts_ns, dict[Identity, list[Job]]()
        for parent, job in told:
            direct.setdefault(parent, []).append(job)
        self._like = {who: seen for who, seen in self._like.items() if now_ns - seen[0] < _WINDOW_NS}
        self._like |= {who: (now_ns, jobs) for who, jobs in direct.items()}
        for counted in (self._ended, self._failed):
            counted.forget(now_ns - _WINDOW_NS)
        found: list[tuple[Identity, Job]] = []
        last, self._told = self._told, set()
        for process in facts.processes:
            who = process.pid, process.start_ns
            self._told.add(who)
            since_ns = begin_ns if who in last else now_ns - _WINDOW_NS
            ended, failed = (
                _missing(counted, who, per_s * WINDOW_S, sum(numbers), (since_ns, begin_ns, now_ns))
                for counted, per_s, numbers in (
                    (self._ended, process.child_exits_per_s, [job.ended for job in direct.get(who, ())]),
                    (self._failed, process.failed_children_per_s, [job.failed for job in direct.get(who, ())]),
                )
            )
            if who in last and who in self._like and now_ns - begin_ns > _SKIPPED_NS:
                found += [(who, job) for job in _like(self._like[who][1], ended, min(failed, ended))]
        return found


def _missing(counted: Counted, who: Identity, wanted: float, told: int, times: tuple[int, int, int]) -> int:
    """How many were told by nobody, of what the sum has. They are in the books then, and no news at the next tick."""
    since_ns, begin_ns, now_ns = times
    counted.made(who, told, max(begin_ns, now_ns - SAMPLE_NS), now_ns)
    missing = max(counted.missing(who, wanted, now_ns), 0)
    counted.made(who, missing, since_ns, now_ns)
    return missing


def _like(jobs: Sequence[Job], ended: int, failed: int) -> Iterator[Job]:
    """So many that ended, of them so many that failed, as those of these jobs did."""
    failing = max((job for job in jobs if job.failed), key=lambda job: job.failed, default=None)
    if failing is not None and failed:
        same = failing.same * failed // failing.failed
        yield _times(failing, failed, failed=failed, same=same, same_ended=same)
    well = max((job for job in jobs if job.ended > job.failed), key=lambda job: job.ended - job.failed, default=None)
    if well is not None and ended > failed:
        alike = (well.same_ended - well.same) * (ended - failed) // (well.ended - well.failed)
        yield _times(well, ended - failed, failed=0, same=0, same_ended=alike)


def _times(job: Job, ended: int, **counts: int) -> Job:
    """As much of it as so many ends are."""
    short, execs = (number * ended // job.ended for number in (job.short, job.execs))
    return msgspec.structs.replace(job, ended=ended, short=short, execs=execs, **counts)
