"""A file system of a run that one of its commands froze."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnix.faultlab import disks

_FIFREEZE = 0xC0045877  # _IOWR('X', 119, int), include/uapi/linux/fs.h


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_who_waits_for_a_frozen_file_system_ends_once_it_is_thawed(tmp_path: Path) -> None:
    work = tmp_path / ".app-0a1b2c3d"
    work.mkdir()
    with disks.filesystem(work, 16) as place:
        folder = os.open(place, os.O_RDONLY)
        fcntl.ioctl(folder, _FIFREEZE, 0)
        os.close(folder)
        copy = subprocess.Popen(["cp", "/etc/passwd", place / "copy"])
        for _ in _looks(copy):  # a program that is being loaded waits for the disk, too, but not for long
            time.sleep(0.02)
        copy.kill()
        time.sleep(0.1)
        stuck = _state(copy)

        disks.thaw_remains("0a1b2c3d")

        assert (stuck, copy.wait(5)) == ("D", -9)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_is_not_frozen_is_left_as_it_is(tmp_path: Path) -> None:
    with disks.filesystem(tmp_path, 16) as place:
        (place / "file").write_text("kept")

        disks.thaw(place)

        assert (place / "file").read_text() == "kept"


def _looks(process: subprocess.Popen[bytes], stuck: int = 25) -> Iterator[str]:
    """States of the process, until it was found in uninterruptible sleep so many times in a row."""
    in_a_row = 0
    while in_a_row < stuck:
        state = _state(process)
        in_a_row = in_a_row + 1 if state == "D" else 0
        yield state


def _state(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
