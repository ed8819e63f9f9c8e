"""Real control groups: the kernel's ids lead to their paths, while they exist and after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.events import Kind
from linnix.cognitod.host import cgroup, homes
from linnix.cognitod.host.cgroup import Cgroups, find_mount
from linnix.cognitod.kernel import BpfSight
from linnix.cognitod.model import Home
from support.watching import watch

ID = "0123456789abcdef" * 4
HOSTILE = 'evil \x1b[2J"\\.service'


@pytest.fixture
def group() -> Iterator[Path]:
    """A group of our own, with what was made in it taken away afterwards."""
    mount = find_mount()
    if mount is None:
        pytest.skip("cgroup2 is not mounted")
    top = mount / f"linnix-test-{os.getpid()}.slice"
    try:
        top.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made in {mount}: {error}")
    yield top
    for folder, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()


@pytest.fixture(params=["asked", "walked"])
def groups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cgroups:
    """Both ways to a path: the kernel's own, and the walk of whoever may not ask it."""
    if request.param == "walked":
        monkeypatch.setattr(cgroup, "_open_handles", lambda _: None)
        monkeypatch.setattr(cgroup, "RETRY_S", 0.0)
    return Cgroups(find_mount())


def test_an_id_leads_to_the_path_also_when_the_group_is_gone(group: Path, groups: Cgroups) -> None:
    inner = group / f"docker-{ID}.scope" / HOSTILE
    inner.mkdir(parents=True)
    number = inner.stat().st_ino
    home = Home(cgroup=f"/{group.name}/docker-{ID}.scope/{HOSTILE}", unit=HOSTILE, container=ID, runtime="docker")

    assert groups.home(number) == home
    inner.rmdir()
    assert groups.home(number) == home
    assert Cgroups(groups.mount).home(number) == Home()


def test_a_name_that_is_no_text_is_told_as_text(group: Path, groups: Cgroups) -> None:
    odd = os.fsencode(group) + b"/\xff\xfe"
    os.mkdir(odd)  # noqa: PTH102 (bytes)
    number = os.stat(odd).st_ino  # noqa: PTH116

    assert groups.path(number) == f"/{group.name}/\ufffd\ufffd"
    assert groups.id_of(f"/{group.name}/\ufffd\ufffd") == number


def test_paths_units_and_containers_lead_to_ids(group: Path, groups: Cgroups) -> None:
    scope = group / f"docker-{ID}.scope"
    (scope / "worker").mkdir(parents=True)
    ids = [path.stat().st_ino for path in (group, scope, scope / "worker")]

    assert groups.id_of(f"/{group.name}") == ids[0]
    assert groups.ids_of_unit(group.name) == ids
    assert groups.ids_of_unit(scope.name) == ids[1:]
    assert groups.ids_of_container(ID[:12]) == ids[1:]
    assert groups.ids_of_unit("no-such.service") == []


def test_nothing_outside_the_hierarchy_has_an_id(groups: Cgroups) -> None:
    assert [groups.id_of(path) for path in ("/..", "/../../etc", "/a/../..")] == [0, 0, 0]


def test_a_process_is_read_where_it_lives(group: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        (group / "cgroup.procs").write_text(str(child.pid))
        book, reader = homes.find()
        book.asked.append((np.array([child.pid], np.uint32), np.array([1], np.uint64)))
        reading = reader.collect(0)
        assert reading is not None
        numbers = book.learn(reading)
        told = book.home(group.stat().st_ino, int(numbers[0]))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()

    assert (told.cgroup, told.unit) == (f"/{group.name}", group.name)


def test_the_ids_of_events_are_those_of_groups(sight: BpfSight, group: Path) -> None:
    inner = group / "short.service"
    inner.mkdir()
    seen = watch(sight, ["/bin/sh", "-c", f"echo $$ > {inner}/cgroup.procs; exec /bin/true"])
    told = seen.of(seen.pid)
    left = {Kind(int(row["kind"])): int(row["cgroup_id"]) for row in told}

    assert left[Kind.EXIT] == inner.stat().st_ino
    assert Cgroups(find_mount()).home(left[Kind.EXIT]) == Home(
        cgroup=f"/{group.name}/short.service", unit="short.service"
    )
