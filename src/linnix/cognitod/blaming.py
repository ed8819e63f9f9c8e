"""Which meters run, and what joins them to the host and to the books of blame.

Owns the list of meters and what the configuration makes of it. Refuses to open them: the ingest thread does. Invariant:
every resource either has an engagement or a reason why not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from linnix.cognitod.blame.books import Blame
from linnix.cognitod.blame.engage import OFF, Engagement, Policy
from linnix.cognitod.blame.meter import Meter
from linnix.cognitod.config import Config
from linnix.cognitod.host.homes import Homes
from linnix.cognitod.host.proc import PROC
from linnix.cognitod.host.psi import HostWatch
from linnix.cognitod.host.waiting import Waits
from linnix.cognitod.instruments import NO_BPF, wanted
from linnix.cognitod.kernel import KernelError
from linnix.cognitod.kernel.blame_cpu import BlameCpu
from linnix.cognitod.kernel.blame_io import BlameIo
from linnix.cognitod.kernel.blame_memory import BlameMemory
from linnix.cognitod.model import RESOURCES, Home
from linnix.cognitod.processes import Table

METERS: dict[str, Callable[[], Meter]] = {"cpu": BlameCpu, "io": BlameIo, "memory": BlameMemory}


class Chosen(NamedTuple):
    """The engagements to run, and by resource why there is none."""

    engagements: list[Engagement]
    absent: dict[str, str]


def choose(config: Config, mount: Path | None, proc: Path = PROC) -> Chosen:
    """What the configuration asks for. ``mount``: where cgroup2 is."""
    chosen = Chosen([], {})
    policy = Policy(
        mode=config.blame.mode,
        threshold_pct=config.blame.threshold_pct,
        hold_ns=config.blame.hold_seconds * 10**9,
    )
    for resource in RESOURCES:
        if not config.runtime.bpf:
            chosen.absent[resource] = NO_BPF
        elif policy.mode == OFF:
            chosen.absent[resource] = "blame.mode is off"
        elif not wanted(config, f"blame_{resource}"):
            chosen.absent[resource] = f"probes.blame_{resource} = false"
        else:
            path = config.psi_paths.get(resource, proc / "pressure" / resource)
            watch, totals = HostWatch(path, policy.threshold_pct), Waits(resource, path, mount)
            chosen.engagements.append(Engagement(METERS[resource](), watch, totals, policy, refusal=KernelError))
    return chosen


def keep(chosen: Chosen, table: Table, homes: Homes) -> Blame:
    """The books of what the engagements will tell, with names from the process table."""

    def comm_of(pid: int, start_ns: int) -> bytes:
        row = table.find(pid)
        return bytes(row["comm"]) if row is not None and int(row["start_ns"]) == start_ns else b""

    def home_of(pid: int, start_ns: int, cgroup: int) -> Home:
        home = homes.home(cgroup)
        if not homes.by_process or not start_ns or home.cgroup not in (None, "/"):
            return home
        row = table.find(pid)
        return homes.home(cgroup, int(row["home"])) if row is not None and int(row["start_ns"]) == start_ns else home

    def forkers() -> Iterator[tuple[Home, int, int]]:
        rows = table.rows()
        for row in rows[(rows["forks"] > 0) & rows["alive"]]:
            yield homes.home(int(row["cgroup_id"]), int(row["home"])), int(row["forks"]), int(row["short_children"])

    return Blame(chosen.engagements, absent=chosen.absent, comm_of=comm_of, home_of=home_of, forkers=forkers)
