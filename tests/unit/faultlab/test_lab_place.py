"""What a run has of the host: limits that hold, a file system and swap that go with it, and what was set up before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from lab_make import mount, small_plan, text

from linnix.faultlab import cgroups, commands, disks, proc
from linnix.faultlab.errors import MissingError, RefusedError, RunFailedError
from linnix.faultlab.limits import Limits
from linnix.faultlab.place import Place
from linnix.faultlab.recording import Output

#: A laboratory that is killed while it has a file system and swap.
KILLED = """
import sys, time
from pathlib import Path
from linnix.faultlab import cgroups, disks
with cgroups.Laboratory(Path(sys.argv[1])) as laboratory:
    work = Path(sys.argv[2]) / f".app-{laboratory.id}"
    work.mkdir()
    with disks.filesystem(work, 16), disks.swap(work, 16):
        print(laboratory.id, flush=True)
        time.sleep(600)
"""
DUTY = (
    "as: renderd\n    argv: [sleep,",
    'as: renderd\n    cpu_quota_pct: 20\n    argv: [sh, -c, "while :; do :; done",',
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def place(stack: ExitStack, tmp_path: Path, *changes: tuple[str, str]) -> tuple[Place, list[commands.Prepared], Path]:
    """What the changed scenario has of this host, until the stack ends; and where it writes."""
    where, plan = mount(), small_plan(tmp_path, source=text(*changes))
    out = stack.enter_context(Output(tmp_path / "out"))
    laboratory = stack.enter_context(cgroups.Laboratory(where))
    part = stack.enter_context(out.begin(plan, laboratory.id))
    prepared = commands.prepare(plan, part.work)
    try:
        return stack.enter_context(Place(plan, laboratory, part.work, out.path)), prepared, part.work
    except RefusedError as error:
        pytest.skip(f"this host cannot: {error}")


def test_a_quota_holds_a_command_to_its_share(stack: ExitStack, tmp_path: Path) -> None:
    here, prepared, _ = place(stack, tmp_path, DUTY)
    worker = here.start(next(each for each in prepared if not each.launch.decoy))
    before, began = used_s(worker.process.pid), time.monotonic()

    time.sleep(1.5)

    share = (used_s(worker.process.pid) - before) / (time.monotonic() - began)
    cgroups.kill(worker.group)
    commands.reap(worker)
    assert 0 < share < 0.35


def used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_who_wants_more_memory_than_its_limit_is_killed_by_the_kernel(tmp_path: Path) -> None:
    script = "a = bytearray(64 << 20)"
    with cgroups.Laboratory(mount()) as laboratory:
        try:
            laboratory.limit("web.service", Limits(memory_mib=24))
        except RefusedError as error:
            pytest.skip(str(error))
        process = commands.spawn(
            sys.executable,
            ["python3", "-I", "-S", "-c", script],
            groups=laboratory.groups("web.service"),
            environment={},
            folder=tmp_path,
            said=tmp_path / "said",
            cpus=commands.cpus((0,)),
        )
        assert process.wait(60) == -signal.SIGKILL
        groups = laboratory.groups("web.service")
    assert [group for group in groups if group.exists()] == []


def test_a_file_system_is_where_commands_are_told_and_goes_with_the_run(stack: ExitStack, tmp_path: Path) -> None:
    setup = "setup: |\n  df -k --output=size $DISK | tail -1 > $DISK/size\n  cat $DISK/size > $WORK/seen\n"
    here, _, work = place(stack, tmp_path, ("seeds", f"{setup}filesystem_mib: 32\nseeds"))
    assert (work / "srv").is_mount()

    here.set_up(time.sleep)

    assert 20_000 < int((work / "data" / "seen").read_text()) < 32 * 1024
    stack.close()
    assert not work.exists()
    assert str(work) not in Path("/proc/self/mounts").read_text()


def test_a_set_up_that_fails_says_what_it_wrote_and_leaves_nothing_running(stack: ExitStack, tmp_path: Path) -> None:
    here, _, work = place(
        stack, tmp_path, ("seeds", 'setup: "setsid sleep 600 & echo $! > pid; echo no room; exit 3"\nseeds')
    )

    with pytest.raises(RunFailedError, match=r"^setup ended with status 3$") as error:
        here.set_up(time.sleep)

    left = proc.read(int((work / "data" / "pid").read_text()))
    assert (error.value.advice, left is None or left.state in "ZX") == ("no room", True)


def test_the_next_start_undoes_what_a_killed_one_mounted_and_swapped_to(tmp_path: Path) -> None:
    where = mount()
    with subprocess.Popen([sys.executable, "-c", KILLED, str(where), str(tmp_path)], stdout=-1, text=True) as process:
        assert process.stdout is not None
        if not (laboratory := process.stdout.readline().strip()):
            pytest.skip("no file system or swap can be made here")
        process.kill()
    work = tmp_path / f".app-{laboratory}"
    told = "\n".join(Path(file).read_text() for file in ("/proc/self/mounts", "/proc/swaps"))
    assert (f"{work}/srv" in told, f"{work}/swap" in told) == (True, True)
    assert list(disks.end_remains(lambda _: True)) == []  # all of them live

    list(cgroups.end_remains(where))
    undone = list(disks.end_remains(lambda each: cgroups.Laboratory.path_of(where, each).exists()))

    assert set(undone) >= {f"swap {work}/swap", f"mount {work}/srv"}
    told = "\n".join(Path(file).read_text() for file in ("/proc/self/mounts", "/proc/swaps"))
    assert str(work) not in told


def test_swap_below_a_link_is_known_by_its_real_path(tmp_path: Path) -> None:
    real, link = tmp_path / "real disk", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    (real / "swap").touch()
    swaps = tmp_path / "swaps"
    told = str(real / "swap").replace(" ", "\\040")
    swaps.write_text(f"Filename\tType\tSize\tUsed\tPriority\n{told}\tfile\t16380\t0\t-2\n")

    assert (disks.is_swap(link / "swap", swaps), disks.is_swap(link / "other", swaps)) == (True, False)


def test_programs_that_are_not_here_are_all_named_with_their_packages(tmp_path: Path) -> None:
    required = 'requires: [sh, "no-such-server:no-such-package", no-such-tool]\nseeds'
    plan = small_plan(tmp_path, source=text(("seeds", required)))

    with pytest.raises(MissingError, match=r"^no-such-server, no-such-tool: not on PATH$") as error:
        commands.require(plan.scenario)

    assert error.value.advice == "Debian has it in: no-such-package"
