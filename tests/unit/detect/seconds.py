"""A host of which facts are told each second: what a process does beside using a CPU and memory.

Every process is quiet until ``tell`` says what else it does; ``None`` makes a field one that this host does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from detect_world import SUSPENDED_NS, S, World

from linnix.insight import facts as wire

MB = 1_000_000
MIB = 1024 * 1024

_QUIET: dict[str, Any] = {
    "run_delay_pct": 0.0,
    "voluntary_switches_per_s": 0.0,
    "involuntary_switches_per_s": 0.0,
    "minor_faults_per_s": 0.0,
    "major_faults_per_s": 0.0,
    "read_bytes_per_s": 0.0,
    "write_bytes_per_s": 0.0,
    "tx_bytes_per_s": 0.0,
    "rx_bytes_per_s": 0.0,
    "tx_calls_per_s": 0.0,
    "rx_calls_per_s": 0.0,
    "connects_per_s": 0.0,
    "rss_anon_bytes": 10 * MIB,
    "open_files": 8,
    "nice": 0,
    "forks_per_s": 0.0,
}


@dataclass
class Seconds(World):
    """``seconds`` lets time pass; ``alarms`` collects (rule, severity, culprit's pid), ``remarks`` what is ``info``."""

    pressure: dict[str, float] = field(default_factory=dict)
    totals: dict[str, Any] = field(default_factory=dict)
    blame: list[wire.Blame] = field(default_factory=list)
    filesystems: list[wire.Filesystem] = field(default_factory=list)
    kills: list[wire.OomKill] = field(default_factory=list)
    jobs: list[wire.Job] = field(default_factory=list)
    told: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    alarms: set[tuple[str, str, int | None]] = field(default_factory=set)
    remarks: set[tuple[str, int | None]] = field(default_factory=set)

    def runs(self, pid: int, comm: str, ppid: int = 1, group: str = "/app", **does: Any) -> dict[str, Any]:
        """A process of a cgroup that does something; columns of ROW as in ``World.process``, else fields of facts."""
        columns = {name: does.pop(name) for name in ("cpu", "rss", "threads", "start_ns", "own", "uid") if name in does}
        columns["cgroup_id"] = sum(group.encode())
        row = self.process(pid, comm, ppid, **columns)
        self.told[row["pid"], row["start_ns"]] = {"cgroup": group}
        return self.tell(row, **does)

    def tell(self, row: dict[str, Any], **does: Any) -> dict[str, Any]:
        """What it does from now on. ``cpu``: percent of a core."""
        if "cpu" in does:
            row["cpu_pct"] = does.pop("cpu")
        if "threads" in does:
            row["threads"] = does.pop("threads")
        self.told[row["pid"], row["start_ns"]] |= does
        return row

    def waits(self, victim: dict[str, Any], offender: dict[str, Any], ms: float, share: float, **more: Any) -> None:
        """``victim`` waited for ``offender`` in the last ten seconds; for a CPU, unless ``more`` says otherwise."""
        here, there = (self.told[row["pid"], row["start_ns"]]["cgroup"] for row in (victim, offender))
        values = {"resource": "cpu", "task_ms": ms, "share": share, "stall_ms": ms, "same_cgroup": here == there} | more
        pair = wire.Blame(
            id=f"B{len(self.blame) + 1}", victim=self.id_of(victim), offender=self.id_of(offender), **values
        )
        self.blame.append(pair)

    def id_of(self, row: dict[str, Any]) -> str:
        """P1 …"""
        return f"P{1 + list(self.told).index((row['pid'], row['start_ns']))}"

    def seconds(self, count: int, **change: Any) -> Seconds:
        """Let so many seconds pass. ``change``: a function of the second for fields of the process that came last."""
        for second in range(count):
            if change:
                self.told[list(self.told)[-1]] |= {name: of(second) for name, of in change.items()}
            self.step()
        return self

    def observe(self, *, sample: bool = True) -> list[Any]:
        found = super().observe(sample=sample)
        self.alarms |= {(f.rule, f.severity, f.pid) for f in found if f.severity != "info"}
        self.remarks |= {(f.rule, f.pid) for f in found if f.severity == "info"}
        return found

    def known(self, sample: bool) -> wire.Facts | None:
        """The facts of this second."""
        return self.facts() if sample else None

    def facts(self) -> wire.Facts:
        """All processes that somebody told of, in the order in which they came."""
        snapshot = self.snapshot()
        host = {
            "mem_available_bytes": snapshot.mem_available_bytes,
            "measures_blame": ("cpu", "io", "memory"),
            "cpu_pct": snapshot.cpu_pct,
        } | self.totals
        return wire.Facts(
            timestamp=snapshot.timestamp,
            ts_ns=self.now_ns,
            host=wire.Host(
                hostname="box",
                kernel="6.1",
                cores=snapshot.cores,
                mem_total_bytes=snapshot.mem_total_bytes,
                mem_used_bytes=0,
                swap_total_bytes=0,
                swap_used_bytes=0,
                mem_pct=50.0,
                load_avg=(1.0, 1.0, 1.0),
                uptime_s=9e4,
                **host,
            ),
            pressure=wire.Pressure(**self.pressure),
            activity=wire.Activity(
                window_s=10.0,
                forks_per_s=0.0,
                execs_per_s=0.0,
                exits_per_s=0.0,
                short_jobs_per_s=0.0,
                failed_exits_per_s=0.0,
                lost_events=0,
            ),
            processes=tuple(
                self._process(number, key) for number, key in enumerate(self.told, 1) if self.processes[key]["alive"]
            ),
            blame=tuple(self.blame),
            filesystems=tuple(self.filesystems),
            oom_kills=tuple(self.kills),
            jobs=tuple(self.jobs),
        )

    def _process(self, number: int, key: tuple[int, int]) -> wire.Process:
        row = self.processes[key]
        values = _QUIET | self.told[key]
        return wire.Process(
            id=f"P{number}",
            pid=row["pid"],
            ppid=row["ppid"],
            start_ns=row["start_ns"],
            comm=row["comm"].decode(),
            uid=row.get("uid", 0),
            cpu_pct=row["cpu_pct"],
            rss_bytes=row["rss_bytes"],
            mem_pct=0.0,
            rss_delta_bytes=0,
            threads=row["threads"],
            state=row["state"].decode(),
            age_s=(self.now_ns + SUSPENDED_NS - row["start_ns"]) / S,
            own=row.get("own", False),
            **values,
        )
