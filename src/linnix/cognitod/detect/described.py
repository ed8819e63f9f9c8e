"""Processes, and the host, in the words of facts.

Owns how a value that is not known is told: as None, never as 0. Refuses to choose. Invariant: equal values give equal
facts; percent and rates are rounded to one digit, so that noise below that does not look like news.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.detect.tags import WINDOW_S
from linnix.cognitod.events import UNKNOWN_FILES
from linnix.cognitod.model import UNKNOWN, UNKNOWN_NICE, Home, Snapshot, tag_names, text
from linnix.cognitod.senses import Identity
from linnix.cognitod.totals import HostRates
from linnix.insight import facts as wire

#: Where somebody lives, by ROW's ``cgroup_id`` and ``home``.
Place = Callable[[int, int], Home]

_RATES = (
    *("cpu_user_pct", "cpu_system_pct", "run_delay_pct", "voluntary_switches_per_s", "involuntary_switches_per_s"),
    *("minor_faults_per_s", "major_faults_per_s", "read_bytes_per_s", "write_bytes_per_s"),
)
_AMOUNTS = {
    **dict.fromkeys(("rss_anon_bytes", "rss_shmem_bytes", "swap_bytes", "oom_score"), UNKNOWN),
    "open_files": UNKNOWN_FILES,
    "nice": UNKNOWN_NICE,
}


def processes(
    moment: Moment, chosen: Sequence[int], snapshot: Snapshot, own_pids: Collection[int], place: Place
) -> tuple[wire.Process, ...]:
    """The processes at these places among the moment's rows, as ``P1``, ``P2`` and so on."""
    at, tree = np.array(chosen, np.intp), moment.family
    rows = moment.rows.take(at)
    column = {name: rows[name].tolist() for name in rows.dtype.names or ()}
    told = {
        "cpu_pct": _rounded(rows["cpu_pct"]),
        "rss_bytes": column["rss_bytes"],
        "mem_pct": _rounded(rows["mem_pct"]),
        "rss_delta_bytes": column["rss_growth_bytes"],
        "threads": column["threads"],
        "forks_per_s": [count / WINDOW_S for count in column["forks"]],
        "short_jobs_per_s": [count / WINDOW_S for count in column["short_children"]],
        "kernel_thread": column["kthread"],
        "children": tree.children[at].tolist(),
        "descendants": tree.descendants[at].tolist(),
        "zombies": tree.zombies[at].tolist(),
        "subtree_cpu_pct": _rounded(tree.subtree_cpu_pct[at]),
        "child_exits_per_s": [count / WINDOW_S for count in column["child_exits"]],
        "failed_children_per_s": [count / WINDOW_S for count in column["failed_children"]],
        "child_execs_per_s": [count / WINDOW_S for count in column["child_execs"]],
        "ended_cpu_pct": [round(used_us / WINDOW_S / 1e4, 1) for used_us in column["child_cpu_us"]],
        "ended_read_bytes_per_s": [kib * 1024 / WINDOW_S for kib in column["child_read_kib"]],
        "ended_write_bytes_per_s": [kib * 1024 / WINDOW_S for kib in column["child_write_kib"]],
        **_used(moment, at),
    }
    names, values = tuple(told), zip(*told.values(), strict=True)
    found = []
    for number, figures in enumerate(values):
        pid, start_ns = column["pid"][number], column["start_ns"][number]
        home = place(column["cgroup_id"][number], column["home"][number])
        found.append(
            wire.Process(
                id=f"P{number + 1}",
                pid=pid,
                ppid=column["ppid"][number],
                start_ns=start_ns,
                comm=text(column["comm"][number]),
                uid=column["uid"][number],
                state=text(column["state"][number]),
                age_s=max(0.0, round((snapshot.ts_ns - column["first_ns"][number]) / 1e9, 1)),
                cgroup=home.cgroup,
                unit=home.unit,
                container=home.container,
                container_name=home.container_name,
                pod=f"{home.namespace}/{home.pod}" if home.pod else None,
                tags=tag_names(column["tags"][number]),
                own=column["own"][number] or pid in own_pids,
                **dict(zip(names, figures, strict=True)),
                **_sensed(moment, (pid, start_ns)),
            )
        )
    return tuple(found)


def _rounded(values: NDArray[Any]) -> list[Any]:
    """To one digit; NaN is None."""
    rounded = values.astype(np.float64).round(1).tolist()
    return [None if value != value else value for value in rounded]


def _used(moment: Moment, at: NDArray[np.intp]) -> dict[str, list[Any]]:
    if moment.usage is None:
        return {}
    usage = moment.usage.take(at)
    told = {name: _rounded(usage[name]) for name in _RATES}
    for name, unknown in _AMOUNTS.items():
        told[name] = [None if value == unknown else value for value in usage[name].tolist()]
    return told


def _rate(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _sensed(moment: Moment, who: Identity) -> dict[str, Any]:
    senses, told = moment.senses, dict[str, Any]()
    if (sockets := senses.sockets.get(who)) is not None:
        told |= {name: round(value, 1) for name, value in sockets._asdict().items()}
    if (waits := senses.waits.get(who)) is not None:
        told["lock_wait_pct"], told["sync_pct"] = _rate(waits.lock_wait_pct), _rate(waits.sync_pct)
        told["lock_waiters"] = waits.lock_waiters
    if (syncs := senses.syncs.get(who)) is not None:
        told["syncs_per_s"], told["ended_syncs_per_s"] = _rate(syncs.syncs_per_s), round(syncs.ended_syncs_per_s, 1)
    if (stuck := senses.stuck.get(who)) is not None:
        told["stuck_s"], told["stuck_in"] = round(stuck.since_s, 1), stuck.where
    if (used_pct := senses.memory_limits.get(who)) is not None:
        told["cgroup_memory_pct"] = used_pct
    if (failures := senses.tcp_failures_per_s.get(who)) is not None:
        told["tcp_failures_per_s"] = round(failures, 1)
    return told


def host(snapshot: Snapshot, rates: HostRates, moment: Moment) -> wire.Host:
    """The machine, its totals and what it does now."""
    senses = moment.senses
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
        mem_available_bytes=snapshot.mem_available_bytes or None,
        unaccounted_cpu_pct=_unaccounted_pct(snapshot, rates, moment),
        runqueue_p99_us=_rate(senses.runqueue_p99_us),
        block_io_p99_us=_rate(senses.block_io_p99_us),
        measures_blame=senses.measures_blame,
        **asdict(rates),
    )


def _unaccounted_pct(snapshot: Snapshot, rates: HostRates, moment: Moment) -> float | None:
    """What was busy and is told of no living process: mostly what came and went since the sample before."""
    if rates.user_pct is None:
        return None
    accounted = float(moment.rows["cpu_pct"].sum(where=moment.rows["alive"])) / max(snapshot.cores, 1)
    return round(max(snapshot.cpu_pct - (rates.steal_pct or 0.0) - accounted, 0.0), 1)
