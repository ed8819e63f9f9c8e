"""Where a process lives, on hosts with version 2, version 1, both, or neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from linnix.cognitod.events import EVENT
from linnix.cognitod.host import homes
from linnix.cognitod.host.cgroup import Cgroups
from linnix.cognitod.host.containers import Place
from linnix.cognitod.host.homes import Dwelling, HomeReader, HomeReading, Homes, dwelling
from linnix.cognitod.host.lookup import Lookup
from linnix.cognitod.host.names import Container, Pod
from linnix.cognitod.model import Home

ID = "0123456789abcdef" * 4
UID = "5f6d1b2c-9a3e-4c1d-8e7f-0a1b2c3d4e5f"
SECOND = 10**9


def identities(*pairs: tuple[int, int]) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    return np.array([pid for pid, _ in pairs], np.uint32), np.array([start for _, start in pairs], np.uint64)


def reading(*dwellings: Dwelling | None, **names: dict[str, Container | Pod]) -> HomeReading:
    pid, start_ns = identities(*[(100 + at, 1) for at in range(len(dwellings))])
    return HomeReading(
        pid=pid,
        start_ns=start_ns,
        dwellings=list(dwellings),
        containers=names.get("containers", {}),  # type: ignore[arg-type]
        pods=names.get("pods", {}),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b"0::/system.slice/cron.service\n",
            Dwelling("/system.slice/cron.service", "cron.service", Place(), "/system.slice/cron.service"),
        ),
        (
            b"4:memory:/system.slice/cron.service\n2:cpu,cpuacct:/\n1:name=systemd:/system.slice/cron.service\n",
            Dwelling("/system.slice/cron.service", "cron.service", Place(), None),
        ),
        (
            f"3:pids:/docker/{ID}\n2:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n".encode(),
            Dwelling(f"/docker/{ID}", None, Place(ID, "docker"), None),
        ),
        (  # hybrid: the runtime made its groups in version 1 only, systemd keeps its tree in both
            f"2:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/containerd.service\n".encode(),
            Dwelling(
                "/system.slice/containerd.service",
                "containerd.service",
                Place(ID, "docker"),
                "/system.slice/containerd.service",
            ),
        ),
        (  # hybrid: cgroup2 is mounted and nothing is in it
            f"4:memory:/kubepods/burstable/pod{UID}/{ID}\n1:name=systemd:/\n0::/\n".encode(),
            Dwelling(f"/kubepods/burstable/pod{UID}/{ID}", None, Place(ID, None, UID), "/"),
        ),
        (b"4:memory:/jobs/7\n1:name=systemd:/\n", Dwelling("/jobs/7", None, Place(), None)),
        (b"5:misc:/odd\n", Dwelling("/odd", None, Place(), None)),
        (
            b"0::/../../system.slice/a.service\n",
            Dwelling("/../../system.slice/a.service", "a.service", Place(), "/../../system.slice/a.service"),
        ),
        (b"0::/gone.service (deleted)\n", Dwelling("/gone.service", "gone.service", Place(), "/gone.service")),
        (b"0::/\n", Dwelling("/", None, Place(), "/")),
        (b'0::/a\xff:b\x1b[31m"\n', Dwelling('/a\ufffd:b\x1b[31m"', None, Place(), '/a\ufffd:b\x1b[31m"')),
        (b"", None),
        (b"nonsense\n::\n", None),
    ],
)
def test_a_process_lives_where_its_hierarchies_say(raw: bytes, expected: Dwelling | None) -> None:
    assert dwelling(raw) == expected


def test_without_a_reading_the_group_tells() -> None:
    groups = Cgroups()
    groups.remember(7, f"/system.slice/docker-{ID}.scope")

    assert Homes(groups).home(7) == Home(
        cgroup=f"/system.slice/docker-{ID}.scope", unit=f"docker-{ID}.scope", container=ID, runtime="docker"
    )
    assert Homes(groups).home(8, 3) == Home()


def test_what_was_read_of_a_process_is_told_under_its_number() -> None:
    book = Homes(Cgroups(), by_process=True)
    here, there = Dwelling("/a.service", "a.service", Place(), None), Dwelling("/b", None, Place(ID, "docker"), None)

    assert book.learn(reading(here, None, there, here)).tolist() == [1, 0, 2, 1]
    assert book.home(0, 1) == Home(cgroup="/a.service", unit="a.service")
    assert book.home(0, 2) == Home(cgroup="/b", container=ID, runtime="docker")


def test_who_has_moved_since_it_was_read_lives_where_its_group_says() -> None:
    groups = Cgroups()
    groups.remember(1, "/")
    groups.remember(5, "/b.service")
    book = Homes(groups, by_process=True)
    numbers = book.learn(reading(Dwelling("/jobs/7", None, Place(), "/")))

    assert book.home(1, numbers[0]) == Home(cgroup="/jobs/7")
    assert book.home(5, numbers[0]) == Home(cgroup="/b.service", unit="b.service")


def test_names_that_are_found_later_are_told_from_then_on() -> None:
    groups = Cgroups()
    groups.remember(7, f"/kubepods/pod{UID}/{ID}")
    book = Homes(groups, by_process=True)
    numbers = book.learn(reading(Dwelling(f"/kubepods/pod{UID}/{ID}", None, Place(ID, None, UID), None)))
    nameless = Home(cgroup=f"/kubepods/pod{UID}/{ID}", container=ID)
    assert (book.home(7), book.home(0, numbers[0])) == (nameless, nameless)

    assert set(groups.names.asked) == {ID, UID}
    book.learn(
        reading(
            containers={ID: Container(name="web", runtime="containerd")},
            pods={UID: Pod(namespace="shop", name="front-0", owner_kind="StatefulSet", owner_name="front")},
        )
    )
    named = Home(
        cgroup=f"/kubepods/pod{UID}/{ID}",
        container=ID,
        runtime="containerd",
        namespace="shop",
        pod="front-0",
        container_name="web",
        owner_kind="StatefulSet",
        owner_name="front",
    )
    assert (book.home(7), book.home(0, numbers[0])) == (named, named)


def test_homes_that_are_too_many_are_forgotten_and_never_mistaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "MAX_HOMES", 2)
    book = Homes(Cgroups(), by_process=True)
    numbers = [int(book.learn(reading(Dwelling(f"/{at}", None, Place(), None)))[0]) for at in range(3)]

    assert [book.home(0, number) for number in numbers] == [Home(), Home(cgroup="/1"), Home(cgroup="/2")]
    assert len(set(numbers)) == 3


def test_groups_are_looked_up_while_they_exist(tmp_path: Path) -> None:
    (tmp_path / "short.scope").mkdir()
    number = (tmp_path / "short.scope").stat().st_ino
    book = Homes(Cgroups(tmp_path))
    events = np.zeros(1, EVENT)
    events["cgroup_id"] = number

    book.meet(events)
    (tmp_path / "short.scope").rmdir()

    assert book.home(number) == Home(cgroup="/short.scope", unit="short.scope")


def test_those_who_live_somewhere_are_found() -> None:
    groups = Cgroups()
    groups.remember(1, "/a.service")
    book = Homes(groups, by_process=True)
    book.learn(reading(Dwelling("/b.service", "b.service", Place(), None)))

    mask = book.where(
        lambda home: home.unit == "b.service", np.array([1, 9, 0], np.uint64), np.array([0, 1, 1], np.uint32)
    )

    assert mask.tolist() == [False, True, True]


def reader(tmp_path: Path, book: Homes) -> HomeReader:
    return HomeReader(book, Lookup(book.cgroups.names.asked, tmp_path / "root"), tmp_path / "proc")


def test_the_reader_reads_whom_it_is_asked_about_and_then_rests(tmp_path: Path) -> None:
    (tmp_path / "proc/100").mkdir(parents=True)
    (tmp_path / "proc/100/cgroup").write_bytes(b"1:name=systemd:/a.service\n")
    book = Homes(Cgroups(), by_process=True)
    instrument = reader(tmp_path, book)
    book.asked.append(identities((100, 5), (101, 6)))

    told = instrument.collect(0)

    assert told is not None
    assert (told.pid.tolist(), told.start_ns.tolist()) == ([100, 101], [5, 6])
    assert told.dwellings == [Dwelling("/a.service", "a.service", Place(), None), None]
    assert instrument.collect(1) is None


def test_the_reader_says_where_its_names_come_from(tmp_path: Path) -> None:
    both = Homes(Cgroups(tmp_path), by_process=True)
    assert [(state.name, state.state, state.what) for state in reader(tmp_path, both).states()] == [
        ("homes", "on", "unit, container and pod of a process, from cgroup2 and /proc/PID/cgroup")
    ]
    assert [(state.state, state.reason) for state in reader(tmp_path, Homes(Cgroups())).states()] == [
        ("failed", "no cgroup hierarchy is mounted")
    ]


@pytest.mark.parametrize(
    ("mounts", "by_process"),
    [
        ("40 31 0:38 / {mount} rw - cgroup2 cgroup2 rw\n", True),  # a part of the tree: its root is not inode 1
        ("40 31 0:38 / {mount} rw - cgroup2 cgroup2 rw\n32 31 0:29 / /x rw - cgroup cgroup rw,cpu\n", True),
        ("32 31 0:29 / /x rw - cgroup cgroup rw,cpu\n", True),
        ("", True),
    ],
)
def test_processes_are_asked_where_cgroup2_does_not_tell_it_all(tmp_path: Path, mounts: str, by_process: bool) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "groups").mkdir()
    (tmp_path / "self/mountinfo").write_text(mounts.format(mount=tmp_path / "groups"))

    assert homes.find(tmp_path, tmp_path)[0].by_process is by_process
