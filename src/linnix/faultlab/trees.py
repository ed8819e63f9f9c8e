"""Which processes belong to which command: the truth that an answer is held to.

Owns membership. Refuses names: a process belongs to a command because it is in its control group or was born in its
tree. What is looked at now and then misses who lived a moment; the daemon's fork events add those. Invariant: every
process is (pid, start_ns), with the start to the nanosecond where the daemon told it, else as /proc rounds it down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from linnix.faultlab import cgroups, proc
from linnix.faultlab.commands import Started


class _Event(msgspec.Struct):
    pid: int
    ppid: int
    start_ns: int = 0
    event_type_name: str = ""


class _Process(msgspec.Struct):
    pid: int
    start_ns: int


class _Facts(msgspec.Struct):
    processes: list[_Process]


class Trees:
    """The processes of a run by command."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, int], str] = {}  # (pid, start as /proc tells it) -> command
        self._exact: dict[tuple[int, int], int] = {}
        self._roots: dict[str, tuple[int, int]] = {}

    def add(self, started: Started) -> None:
        """A command's own process."""
        key = (started.process.pid, started.start_ns)
        self._owners[key] = started.name
        self._roots[started.name] = key

    def look(self, groups: Mapping[Path, str]) -> None:
        """Who is in the groups now; ``groups`` says whose a group is where a process's parent does not."""
        for group, command in groups.items():
            found = [seen for seen in map(proc.read, cgroups.pids(group)) if seen is not None]
            starts = {seen.pid: seen.start_ns for seen in found}
            for seen in sorted(found, key=lambda seen: seen.start_ns):  # parents before their children
                key = (seen.pid, seen.start_ns)
                parent = (seen.ppid, starts.get(seen.ppid, 0))
                self._owners.setdefault(key, self._owners.get(parent, command))

    def hear(self, frames: Iterable[bytes]) -> None:
        """Frames of ``/stream`` in their order: births in the tree of a command, and exact starts."""
        living = {pid: command for (pid, _), command in self._owners.items() if (pid, _) in self._roots.values()}
        for frame in frames:
            event = msgspec.json.decode(frame, type=_Event)
            key = (event.pid, _rounded(event.start_ns))
            if event.event_type_name == "fork":
                owner = self._owners.get(key) or living.get(event.ppid)
                living.pop(event.pid, None)
                if owner is not None:
                    self._owners[key] = living[event.pid] = owner
            elif event.event_type_name == "exit":
                living.pop(event.pid, None)
            if key in self._owners:
                self._exact[key] = event.start_ns

    def read(self, facts: Iterable[bytes]) -> None:
        """Bodies of ``/facts``: exact starts of who lived before there were events."""
        for body in facts:
            for process in msgspec.json.decode(body, type=_Facts).processes:
                if (key := (process.pid, _rounded(process.start_ns))) in self._owners:
                    self._exact[key] = process.start_ns

    def start_ns(self, command: str) -> int:
        """The start of a command's own process."""
        key = self._roots[command]
        return self._exact.get(key, key[1])

    def processes(self) -> dict[str, list[tuple[int, int]]]:
        """Of each command its processes, by when they started."""
        found: dict[str, list[tuple[int, int]]] = {command: [] for command in self._roots}
        for key, command in self._owners.items():
            found[command].append((key[0], self._exact.get(key, key[1])))
        return {command: sorted(members, key=lambda member: member[::-1]) for command, members in found.items()}


def _rounded(start_ns: int) -> int:
    return start_ns // proc.TICK_NS * proc.TICK_NS
