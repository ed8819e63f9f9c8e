"""A file system and swap of a run's own, in files of its work folder, and gone with it.

Owns mounting and swapping. Refuses to touch what is not below a work folder of a laboratory. Invariant: a mount, a loop
device or swap below such a folder goes when its run ends, or, if that was killed, when the next laboratory starts,
whatever folder that one writes to: it is told by the laboratory's id in its path, and by that laboratory's being gone.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from linnix.faultlab.errors import LabError, MissingError, RefusedError

#: What a work folder is called, with the laboratory's id. A name of a run cannot begin with a dot.
WORK = re.compile(r"\.app-([0-9a-f]{8})")
_UNMOUNT_WITHIN_S = 10.0
_MIB = 1024 * 1024
_FITHAW = 0xC0045878  # _IOWR('X', 120, int), include/uapi/linux/fs.h


@contextmanager
def filesystem(work: Path, mib: int) -> Iterator[Path]:
    """An ext4 of that size, mounted while the block lasts; where. Raises RefusedError where this host cannot."""
    image, place = work / "image", work / "srv"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(mib * _MIB)
    # Lazily made tables would be written during the run, by a thread of the kernel.
    _do("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", str(image))
    _do("mount", "-t", "ext4", "-o", "loop", str(image), str(place))
    try:
        yield place
    finally:
        _unmount(place)


def thaw(place: Path) -> None:
    """Thaw a mounted file system, if it is frozen: who waits for it to be thawed cannot be killed."""
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # EINVAL: it is not frozen
            fcntl.ioctl(folder, _FITHAW, 0)
    finally:
        os.close(folder)


def thaw_remains(laboratory: str) -> None:
    """Thaw what a laboratory that is gone has mounted, by its id, so that its processes can be ended."""
    for place in _mounts():
        if f"/.app-{laboratory}/" in place:
            thaw(Path(place))


@contextmanager
def swap(work: Path, mib: int) -> Iterator[Path]:
    """Swap of that size while the block lasts; the file. Raises RefusedError where this host cannot."""
    file = work / "swap"
    with file.open("wb") as opened:
        file.chmod(0o600)
        os.posix_fallocate(opened.fileno(), 0, mib * _MIB)  # swap has no holes
    _do("mkswap", str(file))
    try:
        _do("swapon", str(file))
        yield file
    finally:
        if is_swap(file):
            _do("swapoff", str(file))


def is_swap(file: Path, swaps: Path = Path("/proc/swaps")) -> bool:
    """Whether the kernel swaps to it: it tells files by their real paths, and ours may lead through a link."""
    return file.resolve() in (Path(path).resolve() for path in _swaps(swaps))


def end_remains(lives: Callable[[str], bool]) -> Iterator[str]:
    """Undo what is left of laboratories that are gone; ``lives`` tells of an id whether its laboratory is there."""

    def left(paths: Iterator[str]) -> list[str]:
        found = ((path, re.search(rf"/{WORK.pattern}/", path)) for path in paths)
        return [path for path, match in found if match is not None and not lives(match[1])]

    for file in left(_swaps()):
        _do("swapoff", file)
        yield f"swap {file}"
    for place in left(_mounts()):
        _unmount(Path(place))
        yield f"mount {place}"
    for device, image in list(_loops()):
        if left(iter((image,))):
            with suppress(RefusedError):  # it goes by itself once it is unmounted
                _do("losetup", "-d", device)
            yield f"loop device {device}"


def _unmount(place: Path) -> None:
    deadline = time.monotonic() + _UNMOUNT_WITHIN_S
    while True:
        try:
            _do("umount", str(place))
        except RefusedError as error:
            if time.monotonic() > deadline:
                raise LabError(f"{place}: cannot be unmounted: {error}", f"umount {place}") from error
            time.sleep(0.1)
        else:
            return


def _do(program: str, *arguments: str) -> None:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        raise MissingError({program: "e2fsprogs" if program.startswith("mkfs") else "mount"})
    done = subprocess.run([found, *arguments], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        words = f"{program} failed with status {done.returncode}" + (f": {said[-1]}" if said else "")
        raise RefusedError(words, "Name an --out on ext4 or xfs" if program == "swapon" else "")


def _swaps(swaps: Path = Path("/proc/swaps")) -> Iterator[str]:
    for line in swaps.read_text().splitlines()[1:]:
        yield _plain(line.split()[0])


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        yield _plain(line.split(" ")[1])


def _loops() -> Iterator[tuple[str, str]]:
    for file in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        with suppress(OSError):
            yield f"/dev/{file.parents[1].name}", file.read_text().strip()


def _plain(path: str) -> str:
    """The kernel writes blanks and the like of a path in octal (fs/proc_namespace.c, mangle_path)."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
