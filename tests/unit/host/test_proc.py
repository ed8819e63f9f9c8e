"""The host's totals, read from files as kernels write them."""

from __future__ import annotations

from pathlib import Path

from linnix.cognitod.host import proc, psi

STAT = """\
cpu  100 10 50 800 40 0 5 3 60 0
cpu0 100 10 50 800 40 0 5 3 60 0
intr 12345 0 0
ctxt 999
btime 1700000000
processes 4242
procs_running 2
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
    assert proc.parse_stat(STAT) == proc.Stat(total_ticks=1008, idle_ticks=840, processes=4242)


def test_only_whole_disks_are_summed() -> None:
    assert proc.parse_diskstats(DISKSTATS) == proc.Traffic(in_bytes=2008 * 512, out_bytes=4016 * 512)


def test_traffic_leaves_out_loopback() -> None:
    assert proc.parse_net_dev(NET_DEV) == proc.Traffic(in_bytes=5300, out_bytes=7400)


def test_memory_is_in_bytes() -> None:
    assert proc.parse_meminfo("MemTotal:   2048 kB\nHugePages_Total:   0\nSwapFree: 1 kB\n") == {
        "MemTotal": 2048 * 1024,
        "SwapFree": 1024,
    }


def test_load_and_uptime_are_read_below_the_root_that_is_given(tmp_path: Path) -> None:
    write(tmp_path, "loadavg", "0.52 1.50 2.25 3/456 7890\n")
    write(tmp_path, "uptime", "351735.47 234388.90\n")

    assert proc.read_loadavg(tmp_path) == (0.52, 1.5, 2.25)
    assert proc.read_uptime_s(tmp_path) == 351735.47


def test_files_that_are_not_there_read_as_zeros(tmp_path: Path) -> None:
    assert proc.read_stat(tmp_path) == proc.Stat()
    assert proc.read_meminfo(tmp_path) == {}
    assert proc.read_loadavg(tmp_path) == (0.0, 0.0, 0.0)
    assert proc.read_uptime_s(tmp_path) == 0.0
    assert proc.read_disks(tmp_path) == proc.Traffic()
    assert proc.read_network(tmp_path) == proc.Traffic()


def test_pressure_is_read_with_both_scopes(tmp_path: Path) -> None:
    write(tmp_path, "pressure/io", PRESSURE)

    assert psi.read("io", tmp_path) == psi.Pressure(
        psi.Stall(avg10=12.5, avg60=3.0, avg300=1.25, total_us=987654321), psi.Stall(0.0, 0.0, 0.0, 12)
    )


def test_no_pressure_is_unknown_and_not_calm(tmp_path: Path) -> None:
    assert psi.read("cpu", tmp_path) == psi.Pressure(None, None)


def test_cpu_pressure_of_older_kernels_has_no_full_line() -> None:
    assert psi.parse(PRESSURE.partition("full")[0]).full is None
