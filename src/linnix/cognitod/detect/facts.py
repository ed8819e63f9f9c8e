"""From what the daemon knows to ``insight.facts.Facts``: the few things worth saying about a moment.

Owns the choice and the order. Refuses to look anything up: whatever goes in is an argument. Invariants: the same
arguments give the same bytes; every id that is referred to exists; Linnix's own processes are marked, never hidden.

Chosen are: culprits of findings, the ten processes with most CPU and the ten with most memory (above 0.1 % of a core
or 1 MB), and the three that fork most. They are numbered in this order of relevance: culprits by their findings, then
by CPU, memory and pid.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from linnix.cognitod.detect.tags import WINDOW_S
from linnix.cognitod.model import Activity, Finding, Home, Rows, Snapshot, tag_names, text
from linnix.insight import facts as wire
from linnix.insight.classes import SEVERITIES

TOP = 10
TOP_FORKERS = 3
TOP_GROUPS = 5
#: Culprits mentioned; a host on which every process is one is no longer described by naming them.
MAX_CULPRITS = 10
MAX_FINDINGS = 16
MIN_CPU_PCT = 0.1
MIN_RSS_BYTES = 1_000_000
MIN_FORKS_PER_S = 1.0
#: A process whose memory changed by less than this over the trend window is steady, and not worth a trend.
MIN_RSS_TREND_BYTES = 8 * 1024 * 1024

#: Where somebody lives, by ROW's ``cgroup_id`` and ``home``.
Place = Callable[[int, int], Home]


def build(
    rows: Rows,
    snapshot: Snapshot,
    activity: Activity,
    findings: Sequence[Finding],
    own_pids: Collection[int] = (),
    *,
    trends: Sequence[wire.Trend] = (),
    lost_events: int = 0,
    degraded: Sequence[str] = (),
    place: Place = lambda *_: Home(),
) -> wire.Facts:
    """The facts of the moment of ``snapshot``. ``rows``: all processes, dtype ROW. ``findings``: the open ones.

    ``trends``: of the host, as ``history.History.trends`` gives them; those of processes are made here.
    """
    live = rows[rows["alive"]]
    ordered = _distinct(findings)[:MAX_FINDINGS]
    chosen = _chosen(rows, live, ordered)
    processes = tuple(_process(row, number, snapshot, own_pids, place) for number, row in enumerate(chosen, 1))
    ids = {(process.pid, process.start_ns): process.id for process in processes}
    return wire.Facts(
        timestamp=snapshot.timestamp,
        ts_ns=snapshot.ts_ns,
        host=_host(snapshot),
        pressure=wire.Pressure(
            cpu_some_pct=snapshot.psi_cpu_some_avg10,
            memory_some_pct=snapshot.psi_memory_some_avg10,
            memory_full_pct=snapshot.psi_memory_full_avg10,
            io_some_pct=snapshot.psi_io_some_avg10,
            io_full_pct=snapshot.psi_io_full_avg10,
        ),
        activity=wire.Activity(
            window_s=activity.window_s,
            forks_per_s=round(activity.forks_per_s, 1),
            execs_per_s=round(activity.execs_per_s, 1),
            exits_per_s=round(activity.exits_per_s, 1),
            short_jobs_per_s=round(activity.short_jobs_per_s, 1),
            failed_exits_per_s=round(activity.failed_exits_per_s, 1),
            lost_events=lost_events,
        ),
        processes=processes,
        groups=_groups(live, ids),
        findings=tuple(_finding(finding, number, ids) for number, finding in enumerate(ordered, 1)),
        trends=_trends(trends, chosen, ids),
        processes_total=len(live),
        degraded=tuple(degraded),
    )


def _distinct(findings: Sequence[Finding]) -> list[Finding]:
    """Gravest first, and of several rules that say the same of the same process only the gravest."""
    told: dict[tuple[str, int | None, int | None], Finding] = {}
    for finding in sorted(findings, key=_gravity):
        told.setdefault((finding.cls, finding.pid, finding.start_ns), finding)
    return list(told.values())


def _gravity(finding: Finding) -> tuple[int, bool, int, str]:
    """Gravest first; among equals those that name a process, then the oldest."""
    return -SEVERITIES.index(finding.severity), finding.pid is None, finding.ts_ns, finding.key


def _chosen(rows: Rows, live: Rows, findings: Sequence[Finding]) -> Rows:
    """Rows worth mentioning, most relevant first."""
    named = dict.fromkeys((f.pid, f.start_ns) for f in findings if f.pid is not None)
    culprits = []
    for pid, start_ns in named:
        culprits += np.flatnonzero((rows["pid"] == pid) & (rows["start_ns"] == start_ns))[:1].tolist()
    culprits = culprits[:MAX_CULPRITS]
    at = np.flatnonzero(rows["alive"])
    by_cpu = at[np.lexsort((live["pid"], -live["rss_bytes"].astype(np.int64), -live["cpu_pct"]))]
    by_rss = at[np.lexsort((live["pid"], -live["cpu_pct"], -live["rss_bytes"].astype(np.int64)))]
    by_forks = at[np.lexsort((live["pid"], -live["forks"].astype(np.int64)))][:TOP_FORKERS]
    tops = {
        *by_cpu[rows["cpu_pct"][by_cpu] > MIN_CPU_PCT][:TOP].tolist(),
        *by_rss[rows["rss_bytes"][by_rss] > MIN_RSS_BYTES][:TOP].tolist(),
        *by_forks[rows["forks"][by_forks] >= MIN_FORKS_PER_S * WINDOW_S].tolist(),
    }
    rest = [index for index in by_cpu.tolist() if index in tops and index not in culprits]
    return rows[np.array(culprits + rest, np.intp)]


def _process(row: np.void, number: int, snapshot: Snapshot, own_pids: Collection[int], place: Place) -> wire.Process:
    home = place(int(row["cgroup_id"]), int(row["home"]))
    pid = int(row["pid"])
    return wire.Process(
        id=f"P{number}",
        pid=pid,
        ppid=int(row["ppid"]),
        start_ns=int(row["start_ns"]),
        comm=text(bytes(row["comm"])),
        uid=int(row["uid"]),
        cpu_pct=round(float(row["cpu_pct"]), 1),
        rss_bytes=int(row["rss_bytes"]),
        mem_pct=round(float(row["mem_pct"]), 1),
        rss_delta_bytes=int(row["rss_growth_bytes"]),
        threads=int(row["threads"]),
        state=text(bytes(row["state"])),
        age_s=max(0.0, round((snapshot.ts_ns - int(row["first_ns"])) / 1e9, 1)),
        forks_per_s=round(int(row["forks"]) / WINDOW_S, 1),
        short_jobs_per_s=round(int(row["short_children"]) / WINDOW_S, 1),
        cgroup=home.cgroup,
        unit=home.unit,
        container=home.container,
        container_name=home.container_name,
        pod=f"{home.namespace}/{home.pod}" if home.pod else None,
        tags=tag_names(int(row["tags"])),
        own=bool(row["own"]) or pid in own_pids,
    )


def _host(snapshot: Snapshot) -> wire.Host:
    return wire.Host(
        hostname=snapshot.hostname,
        kernel=snapshot.kernel,
        cores=snapshot.cores,
        mem_total_bytes=snapshot.mem_total_bytes,
        mem_used_bytes=snapshot.mem_used_bytes,
        swap_total_bytes=snapshot.swap_total_bytes,
        swap_used_bytes=snapshot.swap_used_bytes,
        cpu_pct=round(snapshot.cpu_pct, 1),
        mem_pct=round(snapshot.mem_pct, 1),
        load_avg=snapshot.load_avg,
        uptime_s=snapshot.uptime_s,
    )


def _groups(live: Rows, ids: Mapping[tuple[int, int], str]) -> tuple[wire.Group, ...]:
    """Of the names that at least two living processes have, those with most CPU and those with most memory."""
    comms, group, counts = np.unique(live["comm"], return_inverse=True, return_counts=True)
    cpu = np.bincount(group, live["cpu_pct"], len(comms))
    rss = np.bincount(group, live["rss_bytes"].astype(np.float64), len(comms))
    mem = np.bincount(group, live["mem_pct"], len(comms))
    several = counts >= 2
    by_cpu = [at for at in np.lexsort((comms, -rss, -cpu)).tolist() if several[at]]
    by_rss = [at for at in np.lexsort((comms, -cpu, -rss)).tolist() if several[at]]
    tops = {at for at in by_cpu if cpu[at] > MIN_CPU_PCT} & set(by_cpu[:TOP_GROUPS])
    tops |= {at for at in by_rss if rss[at] > MIN_RSS_BYTES} & set(by_rss[:TOP_GROUPS])
    members: dict[int, list[str]] = {at: [] for at in tops}
    for at, pid, start_ns in zip(group.tolist(), live["pid"].tolist(), live["start_ns"].tolist(), strict=True):
        if at in tops and (pid, start_ns) in ids:
            members[at].append(ids[pid, start_ns])
    return tuple(
        wire.Group(
            id=f"G{number}",
            comm=text(bytes(comms[at])),
            count=int(counts[at]),
            cpu_pct=round(float(cpu[at]), 1),
            rss_bytes=int(rss[at]),
            mem_pct=round(float(mem[at]), 1),
            members=tuple(sorted(members[at], key=lambda name: int(name[1:]))),
        )
        for number, at in enumerate((at for at in by_cpu if at in tops), 1)
    )


def _finding(finding: Finding, number: int, ids: Mapping[tuple[int, int], str]) -> wire.Finding:
    who = None
    if finding.pid is not None and finding.start_ns is not None:
        who = ids.get((finding.pid, finding.start_ns))
    return wire.Finding(
        id=f"F{number}",
        cls=finding.cls,
        severity=finding.severity,
        rule=finding.rule,
        process=who,
        since=finding.timestamp,
        message=finding.message,
        evidence=dict(finding.evidence),
    )


def _trends(host: Sequence[wire.Trend], chosen: Rows, ids: Mapping[tuple[int, int], str]) -> tuple[wire.Trend, ...]:
    """The host's, then memory of those chosen processes for which it really changed."""
    trends = list(host)
    for row in chosen:
        delta = int(row["rss_growth_bytes"])
        if abs(delta) >= MIN_RSS_TREND_BYTES:
            trends.append(
                wire.Trend(
                    id="",
                    metric="rss",
                    direction="rising" if delta > 0 else "falling",
                    delta=float(delta),
                    window_s=round(int(row["rss_window_ns"]) / 1e9, 1),
                    process=ids[int(row["pid"]), int(row["start_ns"])],
                )
            )
    return tuple(
        wire.Trend(
            id=f"T{number}",
            metric=trend.metric,
            direction=trend.direction,
            delta=trend.delta,
            window_s=trend.window_s,
            process=trend.process,
        )
        for number, trend in enumerate(trends, 1)
    )
