"""From jobs of recorded facts to the events and texts of each child.

Owns how one job's numbers become single lives. Refuses everything that jobs do not tell; ``recorded`` fills that up.
Invariant: counted again, the events of a tick give the job's ``ended``, ``failed``, ``short``, ``execs`` and ``same``,
of each up to ``_MAX_ENDED``; equal command lines have equal texts, and others differ.

Everybody of a job lives its median life, short ones less than a second; whoever else did ran no program. Who failed is
spread evenly among who ended. Who ends after having run its program in an earlier tick is the one that has waited
longest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.tags import SHORT_NS
from linnix.cognitod.events import ARGV_LEN, EVENT, EXEC_TEXT, FILENAME_LEN, Array, Kind
from linnix.insight.facts import Job

Identity = tuple[int, int]

#: Made-up processes have pids beyond the largest that a kernel gives (2^22), so that they are never taken for others.
FIRST_PID = 1 << 30
#: Those of jobs, beyond those of all others.
_FIRST_PID = FIRST_PID + FIRST_PID // 2
_PIDS = FIRST_PID // 4
#: Of one kind of one job: more is a recording that is wrong.
_MAX_ENDED = 100_000
#: Names of parents, and those of one name, that still run.
_MAX_RUNNING, _MAX_WAITING = 1024, 4096


def spread(begin_ns: int, end_ns: int, number: int) -> NDArray[np.int64]:
    """Moments spread evenly over a time, the last of them its end."""
    return begin_ns + (end_ns - begin_ns) * np.arange(1, number + 1, dtype=np.int64) // max(number, 1)


class ReplayedJobs:
    """Jobs of one recording, tick by tick."""

    def __init__(self) -> None:
        self._next = 0
        self._seq = 0
        self._others = 0  # command lines that are like no other
        #: By parent and name those that have run their program and not ended: (pid, start_ns).
        self._running: OrderedDict[tuple[Identity, str], deque[Identity]] = OrderedDict()

    def take(
        self, jobs: Iterable[tuple[Identity, Job]], begin_ns: int, now_ns: int, boot_offset_ns: int
    ) -> tuple[Array, Array]:
        """Events (dtype EVENT, in no order) and texts (EXEC_TEXT) of these jobs, each with its parent."""
        events, texts = [np.zeros(0, EVENT)], [np.zeros(0, EXEC_TEXT)]
        for parent, job in jobs:
            made, said = self._job(parent, job, begin_ns, now_ns, boot_offset_ns)
            events.append(made)
            texts.append(said)
        return np.concatenate(events), np.concatenate(texts)

    def _job(self, parent: Identity, job: Job, begin_ns: int, now_ns: int, boot_offset_ns: int) -> tuple[Array, Array]:
        number = min(job.ended, _MAX_ENDED)
        ended_ns = spread(begin_ns, now_ns, number)
        short, failed = _first(number, job.short), _evenly(number, job.failed)
        lived_ns = np.full(number, round(job.median_ms * 1e6), np.int64)
        lived_ns = np.where(short, np.minimum(lived_ns, SHORT_NS - 1), lived_ns)
        ends = np.zeros(number, EVENT)
        ends["kind"], ends["ts_ns"] = Kind.EXIT, ended_ns
        ends["start_ns"] = np.maximum(ended_ns + boot_offset_ns - lived_ns, 1)
        ends["pid"] = self._pids(number)
        ends["exit_code"] = np.where(failed, max(job.code, 0), 0)
        ends["exit_signal"] = np.where(failed, max(-job.code, 0), 0)
        waiting = self._waiting(parent, job.comm)
        for at in np.flatnonzero(~short).tolist():
            if waiting:
                ends["pid"][at], ends["start_ns"][at] = waiting.popleft()

        runs = ends.compress(short)
        runs["ts_ns"] -= lived_ns[short].astype(np.uint64)
        born = runs.copy()  # with their programs: how many fork and how many run one is held against each other
        born["kind"], born["exit_code"], born["exit_signal"] = Kind.FORK, 0, 0
        lasting_ns = spread(begin_ns, now_ns, min(max(job.execs - job.short, 0), _MAX_ENDED))
        lasting = np.zeros(len(lasting_ns), EVENT)
        lasting["ts_ns"], lasting["start_ns"] = lasting_ns, lasting_ns + boot_offset_ns
        lasting["pid"] = self._pids(len(lasting))
        waiting.extend(zip(lasting["pid"].tolist(), lasting["start_ns"].tolist(), strict=True))
        runs = np.concatenate([runs, lasting])
        runs["kind"], runs["exit_code"], runs["exit_signal"] = Kind.EXEC, 0, 0
        runs["text_seq"] = np.arange(self._seq + 1, self._seq + 1 + len(runs))
        self._seq += len(runs)

        events = np.concatenate([born, runs, ends])
        events["ppid"], events["parent_start_ns"] = parent
        events["comm"] = job.comm.encode()
        return events, np.concatenate([self._texts(job, runs), self._last_words(job, ends, failed)])

    def _texts(self, job: Job, runs: Array) -> Array:
        """What was run, as its exec tells it; of whom it is not known yet how it ends, so like no other."""
        texts = np.zeros(len(runs), EXEC_TEXT)
        for name in ("pid", "start_ns"):
            texts[name] = runs[name]
        texts["seq"] = runs["text_seq"]
        self._write(job, texts, [False] * len(texts))
        return texts

    def _last_words(self, job: Job, ends: Array, failed: NDArray[np.bool_]) -> Array:
        """The same once more of those that end, now that it is known of whom the job's command line is."""
        same = failed & (np.cumsum(failed) <= job.same)
        same |= ~failed & (np.cumsum(~failed) <= job.same_ended - job.same)
        if not job.command:  # they ran no program, and are known by their name
            ends, same = ends.compress(~same), same[~same]
        texts = np.zeros(len(ends), EXEC_TEXT)
        for name in ("pid", "start_ns"):
            texts[name] = ends[name]
        self._write(job, texts, same.tolist())
        return texts

    def _write(self, job: Job, texts: Array, same: Iterable[bool]) -> None:
        filename = (job.command.split(" ", 1)[0] or job.comm).encode()[: FILENAME_LEN - 1]
        texts["filename"], texts["filename_len"] = filename, len(filename)
        for at, alike in enumerate(same):
            if not alike:
                self._others += 1
            argv = (job.command if alike else f"{filename!r}\0{self._others}").encode()[:ARGV_LEN]
            texts["argv"][at] = np.void(argv.ljust(ARGV_LEN, b"\0"))
            texts["argv_len"][at] = texts["argv_total"][at] = len(argv)

    def _waiting(self, parent: Identity, comm: str) -> deque[Identity]:
        key = parent, comm
        waiting = self._running.setdefault(key, deque(maxlen=_MAX_WAITING))
        self._running.move_to_end(key)
        if len(self._running) > _MAX_RUNNING:
            self._running.popitem(last=False)
        return waiting

    def _pids(self, number: int) -> NDArray[np.int64]:
        pids = _FIRST_PID + (self._next + np.arange(number, dtype=np.int64)) % _PIDS
        self._next = (self._next + number) % _PIDS
        return pids


def _first(length: int, number: int) -> NDArray[np.bool_]:
    return np.arange(length) < number


def _evenly(length: int, number: int) -> NDArray[np.bool_]:
    """A mask with so many of its entries, as far apart as they can be, the last among them."""
    steps = np.arange(length + 1) * min(number, length) // max(length, 1)
    return np.diff(steps) > 0
