"""What a victim and an offender are called: by process, cgroup, systemd unit or pod.

Owns the levels, their names, and which group of cgroup2 a name stands for. Refuses amounts. Invariant: a name of one
level is never spelled like one of another: paths begin with a slash, a pod has one inside, and what stands for no
name is in parentheses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from linnix.cognitod.model import Home

LEVELS = ("process", "cgroup", "unit", "pod")
#: What stands where a name would be: several that were too small to keep apart, nobody at all, and a group whose
#: path is not known. No path, unit or pod is spelled like this.
OTHERS_NAME, NOBODY_NAME, UNKNOWN_NAME = "(others)", "(nobody)", "(unknown)"

_POD = re.compile(r"/[^/]*pod[0-9a-f][0-9a-f_-]{30,}[^/]*(?=/|$)")


@dataclass(frozen=True, slots=True)
class Who:
    """A process. ``pid`` 0 is nobody, None several."""

    pid: int | None
    start_ns: int
    comm: str
    cgroup: str | None
    unit: str | None


Name = Who | str


@dataclass(frozen=True, slots=True)
class Scope:
    """The victim that is asked about: one process, or all within some groups."""

    level: str  # of LEVELS
    name: str  # as it was asked for
    pid: int = 0
    unit: str = ""
    namespace: str = ""
    pod: str = ""
    path: str = ""
    ids: frozenset[int] = frozenset()  # of its cgroup, where it is known otherwise than from rows

    def root_of(self, home: Home) -> str | None:
        """The path of the victim's own group, if this is the home of somebody in it."""
        path = home.cgroup
        if path is None:
            return None
        if self.level == "cgroup":
            return self.path if self.path == "/" or (path + "/").startswith(self.path + "/") else None
        if self.level == "unit":
            above, found, _ = (path + "/").rpartition(f"/{self.unit}/")
            if found:
                return f"{above}/{self.unit}"
            return path if home.unit == self.unit else None
        if (home.namespace, home.pod) == (self.namespace, self.pod):
            return pod_path(home) or path
        return None


def label(level: str, home: Home) -> str:
    """The name of a home at a level. What is in no pod is named by its unit, what is in no unit by its cgroup."""
    if level == "pod" and home.pod is not None:
        return f"{home.namespace or ''}/{home.pod}"
    if level in ("pod", "unit") and home.unit is not None:
        return home.unit
    return home.cgroup or UNKNOWN_NAME


def root(level: str, home: Home) -> str | None:
    """The path of the group that ``label`` names; None where it has none of its own."""
    if level == "pod" and home.pod is not None:
        return pod_path(home)
    if level in ("pod", "unit") and home.unit is not None:
        return unit_path(home)
    return home.cgroup


def unit_path(home: Home) -> str | None:
    """The group of a home's unit: the part of its path that ends with the unit; None where it is not in the path."""
    if home.cgroup is None or home.unit is None:
        return None
    above, found, _ = (home.cgroup + "/").rpartition(f"/{home.unit}/")
    return f"{above}/{home.unit}" if found else None


def pod_path(home: Home) -> str | None:
    """The group of a home's pod: the part of its path that ends with the kubelet's name for it."""
    if home.cgroup is None or home.pod is None:
        return None
    ends = [found.end() for found in _POD.finditer(home.cgroup)]
    return home.cgroup[: ends[-1]] if ends else None
