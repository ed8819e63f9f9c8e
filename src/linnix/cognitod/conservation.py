"""Whether CPU time, births and bytes add up: what we saw against what the kernel says in all.

Owns the balances and the windows they are drawn over. Refuses clocks and files: readings are handed in. Invariant:
a balance is of two readings only, so that an error in one of them does not last.

CPU time: over at least ``WINDOW_NS``, what all tasks ran, those that were born and died in between included, and what
interrupts took of idle CPUs, is cores × elapsed − (idle + iowait + steal). Run times are the scheduler's and in
nanoseconds; a running thread's is up to a tick old, and the idle times of ``/proc/stat`` are cut to 10 ms, which is why
less than ten seconds or a quarter of the host would say nothing. What a task uses after its exit is added when it is
freed: for a grace period of RCU, or until its parent waits for it, that is in neither sum.

Births: forks, threads and the kernel's own workers, against the counter ``processes``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from linnix.cognitod.books import Books

WINDOW_NS = 10 * 10**9
#: Below this share of the host's time, in percent, the balance is too small to be judged.
MIN_BUSY_PCT = 25.0
#: How far the two sides may lie apart, in percent of what is expected.
TOLERANCE_PCT = 2.0
_MAX_READINGS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """CPU time over a window."""

    window_ns: int
    busy_pct: float  # of all cores
    accounted_ns: int | None  # tasks and interrupts; None where nobody sees what tasks run
    interrupts_ns: int | None  # None: not measured, and not in the other
    expected_ns: int

    @property
    def error_pct(self) -> float | None:
        """What is missing (negative) or too much, in percent of what is expected."""
        if self.accounted_ns is None or self.expected_ns <= 0:
            return None
        return 100.0 * (self.accounted_ns - self.expected_ns) / self.expected_ns

    @property
    def holds(self) -> bool | None:
        """None where nobody can tell, or the host was not busy enough to."""
        error_pct = self.error_pct
        return None if error_pct is None or self.busy_pct < MIN_BUSY_PCT else abs(error_pct) <= TOLERANCE_PCT


@dataclass(frozen=True, slots=True, kw_only=True)
class Births:
    """Forks, threads and workers against the kernel's counter, between two readings."""

    kernel_processes: int
    forks: int
    threads: int
    workers: int

    @property
    def unexplained(self) -> int:
        """What the kernel counted and nobody saw; less than 0 for what it did not count."""
        return self.kernel_processes - self.forks - self.threads - self.workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What all tasks read and wrote of block devices, against what the disks did, between two readings.

    Reads are charged to whoever submits them, so the two agree but for requests on their way, those of devices that are
    no whole disks, and what was read twice because one device stands on another. Writes are charged when a page is
    dirtied, and reach the disk when it is written back; a filesystem's journal is charged to nobody.
    """

    read_bytes: int
    disk_read_bytes: int
    write_bytes: int
    disk_write_bytes: int


class Ledger:
    """The readings of the last ten seconds, and the first one."""

    def __init__(self) -> None:
        self._readings: deque[Books] = deque(maxlen=_MAX_READINGS)
        self._first: Books | None = None
        self._last: Books | None = None
        self._began: Books | None = None

    def add(self, books: Books) -> None:
        """Take in a reading, younger than all before."""
        self._began = self._began or books
        self._readings.append(books)
        while len(self._readings) > 1 and books.at_ns - self._readings[1].at_ns >= WINDOW_NS:
            self._readings.popleft()
        if books.together:
            self._first = self._first or books
            self._last = books

    def balance(self) -> Balance | None:
        """CPU time over the shortest window of ``WINDOW_NS`` or more; None until there is one of constant cores."""
        if not self._readings:
            return None
        first, last = self._readings[0], self._readings[-1]
        window_ns = last.at_ns - first.at_ns
        if window_ns < WINDOW_NS or not last.cores or first.cores != last.cores:
            return None
        host_ns = window_ns * last.cores
        idle_ns = last.idle_ns - first.idle_ns
        expected_ns = host_ns - idle_ns - (last.steal_ns - first.steal_ns)
        interrupts_ns = _interrupts_ns(first, last, idle_ns)
        return Balance(
            window_ns=window_ns,
            busy_pct=100.0 * expected_ns / host_ns,
            accounted_ns=_difference(first.run_ns, last.run_ns, interrupts_ns or 0),
            interrupts_ns=interrupts_ns,
            expected_ns=expected_ns,
        )

    def traffic(self) -> Traffic | None:
        """Since the first reading; None before it and without eBPF."""
        if self._began is None:
            return None
        first, last = self._began, self._readings[-1]
        read_bytes = _difference(first.read_bytes, last.read_bytes)
        write_bytes = _difference(first.write_bytes, last.write_bytes)
        if read_bytes is None or write_bytes is None:
            return None
        return Traffic(
            read_bytes=read_bytes,
            disk_read_bytes=last.disk_read_bytes - first.disk_read_bytes,
            write_bytes=write_bytes,
            disk_write_bytes=last.disk_write_bytes - first.disk_write_bytes,
        )

    def births(self) -> Births | None:
        """Since the first reading whose counters belong together; None before it."""
        first, last = self._first, self._last
        if first is None or last is None:
            return None
        return Births(
            kernel_processes=last.processes - first.processes,
            forks=last.forks - first.forks,
            threads=last.threads - first.threads,
            workers=last.workers - first.workers,
        )


def _difference(first: int | None, last: int | None, more: int = 0) -> int | None:
    return None if first is None or last is None else last - first + more


def _interrupts_ns(first: Books, last: Books, idle_ns: int) -> int | None:
    """Interrupts that hit the idle task, and the idle task's own steps; where the kernel times interrupts, and so
    takes those that hit another task out of that one's run time, these as well.
    """
    if first.idle_task_ns is None or last.idle_task_ns is None:
        return None
    taken_ns = max(last.idle_task_ns - first.idle_task_ns - idle_ns, 0)
    if last.irq_timed:
        taken_ns += max(last.irq_ns - first.irq_ns - (last.idle_irq_ns - first.idle_irq_ns), 0)
    return taken_ns
