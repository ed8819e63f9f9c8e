"""From what the daemon knows to ``insight.facts.Facts``: the few things worth saying about a moment.

Owns the choice and the order. Refuses to look anything up: whatever goes in is an argument. Invariants: the same
arguments give the same bytes; every id that is referred to exists; Linnix's own processes are marked, never hidden.

Who is chosen, and in which order they are numbered, is said in ``chosen``; how each is told, in ``described``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from linnix.cognitod.detect import described, jobs
from linnix.cognitod.detect.chosen import MIN_CPU_PCT, MIN_RSS_BYTES, choose, writers
from linnix.cognitod.detect.described import Place
from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.handles import of_names
from linnix.cognitod.model import Activity, Home, Rows, Snapshot, text
from linnix.cognitod.senses import Identity
from linnix.cognitod.totals import NO_RATES, HostRates
from linnix.insight import facts as wire

TOP_GROUPS = 5
MAX_KILLS = 8
#: A process whose memory changed by less than this over the trend window is steady, and not worth a trend.
MIN_RSS_TREND_BYTES = 8 * 1024 * 1024

Ids = Mapping[Identity, str]


def build(
    moment: Moment,
    snapshot: Snapshot,
    activity: Activity,
    culprits: Sequence[Identity],
    own_pids: Collection[int] = (),
    *,
    rates: HostRates = NO_RATES,
    trends: Sequence[wire.Trend] = (),
    unusual: Sequence[wire.Unusual] = (),
    ran: jobs.Told = jobs.NONE,
    lost_events: int = 0,
    degraded: Sequence[str] = (),
    place: Place = lambda *_: Home(),
) -> wire.Facts:
    """The facts of the moment of ``snapshot``, without findings: those are ``told``. ``culprits`` of findings are named
    first, in their order.

    ``trends``: of the host, as ``history.History.trends`` gives them; those of processes are made here. ``ran``: what
    ``jobs.Tally`` counted in the moment's interval.
    """
    live = moment.rows.compress(moment.rows["alive"])
    chosen = choose(moment, culprits, ran.parents)
    processes = described.processes(moment, chosen, snapshot, own_pids, place)
    ids = {(process.pid, process.start_ns): process.id for process in processes}
    return wire.Facts(
        timestamp=snapshot.timestamp,
        ts_ns=snapshot.ts_ns,
        host=described.host(snapshot, rates, moment),
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
        blame=_blame(moment, ids),
        filesystems=_filesystems(moment, dict(zip(chosen, processes, strict=True))),
        oom_kills=_oom_kills(moment, ids),
        jobs=jobs.told(ran, {place: process.id for place, process in zip(chosen, processes, strict=True)}),
        trends=_trends(trends, moment.rows.take(np.array(chosen, np.intp)), ids),
        unusual=tuple(unusual),
        processes_total=len(live),
        degraded=tuple(degraded),
    )


def _groups(live: Rows, ids: Ids) -> tuple[wire.Group, ...]:
    """Of the names that at least two living processes have, those with most CPU and those with most memory."""
    names = of_names(live["comm"])
    _, first, group, counts = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    comms = live["comm"][first]
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


def _trends(host: Sequence[wire.Trend], chosen: Rows, ids: Ids) -> tuple[wire.Trend, ...]:
    """The host's, then memory of those chosen processes for which it really changed."""
    trends = list(host)
    for row in chosen.compress(np.abs(chosen["rss_growth_bytes"]) >= MIN_RSS_TREND_BYTES):
        delta = int(row["rss_growth_bytes"])
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


def _blame(moment: Moment, ids: Ids) -> tuple[wire.Blame, ...]:
    """The pairs of whom both are named."""
    named = [stall for stall in moment.senses.stalls if stall.victim in ids and stall.offender in ids]
    return tuple(
        wire.Blame(
            id=f"B{number}",
            resource=stall.resource,
            victim=ids[stall.victim],
            offender=ids[stall.offender],
            task_ms=round(stall.task_ms, 1),
            share=round(stall.share, 3),
            kind=stall.kind,
            stall_ms=round(stall.stall_ms, 1),
            window_s=round(stall.window_s, 1),
            same_cgroup=stall.same_cgroup,
        )
        for number, stall in enumerate(named, 1)
    )


def _filesystems(moment: Moment, told: Mapping[int, wire.Process]) -> tuple[wire.Filesystem, ...]:
    if not moment.senses.spaces:
        return ()
    writing = tuple(told[place].id for place in writers(moment) if place in told)
    return tuple(
        wire.Filesystem(
            id=f"D{number}",
            mount=space.mount,
            used_pct=round(space.used_pct, 1),
            available_bytes=space.available_bytes,
            inodes_used_pct=None if space.inodes_used_pct is None else round(space.inodes_used_pct, 1),
            fill_bytes_per_s=round(space.fill_bytes_per_s, 1),
            writers=writing,
        )
        for number, space in enumerate(moment.senses.spaces, 1)
    )


def _oom_kills(moment: Moment, ids: Ids) -> tuple[wire.OomKill, ...]:
    def named(who: Identity | None) -> str | None:
        return None if who is None else ids.get(who)

    return tuple(
        wire.OomKill(
            id=f"K{number}",
            pid=kill.victim[0],
            comm=kill.comm,
            age_s=round(kill.age_s, 1),
            rss_bytes=kill.rss_bytes,
            process=named(kill.victim),
            parent=named(kill.parent) if moment.lives(kill.parent) else None,
            largest=named(kill.largest),
            cgroup=kill.cgroup,
            limit=kill.limit,
        )
        for number, kill in enumerate(moment.senses.kills[:MAX_KILLS], 1)
    )
