"""The commands of a run: prepared, started in their control groups, ended, and reaped.

Owns how a command gets its name: a link called so to the program, so that comm says it, and argv[0] or its last part.
Refuses to begin a run of which a program is missing. Invariant: a command is given nothing of our environment but PATH,
so no token of ours is in a recording.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from linnix.faultlab import proc
from linnix.faultlab.errors import MissingError, RunFailedError
from linnix.faultlab.plan import Launch, Plan
from linnix.faultlab.scenario import Command, Scenario

_LAUNCHER = Path(__file__).with_name("launch.py").read_text()
# Programs that choose what they are by argv[0] must be called as they are; their comm is the link's all the same.
_MULTI_CALL = ("busybox", "coreutils", "toybox")
_SAID_BYTES = 400


@dataclass(frozen=True)
class Prepared:
    """A launch that needs only to be started."""

    launch: Launch
    file: str
    argv: tuple[str, ...]


@dataclass
class Started:
    """A command that was started; ``start_ns`` and ``pid`` identify it, also when it is over."""

    prepared: Prepared
    process: subprocess.Popen[bytes]
    group: Path
    start_ns: int
    unix: float
    monotonic_ns: int
    stopped: float = 0.0  # unix; 0 while it runs
    status: int | None = None  # negative for a signal; None if we ended it

    @property
    def name(self) -> str:
        """Its name in the scenario."""
        return self.prepared.launch.command.name


def require(scenario: Scenario) -> None:
    """Raises MissingError naming all that a scenario requires and this host has not."""
    named = (required.partition(":") for required in scenario.requires)
    if missing := {program: package for program, _, package in named if shutil.which(program) is None}:
        raise MissingError(missing)


def prepare(plan: Plan, work: Path) -> list[Prepared]:
    """Find every program and write every script. Raises MissingError naming a program that is not here."""
    (work / "said").mkdir()
    return [_prepare(launch, work, at) for at, launch in enumerate(plan.launches)]


def _prepare(launch: Launch, work: Path, at: int) -> Prepared:
    command = launch.command
    program = command.interpreter if command.script else command.argv[0]
    found = _find(program)
    if command.script:
        script = work / "lib" / str(at) / command.comm
        script.parent.mkdir(parents=True)
        script.write_text(command.script)
        flags = ("-I", "-S") if command.interpreter == "python3" else ()
        arguments: tuple[str, ...] = (*flags, str(script))
    else:
        arguments = command.argv[1:]
    if not command.shown_as:
        return Prepared(launch, found, (found if program == "python3" else program, *arguments))
    link = work / "bin" / str(at) / command.comm
    link.parent.mkdir(parents=True)
    link.symlink_to(found)
    called = program if Path(found).name in _MULTI_CALL else command.comm
    if program == "python3":  # which looks for its library beside whatever PATH has under that name
        called = str(link)
    return Prepared(launch, str(link), (called, *arguments))


def _find(program: str) -> str:
    # Ours, beyond the links of a virtual environment: a python3 on PATH may be a script that looks for the real one.
    found = sys.executable if program == "python3" else shutil.which(program)
    if found is None:
        raise MissingError({program: ""})
    return os.path.realpath(found)


def environment(plan: Plan, data: Path) -> dict[str, str]:
    """What the commands of a run are told; ``data`` is where they may write."""
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": path,
        "LANG": "C.UTF-8",
        "HOME": str(data),
        "TMPDIR": str(data),
        "WORK": str(data),
        **plan.environment,
    }


def start(prepared: Prepared, groups: Sequence[Path], told: Mapping[str, str], work: Path, file_bytes: int) -> Started:
    """Start a command in its groups. Its standard error goes to a file, for the case that it fails."""
    command = prepared.launch.command
    process = spawn(
        prepared.file,
        prepared.argv,
        groups=groups,
        environment=told,
        folder=work / "data",
        said=_said_file(work, command),
        cpus=cpus(command.cpus),
        nice=command.nice,
        file_bytes=file_bytes,
    )
    seen = proc.read(process.pid)  # we have not reaped it, so it is there, if only as a zombie
    return Started(prepared, process, groups[0], seen.start_ns if seen else 0, time.time(), time.monotonic_ns())


def spawn(
    file: str,
    argv: Sequence[str],
    *,
    groups: Sequence[Path],
    environment: Mapping[str, str],
    folder: Path,
    said: Path,
    cpus: Sequence[int],
    nice: int = 0,
    file_bytes: int = 0,
    death_signal: int = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program in control groups, in a session of its own, so that Ctrl-C at the terminal is ours alone.

    Returns when it is in the groups and has begun, or has failed: who kills a group then has all of it.
    """
    begun, told_by = os.pipe()
    what = {
        "file": file,
        "argv": list(argv),
        "groups": [str(group) for group in groups],
        "folder": str(folder),
        "cpus": list(cpus),
        "nice": nice,
        "file_bytes": file_bytes,
        "death_signal": death_signal,
        "parent": os.getpid(),
        "told_by": told_by,
    }
    with os.fdopen(begun, "rb") as end, said.open("wb") as errors:
        try:
            process = subprocess.Popen(
                [os.path.realpath(sys.executable), "-I", "-S", "-"],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(told_by,),
                start_new_session=True,
            )
        finally:
            os.close(told_by)
        assert process.stdin is not None
        with process.stdin as stream:
            stream.write(f"{_LAUNCHER}\n\nimport json\nbecome(json.loads({json.dumps(what)!r}))\n".encode())
        end.read()  # nothing is written: it ends when nobody has the other end any more
    return process


def look(started: Started, work: Path) -> None:
    """Note the end of a command that ended by itself. Raises RunFailedError where it failed."""
    if started.stopped or started.process.poll() is None:
        return
    started.stopped, started.status = time.time(), started.process.returncode
    if started.status != 0:
        lived = started.stopped - started.unix
        ended = f"with status {started.status}" if started.status > 0 else f"by signal {-started.status}"
        words = f"command {started.name!r} ended {ended} after {lived:.1f} s"
        raise RunFailedError(words, said(_said_file(work, started.prepared.launch.command)))


def reap(started: Started) -> None:
    """Wait for a command whose group has been killed."""
    started.process.wait(10)
    if not started.stopped:
        started.stopped = time.time()


def said(file: Path) -> str:
    """The last of what a program wrote to standard error."""
    try:
        return file.read_bytes()[-_SAID_BYTES:].decode(errors="replace").strip()
    except OSError:
        return ""


def _said_file(work: Path, command: Command) -> Path:
    return work / "said" / command.name


def cpus(numbers: Sequence[int]) -> tuple[int, ...]:
    """Of the first and the second CPU that we may use; the only one where there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    return tuple(allowed[min(number, len(allowed) - 1)] for number in numbers)
