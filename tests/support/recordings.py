"""A recording on paper: seconds of a host, told as ``/facts`` tells them, by what each parent did in each second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linnix.insight.facts import Activity, Facts, Host, Pressure, Process, encode

S = 1_000_000_000
BOOT_NS = 50 * S  # by how much boot time is ahead
BEGIN_NS = 1000 * S
EPOCH = 1_700_000_000.0
WINDOW_S = 10


def process(number: int, pid: int, comm: str, now_ns: int = BEGIN_NS, **fields: Any) -> Process:
    """A process that began ``pid`` milliseconds after the hundredth second of the host."""
    start_ns = 100 * S + pid * 1_000_000 if pid > 1 else 0
    shape = {
        "id": f"P{number}",
        "pid": pid,
        "ppid": 1,
        "start_ns": start_ns,
        "comm": comm,
        "uid": 1000,
        "cpu_pct": 0.0,
        "rss_bytes": 0,
        "mem_pct": 0.0,
        "rss_delta_bytes": 0,
        "threads": 1,
        "state": "S",
        "age_s": round((now_ns + BOOT_NS - start_ns) / S, 1),
        "forks_per_s": 0.0,
    }
    return Process(**(shape | fields))


def facts(at_s: float, processes: Sequence[Process] = (), **parts: Any) -> Facts:
    """The facts of a second, counted from the beginning of the recording."""
    now_ns = BEGIN_NS + round(at_s * S)
    host = {
        "hostname": "web-1",
        "kernel": "6.1.0",
        "cores": 2,
        "mem_total_bytes": 8 << 30,
        "mem_used_bytes": 2 << 30,
        "mem_available_bytes": 6 << 30,
        "swap_total_bytes": 0,
        "swap_used_bytes": 0,
        "cpu_pct": 10.0,
        "mem_pct": 25.0,
        "load_avg": (0.5, 0.5, 0.5),
        "uptime_s": (now_ns + BOOT_NS) / S,
    }
    activity = {
        "window_s": float(WINDOW_S),
        "forks_per_s": 0.0,
        "execs_per_s": 0.0,
        "exits_per_s": 0.0,
        "short_jobs_per_s": 0.0,
        "failed_exits_per_s": 0.0,
        "lost_events": 0,
    }
    return Facts(
        timestamp=EPOCH + at_s,
        ts_ns=now_ns,
        host=Host(**(host | parts.pop("host", {}))),
        pressure=Pressure(**parts.pop("pressure", {})),
        activity=Activity(**(activity | parts.pop("activity", {}))),
        processes=tuple(processes),
        processes_total=100,
        **parts,
    )


def rate(seconds: Sequence[int], at: int) -> float:
    """What a sliding window of ten seconds tells of numbers by second, at the end of second ``at``."""
    return round(sum(seconds[max(at - WINDOW_S + 1, 0) : at + 1]) / WINDOW_S, 1)


def storm(seconds: Mapping[str, Sequence[int]], *, others: Sequence[int] = (), runs: bool) -> list[bytes]:
    """Bodies of each second in which parents (by comm) forked children, so many a second, that lived for a moment.

    ``runs``: each child ran a program. ``others``: forks of parents that the facts do not tell.
    """
    length = len(next(iter(seconds.values())))
    bodies = []
    for at in range(length):
        processes = [process(1, 1, "systemd", ppid=0)]
        for number, (comm, forks) in enumerate(seconds.items(), 2):
            per_s = rate(forks, at)
            told = {"forks_per_s": per_s, "short_jobs_per_s": per_s, "child_execs_per_s": per_s if runs else 0.0}
            processes.append(process(number, 100 * number, comm, **told))
        whole = round(sum(each.forks_per_s for each in processes) + (rate(others, at) if others else 0), 1)
        activity = {"forks_per_s": whole, "exits_per_s": whole, "short_jobs_per_s": whole}
        bodies.append(encode(facts(at, processes, activity=activity | {"execs_per_s": whole if runs else 0.0})))
    return bodies
