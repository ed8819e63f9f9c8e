"""What instruments tell of single processes, in the form that facts take it: rates and shares of the last seconds.

Owns the value types between those who keep readings and ``detect.facts``. Refuses to measure and to judge. Invariant: a
value of this module never changes once it is made; what is not known is None, never 0.

An identity is (pid, start_ns).
"""

from __future__ import annotations

from typing import NamedTuple

Identity = tuple[int, int]


class SocketRates(NamedTuple):
    """What a process sent and received through sockets of IP, loopback included, in the last second."""

    tx_bytes_per_s: float
    rx_bytes_per_s: float
    tx_calls_per_s: float
    rx_calls_per_s: float
    connects_per_s: float  # TCP connections that it opened, or that were opened to it


class Waits(NamedTuple):
    """Where the threads of a process were found, over the looks of the last ten seconds; percent of looks and threads.

    ``lock_wait_pct``: waiting for one and the same lock, a futex or a lock of a file. ``lock_waiters``: most threads at
    once that waited for it. ``sync_pct``: percent of the looks that found a thread of it in fsync or the like.
    """

    lock_wait_pct: float | None
    lock_waiters: int | None
    sync_pct: float | None
