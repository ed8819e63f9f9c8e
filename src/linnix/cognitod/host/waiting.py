"""How much the host and every control group have waited for one resource, read together.

Owns which pressure files are read while blame is measured. Refuses to read any before: between two engagements nothing
is open and nothing is walked. Invariant: a group's first reading counts from 0 only where the group is younger than the
engagement; what cannot be known (too many groups, PSI switched off) is left out and ``complete`` says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.host.psi import read_total_us

#: Groups whose pressure is read, the shallowest first: some 5 microseconds each, once a second while engaged.
MAX_GROUPS = 256


class Waiting(NamedTuple):
    """See ``blame.meter.Waited``, whose shape this is."""

    host_us: int
    groups: NDArray[np.uint64]
    groups_us: NDArray[np.uint64]
    complete: bool


class Waits:
    """Totals of one resource. ``mount`` is where cgroup2 is, None: only the host is read. One thread uses it."""

    def __init__(self, resource: str, host: Path, mount: Path | None, max_groups: int = MAX_GROUPS) -> None:
        self._file = f"{resource}.pressure"
        self._host = host
        self._mount = mount
        self._max_groups = max_groups
        self._host_us = 0
        self._paths: dict[int, str] = {}
        self._last_us: dict[int, int] = {}
        self._complete = False  # every group is among the paths
        self._all_known = False  # and was when counting began: what is found later is younger than that

    def begin(self) -> None:
        """Count from now."""
        self._last_us.clear()
        self._find()
        self._all_known = self._complete
        self._host_us = read_total_us(self._host) or 0
        for group, path in self._paths.items():
            if (total_us := read_total_us(path)) is not None:
                self._last_us[group] = total_us

    def since(self, expected: NDArray[np.uint64]) -> Waiting:
        """What was waited since ``begin`` or the last call. ``expected``: groups that are known to have waited."""
        if not all(group in self._paths for group in expected.tolist()):
            self._find()  # made since: whatever they waited, they waited since
        host_us = read_total_us(self._host) or self._host_us
        groups, waited_us = [], []
        for group, path in list(self._paths.items()):
            total_us = read_total_us(path)
            if total_us is None:
                del self._paths[group]  # gone, with what it waited since the last call
                continue
            if passed_us := total_us - self._last_us.get(group, 0 if self._all_known else total_us):
                groups.append(group)
                waited_us.append(passed_us)
            self._last_us[group] = total_us
        complete = self._all_known and self._complete
        since = Waiting(host_us - self._host_us, np.array(groups, np.uint64), np.array(waited_us, np.uint64), complete)
        self._host_us = host_us
        return since

    def _find(self) -> None:
        self._complete = self._mount is not None
        if self._mount is None:
            return
        self._paths.clear()
        for number, (group, folder) in enumerate(_groups(str(self._mount))):
            if number == self._max_groups:
                self._complete = False
                break
            self._paths[group] = f"{folder}/{self._file}"


def _groups(mount: str) -> Iterator[tuple[int, str]]:
    """Id and directory of every group, level by level; the root, whose pressure is the host's, first."""
    try:
        yield Path(mount).stat().st_ino, mount
    except OSError:
        return
    level = [mount]
    while level:
        below: list[str] = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            below.append(entry.path)
                            yield entry.inode(), entry.path
            except OSError:
                continue  # removed meanwhile
        level = below
