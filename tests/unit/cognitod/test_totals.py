"""What the host does, from what it had done at two samples."""

from __future__ import annotations

import mmap
from dataclasses import replace

from linnix.cognitod.totals import NO_RATES, Disk, HostRates, Totals, rates

S = 10**9
PAGE = mmap.PAGESIZE
BEFORE = Totals(
    ticks=1000,
    user_ticks=100,
    system_ticks=100,
    iowait_ticks=10,
    steal_ticks=1,
    blocked=7,
    swapped_in_pages=5,
    swapped_out_pages=50,
    reclaimed_pages=0,
    refaulted_pages=3,
    major_faults=11,
    disks={"vda": Disk(1000, 5000, 100), "vdb": Disk(0, 0, 0)},
    rx_bytes=10,
    tx_bytes=20,
)
NOW = Totals(
    ticks=1400,
    user_ticks=200,
    system_ticks=150,
    iowait_ticks=50,
    steal_ticks=5,
    blocked=2,
    swapped_in_pages=7,
    swapped_out_pages=54,
    reclaimed_pages=10,
    refaulted_pages=3,
    major_faults=31,
    disks={"vda": Disk(3000, 5000, 600), "vdb": Disk(0, 8000, 1500)},
    rx_bytes=2010,
    tx_bytes=20,
)


def test_every_rate_is_of_the_time_between_two_samples() -> None:
    assert rates(BEFORE, NOW, 2 * S) == HostRates(
        user_pct=25.0,
        system_pct=12.5,
        iowait_pct=10.0,
        steal_pct=1.0,
        blocked=2,
        swap_in_bytes_per_s=1.0 * PAGE,
        swap_out_bytes_per_s=2.0 * PAGE,
        reclaimed_bytes_per_s=5.0 * PAGE,
        refaulted_bytes_per_s=0.0,
        major_faults_per_s=10.0,
        disk="vdb",
        disk_busy_pct=75.0,
        disk_read_bytes_per_s=1000.0,
        disk_write_bytes_per_s=4000.0,
        net_rx_bytes_per_s=1000.0,
        net_tx_bytes_per_s=0.0,
    )


def test_the_first_sample_tells_no_rate_and_no_sample_nothing() -> None:
    assert rates(None, NOW, 0) == HostRates(blocked=2)
    assert rates(BEFORE, None, S) == NO_RATES


def test_a_disk_that_came_is_rated_from_the_next_sample_on_and_one_that_went_takes_nothing_away() -> None:
    came = replace(NOW, disks={"vda": Disk(3000, 5000, 600), "vdc": Disk(9999, 9999, 9999)})
    told = rates(BEFORE, came, 2 * S)
    assert (told.disk, told.disk_busy_pct, told.disk_read_bytes_per_s) == ("vda", 25.0, 1000.0)
    none = rates(BEFORE, replace(NOW, disks={}), 2 * S)
    assert (none.disk, none.disk_busy_pct, none.disk_read_bytes_per_s) == (None, None, None)


def test_what_the_kernel_does_not_count_or_counted_backwards_has_no_rate() -> None:
    told = rates(BEFORE, replace(NOW, swapped_in_pages=None, major_faults=1, rx_bytes=9), S)
    assert (told.swap_in_bytes_per_s, told.major_faults_per_s, told.net_rx_bytes_per_s) == (None, None, None)
