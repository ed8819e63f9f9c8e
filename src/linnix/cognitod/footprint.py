"""What the daemon itself uses: CPU time, resident and proportional memory.

Owns the reading of ``/proc/self``. Refuses to sample: each call reads now, a few microseconds each, and
``read_pss_bytes`` a millisecond. Invariant: a figure that cannot be read is 0, never an error: the daemon's own size
must not fail a request about the host.
"""

from __future__ import annotations

import mmap
import time
from pathlib import Path

_SELF = Path("/proc/self")


def read_cpu_s() -> float:
    """CPU seconds of all threads since start, user and system."""
    return time.process_time()


def read_rss_bytes(root: Path = _SELF) -> int:
    """Resident set, shared pages counted in full."""
    try:
        return int((root / "statm").read_text().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError):
        return 0


def read_pss_bytes(root: Path = _SELF) -> int:
    """Resident set with each shared page divided by the number of processes that map it."""
    try:
        for line in (root / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return 0
