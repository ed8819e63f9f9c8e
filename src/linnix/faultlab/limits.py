"""What a control group may use: a CPU quota and a memory limit, of either version of cgroups.

Owns the files of the controllers. Refuses a host that has neither version of one. Where a controller is of version 1,
there is a group of the same name in its hierarchy, which processes must enter, too. Invariant: such a twin has a group
of version 2 as long as it is there, so that who finds the one finds the other.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linnix.faultlab.errors import RefusedError

_PERIOD_US = 100_000
_CONTROLLERS = ("cpu", "memory")


@dataclass(frozen=True)
class Limits:
    """Of one control group; None for what is not limited. ``swap`` allows beyond the memory limit what is swapped."""

    cpu_quota_pct: float | None = None  # of one core
    memory_mib: int | None = None
    swap: bool = False


def apply(limits: Limits, group: Path, mount: Path) -> list[Path]:
    """Limit a group below the cgroup2 mount; its twins of version 1. Raises RefusedError where this host cannot."""
    twins = []
    if limits.cpu_quota_pct is not None:
        quota_us = round(limits.cpu_quota_pct / 100 * _PERIOD_US)
        if (twin := _place("cpu", group, mount)) is None:
            _write(group / "cpu.max", f"{quota_us} {_PERIOD_US}")
        else:
            _write(twin / "cpu.cfs_period_us", str(_PERIOD_US))
            _write(twin / "cpu.cfs_quota_us", str(quota_us))
            twins.append(twin)
    if limits.memory_mib is not None:
        limit = str(limits.memory_mib << 20)
        if (twin := _place("memory", group, mount)) is None:
            _write(group / "memory.max", limit)
            swap = group / "memory.swap.max"
        else:
            _write(twin / "memory.limit_in_bytes", limit)
            swap = twin / "memory.memsw.limit_in_bytes"
            twins.append(twin)
        if not limits.swap and swap.exists():  # it is not where the kernel does not account for swap
            _write(swap, "0" if twin is None else limit)
    return twins


def twins(group: Path, mount: Path) -> Iterator[Path]:
    """The groups of version 1 that go with a group, if there are any."""
    for controller in _CONTROLLERS:
        old = _mount_of(controller)
        if old is not None and (twin := old / group.relative_to(mount)).is_dir():
            yield twin


def _place(controller: str, group: Path, mount: Path) -> Path | None:
    """The twin where the controller is of version 1; None where it is of version 2, and on for the group."""
    old = _mount_of(controller)
    if old is not None:
        twin = old / group.relative_to(mount)
        try:
            twin.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RefusedError(f"{twin}: {error.strerror}", "Run it as root") from error
        return twin
    if controller not in (mount / "cgroup.controllers").read_text().split():
        raise RefusedError(f"no {controller} controller on this host", "Leave this scenario out")
    for above in reversed([folder for folder in group.parents if folder.is_relative_to(mount)]):
        _write(above / "cgroup.subtree_control", f"+{controller}")
    return None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        advice = "Leave this scenario out"
        if error.errno == errno.EBUSY:
            advice = "cgroup2 allows no controller below a group with processes of its own; " + advice.lower()
        raise RefusedError(f"{file}: {error.strerror}", advice) from error


def _mount_of(controller: str, mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    with suppress(OSError):
        for line in mounts.read_text().splitlines():
            _device, where, kind, options, *_rest = line.split(" ")
            if kind == "cgroup" and controller in options.split(","):
                return Path(where.encode().decode("unicode_escape"))
    return None
