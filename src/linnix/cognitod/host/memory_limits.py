"""How much of its memory limit a process's control group uses.

Owns the reading of memory limits, of cgroup2 (``memory.max``) and of version 1 (``memory.limit_in_bytes``). Refuses
page cache, which goes before anything is killed: in use is what is charged but for pages of files. Invariant: a process
that is under no limit is told None, and what cannot be read is no limit.

Source: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst. A limit may be on any group above, so that all
are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from linnix.cognitod.host.proc import PROC

#: Version 1 tells no limit as the largest number of pages in bytes.
_UNLIMITED = 1 << 62
#: Groups without a limit are asked again after this; those with one each time.
_AGAIN_S = 10.0
_MAX_KNOWN = 4096


class _Version(NamedTuple):
    limit: str
    usage: str
    cache: tuple[str, ...]  # of memory.stat


_V2 = _Version("memory.max", "memory.current", ("active_file", "inactive_file"))
_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))


class MemoryLimits:
    """``mount``: where the memory controller's hierarchy is, of either version; found in /proc/mounts."""

    def __init__(self, proc: Path = PROC, clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._mount, self._version = _find(proc)
        self._unlimited: dict[Path, float] = {}  # until when

    def used_pct(self, pid: int) -> float | None:
        """Of the limit that is nearest to being used up, 0 to 100 or a little more."""
        if self._mount is None:
            return None
        group = self._group(pid)
        used = []
        while group is not None and group != self._mount and self._mount in group.parents:
            if (pct := self._of_group(group)) is not None:
                used.append(pct)
            group = group.parent
        return max(used, default=None)

    def _group(self, pid: int) -> Path | None:
        with suppress(OSError):
            for line in (self._proc / str(pid) / "cgroup").read_text(errors="surrogateescape").splitlines():
                _, controllers, path = line.split(":", 2)
                mine = "memory" in controllers.split(",") if self._version is _V1 else not controllers
                if mine and self._mount is not None and ".." not in path:
                    return self._mount / path.lstrip("/")
        return None

    def _of_group(self, group: Path) -> float | None:
        if self._unlimited.get(group, 0.0) > self._clock():
            return None
        with suppress(OSError, ValueError):
            limit = int((group / self._version.limit).read_text())
            if 0 < limit < _UNLIMITED:
                usage = int((group / self._version.usage).read_text())
                stat = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
                cache = sum(int(stat.get(name, 0)) for name in self._version.cache)
                return round(100 * max(usage - cache, 0) / limit, 1)
        if len(self._unlimited) >= _MAX_KNOWN:
            self._unlimited.clear()
        self._unlimited[group] = self._clock() + _AGAIN_S
        return None


def _find(proc: Path) -> tuple[Path | None, _Version]:
    """Version 1 first: where its memory controller is mounted, cgroup2 has none."""
    found: Path | None = None
    with suppress(OSError):
        for line in (proc / "mounts").read_text(errors="surrogateescape").splitlines():
            _, point, kind, options = line.split(" ", 3)
            if kind == "cgroup" and "memory" in options.split(" ", 1)[0].split(","):
                return Path(point), _V1
            if kind == "cgroup2" and found is None:
                found = Path(point)
    return found, _V2
