"""The figures that a clause may show: their names, where they come from, and how each is written.

Owns the tables of fields and the value type. Refuses to choose whose figures they are: ``scope`` does. Invariant: a
field is exactly one field of Facts, or a sum or ratio of two, and what is not known there has no value here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from linnix.insight import render
from linnix.insight.classes import CLASSES
from linnix.insight.facts import Blame, Facts, Filesystem, Finding, Group, OomKill, Process, Trend, Unusual

Object = Process | Group | Finding | Blame | Trend | Unusual | Filesystem | OomKill
Format = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Value:
    """One resolved reference: its name in Facts, the value, and how it is written."""

    ref: str
    value: float | str
    text: str


def _as(form: Format, names: str) -> dict[str, Format]:
    return dict.fromkeys(names.split(), form)


PROCESS: Mapping[str, Format] = {
    "pid": lambda v: str(int(v)),
    **_as(
        render.percent,
        "cpu_pct cpu_user_pct cpu_system_pct run_delay_pct subtree_cpu_pct mem_pct lock_wait_pct sync_pct "
        "cgroup_memory_pct ended_cpu_pct",
    ),
    **_as(render.size, "rss_bytes rss_delta_bytes rss_anon_bytes swap_bytes"),
    **_as(render.speed, "read_bytes_per_s write_bytes_per_s tx_bytes_per_s rx_bytes_per_s"),
    **_as(render.count, "threads open_files children descendants zombies lock_waiters nice"),
    **_as(render.duration, "age_s stuck_s"),
    **_as(
        render.rate,
        "forks_per_s short_jobs_per_s child_exits_per_s failed_children_per_s child_execs_per_s "
        "voluntary_switches_per_s minor_faults_per_s major_faults_per_s syncs_per_s "
        "tx_calls_per_s rx_calls_per_s connects_per_s tcp_failures_per_s",
    ),
}
GROUP: Mapping[str, Format] = {
    "count": render.count_word,
    "cpu_pct": render.percent,
    "mem_pct": render.percent,
    "rss_bytes": render.size,
}
HOST: Mapping[str, Format] = {
    **_as(render.percent, "cpu_pct mem_pct user_pct system_pct iowait_pct steal_pct disk_busy_pct"),
    **_as(
        render.size,
        "mem_total_bytes mem_used_bytes mem_available_bytes swap_used_bytes swap_total_bytes",
    ),
    **_as(
        render.speed,
        "swap_in_bytes_per_s swap_out_bytes_per_s reclaimed_bytes_per_s refaulted_bytes_per_s disk_read_bytes_per_s "
        "disk_write_bytes_per_s net_rx_bytes_per_s net_tx_bytes_per_s",
    ),
    **_as(render.count, "cores blocked"),
    **_as(render.microseconds, "runqueue_p99_us block_io_p99_us"),
    "uptime_s": render.duration,
}
ACTIVITY: Mapping[str, Format] = {
    **_as(render.rate, "forks_per_s execs_per_s exits_per_s short_jobs_per_s failed_exits_per_s"),
    "lost_events": render.count,
}
#: Of what detectors give as evidence, what a clause speaks of.
EVIDENCE: Mapping[str, Format] = {
    **_as(
        render.percent,
        "cpu_pct wanted_cpu_pct wanted_of_all_cores_pct used_of_all_cores_pct share_pct subtree_cpu_pct "
        "victim_waits_pct held_back_pct failing_pct used_pct inodes_used_pct "
        "available_pct lock_wait_pct sync_pct cgroup_memory_pct disk_busy_pct memory_some_pct "
        "cpu_some_pct io_some_pct",
    ),
    **_as(
        render.count,
        "of_culprit zombies threads processes descendants open_files lock_waiters programs failures kills victims "
        "grown stuck_processes",
    ),
    **_as(
        render.rate,
        "syncs_per_s short_jobs_per_s forks_per_s zombies_per_s threads_per_s open_files_per_s descendants_per_s "
        "voluntary_switches_per_s minor_faults_per_s connects_per_s tx_calls_per_s",
    ),
    **_as(render.duration, "for_s window_s span_s turn_s stuck_s exhausted_in_s full_in_s latest_s_ago"),
    **_as(render.size, "grown_bytes held_bytes available_bytes rss_anon_bytes"),
    **_as(render.speed, "moved_bytes_per_s fill_bytes_per_s"),
    "anonymous_mib_per_s": lambda v: render.speed(v * 2**20),
    "tx_mb_per_s": lambda v: render.speed(v * 1e6),
}
PRESSURE: Mapping[str, str] = {
    "psi_cpu": "cpu_some_pct",
    "psi_mem": "memory_some_pct",
    "psi_mem_full": "memory_full_pct",
    "psi_io": "io_some_pct",
    "psi_io_full": "io_full_pct",
}
RESOURCES: Mapping[str, str] = {"cpu": "CPU", "memory": "memory", "io": "storage"}
METRICS: Mapping[str, str] = {
    "cpu_pct": "CPU use of the host",
    "mem_pct": "memory use of the host",
    "psi_cpu": "waiting on CPU",
    "psi_memory": "waiting on memory",
    "psi_io": "waiting on storage",
}
#: A class in the words of what its culprit does, where the table says what is done to the victim.
OF_CULPRIT = {"noisy_neighbour": "it makes processes of another control group wait"}
#: Series of the baseline, and how their values are written.
SERIES: Mapping[str, tuple[str, Format]] = {
    "cpu_pct": ("CPU use of the host", render.percent),
    "psi_cpu_some": ("waiting on CPU", render.percent),
    "psi_memory_some": ("waiting on memory", render.percent),
    "psi_io_some": ("waiting on storage", render.percent),
    "forks_per_s": ("the number of forks a second", render.rate),
    "failed_exits_per_s": ("the number of failed exits a second", render.rate),
    "processes_total": ("the number of processes", render.count),
    "blocked": ("the number of tasks in uninterruptible sleep", render.count),
    "disk_busy_pct": ("the load of the busiest disk", render.percent),
    "disk_read_bytes_per_s": ("reading from disks", render.speed),
    "disk_write_bytes_per_s": ("writing to disks", render.speed),
    "net_rx_bytes_per_s": ("what comes in from the network", render.speed),
    "net_tx_bytes_per_s": ("what goes out to the network", render.speed),
    "swap_in_bytes_per_s": ("swapping in", render.speed),
    "swap_out_bytes_per_s": ("swapping out", render.speed),
    "major_faults_per_s": ("the number of major faults a second", render.rate),
    "runqueue_p99_us": ("the wait for a CPU (99th percentile)", render.microseconds),
    "block_io_p99_us": ("the time that a block request takes (99th percentile)", render.microseconds),
}


def of_host(facts: Facts, field: str) -> Value | None:
    """A figure of the host: ``cpu_pct``, ``psi_io``, ``forks_per_s``, ``load_1`` …"""
    if field in HOST:
        return _number("S", field, getattr(facts.host, field), HOST[field])
    if field in ACTIVITY:
        return _number("S", field, getattr(facts.activity, field), ACTIVITY[field])
    if field in PRESSURE:
        return _number("S", field, getattr(facts.pressure, PRESSURE[field]), render.percent)
    match field:
        case "load_1":
            return Value("S.load_1", facts.host.load_avg[0], render.load(facts.host.load_avg[0]))
        case "processes_total":
            return Value("S.processes_total", facts.processes_total, render.count(facts.processes_total))
        case "disk" if facts.host.disk:
            return Value("S.disk", facts.host.disk, render.label(facts.host.disk))
        case "degraded" if facts.degraded:
            reasons = render.clean("; ".join(facts.degraded), 240)
            return Value("S.degraded", reasons, reasons)
    return None


def of(found: Object, field: str, facts: Facts) -> Value | None:
    """A figure of one object; of a process without a field its name and pid."""
    match found:
        case Process():
            return _process(found, field, facts)
        case Group():
            if field == "comm":
                return Value(f"{found.id}.comm", found.comm, render.name(found.comm))
            return _plain(found, field, GROUP)
        case Finding():
            return _finding(found, field, facts)
        case Blame():
            return _blame(found, field)
        case Trend():
            return _trend(found, field)
        case Unusual():
            return _unusual(found, field)
        case Filesystem():
            return _filesystem(found, field)
        case OomKill():
            return _kill(found, field)


def _number(id_: str, field: str, value: float | None, form: Format) -> Value | None:
    return None if value is None else Value(f"{id_}.{field}", float(value), form(value))


def _plain(found: Process | Group, field: str, formats: Mapping[str, Format]) -> Value | None:
    return _number(found.id, field, getattr(found, field), formats[field]) if field in formats else None


def moves(process: Process) -> float:
    """Bytes a second that it reads from disks and writes to them, itself or by way of children that have ended."""
    own = (process.read_bytes_per_s or 0.0) + (process.write_bytes_per_s or 0.0)
    return own + process.ended_read_bytes_per_s + process.ended_write_bytes_per_s


def syncs(process: Process) -> float:
    """How often a second it asks for data to be on disk, itself or by way of children that have ended."""
    return (process.syncs_per_s or 0.0) + process.ended_syncs_per_s


def _process(process: Process, field: str, facts: Facts) -> Value | None:
    match field:
        case "":
            return Value(f"{process.id}.pid", process.pid, render.process(process.comm, process.pid, process.own))
        case "comm":
            return Value(f"{process.id}.comm", process.comm, render.name(process.comm))
        case "cgroup" | "unit" | "pod" | "stuck_in":
            text: str | None = getattr(process, field)
            return Value(f"{process.id}.{field}", text, render.label(text)) if text else None
        case "cpu_share":  # of all CPU time used; two clocks sample it, so a sum beyond the whole says nothing
            used = facts.host.cpu_pct * facts.host.cores
            share = 100 * process.cpu_pct / used if used > 5 else 0.0
            return Value(f"{process.id}.cpu_share", share, render.percent(share)) if 0 < share <= 100 else None
        case "moved_bytes_per_s":
            return Value(f"{process.id}.{field}", moves(process), render.speed(moves(process)))
        case "all_syncs_per_s":
            return Value(f"{process.id}.{field}", syncs(process), render.rate(syncs(process)))
    return _plain(process, field, PROCESS)


def _finding(finding: Finding, field: str, facts: Facts) -> Value | None:
    if field == "class":
        return Value(f"{finding.id}.class", finding.cls, OF_CULPRIT.get(finding.cls, CLASSES[finding.cls]))
    if field == "score":
        return Value(f"{finding.id}.score", finding.score, f"{finding.score:.2f}")
    if field in EVIDENCE:
        return _number(finding.id, field, finding.evidence.get(field), EVIDENCE[field])
    age_s = facts.timestamp - finding.since
    if field == "age_s" and finding.since > 0 and age_s >= 1:
        return Value(f"{finding.id}.since", finding.since, render.duration(age_s))
    if field == "suffering" and finding.victims:
        number = len(finding.victims)
        return Value(f"{finding.id}.victims", number, render.count_word(number))
    if field == "symptoms" and finding.explains:
        number = len(finding.explains)
        return Value(f"{finding.id}.explains", number, render.count_word(number))
    return None


def _blame(pair: Blame, field: str) -> Value | None:
    match field:
        case "task_ms" | "stall_ms":
            value: float = getattr(pair, field)
            return Value(f"{pair.id}.{field}", value, render.duration(value / 1e3))
        case "share":
            return Value(f"{pair.id}.share", pair.share, render.percent(100 * pair.share)) if pair.share <= 1 else None
        case "window_s":
            return Value(f"{pair.id}.window_s", pair.window_s, render.duration(pair.window_s))
        case "resource":
            words = RESOURCES.get(pair.resource)
            return Value(f"{pair.id}.resource", pair.resource, words) if words else None
    return None


def _trend(trend: Trend, field: str) -> Value | None:
    match field:
        case "what":
            return Value(f"{trend.id}.metric", trend.metric, METRICS.get(trend.metric, "it"))
        case "delta":
            size = abs(trend.delta)
            text = render.size(size) if trend.metric == "rss" else f"{size:.1f} percentage points"
            return Value(f"{trend.id}.delta", trend.delta, text)
        case "window_s":
            return Value(f"{trend.id}.window_s", trend.window_s, render.duration(trend.window_s))
        case "direction":
            return Value(f"{trend.id}.direction", trend.direction, "risen" if trend.delta > 0 else "fallen")
    return None


def _unusual(found: Unusual, field: str) -> Value | None:
    if found.series not in SERIES:
        return None
    words, form = SERIES[found.series]
    match field:
        case "series":
            return Value(f"{found.id}.series", found.series, words)
        case "value" | "typical":
            return _number(found.id, field, getattr(found, field), form)
    return None


def _filesystem(found: Filesystem, field: str) -> Value | None:
    match field:
        case "mount":
            return Value(f"{found.id}.mount", found.mount, render.label(found.mount))
        case "used_pct" | "inodes_used_pct":
            return _number(found.id, field, getattr(found, field), render.percent)
        case "available_bytes":
            return _number(found.id, field, found.available_bytes, render.size)
        case "fill_bytes_per_s" if found.fill_bytes_per_s > 0:
            return _number(found.id, field, found.fill_bytes_per_s, render.speed)
    return None


def _kill(kill: OomKill, field: str) -> Value | None:
    match field:
        case "comm":
            return Value(f"{kill.id}.comm", kill.comm, render.process(kill.comm, kill.pid))
        case "rss_bytes":
            return _number(kill.id, field, kill.rss_bytes, render.size)
        case "age_s":
            return _number(kill.id, field, kill.age_s, lambda s: render.duration(s) if s >= 1 else "a moment")
        case "limit":
            words = "the host" if kill.limit == "host" else "its control group"
            return Value(f"{kill.id}.limit", kill.limit, words)
    return None
