"""Control groups and little programs for the tests of blame: who waits, and who makes wait."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


def cgroup_mount(wanted: str) -> Path | None:
    """Where cgroup2 (``cgroup2``) or a v1 controller (its name) is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == wanted or (kind == "cgroup" and wanted in options.split(",")):
            return Path(place)
    return None


class Group:
    """A cgroup of version 2 made for one test, with what is below it."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self.id = path.stat().st_ino
        #: Folders of v1 hierarchies that its processes are put into as well.
        self.beside: tuple[Path, ...] = ()

    def child(self, name: str) -> Group:
        return Group(self.path / name)

    def enter(self) -> None:
        """For ``preexec_fn``."""
        for path in (self.path, *self.beside):
            (path / "cgroup.procs").write_text("0")

    def pressure_us(self, resource: str) -> int:
        """PSI's total of ``some``; the kernel brings it up to date at most every two seconds."""
        (some, *_) = (self.path / f"{resource}.pressure").read_text().splitlines()
        return int(some.rpartition("total=")[2])

    def remove(self) -> None:
        for path in sorted(self.path.rglob("*/"), reverse=True):
            with suppress(OSError):
                path.rmdir()
        self.path.rmdir()


@contextmanager
def new_group() -> Iterator[Group]:
    """A group directly below the root; skips where there is no cgroup2 with PSI."""
    mount = cgroup_mount("cgroup2")
    if mount is None or not (mount / "io.pressure").exists():
        pytest.skip("no cgroup2 with PSI is mounted")
    group = Group(mount / f"linnix-test-{uuid.uuid4().hex[:8]}")
    try:
        yield group
    finally:
        for _ in range(50):  # a process that was killed leaves its group a moment later
            with suppress(OSError):
                group.remove()
                break
            time.sleep(0.02)
        else:
            group.remove()


@contextmanager
def running(
    script: str, *arguments: object, group: Group | None = None, pinned: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A Python script that prints ``ready`` when only what is to be measured is left, then reads a line and begins.

    ``pinned`` keeps it on the first CPU: there a stall is the same however one averages over CPUs.
    """

    def prepare() -> None:
        if group:
            group.enter()
        if pinned:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def start(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> int:
    """The number a script prints when it is done; it has exited then."""
    told, _ = process.communicate(timeout=60)
    return int(told)


def start_ns(pid: int) -> int:
    """Boot time of a process, as coarse as /proc has it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) * 10**9 // os.sysconf("SC_CLK_TCK")
