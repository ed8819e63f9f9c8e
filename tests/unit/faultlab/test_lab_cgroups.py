"""What a laboratory starts is found and ended by its control group, whatever became of the laboratory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lab_make import mount

from linnix.faultlab import cgroups, commands, guards, proc
from linnix.faultlab.errors import RunFailedError
from linnix.faultlab.scenario import Needs

# Its processes have children of other sessions, which no death signal reaches and no group of processes has.
KILLED = """
import sys, time
from pathlib import Path
from linnix.faultlab import cgroups, commands
with cgroups.Laboratory(Path(sys.argv[1])) as laboratory:
    work = Path(sys.argv[2])
    commands.spawn("/bin/sh", ["sh", "-c", "setsid sleep 600 & setsid sleep 600 & wait"],
        groups=laboratory.groups("web"), environment={"PATH": "/usr/bin:/bin"},
        folder=work, said=work / "said", cpus=[0])
    while len(cgroups.pids(laboratory.path)) < 3:
        time.sleep(0.01)
    print(laboratory.id, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def remnant(tmp_path: Path) -> Iterator[tuple[Path, list[int]]]:
    """The group of a laboratory that was killed, and the processes that it left."""
    where = mount()
    command = [sys.executable, "-c", KILLED, str(where), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = cgroups.Laboratory.path_of(where, process.stdout.readline().strip())
        try:
            left = cgroups.pids(path)
            assert path.name not in dict(cgroups.end_remains(where))  # it runs: nobody's remains
            assert cgroups.pids(path) == left
            process.send_signal(signal.SIGKILL)
            process.wait()
            yield path, left
        finally:
            process.kill()
            cgroups.end(path)


def test_the_remains_of_a_killed_laboratory_are_found_and_ended(remnant: tuple[Path, list[int]]) -> None:
    path, left = remnant
    bystander = subprocess.Popen(["sleep", "600"])  # of the same name, and not of the laboratory
    try:
        assert dict(cgroups.end_remains(path.parents[1]))[path.name] in (2, 3)  # the two, and the shell on its way out

        assert (path.exists(), living(left), bystander.poll()) == (False, [], None)
    finally:
        bystander.kill()
        bystander.wait()


def test_a_kernel_without_a_kill_file_ends_them_by_signals(remnant: tuple[Path, list[int]]) -> None:
    path, left = remnant

    cgroups.kill(path, use_kill_file=False)

    assert (cgroups.pids(path), living(left)) == ([], [])


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if (seen := proc.read(pid)) is not None and seen.state != "Z"]


def test_a_laboratory_ends_what_it_started_also_after_an_error(tmp_path: Path) -> None:
    with suppress(RuntimeError), cgroups.Laboratory(mount()) as laboratory:
        process = _sleeper(laboratory.group("web"), tmp_path)
        raise RuntimeError
    assert (process.wait(10), laboratory.path.exists()) == (-signal.SIGKILL, False)


def test_a_command_is_in_its_group_with_its_name_before_it_does_anything(tmp_path: Path) -> None:
    with cgroups.Laboratory(mount()) as laboratory:
        group = laboratory.group("web")
        link = tmp_path / "$(reboot)"
        link.symlink_to("/bin/cat")
        before = proc.read(os.getpid())
        process = _sleeper(group, tmp_path, str(link), [link.name, "/proc/self/cgroup", "/dev/zero"], nice=5)
        seen = _until_named(process.pid, link.name)

        assert cgroups.pids(group) == [process.pid]
        assert (seen.comm, os.getpriority(os.PRIO_PROCESS, process.pid)) == ("$(reboot)", 5)
        assert before is not None and seen.start_ns >= before.start_ns
    process.wait(10)


def test_a_run_with_too_many_processes_is_ended(tmp_path: Path) -> None:
    with cgroups.Laboratory(mount()) as laboratory:
        group = laboratory.group("web")
        processes = [_sleeper(group, tmp_path) for _ in range(3)]
        for process in processes:
            _until_named(process.pid, "sleep")
        guards.Watch(Needs(processes=3), [group], tmp_path, tmp_path, lambda _: 10_000).look()

        with pytest.raises(RunFailedError, match=r"^3 processes, this run may have 2 \(needs\.processes\)$"):
            guards.Watch(Needs(processes=2), [group], tmp_path, tmp_path, lambda _: 10_000).look()
    for process in processes:
        process.wait(10)


def test_an_end_that_was_reached_already_is_fine() -> None:
    cgroups.end(cgroups.Laboratory.path_of(mount(), "never-made"))


def _sleeper(
    group: Path, folder: Path, file: str = "/bin/sleep", argv: list[str] | None = None, nice: int = 0
) -> subprocess.Popen[bytes]:
    return commands.spawn(
        file,
        argv or ["sleep", "600"],
        groups=[group],
        environment={},
        folder=folder,
        said=folder / "said",
        cpus=[min(os.sched_getaffinity(0))],
        nice=nice,
    )


def _until_named(pid: int, comm: str) -> proc.Seen:
    deadline = time.monotonic() + 30
    while (seen := proc.read(pid)) is None or seen.comm != comm:
        assert time.monotonic() < deadline, f"{pid} does not become {comm}: {seen}"
        time.sleep(0.02)
    return seen
