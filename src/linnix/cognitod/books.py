"""The kernel's totals and ours, as they are held against each other.

Owns the value types between who reads the books and who judges them. Refuses both: ``bookkeeping`` reads and
``conservation`` judges. Invariant: everything is cumulative, so what matters are differences of two readings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdleTime:
    """Of the idle task on all CPUs, since some moment."""

    total_ns: int
    irq_ns: int  # of it in interrupts, where the kernel times them; else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The kernel's totals and ours, read together and all cumulative: what matters are differences of two readings."""

    at_ns: int  # time.monotonic_ns
    cores: int
    run_ns: int | None  # CPU time of all tasks, living and buried; None without eBPF
    irq_timed: bool = False  # the kernel takes time in interrupts from the tasks that they hit
    idle_task_ns: int | None = None  # how long the idle task has been on a CPU; None where nobody watches
    idle_irq_ns: int = 0
    idle_ns: int  # what the kernel calls idle, waiting for IO included
    steal_ns: int
    irq_ns: int  # in interrupts, by ticks where the kernel does not time them
    read_bytes: int | None = None  # from block devices, by all tasks, living and buried; None without eBPF
    write_bytes: int | None = None  # to block devices or dirtied, less what was cancelled
    disk_read_bytes: int = 0  # what whole disks say
    disk_write_bytes: int = 0
    processes: int  # the kernel's counter: every clone, workers of io_uring and vhost among them
    forks: int  # of processes, lost events included
    threads: int
    workers: int
    together: bool  # nobody was born between the reading of the kernel's counter and of ours
