"""What really happened in a run, and on what host: the files that are written at its end.

Owns the shape of truth.json and meta.json. Refuses judgement: it says who did what and when, not who was right.
Invariant: whoever has truth.json needs no other file to tell whether a (pid, start_ns) at a time is a hit.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

import linnix
from linnix.faultlab import guards
from linnix.faultlab.commands import Started
from linnix.faultlab.plan import Plan
from linnix.faultlab.recording import VERSION
from linnix.faultlab.scenario import Also
from linnix.faultlab.trees import Trees


class Clocks(msgspec.Struct, frozen=True):
    """The clocks at one moment."""

    unix: float
    monotonic_ns: int
    boottime_ns: int


class Span(msgspec.Struct, frozen=True):
    """When a phase began and ended, in unix seconds."""

    start: float
    stop: float


class Ran(msgspec.Struct, frozen=True, rename={"shown_as": "as"}):
    """A command that ran. ``processes`` are all of its tree, as [pid, start_ns]."""

    name: str
    role: str  # command or decoy
    shown_as: str
    cgroup: str
    pid: int
    start_ns: int
    started: float
    started_monotonic_ns: int
    stopped: float
    status: int | None  # null: ended by the laboratory
    processes: list[tuple[int, int]]


class Drawn(msgspec.Struct, frozen=True):
    """The intensity of a run."""

    value: float
    unit: str


class Truth(msgspec.Struct, frozen=True, kw_only=True, rename={"cls": "class"}):
    """truth.json. What has a default is not in recordings of the first laboratories."""

    version: int
    scenario: str
    seed: int
    cls: str
    culprit: str | None  # name of one of the commands
    also: tuple[Also, ...] = ()
    part: str = "train"
    programs: tuple[str, ...] = ()
    intensity: Drawn
    clocks: Clocks
    phases: dict[str, Span]
    commands: list[Ran]


def clocks() -> Clocks:
    """Read the three clocks, one after the other."""
    return Clocks(time.time(), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))


def of(
    plan: Plan, began: Clocks, phases: Mapping[str, Span], started: Sequence[Started], trees: Trees, mount: str
) -> Truth:
    """The truth of a run that is over. Groups are told as the daemon tells them: from the mount on."""
    members = trees.processes()
    return Truth(
        version=VERSION,
        scenario=plan.scenario.name,
        seed=plan.seed,
        cls=plan.scenario.cls,
        culprit=plan.scenario.culprit,
        also=plan.scenario.also,
        part=plan.scenario.part,
        programs=plan.scenario.programs,
        intensity=Drawn(plan.intensity, plan.scenario.intensity.unit),
        clocks=began,
        phases=dict(phases),
        commands=[
            Ran(
                name=each.name,
                role="decoy" if each.prepared.launch.decoy else "command",
                shown_as=each.prepared.launch.command.comm,
                cgroup=str(each.group).removeprefix(mount),
                pid=each.process.pid,
                start_ns=trees.start_ns(each.name),
                started=each.unix,
                started_monotonic_ns=each.monotonic_ns,
                stopped=each.stopped,
                status=each.status,
                processes=members[each.name],
            )
            for each in started
        ],
    )


def meta(
    plan: Plan, host: guards.Host, daemon: Mapping[str, Any], ticks: Mapping[str, int], problem: str, failed: str
) -> object:
    """meta.json: where, with what, and how much was recorded; ``failed``: why the daemon did, if it did."""
    return {
        "version": VERSION,
        "scenario": plan.scenario.name,
        "seed": plan.seed,
        "digest": plan.digest,
        "linnix": linnix.__version__,
        "python": platform.python_version(),
        "host": {
            "hostname": platform.node(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        "before": {
            "mem_available_mib": host.mem_available_mib,
            "disk_free_mib": host.disk_free_mib,
            "load": host.load,
        },
        "ticks": dict(ticks),
        "events_problem": problem or None,
        "failed": failed or None,
        "daemon": dict(daemon),
        "plan": plan,
    }
