"""Control groups: where they are mounted, which path an id has, and what a path says about who lives there.

Owns the map between ids and paths of cgroup2; an id is the inode of the group's directory. Refuses to read processes:
``homes`` asks them where version 1 hierarchies are in use. Invariant: a path begins with ``/``, is relative to the
mount, and is valid text (bytes that are not UTF-8 are U+FFFD); a group that was found once keeps its path when it is
gone, for as long as the cache holds; what is not found is None.

An id is turned into a path by the kernel itself where it may be asked (``open_by_handle_at``, needs
CAP_DAC_READ_SEARCH): 2 us, whatever the size of the tree. Where it may not, one walk maps the whole tree.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from linnix.cognitod.host import containers
from linnix.cognitod.host.names import Names
from linnix.cognitod.host.proc import PROC
from linnix.cognitod.model import Home, text

#: The tree is not walked again within this time.
RETRY_S = 1.0
#: Groups that are remembered; beyond it the oldest go.
MAX_KNOWN = 16_384

#: include/linux/exportfs.h: FILEID_KERNFS, the 64-bit id of a kernfs node; since Linux 5.5
_FILEID_KERNFS = 0xFE
_DELETED = b" (deleted)"
_MOUNT = re.compile(rb"^\d+ \d+ \S+ (\S+) (\S+) .* - (cgroup2?) ", re.MULTILINE)
_OCTAL = re.compile(rb"\\([0-7]{3})")
_UNIT = re.compile(r"([^/]+\.(?:service|scope|socket|mount|swap|slice))(?=/|$)")
_UNKNOWN: Final = Home()


def read_bytes(path: Path) -> bytes:
    """The file's bytes, none if it cannot be read. Names in it are of anybody's choosing, so it may be no text."""
    with suppress(OSError):
        return path.read_bytes()
    return b""


def find_mount(proc: Path = PROC) -> Path | None:
    """Where cgroup2 is mounted, wherever that is; None if nowhere. The mount that shows most of the tree is preferred:
    seen from a cgroup namespace, a mount of the host's whole tree has a root such as ``/../..``.
    """
    mounts = [(root, point) for root, point, kind in _mounts(proc) if kind == b"cgroup2"]
    if not mounts:
        return None
    _, point = min(mounts, key=lambda mount: (-mount[0].count(b"/.."), mount[0] != b"/"))
    return Path(os.fsdecode(_OCTAL.sub(lambda octal: bytes([int(octal[1], 8)]), point)))


def has_version_1(proc: Path = PROC) -> bool:
    """Whether any version 1 hierarchy is mounted, as on hybrid hosts: then cgroup2 alone does not tell it all."""
    return any(kind == b"cgroup" for _, _, kind in _mounts(proc))


def _mounts(proc: Path) -> list[tuple[bytes, bytes, bytes]]:
    return _MOUNT.findall(read_bytes(proc / "self/mountinfo"))


def parse_memberships(raw: bytes) -> dict[str, str]:
    """``/proc/PID/cgroup`` as path by controller; ``""`` is cgroup2, ``name=systemd`` systemd's own hierarchy."""
    found: dict[str, str] = {}
    for line in raw.split(b"\n"):
        parts = line.split(b":", 2)
        if len(parts) == 3 and parts[2].startswith(b"/"):
            path = text(parts[2].removesuffix(_DELETED))
            found |= dict.fromkeys(parts[1].decode("ascii", "replace").split(","), path)
    return found


def parse_pid_cgroup(raw: bytes) -> str | None:
    """The cgroup2 path out of ``/proc/PID/cgroup``."""
    return parse_memberships(raw).get("")


def unit_of(path: str) -> str | None:
    """The innermost systemd unit in a cgroup path: a service or scope, rather than the slice around it."""
    units = _UNIT.findall(path)
    named = [unit for unit in units if not unit.endswith(".slice")] or units
    return named[-1] if named else None


class Cgroups:
    """Groups by id, by path, by unit and by pod. One thread uses it."""

    def __init__(self, mount: Path | None = None, names: Names | None = None) -> None:
        """``mount`` is where cgroup2 is mounted; None: nothing will be found."""
        self.mount = mount
        self.names = names or Names()
        self._paths: dict[int, str] = {}
        self._homes: dict[int, Home] = {}
        self._named = self.names.version
        self._walked_s = float("-inf")
        self._handles = _open_handles(mount)

    def path(self, cgroup_id: int) -> str | None:
        """The path of a group."""
        known = self._paths.get(cgroup_id)
        if known is not None or not cgroup_id or self.mount is None:
            return known
        if self._handles is None:
            self._walk_unless_just_done(self.mount)
        elif (found := self._handles.path(cgroup_id)) is not None:
            self.remember(cgroup_id, found)
        return self._paths.get(cgroup_id)

    def home(self, cgroup_id: int) -> Home:
        """What the path of a group says, in names people use; an empty one where it is not known."""
        if self._named != self.names.version:
            self._homes.clear()
            self._named = self.names.version
        known = self._homes.get(cgroup_id)
        if known is None:
            path = self.path(cgroup_id)
            if path is None:
                return _UNKNOWN
            known = self._homes[cgroup_id] = self.names.tell(path, unit_of(path), containers.parse(path))
        return known

    def id_of(self, path: str) -> int:
        """The id of a group by its path, 0 if it was never seen or there is no cgroup2."""
        if self.mount is None or ".." in path.split("/"):
            return 0
        path = "/" + path.strip("/")
        with suppress(OSError, ValueError):
            found = (self.mount / path.lstrip("/")).stat().st_ino
            self.remember(found, path)
            return found
        return next((known for known, its in reversed(self._paths.items()) if its == path), 0)

    def ids_of_unit(self, unit: str) -> list[int]:
        """The groups of a systemd unit and everything below them, the unit's own first; those that are gone included,
        while they are remembered.
        """
        return self._matching(lambda path: f"/{unit}/" in path + "/")

    def ids_of_container(self, container: str) -> list[int]:
        """The groups of a container, by its id or the beginning of it, and everything below them."""
        return self._matching(lambda path: (containers.parse(path).container or "/").startswith(container))

    def ids_of_pod(self, namespace: str, name: str) -> list[int]:
        """The groups of a pod and everything below them, the pod's own first."""
        uids = self.names.pod_uids(namespace, name)
        return self._matching(lambda path: containers.parse(path).pod_uid in uids) if uids else []

    def _matching(self, wanted: Callable[[str], bool]) -> list[int]:
        if self.mount is not None:
            self._walk_unless_just_done(self.mount)
        found = [(path.count("/"), path, known) for known, path in self._paths.items() if wanted(path)]
        return [known for _, _, known in sorted(found)]

    def remember(self, cgroup_id: int, path: str) -> None:
        """Keep the path of a group."""
        self._paths[cgroup_id] = path
        while len(self._paths) > MAX_KNOWN:
            oldest = next(iter(self._paths))
            del self._paths[oldest]
            self._homes.pop(oldest, None)

    def _walk_unless_just_done(self, mount: Path) -> None:
        """Map the whole tree at once. Paths of groups that are gone are kept: their processes are still told of."""
        if time.monotonic() - self._walked_s < RETRY_S:
            return
        with suppress(OSError):
            self.remember(mount.stat().st_ino, "/")
        folders = [os.fsencode(mount)]
        start = len(folders[0])
        while folders:
            folder = folders.pop()
            with suppress(OSError), os.scandir(folder) as entries:  # removed during the walk
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        self.remember(entry.inode(), text(entry.path[start:]))
        self._walked_s = time.monotonic()


class _Handles:
    """Asks the kernel for the path of an id."""

    def __init__(self, mount: Path) -> None:
        self._mount = os.fsencode(mount)
        self._fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._call = ctypes.CDLL(None, use_errno=True).open_by_handle_at

    def works(self) -> bool:
        """Whether the mount's own id leads back to it."""
        return self.path(os.fstat(self._fd).st_ino) == "/"

    def path(self, cgroup_id: int) -> str | None:
        """The path of a group that exists below the mount, else None."""
        handle = struct.pack("<IiQ", 8, _FILEID_KERNFS, cgroup_id)
        fd = self._call(self._fd, handle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if fd < 0:
            return None
        try:
            found = os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115 (bytes: a group's name may be no text)
        finally:
            os.close(fd)
        if found == self._mount:
            return "/"
        if not found.startswith(self._mount + b"/") or not os.path.lexists(found):
            return None
        return text(found[len(self._mount) :])

    def close(self) -> None:
        """Forget the mount."""
        os.close(self._fd)


def _open_handles(mount: Path | None) -> _Handles | None:
    """A way to ask by handle where this filesystem and this process have it."""
    if mount is None:
        return None
    with suppress(OSError):
        handles = _Handles(mount)
        if handles.works():
            return handles
        handles.close()
    return None
