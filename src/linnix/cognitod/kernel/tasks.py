"""Turns what the task iterator wrote, one record a thread, into one row a process.

Owns the reading of an iterator's file and the sum over threads. Refuses rates and history: those are the process
table's. Invariant: what a process used is the sum over its records, because its leader's holds the share of the dead.
"""

from __future__ import annotations

import mmap
import os

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import COUNTERS, PROCESS, TASK, UNKNOWN, Array

#: What the kernel returns at most in one read of an iterator (seq_file's buffer).
READ_BYTES = 32 << 10
PF_KTHREAD = 0x0020_0000

_ZOMBIE, _DEAD = 0x20, 0x10
#: include/linux/sched.h. First match wins, as in fs/proc/array.c; what matches nothing is runnable.
_STATES = (
    (0x402, 0x402, b"I"),  # TASK_IDLE: uninterruptible and not counted as load
    (_ZOMBIE, _ZOMBIE, b"Z"),
    (_DEAD, _DEAD, b"X"),
    (0x40, 0x40, b"P"),
    (0x08, 0x08, b"t"),
    (0x04, 0x04, b"T"),
    (0x1002, 0, b"D"),  # uninterruptible, or blocked on a lock of a real-time kernel
    (0x01, 0x01, b"S"),
    (0x8000, 0x8000, b"D"),  # frozen
)


def read_walk(fd: int) -> Array:
    """All records of one walk of the iterator: dtype TASK. ``OSError`` as read(2)."""
    parts = []
    while part := os.read(fd, READ_BYTES):
        parts.append(part)
    return np.frombuffer(b"".join(parts), TASK)


def state_letters(states: NDArray[np.uint32]) -> NDArray[np.bytes_]:
    """The letter of proc(5) for each combination of the kernel's state bits."""
    letters = np.full(len(states), b"R", "S1")
    undecided = np.ones(len(states), bool)
    for mask, wanted, letter in _STATES:
        bits = states & mask
        hit = undecided & ((bits == wanted) if wanted else (bits != 0))
        letters[hit] = letter
        undecided &= ~hit
    return letters


def sum_threads(tasks: Array) -> Array:
    """One row a process, dtype PROCESS, ordered by pid.

    A process is described by its leader; if that has exited while others run on, by its first living thread, except
    for its name. Memory and open files are told by whichever thread still has them.
    """
    if not len(tasks):
        return np.empty(0, PROCESS)
    pid, tid = tasks["pid"], tasks["tid"]
    gone = tasks["state"] & (_ZOMBIE | _DEAD) != 0
    # by process; within it the leader first, then its threads in order
    order = np.lexsort((tid, tid != pid, pid))
    tasks, pid, gone = tasks.take(order), pid[order], gone[order]
    first = np.flatnonzero(np.concatenate(([True], pid[1:] != pid[:-1])))
    # where the first is gone and another lives, that one's place: the smallest index of a living thread
    place = np.arange(len(tasks))
    living = np.minimum.reduceat(np.where(gone, len(tasks), place), first)
    speaker = np.where(living < len(tasks), living, first)

    rows = np.zeros(len(first), PROCESS)
    for name in ("start_ns", "pid", "comm"):
        rows[name] = tasks[name][first]
    for name in ("cgroup_id", "ppid", "uid", "gid", "threads", "oom_score_adj", "nice"):
        rows[name] = tasks[name][speaker]
    told, summed = _words(tasks), _words(rows)
    summed[:, :_COUNTED] = np.add.reduceat(told[:, :_COUNTED], first)
    unknown = np.flatnonzero(told[0, :_COUNTED] == UNKNOWN)  # it is the kernel that does not keep one, not a process
    summed[:, unknown] = UNKNOWN
    summed[:, _MEMORY] = np.maximum.reduceat(told[:, _MEMORY], first)
    summed[:, _PAGES] *= np.uint64(mmap.PAGESIZE)
    rows["rss_bytes"] = rows["rss_file_bytes"] + rows["rss_anon_bytes"] + rows["rss_shmem_bytes"]
    rows["open_files"] = np.maximum.reduceat(tasks["open_files"], first)
    rows["kthread"] = tasks["flags"][first] & PF_KTHREAD != 0
    rows["state"] = state_letters(tasks["state"][speaker])
    return rows


#: TASK and PROCESS begin with the same things in the same order: counters, sizes in pages, and the size of page tables.
_COUNTED = len(COUNTERS)
_PAGES = slice(_COUNTED, _COUNTED + 4)
_MEMORY = slice(_COUNTED, _COUNTED + 5)


def _words(records: Array) -> NDArray[np.uint64]:
    """The same memory as a table of 64-bit numbers, a line a record."""
    return records.view("<u8").reshape(len(records), -1)
