"""The laboratory's control groups: made for a run, and ended with all that is in them.

Owns the groups below ``app.slice`` of the cgroup2 hierarchy that carry its mark, an extended attribute: their names
are such as any host has, so that nobody learns from them what is of a laboratory. Refuses to end a process for its
name, and to touch the groups of a laboratory that still runs: each holds a lock on its group's folder, which the kernel
drops with the last of it, also after ``kill -9``. Invariant: when ``end`` returns, no process is in the group and it is
gone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from linnix.faultlab import limits
from linnix.faultlab.errors import LabError, RefusedError
from linnix.faultlab.limits import Limits

SLICE = "app.slice"
# User attributes of cgroup2 are of Linux 5.7; the trusted ones are older, and need CAP_SYS_ADMIN of the host.
_MARKS = ("user.linnix_faultlab", "trusted.linnix_faultlab")
_END_WITHIN_S = 20.0


def find_mount(mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """Where cgroup2 is mounted; None where it is not."""
    for line in mounts.read_text().splitlines():
        _device, where, kind, *_rest = line.split(" ")
        if kind == "cgroup2":
            return Path(where.encode().decode("unicode_escape"))
    return None


def require_mount() -> Path:
    """The mount, where we may make groups. Raises RefusedError that says what to do."""
    mount = find_mount()
    if mount is None:
        raise RefusedError(
            "cgroup2 is not mounted: the laboratory could not end what it starts", "mount -t cgroup2 none DIR"
        )
    if not os.access(mount, os.W_OK):
        raise RefusedError(
            f"{mount} cannot be written: the laboratory keeps all it starts in control groups, to end it for sure",
            "Run it as root, in a container with the cgroup mount writable",
        )
    return mount


class Laboratory:
    """The group of one run; a context manager that ends all of it."""

    def __init__(self, mount: Path) -> None:
        self._mount = mount
        self._lock = -1
        self._name("")

    @staticmethod
    def path_of(mount: Path, laboratory: str) -> Path:
        """The group of the laboratory with that id."""
        return mount / SLICE / f"app-{laboratory}.slice"

    def _name(self, name: str) -> None:
        self.id = name
        self.path = self.path_of(self._mount, name)

    def __enter__(self) -> Laboratory:
        while self._lock < 0:
            self._name(secrets.token_hex(4))
            try:
                _make(self.path.parent)
                with suppress(FileNotFoundError):  # the last laboratory that there was has just removed the slice
                    _make(self.path)
            except OSError as error:
                raise RefusedError(f"{self.path}: {error.strerror}", "Run it as root") from error
            # Between the two another laboratory may take ours for remains; then it has it, and we make another.
            with suppress(BlockingIOError, FileNotFoundError):
                self._lock = _locked(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _end_with_twins(self.path, self._mount)
        finally:
            os.close(self._lock)

    def group(self, name: str) -> Path:
        """A group below; made when it is asked for first."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def limit(self, name: str, what: Limits) -> None:
        """Limit a group below. Raises RefusedError where this host cannot."""
        limits.apply(what, self.group(name), self._mount)

    def groups(self, name: str) -> list[Path]:
        """The group of that name, and those of other hierarchies that its processes must enter, too."""
        path = self.group(name)
        return [path, *limits.twins(path, self._mount)]


def end_remains(mount: Path, before: Callable[[str], None] = lambda _: None) -> Iterator[tuple[str, int]]:
    """End the groups whose laboratory is gone: their names, and how many processes were in each.

    ``before`` is told the id of each laboratory before its processes are killed.
    """
    for path in sorted(mount.glob(f"{SLICE}/app-*.slice")):
        if not _is_marked(path):
            continue
        try:
            held = _locked(path)  # until it is gone, so that nobody else ends it, too
        except (BlockingIOError, FileNotFoundError):
            continue
        try:
            count = len(pids(path))
            before(path.stem.removeprefix("app-"))
            _end_with_twins(path, mount)
        finally:
            os.close(held)
        yield path.name, count


def living(mount: Path) -> list[str]:
    """The groups of laboratories that run now."""
    found = []
    for path in filter(_is_marked, sorted(mount.glob(f"{SLICE}/app-*.slice"))):
        try:
            os.close(_locked(path))
        except BlockingIOError:
            found.append(path.name)
        except FileNotFoundError:
            continue
    return found


def pids(path: Path) -> list[int]:
    """Processes in a group and below it; those that have died and are not reaped are in none."""
    found: list[int] = []
    for folder in _below(path):
        with suppress(OSError):
            found += [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    return [pid for pid in found if pid]  # 0: of a pid namespace that we do not see into


def kill(path: Path, use_kill_file: bool = True) -> None:
    """Kill all processes of a group and below it, and wait until they are gone. Raises LabError after 20 s."""
    deadline = time.monotonic() + _END_WITHIN_S
    while _populated(path):
        try:
            if not use_kill_file:
                raise FileNotFoundError
            (path / "cgroup.kill").write_text("1")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP, None):
                raise
            # Before Linux 5.14: again and again, since what is being killed may fork meanwhile.
            for pid in pids(path):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LabError(f"{path}: {len(pids(path))} processes do not end", f"See {path / 'cgroup.procs'}")
        time.sleep(0.02)


def end(path: Path) -> None:
    """Kill what is in a group, and remove it with all groups below it. One that is gone already is fine."""
    if not path.is_dir():
        return
    kill(path)
    _remove(path)


def _end_with_twins(path: Path, mount: Path) -> None:
    """End a laboratory's group, its twins of version 1 first: they are found by it. The last one takes the slice."""
    if path.is_dir():
        kill(path)
    for twin in limits.twins(path, mount):
        _remove(twin)
        with suppress(OSError):
            twin.parent.rmdir()
    end(path)
    if _is_marked(path.parent):
        with suppress(OSError):
            path.parent.rmdir()


def _remove(path: Path) -> None:
    deadline = time.monotonic() + _END_WITHIN_S
    for folder in reversed(_below(path)):
        while folder.is_dir():
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LabError(f"{folder}: cannot be removed: {error.strerror}") from error
                time.sleep(0.02)


def _below(path: Path) -> list[Path]:
    """The group and those below it, parents first."""
    return [Path(folder) for folder, _folders, _files in os.walk(path)]


def _make(path: Path) -> None:
    """Make a group that is known as ours. One that is there stays what it is. Raises OSError."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    for mark in _MARKS:
        with suppress(OSError):
            os.setxattr(path, mark, b"1")
            return
    path.rmdir()
    raise OSError(
        errno.ENOTSUP, "groups cannot carry extended attributes here, so remains could not be told from others"
    )


def _is_marked(path: Path) -> bool:
    with suppress(OSError):
        return not set(_MARKS).isdisjoint(os.listxattr(path))
    return False


def _populated(path: Path) -> bool:
    try:
        return "populated 1" in (path / "cgroup.events").read_text()
    except OSError:
        return False


def _locked(path: Path) -> int:
    """A descriptor of the folder that holds its lock. Raises BlockingIOError where somebody else does."""
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.stat()  # a lock on a folder that was removed meanwhile is worth nothing
    except OSError:
        os.close(held)
        raise
    return held
