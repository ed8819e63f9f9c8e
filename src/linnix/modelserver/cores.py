"""How many cores this process may really use.

Owns the reading of CPU affinity and of the cgroup's CPU quota. Refuses to guess: what cannot be read does not limit.
Invariant: the answer is at least 1. Threads beyond it slow llama.cpp down, because each step waits for the last thread.
"""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Cores given by affinity, or by the CPU quota of this cgroup or one above it where that is less."""
    return max(1, min([len(os.sched_getaffinity(0)), *(ceil(quota) for quota in read_quotas(root))]))


def read_quotas(root: Path) -> list[float]:
    """Every CPU quota that binds this process, in cores; cgroup v2 and v1. ``root`` holds ``proc`` and ``sys``."""
    quotas: list[float] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, version2 = root / "sys/fs/cgroup", True
        elif "cpu" in controllers.split(","):
            base, version2 = root / "sys/fs/cgroup" / controllers, False
        else:
            continue
        group = base / path.lstrip("/")
        # In a container the path may be the host's and absent here; the mount's root is then the container's own group.
        for directory in (group, *group.parents):
            quota = _quota_v2(directory) if version2 else _quota_v1(directory)
            if quota is not None:
                quotas.append(quota)
            if directory == base:
                break
    return quotas


def _quota_v2(directory: Path) -> float | None:
    fields = _read(directory / "cpu.max").split()
    return int(fields[0]) / int(fields[1]) if len(fields) == 2 and fields[0] != "max" else None


def _quota_v1(directory: Path) -> float | None:
    quota_us, period_us = _read(directory / "cpu.cfs_quota_us").strip(), _read(directory / "cpu.cfs_period_us").strip()
    return int(quota_us) / int(period_us) if quota_us and period_us and int(quota_us) > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
