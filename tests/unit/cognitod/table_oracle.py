"""The simple version of the process table: dictionaries, one event at a time.

Owns nothing of the product. It is what ``processes.Table`` must agree with, and short enough to be read for truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from linnix.cognitod.events import Array, Kind
from linnix.cognitod.model import SEEDED
from linnix.cognitod.processes import SHORT_NS, WINDOW_S
from linnix.cognitod.slots import WINDOWED

SECOND = 10**9
Identity = tuple[int, int]


@dataclass
class Process:
    """Fields as in ``model.ROW``."""

    pid: int
    start_ns: int
    first_ns: int
    ppid: int = 0
    parent_start_ns: int = 0
    comm: bytes = b""
    exec_ns: int = 0
    exit_ns: int = 0
    exit_code: int = 0
    last_ts_ns: int = 0
    last_kind: int = SEEDED
    alive: bool = True
    preexisting: bool = False
    assumed: bool = False
    seen: int = 0
    forker: Identity | None = None
    lately: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in WINDOWED})


class Oracle:
    """A table that can be believed."""

    def __init__(self) -> None:
        self.known: dict[Identity, Process] = {}
        self.holder: dict[int, Identity] = {}
        self.samples = 0
        self.now_s = 0
        self.counts = {"stale": 0, "missed_forks": 0, "missed_exits": 0, "short_jobs": 0, "failed_exits": 0}

    def update(self, events: Array) -> None:
        """A batch. Who forked whom is settled at its end, when everyone it mentions is known."""
        nearby = set(self.holder.values())
        forks: list[tuple[Process, Identity, int]] = []
        done: list[tuple[Process, str, int]] = []
        for event in events:
            e = {name: event[name].item() for name in event.dtype.names}
            if self._apply(e, forks, done):
                nearby.add((e["pid"], e["start_ns"]))
        for child, forker, ts_ns in forks:
            child.forker = forker if forker in nearby and forker in self.known else None
            if child.forker and ts_ns:
                self.known[child.forker].lately["forks"].append(ts_ns)
        for child, what, ts_ns in done:
            if child.forker:
                self.known[child.forker].lately[what].append(ts_ns)

    def _apply(self, e: dict, forks: list, done: list) -> bool:
        """False for an event of a process whose pid has a younger owner by now."""
        self.now_s = max(self.now_s, e["ts_ns"] // SECOND)
        process = self._of(e["pid"], e["start_ns"], e["ts_ns"])
        if process is None:
            self.counts["stale"] += 1
            return False
        forker = (e["ppid"], e["parent_start_ns"])
        if process.last_ts_ns == 0:
            self.counts["missed_forks"] += e["kind"] != Kind.FORK
            forks.append((process, forker, 0))
        if e["kind"] != Kind.EXIT and process.assumed:
            self._revive(process)
        for name in ("ppid", "parent_start_ns", "comm"):
            setattr(process, name, e[name])
        process.last_ts_ns, process.last_kind = e["ts_ns"], e["kind"]
        if e["kind"] == Kind.FORK:
            process.first_ns, process.preexisting = e["ts_ns"], False
            forks.append((process, forker, e["ts_ns"]))
        elif e["kind"] == Kind.EXEC:
            process.exec_ns = e["ts_ns"]
            done.append((process, "child_execs", e["ts_ns"]))
        else:
            self.counts["missed_exits"] -= process.assumed
            process.alive, process.assumed = False, False
            process.exit_ns, process.exit_code = e["ts_ns"], e["exit_code"]
            done.append((process, "child_exits", e["ts_ns"]))
            if e["exit_code"]:
                self.counts["failed_exits"] += 1
                done.append((process, "failed_children", e["ts_ns"]))
            if e["ts_ns"] - process.first_ns < SHORT_NS:
                self.counts["short_jobs"] += 1
                done.append((process, "short_children", e["ts_ns"]))
        return True

    def sample(self, rows: Array, now_ns: int) -> None:
        """Everyone who lives at ``now_ns``."""
        self.samples += 1
        self.now_s = max(self.now_s, now_ns // SECOND)
        made = []
        for row in rows:
            process = self._of(int(row["pid"]), int(row["start_ns"]), now_ns)
            if process is None:
                continue
            if process.last_ts_ns == 0:
                process.last_ts_ns, process.preexisting = now_ns, self.samples == 1
                self.counts["missed_forks"] += self.samples > 1
                made.append((process, int(row["ppid"])))
            process.seen = self.samples
            if process.assumed:
                self._revive(process)
            if process.alive:
                process.ppid, process.comm = int(row["ppid"]), bytes(row["comm"])
        for process, ppid in made:
            process.forker = self.holder.get(ppid)
            process.parent_start_ns = process.forker[1] if process.forker else 0
        for process in self.known.values():
            if process.alive and process.seen + 2 <= self.samples and process.first_ns < now_ns:
                self._conclude(process, now_ns)

    def _of(self, pid: int, start_ns: int, now_ns: int) -> Process | None:
        holder = self.holder.get(pid)
        if holder is not None and holder[1] > start_ns:
            return None
        if holder != (pid, start_ns):
            if holder is not None and self.known[holder].alive:
                self._conclude(self.known[holder], now_ns)
            self.known[pid, start_ns] = Process(pid, start_ns, first_ns=start_ns, seen=self.samples)
            self.holder[pid] = (pid, start_ns)
        return self.known[pid, start_ns]

    def _conclude(self, process: Process, now_ns: int) -> None:
        process.alive, process.assumed, process.exit_ns = False, True, now_ns
        self.counts["missed_exits"] += 1

    def _revive(self, process: Process) -> None:
        process.alive, process.assumed, process.exit_ns = True, False, 0
        self.counts["missed_exits"] -= 1

    def _recent(self, times: list[int]) -> int:
        return sum(ts_ns // SECOND > self.now_s - WINDOW_S for ts_ns in times)

    def rows(self) -> list[tuple]:
        """What ``fields`` of the table must be."""
        return sorted(tuple(self._field(process, name) for name in FIELDS) for process in self.known.values())

    def _field(self, process: Process, name: str) -> object:
        return self._recent(process.lately[name]) if name in WINDOWED else getattr(process, name)


FIELDS = (
    *("pid", "start_ns", "ppid", "parent_start_ns", "comm", "first_ns", "exec_ns", "exit_ns", "exit_code"),
    *("last_ts_ns", "last_kind", "alive", "preexisting", *WINDOWED),
)


def fields(rows: np.ndarray) -> list[tuple]:
    """The fields of a table's rows that the oracle knows."""
    return sorted(zip(*(rows[name].tolist() for name in FIELDS), strict=True))
