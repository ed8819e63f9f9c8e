"""How full the filesystems are.

Owns which mounts count: one line a filesystem that holds data of this host, under its shortest mount point. Refuses
network and user-space filesystems, whose statfs(2) can hang for as long as their server is away and would take the
ingest thread with it: they are listed, not asked. Invariant: reading sends no request that a dead server could hold.

Source: /proc/self/mountinfo (fs/proc_namespace.c) and statvfs(3).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from linnix.cognitod.events import ProbeState

#: Between two readings.
READ_NS = 5 * 10**9
MAX_FILESYSTEMS = 256

#: In memory or stacked, and yet what a host writes to. overlay only as a container's root: others are its host's.
_NODEV_KEPT = frozenset({"tmpfs", "zfs", "bcachefs"})
#: Always full by construction.
_IMAGES = frozenset({"squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf"})
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "ceph", "9p", "afs", "coda", "lustre", "glusterfs"}
)
_NETWORK |= {"gfs", "gfs2", "ocfs2", "beegfs", "gpfs", "virtiofs", "orangefs", "pvfs2", "fuseblk", "fuse"}
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo."""

    device: str  # major:minor
    point: bytes
    kind: str
    source: bytes
    read_only: bool


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One filesystem; sizes are None where it was not asked. ``avail_bytes`` is what is left to unprivileged users."""

    mount: Mount
    size_bytes: int | None = None
    used_bytes: int | None = None
    avail_bytes: int | None = None
    inodes: int | None = None  # 0 where the filesystem makes them as it needs them
    inodes_used: int | None = None

    @property
    def used_pct(self) -> float | None:
        """As df(1) has it: of what unprivileged users could fill."""
        if self.used_bytes is None or self.avail_bytes is None:
            return None
        reach = self.used_bytes + self.avail_bytes
        return 100.0 * self.used_bytes / reach if reach else None


@dataclass(frozen=True, slots=True)
class FilesystemsReading:
    """All of them, ordered by mount point."""

    ts_ns: int
    filesystems: tuple[Filesystem, ...]


def parse_mountinfo(raw: bytes) -> Iterator[Mount]:
    """The mounts of a mountinfo file, later ones after those that they may hide."""
    for line in raw.splitlines():
        left, separator, right = line.partition(b" - ")
        fields, rest = left.split(b" "), right.split(b" ")
        if not separator or len(fields) < 6 or len(rest) < 3:
            continue
        options = fields[5].split(b",") + rest[2].split(b",")
        device, kind = fields[2].decode(), rest[0].decode(errors="replace")
        yield Mount(device, _unescape(fields[4]), kind, _unescape(rest[1]), b"ro" in options)


def _unescape(raw: bytes) -> bytes:
    return _OCTAL.sub(lambda found: bytes((int(found[1], 8),)), raw)


def is_network(kind: str) -> bool:
    """Whether asking this kind of filesystem may wait for somebody else: a server, or a program."""
    return kind in _NETWORK or kind.startswith("fuse.")


def choose(mounts: Iterator[Mount], nodev: frozenset[str]) -> list[Mount]:
    """One mount for each filesystem that counts. ``nodev``: the kinds without a device of their own."""
    chosen: dict[str, Mount] = {}
    by_point = {mount.point: mount for mount in mounts}  # what is hidden under another mount cannot be asked
    for mount in by_point.values():
        kind = mount.kind
        real = kind not in nodev or kind in _NODEV_KEPT or (kind == "overlay" and mount.point == b"/")
        if kind in _IMAGES or not (real or is_network(kind)):
            continue
        known = chosen.get(mount.device)
        if known is None or (len(mount.point), mount.point) < (len(known.point), known.point):
            chosen[mount.device] = mount
    return sorted(chosen.values(), key=lambda mount: mount.point)[:MAX_FILESYSTEMS]


def parse_nodev(text: str) -> frozenset[str]:
    """From /proc/filesystems: the kinds that need no device."""
    return frozenset(line.split("\t")[1] for line in text.splitlines() if line.startswith("nodev\t"))


def read_filesystems(
    proc: Path = Path("/proc"), statvfs: Callable[[bytes], os.statvfs_result] = os.statvfs
) -> list[Filesystem]:
    """All that count, with their sizes where they can be asked safely. ``OSError`` when /proc cannot be read."""
    nodev = parse_nodev((proc / "filesystems").read_text())
    found = []
    for mount in choose(parse_mountinfo((proc / "self/mountinfo").read_bytes()), nodev):
        if is_network(mount.kind):
            found.append(Filesystem(mount))
            continue
        try:
            told = statvfs(mount.point)
        except OSError:  # unmounted meanwhile, or not for us
            continue
        if told.f_blocks:  # a tmpfs without a limit, an autofs: nothing that could be full
            size = told.f_frsize
            used = told.f_blocks - told.f_bfree
            inodes = told.f_files, told.f_files - told.f_ffree
            found.append(Filesystem(mount, told.f_blocks * size, used * size, told.f_bavail * size, *inodes))
    return found


class Filesystems:
    """An ``events.Instrument``."""

    def __init__(self, read: Callable[[], list[Filesystem]] = read_filesystems) -> None:
        self._read = read
        self.due_ns = 0
        self._state = ProbeState(name="filesystems", what="how full the filesystems are, local ones only")

    def open(self) -> None:
        """Needs nothing."""

    def collect(self, now_ns: int) -> FilesystemsReading | None:
        """All of them, every five seconds."""
        if now_ns < self.due_ns:
            return None
        self.due_ns = now_ns + READ_NS
        return FilesystemsReading(now_ns, tuple(self._read()))

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._state,)

    def close(self) -> None:
        """Holds nothing."""
