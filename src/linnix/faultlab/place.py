"""What a run has of the host: control groups with their limits, a file system and swap of its own, and what was set up.

Owns the order in which these come and go. Refuses phases and the daemon: ``runner`` knows those. Invariant: what is
entered here is left here, and everything that the scenario asked for is there before the daemon starts, so that no
recording begins with a `mkfs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from linnix.faultlab import cgroups, commands, disks, guards
from linnix.faultlab.commands import Prepared, Started
from linnix.faultlab.errors import RunFailedError
from linnix.faultlab.limits import Limits
from linnix.faultlab.plan import Plan

SETUP_WITHIN_S = 60.0
_SETUP = "setup.service"


class Place:
    """A context manager around a run; entering it raises RefusedError for what this host cannot give."""

    def __init__(self, plan: Plan, laboratory: cgroups.Laboratory, work: Path, out: Path) -> None:
        self._plan = plan
        self._laboratory = laboratory
        self._work = work
        self._data = work / "data"
        self._out = out
        self._stack = ExitStack()
        self._disk: Path | None = None
        needs = plan.scenario.needs
        self._file_bytes = max(needs.disk_mib, plan.scenario.filesystem_mib) * guards.MIB
        self._told = commands.environment(plan, self._data)

    def __enter__(self) -> Place:
        scenario = self._plan.scenario
        with ExitStack() as stack:  # what of it was done is undone where the rest fails
            for launch in self._plan.launches:
                command = launch.command
                limits = Limits(command.cpu_quota_pct, command.memory_limit_mib, swap=scenario.swap_mib > 0)
                self._laboratory.limit(command.group, limits)
            if scenario.filesystem_mib:
                self._disk = stack.enter_context(disks.filesystem(self._work, scenario.filesystem_mib))
                self._told["DISK"] = str(self._disk)
            if scenario.swap_mib:
                stack.enter_context(disks.swap(self._work, scenario.swap_mib))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def set_up(self, pause: Callable[[float], None]) -> None:
        """Carry out the scenario's ``setup``, if any. Raises RunFailedError with what it wrote where it fails."""
        setup = self._plan.scenario.setup
        if not setup:
            return
        script, said, group = self._work / "lib" / "setup", self._work / "said" / "setup.out", self._group(_SETUP)
        script.parent.mkdir(exist_ok=True)
        script.write_text(setup)
        process = commands.spawn(
            "/bin/sh",
            ["sh", "-c", 'exec sh "$1" >&2', "sh", str(script)],
            groups=[group],
            environment=self._told,
            folder=self._data,
            said=said,
            cpus=commands.cpus((0, 1)),
            file_bytes=self._file_bytes,
        )
        watch, deadline = self.watch([group]), time.monotonic() + SETUP_WITHIN_S
        try:
            while process.poll() is None:
                watch.look()
                if time.monotonic() > deadline:
                    raise RunFailedError(f"setup did not end within {SETUP_WITHIN_S:.0f} s", commands.said(said))
                pause(0.05)
        finally:
            cgroups.end(group)
            process.wait()
        if process.returncode:
            raise RunFailedError(f"setup ended with status {process.returncode}", commands.said(said))

    def start(self, prepared: Prepared) -> Started:
        """Start a command where it belongs."""
        groups = self._laboratory.groups(prepared.launch.command.group)
        return commands.start(prepared, groups, self._told, self._work, self._file_bytes)

    def thaw(self) -> None:
        """Make sure that its processes can be ended: a file system that one of them froze holds up the others."""
        if self._disk is not None:
            disks.thaw(self._disk)

    def groups(self, prepared: list[Prepared]) -> dict[Path, str]:
        """The control groups of commands, each with the command that is the first in it."""
        return {self._group(each.launch.command.group): each.launch.command.name for each in reversed(prepared)}

    def watch(self, groups: list[Path]) -> guards.Watch:
        """What looks at the groups of the run, and at what it wrote."""
        return guards.Watch(self._plan.scenario.needs, groups, self._data, self._out)

    def _group(self, name: str) -> Path:
        return self._laboratory.group(name)
