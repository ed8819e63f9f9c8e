"""A host on paper: processes, events and samples under a clock that only a story moves.

Boot time runs ahead of CLOCK_MONOTONIC by ``SUSPENDED_NS``, as on a laptop that slept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from linnix.cognitod.detect import Alerts, Engine
from linnix.cognitod.detect.causes import rank
from linnix.cognitod.detect.rules import parse
from linnix.cognitod.events import EVENT, EXEC_TEXT, Kind
from linnix.cognitod.model import ROW, Activity, Alert, Finding, Home, Rows, Snapshot
from linnix.insight.facts import Facts

S = 1_000_000_000
MS = 1_000_000
MIB = 1024 * 1024
SUSPENDED_NS = 3600 * S
EPOCH = 1_700_000_000.0


@dataclass
class World:
    """``step`` lets time pass and shows the engine what happened; ``found`` collects (rule, class, culprit's pid)."""

    rules: str
    now_ns: int = 1000 * S
    processes: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    found: set[tuple[str, str, int | None]] = field(default_factory=set)
    last: list[Finding] = field(default_factory=list)
    homes: dict[int, Home] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(parse(self.rules))
        self._events: list[np.void] = []
        self._texts: list[np.void] = []
        self._next_pid = 10_000
        self._seq = 0
        self.process(1, "systemd", ppid=0)
        self.process(2, "kthreadd", ppid=0, kthread=True)

    def process(self, pid: int, comm: str | bytes, ppid: int = 1, **columns: Any) -> dict[str, Any]:
        """A process that is there; give ``cpu`` (percent of a core), ``rss`` (MiB) or any column of ROW."""
        name = comm.encode() if isinstance(comm, str) else comm
        start_ns = columns.pop("start_ns", self.now_ns - 100 * S + SUSPENDED_NS + pid)
        row = {
            "pid": pid,
            "comm": name,
            "ppid": ppid,
            "start_ns": start_ns,
            "first_ns": start_ns - SUSPENDED_NS,
            "parent_start_ns": next((s for p, s in reversed(self.processes) if p == ppid), 0),
            "alive": True,
            "state": b"S",
            "threads": 1,
            "cpu_pct": columns.pop("cpu", 0.0),
            "rss_bytes": columns.pop("rss", 0) * MIB,
        } | columns
        self.processes[pid, start_ns] = row
        return row

    def gone(self, row: dict[str, Any]) -> None:
        """It exits, unseen by the detectors but for its row."""
        row |= {"alive": False, "state": b"X", "exit_ns": self.now_ns, "cpu_pct": 0.0, "rss_bytes": 0}

    def fork(self, parent: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
        """The parent forks now; the children get events, not rows."""
        children = []
        for _ in range(count):
            self._next_pid += 1
            child = {
                "pid": self._next_pid,
                "start_ns": self.now_ns + SUSPENDED_NS - 1000,
                "ppid": parent["pid"],
                "parent_start_ns": parent["start_ns"],
                "comm": parent["comm"],
            }
            children.append(child)
            self._event(Kind.FORK, child, self.now_ns)
        parent["forks"] = parent.get("forks", 0) + count
        return children

    def run(
        self, parent: dict[str, Any], count: int, *, lived_ms: float, comm: str = "true", exec_: bool = True
    ) -> None:
        """The parent runs programs that have ended by now, after ``lived_ms``."""
        ended_ns = self.now_ns
        self.now_ns -= round(lived_ms * MS)
        children = self.fork(parent, count)
        for child in children:
            child["comm"] = comm.encode()
            if exec_:
                self._seq += 1
                self._event(Kind.EXEC, child, self.now_ns + 1000, text_seq=self._seq)
                text = np.zeros((), EXEC_TEXT)
                text["pid"], text["seq"], text["filename"] = child["pid"], self._seq, b"/usr/bin/" + child["comm"]
                self._texts.append(text)
        self.now_ns = ended_ns
        for child in children:
            self._event(Kind.EXIT, child, ended_ns)

    def _event(self, kind: Kind, child: dict[str, Any], ts_ns: int, **columns: Any) -> None:
        event = np.zeros((), EVENT)
        for name, value in (child | columns).items():
            event[name] = value
        event["kind"], event["ts_ns"] = kind, ts_ns
        self._events.append(event)

    def rows(self) -> Rows:
        """The process table."""
        rows = np.zeros(len(self.processes), ROW)
        for at, columns in enumerate(self.processes.values()):
            for name, value in columns.items():
                rows[at][name] = value
        return rows

    def snapshot(self) -> Snapshot:
        """The host now."""
        values = {"cores": 2, "mem_total_bytes": 8192 * MIB, "mem_available_bytes": 4096 * MIB} | self.host
        return Snapshot(timestamp=EPOCH + self.now_ns / S, ts_ns=self.now_ns, **values)

    def home_of(self, pid: int, _start_ns: int) -> Home:
        """Where a process lives; ``asked`` remembers that somebody wanted to know."""
        self.asked.append(pid)
        return self.homes.get(pid, Home())

    def known(self, sample: bool) -> Facts | None:
        """The facts of this step; a world on paper has none."""
        return None

    def observe(self, *, sample: bool = True) -> list[Finding]:
        """Show the engine what has happened; without a sample only the events are new."""
        events = np.array(self._events, EVENT)
        texts = np.array(self._texts, EXEC_TEXT)
        self._events, self._texts = [], []
        if sample or not hasattr(self, "_snapshot"):
            self._snapshot = self.snapshot()
        self.last = self.engine.observe(
            events, self.rows(), self._snapshot, Activity(), self.now_ns, texts, self.home_of, self.known(sample)
        )
        self.found |= {(finding.rule, finding.cls, finding.pid) for finding in self.last}
        return self.last

    def judge(self, gate: Alerts) -> list[Alert]:
        """Let a second pass and show the gate what is wrong. Returns the alerts that began or ended."""
        found = {finding.key for finding in self.step().last}
        return gate.observe(rank(self.engine.open_findings(self.now_ns), None), found, self.now_ns)

    def step(self, seconds: float = 1.0, times: int = 1) -> World:
        """Let time pass, then observe; ``times`` over."""
        for _ in range(times):
            self.now_ns += round(seconds * S)
            self.observe()
        return self
