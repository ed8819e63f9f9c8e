"""CPU time adds up to what the kernel calls busy, births to what it counts."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linnix.cognitod.bookkeeping import Bookkeeper
from linnix.cognitod.books import Books
from linnix.cognitod.conservation import WINDOW_NS, Balance, Births, Ledger
from linnix.cognitod.kernel import BpfSight
from linnix.cognitod.kernel.latency import Latency, runqueue

SPINNER = "while :; do :; done"
SHORT_JOBS = "while :; do /bin/true; done"
SYNCED_WRITES = "while :; do dd if=/dev/zero of=$SCRATCH bs=64k count=64 oflag=direct conv=fsync status=none; done"
PING_PONG = "while :; do printf '%65536s' | cat | cat >/dev/null; done"


@pytest.fixture
def switches(ebpf: None) -> Iterator[Latency]:
    """What watches the idle task."""
    watcher = runqueue()
    watcher.open()
    yield watcher
    watcher.close()


@contextmanager
def running(*scripts: str, scratch: str = "/dev/null") -> Iterator[None]:
    environ = {**os.environ, "SCRATCH": scratch}
    shells = [subprocess.Popen(["sh", "-c", script], env=environ, start_new_session=True) for script in scripts]
    try:
        yield
    finally:
        for shell in shells:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


def watch(sight: BpfSight, idle: Latency) -> tuple[Balance, Births]:
    """Samples twice a second for as long as a window is."""
    keeper, ledger = Bookkeeper(sight.counters, idle.idle), Ledger()
    deadline_s = time.monotonic() + 2 * WINDOW_NS / 10**9
    while (balance := ledger.balance()) is None:
        assert time.monotonic() < deadline_s, "no window came about"
        sight.sample()
        ledger.add(keeper.read())
        until_s = time.monotonic() + 0.5
        while time.monotonic() < until_s:
            time.sleep(0.05)
            sight.drain()
    keeper.close()
    births = ledger.births()
    assert births is not None, "in ten seconds the counters never were at rest"
    return balance, births


def read_together(keeper: Bookkeeper) -> Books:
    """Books of a moment in which nobody was born."""
    for _ in range(100):
        books = keeper.read()
        if books.together:
            return books
    raise AssertionError("this host is never quiet for a moment")


@pytest.mark.parametrize(
    "scripts",
    [
        (SPINNER,),
        (SHORT_JOBS, SHORT_JOBS),
        (SYNCED_WRITES, SYNCED_WRITES, SPINNER),
        (SPINNER, SHORT_JOBS, PING_PONG),
    ],
    ids=["a spinner", "short jobs", "writes that are synced", "a mixture"],
)
def test_what_ran_is_what_was_not_idle(
    sight: BpfSight, switches: Latency, scripts: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    scratch = str(tmp_path_factory.mktemp("scratch") / "file")
    with running(*scripts, scratch=scratch):
        balance, births = watch(sight, switches)

    assert balance.busy_pct >= 25
    assert balance.holds, balance
    assert births.unexplained == 0, births


def test_workers_that_the_kernel_makes_itself_are_counted_and_births_add_up(
    sight: BpfSight, programs: Path, tmp_path: Path
) -> None:
    keeper, ledger = Bookkeeper(sight.counters), Ledger()
    ledger.add(read_together(keeper))
    before = sight.counters().workers
    made = subprocess.run([programs / "uring", "3", tmp_path], capture_output=True, text=True, check=False)
    if made.returncode == 77:
        pytest.skip("io_uring is forbidden here")
    ledger.add(read_together(keeper))
    keeper.close()

    assert (made.returncode, made.stdout) == (0, "4\n")
    assert sight.counters().workers - before == 3
    births = ledger.births()
    assert births is not None
    assert (births.workers, births.unexplained) == (3, 0)
