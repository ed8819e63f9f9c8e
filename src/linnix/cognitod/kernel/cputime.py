"""User and system time as the kernel reports it: the ticks' proportion of what was really used.

Owns the split. Refuses to accumulate: the kernel also keeps both from ever stepping back, which matters to who reads a
living process again and again, and is left to that reader. Invariant: user plus system is exactly the CPU time.

The source is kernel/sched/cputime.c, cputime_adjust(). Ticks come every few milliseconds and see only who happens to
run then; ``se.sum_exec_runtime`` sees every nanosecond and does not tell user from system.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Nanoseconds = NDArray[np.uint64]


def split(cpu_ns: Nanoseconds, utime_ns: Nanoseconds, stime_ns: Nanoseconds) -> tuple[Nanoseconds, Nanoseconds]:
    """User and system time in ns. What no tick has seen counts as user time, as in the kernel.

    The product is taken in floating point: a week of CPU time is exact to 0.1 µs, which is beyond what ticks say.
    """
    ticks = np.maximum((utime_ns + stime_ns).astype(np.float64), 1.0)
    system = np.minimum((cpu_ns * (stime_ns / ticks)).astype(np.uint64), cpu_ns)
    return cpu_ns - system, system
