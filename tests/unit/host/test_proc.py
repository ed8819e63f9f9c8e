"""The host's totals, read from files as kernels write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from linnix.cognitod.host import proc, psi
from linnix.cognitod.totals import Disk

STAT = """\
cpu  100 10 50 800 40 0 5 3 60 0
cpu0 100 10 50 800 40 0 5 3 60 0
intr 12345 0 0
ctxt 999
btime 1700000000
processes 4242
procs_running 2
procs_blocked 3
"""
DISKSTATS = """\
   8       0 sda 100 0 2000 50 200 0 4000 60 0 70 110
   8       1 sda1 90 0 1900 50 190 0 3900 60 0 70 110
 259       0 nvme0n1 10 0 8 1 20 0 16 1 0 1 2
 259       1 nvme0n1p1 10 0 8 1 20 0 16 1 0 1 2
 253       0 dm-0 100 0 2000 50 200 0 4000 60 0 70 110
   7       0 loop0 5 0 10 1 0 0 0 0 0 1 1
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo: 1000000   10    0    0    0     0          0         0 1000000   10    0    0    0     0       0          0
  eth0:    5000   10    0    0    0     0          0         0    7000   10    0    0    0     0       0          0
veth1@if2:300   10    0    0    0     0          0         0     400   10    0    0    0     0       0          0
"""
PRESSURE = """\
some avg10=12.50 avg60=3.00 avg300=1.25 total=987654321
full avg10=0.00 avg60=0.00 avg300=0.00 total=12
"""


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_cpu_ticks_leave_out_guest_time_that_is_in_user_time_already() -> None:
    assert proc.parse_stat(STAT) == proc.Stat(
        total_ticks=1008,
        idle_ticks=840,
        processes=4242,
        steal_ticks=3,
        irq_ticks=5,
        cores=1,
        user_ticks=110,
        system_ticks=50,
        iowait_ticks=40,
        blocked=3,
    )


def test_only_whole_disks_are_told() -> None:
    assert proc.parse_diskstats(DISKSTATS) == {
        "sda": Disk(read_bytes=2000 * 512, written_bytes=4000 * 512, busy_ms=70),
        "nvme0n1": Disk(read_bytes=8 * 512, written_bytes=16 * 512, busy_ms=1),
    }


def test_of_the_kernels_counters_of_memory_those_are_told_that_it_keeps() -> None:
    assert proc.parse_vmstat("nr_free_pages 5\npswpin 7\npswpout 9\npgmajfault 11\nworkingset_refault_file 13\n") == {
        "pswpin": 7,
        "pswpout": 9,
        "pgmajfault": 11,
        "workingset_refault_file": 13,
    }


def test_traffic_leaves_out_loopback() -> None:
    assert proc.parse_net_dev(NET_DEV) == proc.Traffic(in_bytes=5300, out_bytes=7400)


def test_memory_is_in_bytes() -> None:
    assert proc.parse_meminfo("MemTotal:   2048 kB\nHugePages_Total:   0\nSwapFree: 1 kB\nHugetlb: 5 kB\n") == {
        "MemTotal": 2048 * 1024,
        "MemAvailable": 0,
        "SwapTotal": 0,
        "SwapFree": 1024,
    }


def test_load_and_uptime() -> None:
    assert proc.parse_loadavg("0.52 1.50 2.25 3/456 7890\n") == (0.52, 1.5, 2.25)
    assert proc.parse_uptime_s("351735.47 234388.90\n") == 351735.47


def test_no_text_is_zeros() -> None:
    assert proc.parse_stat("") == proc.Stat()
    assert proc.parse_stat(STAT.replace("processes 4242\n", "")) == replace(proc.parse_stat(STAT), processes=0)
    assert set(proc.parse_meminfo("").values()) == {0}
    assert proc.parse_loadavg("") == (0.0, 0.0, 0.0)
    assert proc.parse_uptime_s("") == 0.0
    assert (proc.parse_diskstats(""), proc.parse_vmstat(""), proc.parse_net_dev("")) == ({}, {}, proc.Traffic())


def test_a_kept_file_is_read_anew_each_time_and_looked_for_while_it_is_not_there(tmp_path: Path) -> None:
    file = proc.KeptFile(tmp_path / "loadavg")
    assert file.read() == ""
    write(tmp_path, "loadavg", "0.52\n")
    assert file.read() == "0.52\n"
    write(tmp_path, "loadavg", "1 " * 20_000)
    assert file.read() == "1 " * 20_000
    file.close()
    file.close()
    assert len(file.read()) == 40_000
    file.close()


def test_pressure_is_read_with_both_scopes(tmp_path: Path) -> None:
    write(tmp_path, "pressure/io", PRESSURE)

    assert psi.read("io", tmp_path) == psi.Pressure(
        psi.Stall(avg10=12.5, avg60=3.0, avg300=1.25, total_us=987654321), psi.Stall(0.0, 0.0, 0.0, 12)
    )


def test_no_pressure_is_unknown_and_not_calm(tmp_path: Path) -> None:
    assert psi.read("cpu", tmp_path) == psi.Pressure(None, None)


def test_cpu_pressure_of_older_kernels_has_no_full_line() -> None:
    assert psi.parse(PRESSURE.partition("full")[0]).full is None
