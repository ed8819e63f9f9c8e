"""Waiting made by hand: rows, readings and the host that they are of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.blame.books import Blame
from linnix.cognitod.blame.meter import BlameReading
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, RESOURCES, STALL, STALL_KINDS, Home, Rows, StallReading

S = 10**9
MS = 10**6
#: Unix time at which CLOCK_MONOTONIC is 0: a whole bucket.
EPOCH_US = 1_764_000_000 * 10**6

A, B, ROOT, PARENT, ELSEWHERE = 10, 11, 1, 9, 12
PATHS = {
    ROOT: "/",
    PARENT: "/app.slice",
    A: "/app.slice/a.service",
    B: "/app.slice/b.service",
    ELSEWHERE: "/db.service",
}
COMMS = {100: b"alpha", 101: b"alpha2", 200: b"beta", 300: b"postgres"}
CGROUPS = {100: A, 101: A, 200: B, 300: ELSEWHERE}


def start_of(pid: int) -> int:
    return 1000 + pid


def waits(
    victim: int,
    offender: int,
    task_ms: float,
    stall_ms: float | None = None,
    *,
    kind: str = "measured",
    offender_cgroup: int | None = None,
) -> Rows:
    """A row of process level. Offender 0 is nobody."""
    lives_in = CGROUPS.get(offender, ROOT) if offender else 0
    return _row(
        level=PROCESS_LEVEL,
        kind=STALL_KINDS.index(kind),
        victim_pid=victim,
        victim_start_ns=start_of(victim),
        victim_cgroup=CGROUPS.get(victim, ROOT),
        offender_pid=offender,
        offender_start_ns=start_of(offender) if offender else 0,
        offender_cgroup=lives_in if offender_cgroup is None else offender_cgroup,
        task_ns=int(task_ms * MS),
        stall_ns=int((task_ms if stall_ms is None else stall_ms) * MS),
    )


def group_waits(victim: int, offender: int, stall_ms: float, *, kind: str = "measured") -> Rows:
    """A row of cgroup level: ``victim`` is a cgroup, ``offender`` a process."""
    return _row(
        level=CGROUP_LEVEL,
        kind=STALL_KINDS.index(kind),
        victim_cgroup=victim,
        offender_pid=offender,
        offender_start_ns=start_of(offender),
        offender_cgroup=CGROUPS.get(offender, ROOT),
        stall_ns=int(stall_ms * MS),
    )


def _row(**fields: Any) -> Rows:
    row = np.zeros(1, STALL)
    for name, value in fields.items():
        row[name] = value
    return row


class Pressure(NamedTuple):
    """What the kernel's own account says."""

    host_us: int = 0
    groups: NDArray[np.uint64] = np.zeros(0, np.uint64)
    groups_us: NDArray[np.uint64] = np.zeros(0, np.uint64)
    complete: bool = True


def pressure(host_ms: float = 0.0, complete: bool = True, **groups_ms: float) -> Pressure:
    """``A=5.0``: group A waited 5 ms."""
    ids = np.array([globals()[name] for name in groups_ms], np.uint64)
    return Pressure(
        int(host_ms * 1000), ids, np.array([each * 1000 for each in groups_ms.values()], np.uint64), complete
    )


@dataclass
class Host:
    """Feeds books with readings; time is what a test says."""

    resource: str = "cpu"
    now_ns: int = 0
    epoch: int = 0
    offset_ns: int = EPOCH_US * 1000
    forkers: list[tuple[Home, int, int]] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.blame = Blame(comm_of=self._comm, home_of=self._home, forkers=lambda: self.forkers)
        assert self.resource in RESOURCES

    def _comm(self, pid: int, start_ns: int) -> bytes:
        assert start_ns == start_of(pid)
        return b"" if pid in self.dead else COMMS.get(pid, b"sh")

    def _home(self, pid: int, _start_ns: int, cgroup: int) -> Home:
        path = None if pid in self.dead else PATHS.get(cgroup)
        unit = path.rpartition("/")[2] if path and path.endswith((".service", ".slice")) else None
        return Home(cgroup=path, unit=unit)

    @property
    def ledger(self) -> Any:
        return self.blame.ledgers[self.resource]

    @property
    def now_us(self) -> int:
        return (self.now_ns + self.offset_ns) // 1000

    def attach(self) -> None:
        self.epoch += 1
        self._tell(self.now_ns, None, None, last=False)

    def read(
        self,
        *rows: Rows,
        after_s: float = 1.0,
        psi: Pressure | None = None,
        last: bool = False,
        waited_ms: float | None = None,
    ) -> None:
        """A second passes; this is what was waited meanwhile."""
        begin_ns = self.now_ns
        self.now_ns += int(after_s * S)
        pairs = np.concatenate([np.zeros(0, STALL), *rows])
        attributed = int(pairs["task_ns"][pairs["level"] == PROCESS_LEVEL].sum())
        stall = StallReading(
            resource=self.resource,
            begin_ns=begin_ns,
            end_ns=self.now_ns,
            pairs=pairs,
            waited_ns=attributed if waited_ms is None else int(waited_ms * MS),
            attributed_ns=attributed,
        )
        self._tell(begin_ns, stall, psi or Pressure(), last=last)

    def _tell(self, begin_ns: int, stall: StallReading | None, psi: Pressure | None, *, last: bool) -> None:
        self.blame.on_reading(
            BlameReading(
                resource=self.resource,
                epoch=self.epoch,
                begin_ns=begin_ns,
                end_ns=self.now_ns,
                wall_offset_ns=self.offset_ns,
                stall=stall,
                waited=psi,
                last=last,
            )
        )
