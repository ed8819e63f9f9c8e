"""Processes as a walk over /proc shows them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from linnix.cognitod.events import ARGV_LEN, EXEC_TEXT, PROCESS
from linnix.cognitod.host.cgroup import Cgroups
from linnix.cognitod.host.scan import TICK_NS, Scanner, parse_stat, read_text

STAT = b"%d (%s) %s 3 42 42 0 -1 %d 0 0 0 0 150 50 9 9 20 0 4 0 123456 999999 77 18446744073709551615 1 1 0\n"


def add(proc: Path, pid: int, comm: bytes = b"x", state: bytes = b"S", flags: int = 0x400000, group: str = "") -> Path:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_bytes(STAT % (pid, comm, state, flags))
    if group:
        (folder / "cgroup").write_text(f"0::{group}\n")
    return folder


@pytest.mark.parametrize("comm", [b"x", b"a b", b") R 1 1 (", b"((", b"))", b"\n", b"\xff\x1b[2J", b""])
def test_a_line_is_parsed_whatever_the_process_calls_itself(comm: bytes) -> None:
    assert parse_stat(42, STAT % (42, comm, b"R", 0), 1000, 100, 7) == (
        123456 * TICK_NS,
        200 * TICK_NS,
        77 * mmap.PAGESIZE,
        7,
        42,
        3,
        1000,
        100,
        4,
        False,
        b"R",
        b"",
        comm,
    )


def test_rows_are_ordered_by_pid_and_only_of_processes(tmp_path: Path) -> None:
    for pid in (100, 9, 20):
        add(tmp_path, pid)
    (tmp_path / "irq").mkdir()
    add(tmp_path, 5, flags=0x200000)
    rows = Scanner(tmp_path).scan()

    assert rows.dtype == PROCESS
    assert rows["pid"].tolist() == [5, 9, 20, 100]
    assert rows["kthread"].tolist() == [True, False, False, False]
    assert set(rows["uid"].tolist()) == {os.getuid()}


def test_a_process_that_is_gone_or_unreadable_is_left_out(tmp_path: Path) -> None:
    add(tmp_path, 1)
    (tmp_path / "2").mkdir()  # died after the listing
    (tmp_path / "3").mkdir()
    (tmp_path / "3/stat").write_bytes(b"")  # died after the open

    assert Scanner(tmp_path).scan()["pid"].tolist() == [1]


def test_an_empty_proc_has_no_processes(tmp_path: Path) -> None:
    assert Scanner(tmp_path).scan().tolist() == []


def test_a_process_has_the_id_of_its_group_and_zero_without_one(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    (groups / "a.service").mkdir(parents=True)
    add(tmp_path / "proc", 1, group="/a.service")
    add(tmp_path / "proc", 2)
    scanner = Scanner(tmp_path / "proc", Cgroups(groups))

    assert scanner.scan()["cgroup_id"].tolist() == [(groups / "a.service").stat().st_ino, 0]


def test_the_command_line_and_program_are_read_as_an_exec_tells_them(tmp_path: Path) -> None:
    folder = add(tmp_path, 7)
    (folder / "cmdline").write_bytes(b"sleep\x001\x00")
    (folder / "exe").symlink_to("/usr/bin/sleep")
    text = read_text(tmp_path, 7, 11, 13)

    assert text.dtype == EXEC_TEXT
    assert (int(text["pid"]), int(text["start_ns"]), int(text["seq"])) == (7, 11, 13)
    assert (bytes(text["filename"]), int(text["filename_len"])) == (b"/usr/bin/sleep", 14)
    assert (int(text["argv_len"]), int(text["argv_total"])) == (8, 8)
    assert bytes(text["argv"]) == b"sleep\x001\x00".ljust(ARGV_LEN, b"\0")


def test_a_long_command_line_is_cut_and_its_size_told(tmp_path: Path) -> None:
    (add(tmp_path, 7) / "cmdline").write_bytes(b"y" * 1000)
    text = read_text(tmp_path, 7, 0, 0)

    assert (int(text["argv_len"]), int(text["argv_total"]), int(text["filename_len"])) == (ARGV_LEN, 1000, 0)


def test_this_very_process_is_seen_in_the_real_proc() -> None:
    rows = Scanner().scan()
    (own,) = rows[rows["pid"] == os.getpid()]

    assert (int(own["ppid"]), bytes(own["state"]), bool(own["kthread"])) == (os.getppid(), b"R", False)
