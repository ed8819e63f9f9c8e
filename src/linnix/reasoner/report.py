"""What a person reads before the explanation: the host's snapshot and its busiest and largest processes.

Owns the layout and which processes are worth a row. Refuses to judge them. Invariant: every figure comes from the
daemon's answer and every name has been cleaned; the same values make the same text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from linnix.insight import render
from linnix.insight.facts import Facts, Process
from linnix.reasoner.output import Output, fit

TOP = 10
MIN_CPU_PCT = 0.1
MIN_RSS_BYTES = 1_000_000
MB = 1e6

RESOURCES = (
    ("psi_cpu_some_avg10", "waiting on cpu"),
    ("psi_memory_some_avg10", "waiting on memory"),
    ("psi_io_some_avg10", "waiting on io"),
)
#: Pressure below this is rounding.
MIN_STALL_PCT = 0.05


def stalls(system: dict[str, Any]) -> list[str]:
    """Where the host was stalled, worst first: ``12.3 % of the last 10 s waiting on cpu``."""
    found = sorted(
        ((value, what) for field, what in RESOURCES if (value := _number(system.get(field))) >= MIN_STALL_PCT),
        reverse=True,
    )
    return [f"{value:.1f} % of the last 10 s {what}" for value, what in found]


def snapshot(output: Output, system: dict[str, Any], facts: Facts) -> None:
    """Time, CPU, memory, load, stalls, and what the daemon cannot see."""
    host = facts.host
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_number(system.get("timestamp"))))
    output.line(f"System snapshot of {render.clean(host.hostname, 64)} at {when}", "bold")
    cores = f"{host.cores} core{'s' if host.cores != 1 else ''}"
    row = _rows(output)
    row("CPU", f"{render.percent(_number(system.get('cpu_percent')))} of {cores}")
    used = f"{render.size(host.mem_used_bytes)} of {render.size(host.mem_total_bytes)}"
    row("Memory", f"{render.percent(_number(system.get('mem_percent')))} ({used})")
    if host.swap_used_bytes:
        row("Swap", f"{render.size(host.swap_used_bytes)} of {render.size(host.swap_total_bytes)} used")
    loads = system.get("load_avg")
    row("Load", "  ".join(render.load(_number(load)) for load in loads) if isinstance(loads, list) else "unknown")
    unknown = facts.pressure.cpu_some_pct is None
    for line in stalls(system) or ["unknown: this kernel measures no pressure" if unknown else "nobody had to wait"]:
        row("Stalled", line)
    for reason in facts.degraded:
        row("Blind spot", render.clean(reason, 200))


def _rows(output: Output) -> Callable[[str, str], None]:
    """Labelled rows; a label that repeats is left out."""
    shown: set[str] = set()

    def row(label: str, text: str) -> None:
        output.line(f"  {'' if label in shown else label:<11}{text}")
        shown.add(label)

    return row


def top_cpu(facts: Facts) -> list[Process]:
    """The busiest processes, at most ``TOP``."""
    return _top(facts.processes, lambda process: process.cpu_pct, MIN_CPU_PCT)


def top_memory(facts: Facts) -> list[Process]:
    """The largest processes, at most ``TOP``."""
    return _top(facts.processes, lambda process: process.rss_bytes, MIN_RSS_BYTES)


def _top(processes: Iterable[Process], amount: Callable[[Process], float], least: float) -> list[Process]:
    worth = [process for process in processes if amount(process) > least]
    return sorted(worth, key=lambda process: (-amount(process), process.pid))[:TOP]


def tables(output: Output, facts: Facts) -> None:
    """Both tables."""
    _table(output, "Top CPU", top_cpu(facts), f"no process uses more than {MIN_CPU_PCT} % of a core")
    _table(output, "Top memory", top_memory(facts), "no process holds more than 1 MB")


def _table(output: Output, title: str, processes: list[Process], empty: str) -> None:
    output.line()
    output.line(title, "bold")
    if not processes:
        output.line(f"  {empty}")
        return
    output.line(f"  {'NAME':<18} {'PID':>8} {'CPU %':>7} {'MEM MB':>9} {'MEM %':>6}", "dim")
    for process in processes:
        name = fit(render.clean(process.comm), 18)
        figures = f"{process.cpu_pct:>7.1f} {process.rss_bytes / MB:>9.1f} {process.mem_pct:>6.1f}"
        output.line(f"  {name} {process.pid:>8} {figures}{'  (Linnix)' if process.own else ''}")


def row(process: Process) -> dict[str, Any]:
    """One row of a table as JSON; the name raw, as on the daemon's wire."""
    return {
        "name": process.comm,
        "pid": process.pid,
        "cpu_pct": process.cpu_pct,
        "mem_mb": round(process.rss_bytes / MB, 1),
        "mem_pct": process.mem_pct,
        "own": process.own,
    }


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
