"""From recorded facts to the process table and the totals that the engine takes.

Owns the rows: of processes that facts tell, of their dead children, and of those who have not been told for a moment.
Refuses events: ``recorded`` makes those. Invariants: whoever facts told of is among the living for ``_UNTOLD_NS``
more, unless they told that it is dead or that its pid is another's; what it did then is not known, so of it only
what it is and what it holds is kept.

Facts hold the first of each measure, not all processes: who is not among them for a second has rarely exited, and the
engine closes what it found of a process that has.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import numpy as np

from linnix.cognitod.detect.replayed_jobs import FIRST_PID, Identity
from linnix.cognitod.detect.tags import WINDOW_S
from linnix.cognitod.detect.view import NS
from linnix.cognitod.model import ROW, TAG_NAMES, Activity, Home, Rows, Snapshot
from linnix.insight.facts import Facts, Process

#: For so long ``past.Past`` goes on with a process that facts leave out, too.
_UNTOLD_NS = 5 * NS
#: What a process does, as against what it is and holds.
_DOES = ("cpu_pct", "rss_growth_bytes", "forks", "short_children", "tags")
#: Dead children made up in one tick.
_MAX_ZOMBIES = 10_000
_TAG_BITS = {name: bit for bit, name in TAG_NAMES.items()}


class ReplayedRows:
    """The process table of one recording, tick by tick."""

    def __init__(self) -> None:
        #: By pid the row of who was told of it last.
        self._last: dict[int, np.void] = {}
        self._homes: dict[Identity, Home] = {}

    def rows(self, facts: Facts, between: Mapping[Identity, Identity]) -> Rows:
        """Those of this tick, dtype ROW. ``between``: of children that are gone, and ran something, the parent."""
        told = np.zeros(len(facts.processes), ROW)
        starts: dict[int, int] = {each.pid: each.start_ns for each in facts.processes}
        for at, each in enumerate(facts.processes):
            _fill(told[at : at + 1], each, facts.ts_ns, starts.get(each.ppid, 0))
        rows = np.concatenate([told, self._untold(told, facts.ts_ns), _zombies(facts), _gone(between)])
        self._last |= {int(row["pid"]): row for row in told}
        return rows

    def homes(self, facts: Facts) -> dict[Identity, Home]:
        """Where each of the living among these rows lives."""
        known = {(pid, int(row["start_ns"])) for pid, row in self._last.items()}
        self._homes = {who: home for who, home in self._homes.items() if who in known}
        self._homes |= {(each.pid, each.start_ns): _home(each) for each in facts.processes}
        return dict(self._homes)

    def _untold(self, told: Rows, now_ns: int) -> Rows:
        """Who was told a moment ago and is not now."""
        there = set(told["pid"].tolist())
        self._last = {
            pid: row
            for pid, row in self._last.items()
            if pid not in there and row["alive"] and now_ns - int(row["last_ts_ns"]) <= _UNTOLD_NS
        }
        rows = np.array(list(self._last.values()), ROW)
        for name in _DOES:
            rows[name] = 0
        return rows


def _fill(row: Rows, each: Process, now_ns: int, parent_start_ns: int) -> None:
    for name, value in {
        "pid": each.pid,
        "ppid": each.ppid,
        "start_ns": each.start_ns,
        "parent_start_ns": parent_start_ns if parent_start_ns <= each.start_ns else 0,
        "first_ns": max(now_ns - round(each.age_s * NS), 0),
        "last_ts_ns": now_ns,
        "comm": each.comm.encode(),
        "cgroup_id": crc32(each.cgroup.encode()) + 1 if each.cgroup else 0,  # alike where the path is
        "uid": each.uid,
        "cpu_pct": each.cpu_pct,
        "mem_pct": each.mem_pct,
        "rss_bytes": each.rss_bytes,
        "max_rss_bytes": each.rss_bytes,
        "rss_growth_bytes": each.rss_delta_bytes,
        "threads": each.threads,
        "forks": round(each.forks_per_s * WINDOW_S),
        "short_children": round(each.short_jobs_per_s * WINDOW_S),
        # A dead child is counted with its parent.
        "state": b"X" if each.state == "Z" else each.state.encode(),
        "tags": sum(_TAG_BITS.get(tag, 0) for tag in each.tags),
        "alive": each.state not in ("X", "Z"),
        "kthread": each.kernel_thread,
        "own": each.own,
    }.items():
        row[name] = value


def _zombies(facts: Facts) -> Rows:
    dead = [each for each in facts.processes for _ in range(each.zombies)][:_MAX_ZOMBIES]
    rows = np.zeros(len(dead), ROW)
    rows["pid"] = np.arange(2 * FIRST_PID, 2 * FIRST_PID + len(dead))
    rows["ppid"] = [each.pid for each in dead]
    rows["parent_start_ns"] = rows["start_ns"] = [each.start_ns for each in dead]
    rows["state"] = b"Z"
    return rows


def _gone(between: Mapping[Identity, Identity]) -> Rows:
    rows = np.zeros(len(between), ROW)
    for at, (child, parent) in enumerate(between.items()):
        rows["pid"][at], rows["start_ns"][at] = child
        rows["ppid"][at], rows["parent_start_ns"][at] = parent
    rows["state"], rows["forks"] = b"X", 1
    return rows


def snapshot(facts: Facts) -> Snapshot:
    """The host as it was."""
    host, pressure = facts.host, facts.pressure
    available = host.mem_available_bytes
    return Snapshot(
        timestamp=facts.timestamp,
        ts_ns=facts.ts_ns,
        hostname=host.hostname,
        kernel=host.kernel,
        cores=host.cores,
        cpu_pct=host.cpu_pct,
        mem_total_bytes=host.mem_total_bytes,
        mem_used_bytes=host.mem_used_bytes,
        mem_available_bytes=max(host.mem_total_bytes - host.mem_used_bytes, 0) if available is None else available,
        swap_total_bytes=host.swap_total_bytes,
        swap_used_bytes=host.swap_used_bytes,
        load_avg=host.load_avg,
        uptime_s=host.uptime_s,
        psi_cpu_some_avg10=pressure.cpu_some_pct,
        psi_memory_some_avg10=pressure.memory_some_pct,
        psi_memory_full_avg10=pressure.memory_full_pct,
        psi_io_some_avg10=pressure.io_some_pct,
        psi_io_full_avg10=pressure.io_full_pct,
    )


def activity(facts: Facts) -> Activity:
    """What happened on it."""
    told = facts.activity
    return Activity(
        window_s=told.window_s,
        forks_per_s=told.forks_per_s,
        execs_per_s=told.execs_per_s,
        exits_per_s=told.exits_per_s,
        short_jobs_per_s=told.short_jobs_per_s,
        failed_exits_per_s=told.failed_exits_per_s,
    )


def _home(process: Process) -> Home:
    namespace, _, pod = process.pod.rpartition("/") if process.pod else (None, "", None)
    return Home(
        cgroup=process.cgroup,
        unit=process.unit,
        container=process.container,
        container_name=process.container_name,
        namespace=namespace,
        pod=pod,
    )
