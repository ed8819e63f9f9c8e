"""What a sleeping thread waits for, by the system call that it sleeps in.

Owns the numbers of these calls by architecture, and the meaning of a futex's arguments. Refuses to look: it is handed
the line of /proc/PID/task/TID/syscall (proc(5); fs/proc/base.c, proc_pid_syscall). Invariant: who runs, and who waits
for anything but locks and storage, waits for nothing here.

What user space means by a futex the kernel does not know, so this reads it off the value that is waited for: 2 is a
contended mutex in glibc's low-level lock and in Rust's, the highest bit the owner's mark of PI, robust and musl's
mutexes (FUTEX_WAITERS), 3 glibc's read-write lock. 0 is a semaphore (Python's locks are) or a condition variable of
glibc, which ``wait_tally`` tells apart.
"""

from __future__ import annotations

import platform
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Kind(Enum):
    """What is waited for."""

    MUTEX = "a lock that others hold"
    SEMAPHORE = "a semaphore or a condition variable, for as long as it takes"
    TIMED = "a semaphore or a condition variable, for a time: the interpreter lock of Python is one"
    FILE = "a lock of a file"
    SYNC = "data to be on disk"
    WRITE = "a write: to be on disk as well, if the file was opened so"


class Wait(NamedTuple):
    """Threads that wait for the same thing have the same; ``owner`` is the pid within which ``key`` means something.

    A futex or semaphore that processes share has owner 0: those that were forked from one have it at one address.
    """

    kind: Kind
    owner: int
    key: int


class Numbers(NamedTuple):
    """System calls of one architecture: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h."""

    futex: int
    fcntl: int
    flock: int
    msync: int
    writes: frozenset[int]  # write, pwrite64, writev, pwritev, pwritev2
    semaphores: frozenset[int]  # semop, semtimedop
    syncs: frozenset[int]  # fsync, fdatasync, sync_file_range, sync, syncfs


NUMBERS = {
    "x86_64": Numbers(
        202,
        72,
        73,
        26,
        writes=frozenset((1, 18, 20, 296, 328)),
        semaphores=frozenset((65, 220)),
        syncs=frozenset((74, 75, 277, 162, 306)),
    ),
    "aarch64": Numbers(
        98,
        25,
        32,
        227,
        writes=frozenset((64, 68, 66, 70, 287)),
        semaphores=frozenset((193, 192)),
        syncs=frozenset((82, 83, 84, 81, 267)),
    ),
}

#: Of an architecture whose numbers are not known here: then nobody is seen to wait.
UNKNOWN = Numbers(-1, -1, -1, -1, frozenset(), frozenset(), frozenset())

# include/uapi/linux/futex.h
_WAIT, _LOCK_PI, _WAIT_BITSET, _LOCK_PI2 = 0, 6, 9, 13
_COMMAND, _PRIVATE = 0x7F, 0x80
_WAITERS = 0x80000000
_CONTENDED, _RWLOCK = 2, 3
# include/uapi/asm-generic/fcntl.h
_SETLKW = (7, 38)  # F_SETLKW, F_OFD_SETLKW
_MS_SYNC = 4
#: glibc's condition variable has two words next to each other that are waited for in turn.
_PAIR = ~0x7


def numbers(machine: str | None = None) -> Numbers:
    """Of this machine, or of another by its name as in uname(2)."""
    return NUMBERS.get(machine or platform.machine(), UNKNOWN)


@lru_cache(maxsize=4096)  # who still waits is asked again and again, and his line is the same
def parse_wait(line: bytes, pid: int, of: Numbers) -> Wait | None:
    """What a thread of ``pid`` waits for; None when it runs or waits for something else."""
    fields = line.split()
    if len(fields) < 7:  # "running", or "-1 sp pc": asleep outside of any system call
        return None
    number = int(fields[0])
    if number == of.futex:
        return _futex(pid, *(int(field, 16) for field in fields[1:5]))
    if number in of.syncs or (number == of.msync and int(fields[3], 16) & _MS_SYNC):
        return Wait(Kind.SYNC, pid, 0)
    if number == of.flock or (number == of.fcntl and int(fields[2], 16) in _SETLKW):
        return Wait(Kind.FILE, pid, int(fields[1], 16))
    if number in of.writes:
        return Wait(Kind.WRITE, pid, int(fields[1], 16))
    if number in of.semaphores:  # of System V: one set for all processes, and no two sets are a pair of words
        return Wait(Kind.SEMAPHORE, 0, int(fields[1], 16) << 3)
    return None


def _futex(pid: int, address: int, operation: int, value: int, timeout: int) -> Wait | None:
    command, value = operation & _COMMAND, value & 0xFFFFFFFF
    owner = pid if operation & _PRIVATE else 0
    if command in (_LOCK_PI, _LOCK_PI2):
        return Wait(Kind.MUTEX, owner, address)
    if command not in (_WAIT, _WAIT_BITSET):
        return None
    marked = command == _WAIT and value & _WAITERS
    if marked or value == _CONTENDED or (value == _RWLOCK and command == _WAIT_BITSET):
        return Wait(Kind.MUTEX, owner, address)
    if timeout:
        return Wait(Kind.TIMED, owner, address & _PAIR)
    return Wait(Kind.SEMAPHORE, owner, address)
