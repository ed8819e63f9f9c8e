"""Control groups made for one test, and removed after it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from linnix.cognitod.host.cgroup import find_mount


@contextmanager
def cgroup2(name: str) -> Iterator[tuple[Path, int]]:
    """An empty group of version 2: its folder and its id. Skips where none can be made."""
    mount = find_mount()
    if mount is None:
        pytest.skip("cgroup2 is not mounted")
    with _made(mount / f"linnix-test-{name}-{os.getpid()}") as place:
        yield place, place.stat().st_ino


@contextmanager
def memory_limit(name: str, limit_bytes: int) -> Iterator[Path]:
    """A group whose processes are killed beyond this much memory, of either version. Skips where there is none."""
    old = Path("/sys/fs/cgroup/memory")
    if (old / "memory.limit_in_bytes").exists():
        mount, files = old, ("memory.limit_in_bytes",)
    else:
        found = find_mount()
        if found is None or "memory" not in (found / "cgroup.controllers").read_text().split():
            pytest.skip("no memory controller here")
        mount, files = found, ("memory.max",)
        (mount / "cgroup.subtree_control").write_text("+memory")
    with _made(mount / f"linnix-test-{name}-{os.getpid()}") as place:
        for file in files:
            (place / file).write_text(str(limit_bytes))
        with suppress(OSError):  # without swap accounting there is nothing to limit
            (place / "memory.swap.max").write_text("0")
        yield place


@contextmanager
def _made(place: Path) -> Iterator[Path]:
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        yield place
    finally:
        for _ in range(100):  # its last process may still be on its way out
            try:
                place.rmdir()
                break
            except OSError:
                time.sleep(0.05)
