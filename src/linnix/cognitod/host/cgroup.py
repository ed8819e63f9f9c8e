"""Where a process belongs: the path of its cgroup and the systemd unit it names.

Owns the map from cgroup id to path. Refuses version 1 hierarchies: an id is that of cgroup2, which is the inode of the
group's directory. Invariant: a path is relative to the cgroup2 mount and begins with ``/``; what is not found is None.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from linnix.cognitod.host.proc import PROC, read_text

#: A group is looked for by walking the tree; an id that was not there is not looked for again within this time.
RETRY_S = 1.0
#: Paths that are remembered; beyond it the oldest go.
MAX_KNOWN = 16_384

_MOUNT = re.compile(r"^\d+ \d+ \S+ (\S+) (\S+) .* - cgroup2 ", re.MULTILINE)
_OCTAL = re.compile(r"\\([0-7]{3})")
_UNIT = re.compile(r"([^/]+\.(?:service|scope|socket|mount|swap|slice))(?=/|$)")


def find_mount(proc: Path = PROC) -> Path | None:
    """Where cgroup2 is mounted, wherever that is; None if nowhere. The mount of the hierarchy's root is preferred."""
    mounts = _MOUNT.findall(read_text(proc / "self/mountinfo"))
    for _, point in sorted(mounts, key=lambda mount: mount[0] != "/"):
        return Path(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), point))
    return None


def parse_pid_cgroup(text: str) -> str | None:
    """The cgroup2 path out of ``/proc/PID/cgroup``."""
    for line in text.splitlines():
        if line.startswith("0::"):
            return line[3:].removesuffix(" (deleted)")
    return None


def unit_of(path: str) -> str | None:
    """The innermost systemd unit in a cgroup path: a service or scope, rather than the slice around it."""
    units = _UNIT.findall(path)
    named = [unit for unit in units if not unit.endswith(".slice")] or units
    return named[-1] if named else None


class Cgroups:
    """Paths by id. One thread uses it."""

    def __init__(self, mount: Path | None = None) -> None:
        """``mount`` is where cgroup2 is mounted; None: nothing will be found."""
        self._mount = mount
        self._paths: dict[int, str] = {}
        self._walked_s = float("-inf")

    def path(self, cgroup_id: int) -> str | None:
        """The path of a group, walking the tree if it is not known yet."""
        if not cgroup_id or self._mount is None:
            return None
        known = self._paths.get(cgroup_id)
        if known is None and time.monotonic() - self._walked_s > RETRY_S:
            self._walk(self._mount)
            known = self._paths.get(cgroup_id)
        return known

    def place(self, cgroup_id: int) -> tuple[str | None, str | None]:
        """Path and systemd unit of a group, each None where there is none."""
        path = self.path(cgroup_id)
        return path, unit_of(path) if path else None

    def id_of(self, path: str) -> int:
        """The id of a group by its path, 0 if it is gone or there is no cgroup2."""
        if self._mount is None:
            return 0
        try:
            found = (self._mount / path.lstrip("/")).stat().st_ino
        except OSError:
            return 0
        self._paths[found] = path
        return found

    def _walk(self, mount: Path) -> None:
        # paths of groups that are gone are kept: their processes' exits are still to be told
        for folder, _, _ in os.walk(mount):
            path = "/" + os.path.relpath(folder, mount).removeprefix(".")
            try:
                self._paths[Path(folder).stat().st_ino] = path
            except OSError:
                continue  # removed during the walk
        while len(self._paths) > MAX_KNOWN:
            del self._paths[next(iter(self._paths))]
        self._walked_s = time.monotonic()
