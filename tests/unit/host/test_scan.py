"""Processes as a walk over /proc shows them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.events import ARGV_LEN, EXEC_TEXT, PROCESS, UNKNOWN
from linnix.cognitod.host.cgroup import Cgroups
from linnix.cognitod.host.more import More
from linnix.cognitod.host.scan import AGAIN_EVERY, TICK_NS, Scanner, Stat, parse_stat, read_text

STAT = b"%d (%s) %s 3 42 42 0 -1 %d 101 0 7 0 150 50 9 9 20 -5 4 0 123456 999999 77 18446744073709551615 1 1 0\n"


def add(
    proc: Path,
    pid: int,
    comm: bytes = b"x",
    state: bytes = b"S",
    flags: int = 0x400000,
    group: str = "",
    threads: int = 4,
) -> Path:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    line = STAT % (pid, comm, state, flags)
    (folder / "stat").write_bytes(line.replace(b" -5 4 0 ", b" -5 %d 0 " % threads))
    if group:
        (folder / "cgroup").write_text(f"0::{group}\n")
    return folder


@pytest.mark.parametrize("comm", [b"x", b"a b", b") R 1 1 (", b"((", b"))", b"\n", b"\xff\x1b[2J", b""])
def test_a_line_is_parsed_whatever_the_process_calls_itself(comm: bytes) -> None:
    assert parse_stat(STAT % (42, comm, b"R", 0)) == Stat(
        start_ns=123456 * TICK_NS,
        utime_ns=150 * TICK_NS,
        stime_ns=50 * TICK_NS,
        min_flt=101,
        maj_flt=7,
        rss_bytes=77 * mmap.PAGESIZE,
        ppid=3,
        threads=4,
        nice=-5,
        kthread=False,
        state=b"R",
        comm=comm,
    )


STATUS = b"""Name:\tVmSwap:\t99 kB
VmPTE:\t      44 kB
RssAnon:\t     100 kB
RssFile:\t     200 kB
RssShmem:\t     8 kB
VmSwap:\t      16 kB
voluntary_ctxt_switches:\t31
nonvoluntary_ctxt_switches:\t37
"""
IO = b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 512\n"


def tell_more(folder: Path, switches: int = 31) -> None:
    (folder / "status").write_bytes(STATUS.replace(b"31", b"%d" % switches))
    (folder / "io").write_bytes(IO)
    (folder / "schedstat").write_bytes(b"1000 41 5\n")
    (folder / "oom_score_adj").write_bytes(b"-300\n")


def told(row: np.void) -> dict[str, object]:
    return {name: row[name].item() for name in More._fields}


EVERYTHING = More(
    run_delay_ns=41,
    nvcsw=31,
    nivcsw=37,
    read_bytes=4096,
    write_bytes=8192,
    cancelled_write_bytes=512,
    rss_file_bytes=200 << 10,
    rss_anon_bytes=100 << 10,
    rss_shmem_bytes=8 << 10,
    swap_bytes=16 << 10,
    pgtables_bytes=44 << 10,
    oom_score_adj=-300,
)._asdict()


def test_more_is_told_by_other_files(tmp_path: Path) -> None:
    tell_more(add(tmp_path, 1, threads=1))
    (row,) = Scanner(tmp_path).scan()

    assert told(row) == EVERYTHING


def test_what_is_told_of_one_thread_is_unknown_of_several(tmp_path: Path) -> None:
    tell_more(add(tmp_path, 1, threads=2))
    (row,) = Scanner(tmp_path).scan()

    assert told(row) == EVERYTHING | dict.fromkeys(("run_delay_ns", "nvcsw", "nivcsw"), UNKNOWN)


def test_a_kernel_thread_is_known_to_hold_nothing(tmp_path: Path) -> None:
    tell_more(folder := add(tmp_path, 1, threads=1))
    (folder / "status").write_bytes(STATUS[STATUS.index(b"voluntary") :])
    (row,) = Scanner(tmp_path).scan()

    sizes = ("rss_file_bytes", "rss_anon_bytes", "rss_shmem_bytes", "swap_bytes", "pgtables_bytes")
    assert told(row) == EVERYTHING | dict.fromkeys(sizes, 0)


def test_what_no_file_tells_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    add(tmp_path, 1, threads=1)
    (row,) = Scanner(tmp_path).scan()

    assert told(row) == More()._asdict()


def test_a_process_that_seems_to_sleep_is_asked_for_more_only_now_and_then(tmp_path: Path) -> None:
    tell_more(folder := add(tmp_path, 1, threads=1))
    scanner = Scanner(tmp_path)
    scanner.scan()
    tell_more(folder, switches=32)
    seen = [int(scanner.scan()["nvcsw"][0]) for _ in range(AGAIN_EVERY)]
    tell_more(folder, switches=33)
    add(tmp_path, 1, state=b"R", threads=1)

    assert (seen[0], seen[-1]) == (31, 32)
    assert scanner.scan()["nvcsw"].tolist() == [33]


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
