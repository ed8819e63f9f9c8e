"""Groups are found wherever cgroup2 is mounted, and units in their paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnix.cognitod.host import cgroup
from linnix.cognitod.host.cgroup import Cgroups
from linnix.cognitod.model import Home

MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
40 31 0:38 /inner /mnt/part rw,relatime shared:9 - cgroup2 cgroup2 rw
41 31 0:38 / /mnt/all\\040groups rw,relatime shared:8 master:1 - cgroup2 cgroup2 rw
"""


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A stand-in for a cgroup2 mount: there, too, a group's id is the inode of its directory."""
    (tmp_path / "system.slice/cron.service").mkdir(parents=True)
    return tmp_path


def test_the_mount_of_the_whole_hierarchy_is_found_among_others(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(MOUNTS)

    assert cgroup.find_mount(tmp_path) == Path("/mnt/all groups")


def test_a_host_without_cgroup2_has_no_mount(tmp_path: Path) -> None:
    assert cgroup.find_mount(tmp_path) is None


def test_a_path_is_found_by_id(mount: Path) -> None:
    groups = Cgroups(mount)

    assert groups.path((mount / "system.slice/cron.service").stat().st_ino) == "/system.slice/cron.service"
    assert groups.path(mount.stat().st_ino) == "/"


def test_an_unknown_id_and_no_mount_give_nothing(mount: Path) -> None:
    assert Cgroups(mount).path(2**60) is None
    assert Cgroups(mount).path(0) is None
    assert Cgroups(None).home(1) == Home()


def test_a_group_made_later_is_found_and_one_removed_is_remembered(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "RETRY_S", 0.0)
    groups = Cgroups(mount)
    groups.path(1)
    late = mount / "late.scope"
    late.mkdir()
    number = late.stat().st_ino

    assert groups.home(number) == Home(cgroup="/late.scope", unit="late.scope")
    late.rmdir()
    assert groups.path(number) == "/late.scope"


def test_an_id_is_found_by_path(mount: Path) -> None:
    groups = Cgroups(mount)

    assert groups.id_of("/system.slice") == (mount / "system.slice").stat().st_ino
    assert groups.id_of("/gone") == 0
    assert Cgroups(None).id_of("/") == 0


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"12:cpu:/x\n0::/system.slice/a.service\n", "/system.slice/a.service"),
        (b"0::/gone (deleted)\n", "/gone"),
        (b"1:name=systemd:/\n", None),
        (b"", None),
    ],
)
def test_the_group_of_a_process_is_that_of_version_2(raw: bytes, path: str | None) -> None:
    assert cgroup.parse_pid_cgroup(raw) == path


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/cron.service", "cron.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope", "app-x.scope"),
        ("/system.slice/docker-0a1b.scope/init", "docker-0a1b.scope"),
        (r"/system.slice/dev-disk-by\x2duuid.swap", r"dev-disk-by\x2duuid.swap"),
        ("/user.slice", "user.slice"),
        ("/kubepods/burstable", None),
        ("/not.services/x", None),
        ("/", None),
    ],
)
def test_the_unit_is_the_innermost_that_is_not_a_slice(path: str, unit: str | None) -> None:
    assert cgroup.unit_of(path) == unit
