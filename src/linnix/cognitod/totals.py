"""What the whole host has done since boot, and from two of those what it does now.

Owns the counters of a sample that processes do not have, and the arithmetic between two of them. Refuses files and
clocks. Invariants: a counter that this kernel does not tell is None, and so is its rate; a counter that ran backwards,
as when a disk is gone, gives no rate; a rate is of exactly the time between two samples.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Disk(NamedTuple):
    """A whole block device since boot (Documentation/admin-guide/iostats.rst)."""

    read_bytes: int
    written_bytes: int
    busy_ms: int  # in which at least one request was on its way


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Since boot. Ticks are summed over all cores; pages are the kernel's."""

    ticks: int = 0  # all of them, idle ones included
    user_ticks: int = 0  # niced ones included
    system_ticks: int = 0  # interrupts included
    iowait_ticks: int = 0
    steal_ticks: int = 0
    blocked: int | None = None  # tasks in uninterruptible sleep at this moment
    swapped_in_pages: int | None = None
    swapped_out_pages: int | None = None
    reclaimed_pages: int | None = None  # by those who wanted memory themselves
    refaulted_pages: int | None = None  # of files: dropped from the page cache, and read again
    major_faults: int | None = None
    disks: Mapping[str, Disk] = field(default_factory=dict)
    rx_bytes: int = 0  # all interfaces but loopback
    tx_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRates:
    """Between two samples; the names are those of ``insight.facts.Host``."""

    user_pct: float | None = None
    system_pct: float | None = None
    iowait_pct: float | None = None
    steal_pct: float | None = None
    blocked: int | None = None
    swap_in_bytes_per_s: float | None = None
    swap_out_bytes_per_s: float | None = None
    reclaimed_bytes_per_s: float | None = None
    refaulted_bytes_per_s: float | None = None
    major_faults_per_s: float | None = None
    disk: str | None = None
    disk_busy_pct: float | None = None
    disk_read_bytes_per_s: float | None = None
    disk_write_bytes_per_s: float | None = None
    net_rx_bytes_per_s: float | None = None
    net_tx_bytes_per_s: float | None = None


NO_RATES = HostRates()


def rates(before: Totals | None, now: Totals | None, elapsed_ns: int) -> HostRates:
    """What happened between two samples, ``elapsed_ns`` apart. Of the first sample of all, only what is of a moment."""
    if now is None:
        return NO_RATES
    if before is None or elapsed_ns <= 0:
        return HostRates(blocked=now.blocked)

    def per_s(was: int | None, is_now: int | None, unit: int = 1) -> float | None:
        if was is None or is_now is None or is_now < was:
            return None
        return round((is_now - was) * unit * 1e9 / elapsed_ns, 1)

    def share(name: str) -> float | None:
        passed, spent = now.ticks - before.ticks, getattr(now, name) - getattr(before, name)
        return round(min(100.0 * spent / passed, 100.0), 1) if passed > 0 and spent >= 0 else None

    disk, busy_pct = _busiest(before.disks, now.disks, elapsed_ns)
    both = now.disks.keys() & before.disks.keys()
    sums = [
        (sum(table[name].read_bytes for name in both), sum(table[name].written_bytes for name in both))
        for table in (before.disks, now.disks)
    ]
    page = mmap.PAGESIZE
    return HostRates(
        user_pct=share("user_ticks"),
        system_pct=share("system_ticks"),
        iowait_pct=share("iowait_ticks"),
        steal_pct=share("steal_ticks"),
        blocked=now.blocked,
        swap_in_bytes_per_s=per_s(before.swapped_in_pages, now.swapped_in_pages, page),
        swap_out_bytes_per_s=per_s(before.swapped_out_pages, now.swapped_out_pages, page),
        reclaimed_bytes_per_s=per_s(before.reclaimed_pages, now.reclaimed_pages, page),
        refaulted_bytes_per_s=per_s(before.refaulted_pages, now.refaulted_pages, page),
        major_faults_per_s=per_s(before.major_faults, now.major_faults),
        disk=disk,
        disk_busy_pct=busy_pct,
        disk_read_bytes_per_s=per_s(sums[0][0], sums[1][0]) if both else None,
        disk_write_bytes_per_s=per_s(sums[0][1], sums[1][1]) if both else None,
        net_rx_bytes_per_s=per_s(before.rx_bytes, now.rx_bytes),
        net_tx_bytes_per_s=per_s(before.tx_bytes, now.tx_bytes),
    )


def _busiest(
    before: Mapping[str, Disk], now: Mapping[str, Disk], elapsed_ns: int
) -> tuple[str, float] | tuple[None, None]:
    busy = [(now[name].busy_ms - before[name].busy_ms, name) for name in sorted(now.keys() & before.keys())]
    if not busy:
        return None, None
    busy_ms, name = max(busy, key=lambda each: each[0])
    return name, round(min(max(busy_ms * 1e8 / elapsed_ns, 0.0), 100.0), 1)
