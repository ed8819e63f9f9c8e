"""Facts of a host with these processes, for what chooses by them."""

from __future__ import annotations

from typing import Any

from linnix.insight.facts import Activity, Facts, Host, Pressure, Process

_ACTIVITY = Activity(
    window_s=10.0,
    forks_per_s=0.0,
    execs_per_s=0.0,
    exits_per_s=0.0,
    short_jobs_per_s=0.0,
    failed_exits_per_s=0.0,
    lost_events=0,
)
_HOST = Host(
    hostname="host",
    kernel="6.18.0",
    cores=2,
    mem_total_bytes=1,
    mem_used_bytes=1,
    swap_total_bytes=0,
    swap_used_bytes=0,
    cpu_pct=0.0,
    mem_pct=0.0,
    load_avg=(0.0, 0.0, 0.0),
    uptime_s=1.0,
)


def process(pid: int, **more: Any) -> Process:
    """One that sleeps, born at ``10 * pid``."""
    values: dict[str, Any] = {
        "id": f"P{pid}", "pid": pid, "ppid": 1, "start_ns": 10 * pid, "comm": "worker", "uid": 0, "cpu_pct": 0.0,
        "rss_bytes": 0, "mem_pct": 0.0, "rss_delta_bytes": 0, "threads": 1, "state": "S", "age_s": 1.0,
        "forks_per_s": 0.0,
    }  # fmt: skip
    return Process(**(values | more))


def facts(*processes: Process) -> Facts:
    """Of now."""
    return Facts(timestamp=1.0, ts_ns=1, host=_HOST, pressure=Pressure(), activity=_ACTIVITY, processes=processes)
