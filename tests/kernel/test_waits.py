"""Real programs whose threads wait for locks, for work or for the disk, as they are seen from outside."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from linnix.cognitod.host.syscalls import NUMBERS
from linnix.cognitod.host.waits import LOOK_NS, WaitLooks, WaitsReading
from linnix.cognitod.senses import Waits
from support.known import facts, process
from workloads.build import compile_c

LOOKED_S = 3
THREADS = 8

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: /proc/PID/syscall of others"),
    pytest.mark.skipif(platform.machine() not in NUMBERS, reason="numbers of system calls are not known"),
]

_PYTHON = f"""
import threading, time
lock = threading.Lock()
def hold():
    while True:
        with lock: time.sleep(0.0005)
def spin():
    while True: pass
for _ in range({THREADS}): threading.Thread(target=BODY).start()
"""
_SYNC = "import os, sys\nfile = open(sys.argv[1], 'wb')\nwhile True: file.write(b'x' * 9999); os.fsync(file.fileno())"
_WRITE = "import sys\nfile = open(sys.argv[1], 'wb', 0)\nwhile True: file.write(b'x' * 9999); file.seek(0)"
_FLOCK = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
while True:
    fcntl.flock(file, fcntl.LOCK_EX)
    time.sleep(0.02)
    fcntl.flock(file, fcntl.LOCK_UN)
"""


@contextmanager
def running(*command: object) -> Iterator[int]:
    """The pid of a program that runs until the end."""
    one = subprocess.Popen(["nice", *map(str, command)])
    try:
        yield one.pid
    finally:
        one.kill()
        one.wait()


def seen(*pids: int, seconds: int = LOOKED_S) -> list[Waits]:
    """What some seconds of looks say of these processes."""
    looks = WaitLooks()
    looks.open()
    reading = None
    known = [process(pid, threads=THREADS, state="D", write_bytes_per_s=1.0) for pid in pids]
    try:
        for at in range(seconds * 4):
            time.sleep(LOOK_NS / 10**9)
            now_ns = time.monotonic_ns()
            if at % 4:
                looks.glance(now_ns)
            else:
                looks.watch(facts(*known))
                reading = looks.collect(now_ns)
    finally:
        looks.close()
    assert isinstance(reading, WaitsReading)
    return [reading.waits[pid, 10 * pid] for pid in pids]


@pytest.mark.parametrize("lock", ["mutex", "rwlock"])
def test_threads_of_a_program_that_pass_on_a_lock_wait_for_it(lock: str, tmp_path: Path) -> None:
    with running(compile_c("locks", tmp_path), lock, THREADS) as pid:
        [waits] = seen(pid)

    assert waits.lock_wait_pct is not None
    assert waits.lock_wait_pct > 50  # of the threads, and the one that gave them life waits for none
    # All of them at the moment in which one has given the lock back and the next has not woken up yet.
    assert (waits.lock_waiters in (THREADS - 1, THREADS), waits.sync_pct) == (True, 0.0)


@pytest.mark.parametrize("threads", ["pool", "idle"])
def test_threads_that_wait_for_work_wait_for_no_lock(threads: str, tmp_path: Path) -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("condition variables of other libraries look otherwise")
    with running(compile_c("locks", tmp_path), threads, THREADS) as pid:
        [waits] = seen(pid)

    assert waits.lock_wait_pct is not None
    assert waits.lock_wait_pct < 10  # the mutex beside it is met at times


@pytest.mark.parametrize("body", ["hold", "spin"])
def test_threads_of_python_wait_for_its_locks_and_for_the_interpreter(body: str) -> None:
    with running(sys.executable, "-c", _PYTHON.replace("BODY", body)) as pid:
        [waits] = seen(pid)

    assert waits.lock_wait_pct is not None
    assert waits.lock_wait_pct > 40


def test_who_syncs_is_told_from_who_writes() -> None:
    with (
        TemporaryDirectory(dir="/var/tmp") as place,  # on a disk, where /tmp may be in memory
        running(sys.executable, "-c", _SYNC, f"{place}/synced") as syncs,
        running("dd", "if=/dev/zero", f"of={place}/too", "bs=4k", "count=9999999", "oflag=dsync") as dsyncs,
        running(sys.executable, "-c", _WRITE, f"{place}/written") as writes,
    ):
        found = [False, False, False]
        for _ in range(6):  # on a fast disk hardly one look in ten finds it waiting, and none of forty now and then
            told = [waits.sync_pct for waits in seen(syncs, dsyncs, writes, seconds=10)]
            found = [before or (pct is not None and pct > 0) for before, pct in zip(found, told, strict=True)]
            if all(found[:2]):
                break

    assert found == [True, True, False]


def test_processes_that_pass_on_a_lock_of_a_file_are_told_of_each_other(tmp_path: Path) -> None:
    with ExitStack() as all_of_them:
        command = (sys.executable, "-c", _FLOCK, tmp_path / "lock")
        pids = [all_of_them.enter_context(running(*command)) for _ in range(3)]
        time.sleep(0.5)
        told = seen(*pids)

    assert [waits.lock_waiters for waits in told] == [2, 2, 2]
    assert max(waits.lock_wait_pct or 0.0 for waits in told) > 10
