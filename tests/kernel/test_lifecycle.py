"""Every birth, exec and death is told once, with the right names and numbers."""

import os
import signal
import sys
from pathlib import Path

import pytest

from linnix.cognitod.events import Kind
from linnix.cognitod.kernel import BpfSight
from support.watching import watch
from workloads.lifecycle import read_log


def test_a_prime_number_of_forks_execs_and_failed_execs_is_told_exactly(
    sight: BpfSight, programs: Path, tmp_path: Path
) -> None:
    seen = watch(sight, [str(programs / "lifecycle"), "1009", "499", "11", str(programs / "renamed")])
    log = tmp_path / "log"
    log.write_text(seen.printed)
    itself, children = read_log(log)
    told = seen.children(itself.pid)

    def by_kind(kind: Kind) -> list[tuple[int, bytes, int]]:
        rows = told[told["kind"] == kind]
        return [(int(row["pid"]), bytes(row["comm"]), int(row["exit_code"])) for row in rows]

    assert by_kind(Kind.FORK) == [(child.pid, b"lifecycle", 0) for child in children]
    assert by_kind(Kind.EXEC) == [(child.pid, b"renamed", 0) for child in children if child.end == "exec"]
    assert by_kind(Kind.EXIT) == [(child.pid, child.comm.encode(), child.status) for child in children]
    assert sum(child.status == 127 for child in children) == 11
    assert sight.counters().lost == {"exec": 0, "fork": 0, "exit": 0, "exec_text": 0, "account": 0}


def test_all_events_of_a_process_carry_one_identity_and_come_in_order(sight: BpfSight, programs: Path) -> None:
    seen = watch(sight, [str(programs / "lifecycle"), "7", "7", "0", str(programs / "renamed")])
    parent = seen.of(seen.pid)
    child = seen.of(int(seen.children(seen.pid)["pid"][0]))

    assert child["kind"].tolist() == [Kind.FORK, Kind.EXEC, Kind.EXIT]
    assert child["ts_ns"].tolist() == sorted(child["ts_ns"].tolist())
    assert len(set(child["start_ns"].tolist())) == 1
    assert set(child["parent_start_ns"].tolist()) == {int(parent["start_ns"][0])}


def test_threads_are_counted_and_never_told_as_processes(sight: BpfSight, programs: Path) -> None:
    before = sight.counters().threads
    seen = watch(sight, [str(programs / "threads"), "many", "37"])

    assert sight.counters().threads - before >= 37
    assert seen.of(seen.pid)["kind"].tolist() == [Kind.FORK, Kind.EXEC, Kind.EXIT]
    assert len(seen.children(seen.pid)) == 0


def test_a_process_whose_leader_exits_first_dies_with_its_last_thread(sight: BpfSight, programs: Path) -> None:
    seen = watch(sight, [str(programs / "threads"), "leader-first"])
    exits = seen.of(seen.pid)[2:]

    assert exits["kind"].tolist() == [Kind.EXIT]
    assert (int(exits["exit_code"][0]), int(exits["exit_signal"][0]), bytes(exits["comm"][0])) == (3, 0, b"threads")
    assert exits["cpu_ns"][0] > 90_000_000  # what the other thread burnt, though the leader did nothing


def test_a_thread_that_execs_takes_over_its_process(sight: BpfSight, programs: Path) -> None:
    seen = watch(sight, [str(programs / "threads"), "exec", str(programs / "renamed")])
    told = seen.of(seen.pid)

    assert list(zip(told["kind"].tolist(), told["comm"].tolist(), strict=True))[1:] == [
        (Kind.EXEC, b"threads"),
        (Kind.EXEC, b"renamed"),
        (Kind.EXIT, b"renamed"),
    ]
    assert len(set(told["start_ns"].tolist())) == 1


@pytest.mark.parametrize(("how", "code"), [("crowd", 5), ("drain", 0)])
def test_a_crowd_of_threads_that_dies_at_once_is_one_death(
    sight: BpfSight, programs: Path, how: str, code: int
) -> None:
    seen = watch(sight, [str(programs / "threads"), how, "97"])
    exits = seen.of(seen.pid)[2:]

    assert [(int(row["kind"]), int(row["exit_code"])) for row in exits] == [(Kind.EXIT, code)]


@pytest.mark.parametrize("code", [0, 1, 126, 127, 255])
def test_an_exit_code_is_told(sight: BpfSight, code: int) -> None:
    seen = watch(sight, ["sh", "-c", f"exit {code}"])
    (death,) = seen.of(seen.pid)[2:]

    assert (int(death["exit_code"]), int(death["exit_signal"])) == (code, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_terminating_signal_is_told(sight: BpfSight, programs: Path, number: signal.Signals) -> None:
    seen = watch(sight, [str(programs / "threads"), "die", str(int(number))])
    (death,) = seen.of(seen.pid)[2:]

    assert (int(death["exit_code"]), int(death["exit_signal"]) & 0x7F) == (0, number)  # bit 7: core dumped


def test_a_child_made_for_the_grandparent_has_the_grandparent_as_parent(sight: BpfSight, programs: Path) -> None:
    seen = watch(sight, [str(programs / "threads"), "sibling"])
    sibling = int(seen.printed)
    os.waitpid(sibling, 0)

    assert seen.of(sibling)["ppid"].tolist() == [os.getpid()] * 2


def test_owner_peak_memory_and_cpu_time_are_told_at_the_end(sight: BpfSight) -> None:
    script = "import time; held = bytearray(50_000_000)\nwhile time.process_time() < 0.2: pass"
    seen = watch(sight, [sys.executable, "-c", script])
    death = seen.of(seen.pid)[-1]

    assert (int(death["uid"]), int(death["gid"])) == (os.getuid(), os.getgid())
    assert death["max_rss_pages"] * os.sysconf("SC_PAGE_SIZE") > 50_000_000
    assert death["cpu_ns"] > 190_000_000


def test_nothing_of_a_batch_is_told_again_in_the_next(sight: BpfSight) -> None:
    seen = watch(sight, ["true"])

    assert len(seen.of(seen.pid)) == 3
    assert seen.pid not in sight.drain().events["pid"]
