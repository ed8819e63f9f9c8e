"""What a process used in all is told when it is freed, and is what wait4(2) told its parent."""

import os
import subprocess
import sys
import time
from pathlib import Path
from resource import struct_rusage

import numpy as np
import pytest

from linnix.cognitod.events import Array
from linnix.cognitod.kernel import BpfSight
from support.hidden import LIMIT_S, NeverCameError, tried_again


def buried(sight: BpfSight, command: list[str], stdout: int = subprocess.DEVNULL) -> tuple[struct_rusage, Array]:
    """Run a command to its end: what its parent is told, and its account."""
    sight.drain()
    process = subprocess.Popen(command, stdout=stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        accounts = sight.drain().accounts
        mine = accounts[accounts["pid"] == process.pid]
        if len(mine):
            assert len(mine) == 1
            return usage, mine[0]
        time.sleep(0.05)
    raise NeverCameError(f"the account of {command} never came")


def agrees(usage: struct_rusage, account: Array) -> bool:
    """Counters to the last one; CPU time with what the last steps after the parent was told may add."""
    told_ns = round((usage.ru_utime + usage.ru_stime) * 1e9)
    counters = ("nvcsw", "nivcsw", "min_flt", "maj_flt")
    assert {name: int(account[name]) for name in counters} == {
        "nvcsw": usage.ru_nvcsw,
        "nivcsw": usage.ru_nivcsw,
        "min_flt": usage.ru_minflt,
        "maj_flt": usage.ru_majflt,
    }
    assert int(account["utime_ns"]) + int(account["stime_ns"]) == int(account["cpu_ns"])
    return 0 <= int(account["cpu_ns"]) - told_ns + 2000 < 1_000_000


@pytest.mark.parametrize("command", [["/bin/true"], ["/bin/sh", "-c", ":"]])
@tried_again
def test_a_short_job_is_accounted_with_its_teardown(sight: BpfSight, command: list[str]) -> None:
    usage, account = buried(sight, command)

    assert agrees(usage, account)
    assert int(account["threads"]) == 1


@pytest.mark.parametrize(
    ("how", "threads"), [(("many", "37"), 38), (("crowd", "97"), 98), (("drain", "13"), 14), (("leader-first",), 2)]
)
@tried_again
def test_a_prime_number_of_threads_is_one_account(
    sight: BpfSight, programs: Path, how: tuple[str, ...], threads: int
) -> None:
    usage, account = buried(sight, [str(programs / "threads"), *how])

    assert agrees(usage, account)
    assert int(account["threads"]) == threads


@tried_again
def test_a_process_that_was_taken_over_by_one_of_its_threads_is_one_account(sight: BpfSight, programs: Path) -> None:
    usage, account = buried(sight, [str(programs / "threads"), "exec", str(programs / "renamed")])

    assert agrees(usage, account)
    assert int(account["threads"]) == 2


@tried_again
def test_waiting_for_the_cpu_and_bytes_of_a_process_are_in_its_account(sight: BpfSight, tmp_path: Path) -> None:
    script = (
        "import os, sys, threading, time\n"
        "os.sched_setaffinity(0, {0})\n"
        "def burn():\n"
        "    while time.thread_time() < 0.1: pass\n"
        "    waits[threading.get_ident()] = int(open('/proc/thread-self/schedstat').read().split()[1])\n"
        "waits = {}\n"
        "threads = [threading.Thread(target=burn) for _ in range(3)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "with open(sys.argv[1], 'wb') as out:\n"
        "    out.write(bytes(7 * 4096))\n"
        "lines = [line.split() for line in open('/proc/self/io')]\n"
        "own = [line[1] for line in lines if line[0] in ('read_bytes:', 'write_bytes:')]\n"
        "waits[0] = int(open('/proc/thread-self/schedstat').read().split()[1])\n"
        "print(*own, sum(waits.values()))\n"
    )
    hears, says = os.pipe()  # what goes into a pipe is written to no disk, so that his last words change no figure
    with os.fdopen(hears) as said:
        _, account = buried(sight, [sys.executable, "-S", "-c", script, str(tmp_path / "written")], stdout=says)
        os.close(says)
        read, written, waited = map(int, said.read().split())

    assert (int(account["read_bytes"]), int(account["write_bytes"])) == (read, written)
    assert written >= 7 * 4096
    assert int(account["threads"]) == 4
    assert 0 <= int(account["run_delay_ns"]) - waited < 50_000_000


@tried_again
def test_whoever_dies_leaves_his_run_time_in_the_books(sight: BpfSight) -> None:
    before = sight.counters().buried_run_ns
    _, account = buried(sight, ["/bin/true"])

    assert sight.counters().buried_run_ns - before >= int(account["cpu_ns"])


@tried_again
def test_every_process_that_ends_is_accounted_once(sight: BpfSight, programs: Path) -> None:
    sight.drain()
    parent = subprocess.Popen(
        [programs / "lifecycle", "211", "53", "7", "/bin/true"], stdout=subprocess.PIPE, text=True
    )
    printed, _ = parent.communicate()
    children = {int(line.split()[0]) for line in printed.splitlines()[1:]}
    found: list[Array] = []
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and sum(len(part) for part in found) < len(children):
        accounts = sight.drain().accounts
        found.append(accounts[np.isin(accounts["pid"], list(children))])
        time.sleep(0.05)
    told = np.concatenate(found)["pid"].tolist()

    assert len(told) == len(set(told))
    if missing := children - set(told):
        raise NeverCameError(f"of {len(children)} accounts {len(missing)} never came")
    assert sorted(told) == sorted(children)
