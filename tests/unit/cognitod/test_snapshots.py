from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from cognitod_make import process

from linnix.cognitod.exec_texts import words
from linnix.cognitod.host.proc import Stat
from linnix.cognitod.snapshots import HostReader, busy_pct
from linnix.cognitod.totals import Disk, Totals


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in {
        "stat": "cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 1\nprocesses 4242\n",
        "meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n",
        "loadavg": "0.50 0.25 0.10 1/100 4242\n",
        "uptime": "12.50 20.00\n",
        "pressure/cpu": "some avg10=1.50 avg60=0.00 avg300=0.00 total=5\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_a_snapshot_is_what_the_kernels_files_say(root: Path) -> None:
    s = HostReader(root).read_snapshot()

    assert (s.mem_total_bytes, s.mem_used_bytes, s.mem_pct) == (1000 * 1024, 600 * 1024, 60.0)
    assert (s.swap_total_bytes, s.swap_used_bytes) == (50 * 1024, 30 * 1024)
    assert (s.load_avg, s.uptime_s, s.forks_total, s.cpu_pct) == ((0.5, 0.25, 0.1), 12.5, 4242, 20.0)
    assert (s.psi_cpu_some_avg10, s.psi_memory_some_avg10, s.psi_io_full_avg10) == (1.5, None, None)


def test_a_snapshot_has_what_rates_are_made_of(root: Path) -> None:
    (root / "vmstat").write_text("pswpin 3\npgsteal_direct 4\nworkingset_refault 5\n")
    (root / "diskstats").write_text(" 254 0 vda 1 0 8 1 1 0 16 1 0 70 2 \n 254 1 vda1 1 0 8 1 1 0 16 1 0 70 2 \n")

    assert HostReader(root).read_snapshot().totals == Totals(
        ticks=100,
        user_ticks=10,
        system_ticks=10,
        iowait_ticks=10,
        swapped_in_pages=3,
        reclaimed_pages=4,
        refaulted_pages=5,
        disks={"vda": Disk(8 * 512, 16 * 512, 70)},
    )


def test_a_pressure_file_may_be_elsewhere(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.write_text("some avg10=7.25 avg60=0.00 avg300=0.00 total=5\n")

    s = HostReader(root, {"memory": other}).read_snapshot()

    assert (s.psi_cpu_some_avg10, s.psi_memory_some_avg10) == (1.5, 7.25)


def test_a_host_of_which_nothing_can_be_read_is_a_snapshot_of_zeros(tmp_path: Path) -> None:
    s = HostReader(tmp_path / "none").read_snapshot()

    assert (s.mem_total_bytes, s.mem_pct, s.cpu_pct, s.uptime_s, s.psi_cpu_some_avg10) == (0, 0.0, 0.0, 0.0, None)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((0, 0), (100, 80), 20.0),
        ((100, 80), (200, 80), 100.0),
        ((100, 80), (100, 80), 0.0),
        ((100, 80), (110, 95), 0.0),
    ],
)
def test_cpu_is_what_was_not_idle_since_the_last_reading(
    before: tuple[int, int], now: tuple[int, int], expected: float
) -> None:
    assert busy_pct(Stat(*before), Stat(*now)) == expected


def test_command_lines_of_processes_that_were_there_before_us(root: Path) -> None:
    (root / "7").mkdir()
    (root / "7/cmdline").write_bytes(b"server\0--port\x001\0")
    (root / "7/exe").symlink_to("/usr/bin/server")
    rows = np.concatenate([process(5, 1), process(6, 1, kthread=True), process(7, 9)])

    texts = HostReader(root).read_texts(rows)

    assert texts[["pid", "start_ns", "seq", "filename"]].tolist() == [(7, 9, 0, b"/usr/bin/server")]
    assert words(texts["argv"][0].tobytes(), int(texts["argv_len"][0]), int(texts["argv_total"][0])) == [
        *("server", "--port", "1")
    ]


def test_this_very_process_is_among_them() -> None:
    texts = HostReader().read_texts(process(os.getpid(), 1))

    assert b"python" in bytes(texts["filename"][0])
