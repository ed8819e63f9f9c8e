"""Which mounts count as filesystems of this host, and which of them are asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnix.cognitod.host.filesystems import (
    READ_NS,
    Filesystem,
    Filesystems,
    FilesystemsReading,
    Mount,
    choose,
    parse_mountinfo,
    read_filesystems,
)

NODEV = frozenset({"proc", "sysfs", "tmpfs", "overlay", "nfs4", "cgroup2", "zfs"})
INFO = rb"""25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
26 25 0:22 / /proc rw,nosuid shared:5 - proc proc rw
27 25 254:0 /srv /mnt/bind rw,relatime - ext4 /dev/vda rw
28 25 0:31 / /tmp rw shared:9 - tmpfs tmpfs rw,size=65536k
29 25 8:17 / /media/my\040disk\012two ro,relatime shared:2 master:3 - xfs /dev/sdb1 rw
30 25 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro
31 25 0:60 / /home rw - nfs4 server:/export/a\134b rw,vers=4.2
32 25 0:61 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
33 25 0:62 / /home/u/remote rw - fuse.sshfs u@h: rw
34 25 8:33 / /data rw - ext4 /dev/sdc1 rw
35 34 0:63 / /data rw - tmpfs tmpfs rw
not a mount
"""


def test_a_line_of_mountinfo_is_read_with_its_escapes_and_both_places_of_read_only() -> None:
    assert list(parse_mountinfo(INFO))[4] == Mount("8:17", b"/media/my disk\ntwo", "xfs", b"/dev/sdb1", True)
    assert list(parse_mountinfo(INFO))[6].source == rb"server:/export/a\b"


def test_each_filesystem_counts_once_under_its_shortest_mount_and_not_when_it_is_hidden() -> None:
    assert [(mount.point, mount.kind) for mount in choose(parse_mountinfo(INFO), NODEV)] == [
        (b"/", "ext4"),
        (b"/data", "tmpfs"),
        (b"/home", "nfs4"),
        (b"/home/u/remote", "fuse.sshfs"),
        (b"/media/my disk\ntwo", "xfs"),
        (b"/tmp", "tmpfs"),
    ]


def test_an_overlay_counts_as_the_root_of_a_container() -> None:
    info = b"25 1 0:44 / / rw - overlay overlay rw\n"
    assert [mount.kind for mount in choose(parse_mountinfo(info), NODEV)] == ["overlay"]


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_bytes(INFO)
    (tmp_path / "filesystems").write_text("".join(f"nodev\t{kind}\n" for kind in NODEV) + "\text4\n\txfs\n")
    return tmp_path


def test_what_could_hang_is_listed_and_never_asked(proc: Path) -> None:
    asked = []

    def statvfs(path: bytes) -> os.statvfs_result:
        asked.append(path)
        if path == b"/data":
            raise PermissionError
        # bsize frsize blocks bfree bavail files ffree favail flag namemax
        return os.statvfs_result((4096, 1024, 0 if path == b"/tmp" else 1000, 400, 300, 50, 39, 39, 0, 255))

    found = {one.mount.point: one for one in read_filesystems(proc, statvfs)}

    assert asked == [b"/", b"/data", b"/media/my disk\ntwo", b"/tmp"]
    assert list(found) == [
        b"/",
        b"/home",
        b"/home/u/remote",
        b"/media/my disk\ntwo",
    ]
    assert found[b"/home"].used_pct is None
    root = found[b"/"]
    assert root == Filesystem(root.mount, 1_024_000, 614_400, 307_200, 50, 11)
    assert root.used_pct == pytest.approx(100 * 600 / 900)


def test_they_are_read_at_once_and_then_every_half_minute(proc: Path) -> None:
    instrument = Filesystems(list)
    instrument.open()
    first = 7 * 10**9
    assert instrument.collect(first) == FilesystemsReading(first, ())
    assert instrument.collect(first + READ_NS - 1) is None
    assert instrument.collect(first + READ_NS) == FilesystemsReading(first + READ_NS, ())
    instrument.close()
    assert [(state.name, state.state) for state in instrument.states()] == [("filesystems", "on")]
