"""What the optional probes saw: ``/latency``, ``/oom``, ``/blocked``, ``/tcp``, ``/filesystems``; and ``/probes``.

Owns the joining of what was seen with names of processes and cgroups. Refuses to measure: what the last readings told
is what there is. Invariant: of a probe that is not on, null or nothing is told here, and its reason in ``/probes``.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import params, wire
from linnix.cognitod.api.context import Context, context
from linnix.cognitod.api.errors import Json
from linnix.cognitod.events import ProbeState
from linnix.cognitod.host.blocked import Stuck
from linnix.cognitod.host.filesystems import Filesystem, is_network
from linnix.cognitod.kernel.latency import REST
from linnix.cognitod.kernel.probes import Table
from linnix.cognitod.kernel.tcp import TCP_KINDS
from linnix.cognitod.model import text
from linnix.cognitod.sights import Counts, Kill, Latencies, largest, percentile_us, together

#: How many rows of a kind are told unless ``?top=`` says otherwise.
TOP = 20
MAX_TOP = 1000


def _top(request: Request) -> int:
    given = params.number(request.query_params, "top")
    return TOP if given is None else min(given, MAX_TOP)


async def probes(request: Request) -> Response:
    """The table of probes."""
    return Json(probe_table(context(request).probes))


def probe_table(table: Table) -> wire.ProbeTable:
    """Every line as it is sent, here and in ``/status``."""
    measured_s = table.measured_s
    return wire.ProbeTable(
        stats=table.stats,
        measured_s=round(measured_s, 3),
        probes=[_probe(state, measured_s) for state in table.states()],
    )


def _probe(state: ProbeState, measured_s: float) -> wire.Probe:
    runs, run_ns = state.runs, state.run_ns
    return wire.Probe(
        name=state.name,
        what=state.what,
        required=state.required,
        state=state.state,
        reason=state.reason or None,
        programs=list(state.programs),
        runs=runs,
        run_ns=run_ns,
        ns_per_run=round(run_ns / runs, 1) if runs and run_ns is not None else None,
        cpu_pct=round(run_ns / measured_s / 10**7, 4) if measured_s and run_ns is not None else None,
        attach_ms=None if state.attach_ms is None else round(state.attach_ms, 3),
        attachments=state.attachments,
        attached_s=round(state.attached_s, 3),
    )


def percentiles(histogram: Any) -> wire.Percentiles:
    """Of one histogram of dtype HISTOGRAM."""
    counts: Counts = histogram["counts"]
    count = int(counts.sum())
    told = {f"p{percent}": percentile_us(counts, percent) for percent in (50, 90, 99)}
    return wire.Percentiles(
        count=count,
        mean=round(float(histogram["sum_ns"]) / 1000 / count, 3) if count else None,
        **{name: None if value is None else round(value, 3) for name, value in told.items()},
    )


def system_latency(here: Context, name: str) -> wire.SystemLatency | None:
    """One kind of latency of the whole host; None while its probe has told nothing."""
    found = here.sights.latencies.get(name)
    if found is None:
        return None
    return wire.SystemLatency(
        window_s=round(found.window_s, 1),
        measured_s=round(found.measured_s, 1),
        recent=percentiles(together(found.recent())),
        total=percentiles(together(found.total())),
    )


async def latency(request: Request) -> Response:
    """By cgroup, those with the most waits or requests first."""
    here, top = context(request), _top(request)
    kinds = {name: _latency(here, here.sights.latencies.get(name), top) for name in ("runqueue", "block")}
    return Json(wire.Latencies(unit="us", **kinds))


def _latency(here: Context, found: Latencies | None, top: int) -> wire.Latency | None:
    if found is None:
        return None
    recent, total = found.recent(), found.total()
    lately = {int(row["cgroup_id"]): row for row in recent}
    cgroups = []
    for row in largest(total, top):
        number = int(row["cgroup_id"])
        home = here.pipeline.place(number)
        cgroups.append(
            wire.CgroupLatency(
                cgroup_id=number,
                cgroup=None if number == REST else home.cgroup,
                unit=home.unit,
                recent=percentiles(lately[number]),
                total=percentiles(row),
            )
        )
    return wire.Latency(
        window_s=round(found.window_s, 1),
        measured_s=round(found.measured_s, 1),
        recent=percentiles(together(recent)),
        total=percentiles(together(total)),
        cgroups=cgroups,
    )


async def oom(request: Request) -> Response:
    """The last kills, the newest first."""
    here = context(request)
    sights = here.sights
    kills = [_kill(here, kill) for kill in reversed(sights.kills)]
    return Json(wire.OomKills(total=sights.kills_total, lost=sights.kills_lost, kills=kills))


def _kill(here: Context, kill: Kill) -> wire.OomKill:
    record = kill.record
    sizes = {name: int(record[f"{name}_pages"]) * mmap.PAGESIZE for name in ("anon", "file", "shmem", "swap", "total")}
    pid, start_ns, cgroup_id = int(record["pid"]), int(record["start_ns"]), int(record["cgroup_id"])
    home = here.pipeline.home_of(pid, start_ns, cgroup_id)
    return wire.OomKill(
        timestamp=kill.timestamp,
        ts_ns=int(record["ts_ns"]),
        pid=pid,
        start_ns=start_ns,
        comm=text(bytes(record["comm"])),
        uid=int(record["uid"]),
        invoker_pid=int(record["invoker_pid"]),
        invoker_start_ns=int(record["invoker_start_ns"]),
        invoker_comm=text(bytes(record["invoker_comm"])),
        rss_bytes=sizes["anon"] + sizes["file"] + sizes["shmem"],
        pgtables_bytes=int(record["pgtables_bytes"]),
        oom_score_adj=int(record["oom_score_adj"]),
        cgroup_id=cgroup_id,
        cgroup=home.cgroup,
        unit=home.unit,
        memory_cgroup_id=int(record["memcg_id"]),
        memory_cgroup=text(bytes(record["memcg_name"])),
        **{f"{name}_bytes": size for name, size in sizes.items()},
    )


async def blocked(request: Request) -> Response:
    """The threads that are stuck, the longest first."""
    here = context(request)
    seen = here.sights.blocked
    if seen is None:
        return Json(wire.Blocked(looked_at=None, total=0, threads=[]))
    threads = [_blocked(here, one, seen.ts_ns) for one in seen.stuck]
    return Json(wire.Blocked(looked_at=here.sights.timestamp(seen.ts_ns), total=seen.total, threads=threads))


def _blocked(here: Context, one: Stuck, ts_ns: int) -> wire.BlockedThread:
    home = here.pipeline.home_of(one.pid, one.start_ns, one.cgroup_id)
    return wire.BlockedThread(
        pid=one.pid,
        tid=one.tid,
        start_ns=one.start_ns,
        comm=text(one.comm),
        process_comm=_comm(here, one.pid, one.start_ns),
        cgroup=home.cgroup,
        unit=home.unit,
        since=here.sights.timestamp(one.since_ns),
        blocked_s=round((ts_ns - one.since_ns) / 10**9, 1),
        wchan=one.wchan or None,
        stack=list(one.stack),
    )


def _comm(here: Context, pid: int, start_ns: int) -> str | None:
    row = here.pipeline.table.find(pid)
    return text(bytes(row["comm"])) if row is not None and int(row["start_ns"]) == start_ns else None


def tcp_totals(counts: Iterable[int]) -> wire.TcpTotals:
    """Counts in the order of ``TCP_KINDS``."""
    return wire.TcpTotals(**dict(zip(TCP_KINDS, map(int, counts), strict=True)))


async def tcp(request: Request) -> Response:
    """By process and by cgroup, those with the most trouble first."""
    here, top = context(request), _top(request)
    owners = here.sights.tcp
    by_process: dict[tuple[int, int], Counts] = {}
    by_cgroup: dict[int, Counts] = {}
    for owner, counts in owners.items():
        process = (owner.pid, owner.start_ns)
        by_process[process] = by_process.get(process, np.zeros_like(counts)) + counts
        by_cgroup[owner.cgroup_id] = by_cgroup.get(owner.cgroup_id, np.zeros_like(counts)) + counts
    processes = [
        wire.TcpProcess(
            pid=pid, start_ns=start, comm=_comm(here, pid, start) if pid else None, counts=tcp_totals(counts)
        )
        for (pid, start), counts in _worst(by_process)[:top]
    ]
    cgroups = []
    for number, counts in _worst(by_cgroup)[:top]:
        home = here.pipeline.place(number)
        cgroups.append(wire.TcpCgroup(cgroup_id=number, cgroup=home.cgroup, unit=home.unit, counts=tcp_totals(counts)))
    unknown = by_process.get((0, 0))
    body = wire.Tcp(
        totals=tcp_totals(here.sights.tcp_totals),
        unattributed=here.sights.tcp_lost + (int(unknown.sum()) if unknown is not None else 0),
        processes=processes,
        cgroups=cgroups,
    )
    return Json(body)


def _worst(rows: dict[Any, Counts]) -> list[tuple[Any, Counts]]:
    """By everything but connections that were merely begun."""
    weight = np.array([kind != "connects" for kind in TCP_KINDS])
    return sorted(rows.items(), key=lambda row: -int(row[1][weight].sum()))


async def filesystems(request: Request) -> Response:
    """All of them, by mount point."""
    sights = context(request).sights
    seen = sights.filesystems
    if seen is None:
        return Json(wire.Filesystems(read_at=None, filesystems=[]))
    told = [_filesystem(one) for one in seen.filesystems]
    return Json(wire.Filesystems(read_at=sights.timestamp(seen.ts_ns), filesystems=told))


def _filesystem(one: Filesystem) -> wire.Filesystem:
    mount, used_pct = one.mount, one.used_pct
    return wire.Filesystem(
        mount=text(mount.point),
        kind=mount.kind,
        source=text(mount.source),
        read_only=mount.read_only,
        network=is_network(mount.kind),
        size_bytes=one.size_bytes,
        used_bytes=one.used_bytes,
        avail_bytes=one.avail_bytes,
        used_pct=None if used_pct is None else round(used_pct, 2),
        inodes=one.inodes,
        inodes_used=one.inodes_used,
    )


def system_filesystems(here: Context) -> list[wire.SystemFilesystem]:
    """The short form: those that can be written and were asked."""
    seen = here.sights.filesystems
    return [
        wire.SystemFilesystem(
            mount=text(one.mount.point), used_pct=round(used_pct, 2), avail_bytes=one.avail_bytes or 0
        )
        for one in (seen.filesystems if seen else ())
        if (used_pct := one.used_pct) is not None and not one.mount.read_only
    ]
