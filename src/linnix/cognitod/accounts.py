"""What each process has used, and what it holds: one row a slot of the process table.

Owns the arithmetic between two samples: rates, the split of CPU time, and the score by which the kernel picks whom to
kill. Refuses identity: the table says which slot is whose and clears a slot when it changes hands. Invariant: a counter
never runs backwards, and what is not known is UNKNOWN, never 0.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod import records
from linnix.cognitod.events import COUNTERS, UNKNOWN_ADJ, UNKNOWN_FILES, Array
from linnix.cognitod.handles import Index
from linnix.cognitod.model import UNKNOWN, UNKNOWN_NICE, USAGE, Rows

Amounts = NDArray[np.int64]

_SECOND_NS = 1e9
#: Where PROCESS and USAGE hold the same things in the same order, seen as 64-bit numbers.
_DELAY, _FAULTS_END = COUNTERS.index("run_delay_ns"), COUNTERS.index("cancelled_write_bytes") + 1
_SIZES = slice(_FAULTS_END, _FAULTS_END + 4)
_TOLD = slice(_DELAY, _FAULTS_END + 4)
_KEPT = slice(_DELAY - 1, _FAULTS_END + 3)
_COUNTED = _FAULTS_END - _DELAY  # of those, the counters; sizes follow
_RATED = _COUNTED - 1  # all counters but the last have a rate
_RATES = slice(2 * _KEPT.stop, 2 * _KEPT.stop + _RATED)  # as 32-bit numbers
_CPU = (("cpu_user_ns", "cpu_user_pct"), ("cpu_system_ns", "cpu_system_pct"))
_RATE_NAMES = tuple(name for name in USAGE.names or () if name.endswith(("_pct", "_per_s")))
#: ACCOUNT and USAGE: what of the final account raises which counter.
_FINAL = {
    "run_delay_ns": "run_delay_ns",
    "nvcsw": "voluntary_switches",
    "nivcsw": "involuntary_switches",
    "min_flt": "minor_faults",
    "maj_flt": "major_faults",
    "read_bytes": "read_bytes",
    "write_bytes": "write_bytes",
}


def split_cpu(cpu_ns: Amounts, utime: Amounts, stime: Amounts, user_ns: Amounts, system_ns: Amounts) -> Amounts:
    """CPU time spent in the kernel, of ``cpu_ns`` in all, where ticks saw ``utime`` and ``stime``.

    As cputime_adjust (kernel/sched/cputime.c): in proportion, and neither part less than it was (``user_ns``,
    ``system_ns``, -1 for never). The rest of ``cpu_ns`` is user time.
    """
    ticks = utime + stime
    share = np.divide(stime, ticks, out=np.zeros(len(ticks)), where=ticks > 0)
    system: Amounts = np.maximum((cpu_ns * share).astype(np.int64), system_ns)
    return np.minimum(system, cpu_ns - np.maximum(user_ns, 0))


def oom_scores(told: Array, mem_total_bytes: int, swap_total_bytes: int) -> NDArray[np.int16]:
    """``/proc/PID/oom_score`` of rows of dtype PROCESS (fs/proc/base.c, proc_oom_score; mm/oom_kill.c, oom_badness).

    -1 where the row does not tell. Not looked at are the two moments in which the kernel says 0: between vfork and
    exec, and while the OOM killer's victim gives back its memory.
    """
    page = mmap.PAGESIZE
    total = max((mem_total_bytes + swap_total_bytes) // page, 1)
    pgtables, swap, adj = (
        told["pgtables_bytes"].view(np.int64),
        told["swap_bytes"].view(np.int64),
        told["oom_score_adj"],
    )
    pages = told["rss_bytes"].view(np.int64) // page + swap // page + pgtables // page
    badness = pages + adj.astype(np.int64) * (total // 1000)
    scaled = (np.abs(badness) * 1000 // total) * np.sign(badness)  # C divides towards zero
    scores = (1000 + scaled) * 2 // 3
    never = told["kthread"] | (told["pid"] == 1) | (pgtables == 0) | (adj == -1000)
    unknown = (adj == UNKNOWN_ADJ) | (pgtables == UNKNOWN) | (swap == UNKNOWN)
    return np.where(never, 0, np.where(unknown, -1, scores)).astype(np.int16)


class Accounts:
    """Of every process, dtype USAGE by slot."""

    def __init__(self) -> None:
        self._usage = np.zeros(0, USAGE)
        self._delay_seen = np.zeros(0, np.int64)  # run-queue delay of the living threads at the last sample

    def resize(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        for name in ("_usage", "_delay_seen"):
            setattr(self, name, records.grown(getattr(self, name), slots))

    def clear(self, slots: Index) -> None:
        """These slots have new owners, of whom nothing is known yet."""
        records.fill(self._usage, slots, _NOTHING)
        self._delay_seen[slots] = 0

    def bury(self, slots: Index) -> None:
        """These have exited: they hold nothing any more; what they used stays."""
        for name in ("rss_file_bytes", "rss_anon_bytes", "rss_shmem_bytes", "swap_bytes", "open_files", "oom_score"):
            self._usage[name][slots] = 0
        for name in _RATE_NAMES:
            self._usage[name][slots] = np.nan

    def record(
        self,
        slots: Index,
        told: Array,
        cpu_ns: NDArray[np.uint64],
        elapsed_ns: Amounts,
        *,
        unrated: NDArray[np.bool_],
        mem_total_bytes: int,
        swap_total_bytes: int,
    ) -> None:
        """Take a sample (dtype PROCESS, contiguous) of these slots; ``cpu_ns`` is theirs, never running backwards.

        ``elapsed_ns`` is the time since their last sample, or their birth. ``unrated`` have neither: they ran before
        the daemon did.
        """
        usage, numbers = self._usage, self._numbers()
        now = told.view("<i8").reshape(len(told), -1)[:, _TOLD].copy()
        before = numbers[slots, _KEPT]
        now[:, 0] = self._delay(slots, now[:, 0], before[:, 0])
        counted, was = now[:, :_COUNTED], before[:, :_COUNTED]
        np.maximum(counted, was, out=counted, where=counted != UNKNOWN)
        grown = (counted - np.maximum(was, 0))[:, :_RATED] * (_SECOND_NS / elapsed_ns)[:, np.newaxis]
        grown[:, 0] *= 100 / _SECOND_NS
        grown[(counted[:, :_RATED] == UNKNOWN) | unrated[:, np.newaxis]] = np.nan
        numbers[slots, _KEPT] = now
        usage.view("<f4").reshape(len(usage), -1)[slots, _RATES] = grown
        spent_before = [usage[name][slots] for name, _ in _CPU]
        self._split(
            slots, cpu_ns.astype(np.int64), told["utime_ns"].astype(np.int64), told["stime_ns"].astype(np.int64)
        )
        for (name, rate), spent in zip(_CPU, spent_before, strict=True):
            pct = (usage[name][slots] - np.maximum(spent, 0)) * 100 / elapsed_ns
            usage[rate][slots] = np.where(unrated, np.nan, pct)
        for name in ("open_files", "oom_score_adj", "nice"):
            usage[name][slots] = told[name]
        usage["oom_score"][slots] = oom_scores(told, mem_total_bytes, swap_total_bytes)

    def settle(self, slots: Index, final: Array, cpu_ns: NDArray[np.uint64]) -> None:
        """Raise the counters of these slots to their final account (dtype ACCOUNT)."""
        for name, counter in _FINAL.items():
            self._usage[counter][slots] = np.maximum(self._usage[counter][slots], final[name].view(np.int64))
        self._split(slots, cpu_ns.astype(np.int64), final["utime_ns"].view(np.int64), final["stime_ns"].view(np.int64))

    def of(self, slots: Index) -> Rows:
        """The rows of these slots; a copy."""
        usage: Rows = self._usage.take(slots)
        return usage

    def _delay(self, slots: Index, seen: Amounts, total: Amounts) -> Amounts:
        """Run-queue delay of all threads there ever were, as far as samples saw it.

        The kernel keeps none of a thread that is gone, so the sum falls when one dies. What the others waited meanwhile
        is then lost with it; what it had waited until the last sample is not.
        """
        more = np.maximum(seen - self._delay_seen[slots], 0)
        self._delay_seen[slots] = seen
        return np.where(seen == UNKNOWN, UNKNOWN, np.maximum(total, 0) + more)

    def _split(self, slots: Index, cpu_ns: Amounts, utime: Amounts, stime: Amounts) -> None:
        user, system = self._usage["cpu_user_ns"], self._usage["cpu_system_ns"]
        spent = split_cpu(cpu_ns, utime, stime, user[slots], system[slots])
        user[slots], system[slots] = cpu_ns - spent, spent

    def _numbers(self) -> Amounts:
        return self._usage.view("<i8").reshape(len(self._usage), -1)


def _nothing() -> Rows:
    row = np.zeros(1, USAGE)
    row.view("<i8")[: _KEPT.stop] = UNKNOWN
    for name in _RATE_NAMES:
        row[name] = np.nan
    row["open_files"], row["oom_score"], row["oom_score_adj"] = UNKNOWN_FILES, UNKNOWN, UNKNOWN_ADJ
    row["nice"] = UNKNOWN_NICE
    return row


#: Of a process that no sample has seen.
_NOTHING = _nothing()
