"""What the daemon itself has to say: its insight, its alerts, its events, as they come.

Owns ``--insights``, ``--alerts`` and ``--stream``. Refuses to explain: no model is asked here. Invariants: a stream is
opened before the state at its start is read, so that nothing falls between the two; an alert is shown once; what the
daemon had to drop is said where it is missing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any
from urllib.parse import quote

from linnix.insight.render import clean, duration, name
from linnix.reasoner.client import Daemon
from linnix.reasoner.errors import ReasonerError
from linnix.reasoner.output import Output, Paragraph, fit

#: What a JSON text may hold only within its strings, and a terminal may mind.
_BEYOND_ASCII = re.compile(r"[^\x20-\x7e\t\n]")

SEVERITY_STYLES = {"high": "red", "medium": "yellow", "low": "cyan", "info": "dim"}
EVENT_STYLES = {"exec": "green", "fork": "cyan", "exit": "dim", "tag": "yellow"}


def insights(daemon: Daemon, output: Output, *, as_json: bool, timeout_s: float) -> None:
    """``GET /insights``: the daemon's own reading of the moment."""
    found = daemon.insights(timeout_s)
    if as_json:
        output.line(json.dumps(found))
        return
    output.line("Insights:", "bold")
    paragraph = Paragraph(output)
    paragraph.add(_shown(found.get("summary") or "The daemon sent no summary."))
    paragraph.end()
    metrics = found.get("metrics")
    if isinstance(metrics, dict):
        loads = metrics.get("load_avg")
        load = "  ".join(_shown(part) for part in loads) if isinstance(loads, list) else "unknown"
        cpu, memory = _shown(metrics.get("cpu_percent")), _shown(metrics.get("mem_percent"))
        output.line(f"  CPU {cpu} %  memory {memory} %  load {load}", "dim")
    _ranking(output, "Top CPU", found.get("top_cpu"), "cpu_percent")
    _ranking(output, "Top memory", found.get("top_memory"), "mem_percent")
    risks = _dicts(found.get("alerts"))
    output.line()
    output.line("Risks" if risks else "Risks: none stands out", "bold")
    for risk in risks:
        output.line(f"  {name(_text(risk.get('comm')))} (pid {_shown(risk.get('pid'))}): {_shown(risk.get('reason'))}")
    if found.get("source"):
        output.line(f"source: {_shown(found['source'])}, of the daemon", "dim")


def _ranking(output: Output, title: str, rows: object, figure: str) -> None:
    listed = _dicts(rows)
    if not listed:
        return
    output.line()
    output.line(title, "bold")
    for row in listed:
        shown = fit(_shown(row.get("comm")), 18)
        output.line(f"  {shown} {_shown(row.get('pid')):>8} {_shown(row.get(figure)):>7} %")


def alerts(daemon: Daemon, output: Output, *, as_json: bool) -> None:
    """The open alerts, then each new one as it is raised, and when one is over. Ends only by ``ReasonerError`` or an
    interrupt.
    """
    seen: set[str] = set()
    with closing(daemon.follow("/alerts")) as following:
        known = sorted(daemon.alerts(), key=lambda alert: float(alert.get("timestamp") or 0))
        for alert in known:
            _alert(output, alert, as_json, seen)
        if not known and not as_json:
            output.line("No open alerts. Waiting for new ones; Ctrl-C ends.", "dim")
        for event in following:
            if event.name in ("alert", "message"):
                _alert(output, _object(event.data), as_json, seen)
            elif event.name == "resolved":
                _over(output, _object(event.data), as_json)
            elif event.name == "lost":
                _lost(output, event.data, as_json)


def _alert(output: Output, alert: dict[str, Any], as_json: bool, seen: set[str]) -> None:
    identity = _text(alert.get("id"))
    if identity and identity in seen:
        return
    seen.add(identity)
    if as_json:
        output.line(json.dumps(alert))
        return
    severity = _shown(alert.get("severity"), 8).lower()
    who = f" [{name(_text(alert['comm']))}, pid {_shown(alert.get('pid'))}]" if alert.get("comm") else ""
    tail = f"{_shown(alert.get('rule'))}: {_shown(alert.get('message'))}{who}"
    _dated(output, alert.get("timestamp"), severity, SEVERITY_STYLES.get(severity), tail)


def _over(output: Output, alert: dict[str, Any], as_json: bool) -> None:
    """An alert is over."""
    if as_json:
        output.line(json.dumps(alert))
        return
    began, ended = alert.get("timestamp"), alert.get("resolved_at")
    lasted = ""
    if isinstance(began, int | float) and isinstance(ended, int | float):
        lasted = f", after {duration(max(ended - began, 0))}"
    who = f" [{name(_text(alert['comm']))}, pid {_shown(alert.get('pid'))}]" if alert.get("comm") else ""
    _dated(output, ended, "over", "green", f"{_shown(alert.get('rule'))}{who}{lasted}")


def _dated(output: Output, stamp: object, mark: str, style: str | None, tail: str) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stamp)) if isinstance(stamp, int | float) else "now"
    output.to_stream(f"{when}  {output.styled(f'{mark:<6}', style)}  {tail}\n")
    output.to_file(f"{when}  {mark:<6}  {tail}\n")


def stream(daemon: Daemon, output: Output, *, tag: str | None, raw: bool) -> None:
    """Every event, or with ``tag`` those of processes that have it. Ends only by ``ReasonerError`` or an interrupt.

    With ``tag``, the processes that have it already are listed first; ``raw`` gives the daemon's frames and no more.
    """
    with closing(daemon.follow(f"/stream?tag={quote(tag, safe='')}" if tag else "/stream")) as following:
        clock = 0.0
        if not raw:
            facts = daemon.facts()
            clock = facts.timestamp - facts.ts_ns / 1e9
            if tag:
                _already(output, daemon.processes(), tag)
            else:
                output.line("Events as they happen; Ctrl-C ends.", "dim")
        for event in following:
            if raw:
                output.line(_ascii(event.data))
            elif event.name == "lost":
                _lost(output, event.data, as_json=False)
            else:
                _event(output, _object(event.data), clock)


def _already(output: Output, processes: Iterable[dict[str, Any]], tag: str) -> None:
    wanted = {part.strip() for part in tag.split(",")}
    having = [
        process
        for process in processes
        if process.get("proc_state") != "X" and wanted & set(_strings(process.get("tags")))
    ]
    output.line(f"{tag} now: {len(having) or 'no'} process{'' if len(having) == 1 else 'es'}; Ctrl-C ends.", "dim")
    for process in sorted(having, key=lambda row: -float(row.get("cpu_pct") or 0)):
        cpu, memory = float(process.get("cpu_pct") or 0), float(process.get("rss_bytes") or 0) / 1e6
        label = fit(_shown(process.get("comm")), 15)
        tags = " ".join(clean(part) for part in _strings(process.get("tags")))
        output.line(f"  {label} {_shown(process.get('pid')):>8}  {cpu:6.1f} % cpu  {memory:8.1f} MB  [{tags}]")


def _event(output: Output, frame: dict[str, Any], clock: float) -> None:
    seconds = clock + float(frame.get("ts_ns") or 0) / 1e9
    when = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{int(seconds % 1 * 1000):03d}"
    kind = _shown(frame.get("event_type_name"), 9)
    label = fit(_shown(frame.get("comm")), 15)
    tags = " ".join(clean(part) for part in _strings(frame.get("tags")))
    tail = f"{label} {_shown(frame.get('pid')):>8}  parent {_shown(frame.get('ppid')):<8}{_detail(frame)}"
    tail = f"{tail}  [{tags}]" if tags else tail.rstrip()
    output.to_stream(f"{when}  {output.styled(f'{kind:<5}', EVENT_STYLES.get(kind))} {tail}\n")
    output.to_file(f"{when}  {kind:<5} {tail}\n")


def _detail(frame: dict[str, Any]) -> str:
    """What this kind of event is about: the command of an exec, the end of an exit, the change of a tag."""
    gained, lost = _strings(frame.get("tags_gained")), _strings(frame.get("tags_lost"))
    if gained or lost:
        changes = [f"+{clean(tag)}" for tag in gained] + [f"-{clean(tag)}" for tag in lost]
        figure = frame.get("cpu_percent")
        return "  " + " ".join(changes) + (f"  {figure:.1f} % cpu" if isinstance(figure, int | float) else "")
    if frame.get("event_type_name") == "exec":
        command = " ".join(_strings(frame.get("argv"))) or _text(frame.get("filename"))
        return f"  {clean(command, 100)}"
    if frame.get("event_type_name") == "exit":
        signal = frame.get("exit_signal")
        if isinstance(signal, int) and signal & 0x7F:
            return f"  killed by signal {signal & 0x7F}{', core dumped' if signal & 0x80 else ''}"
        return f"  code {_shown(frame.get('exit_code'))}" if "exit_code" in frame else ""
    return ""


def _lost(output: Output, data: str, as_json: bool) -> None:
    if as_json:
        output.line(_ascii(data))
        return
    count = _object(data).get("lost")
    output.line(f"-- {_shown(count)} events lost here: this reader was slower than they came --", "yellow")


def _ascii(data: str) -> str:
    """The same JSON in ASCII: a terminal that gets it raw must not find control characters of the C1 set in a name."""
    return _BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], data)


def _object(data: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ReasonerError(f"The stream holds what is not an event of cognitod: {clean(data)[:80]}")
    return found


def _shown(value: object, limit: int = 4096) -> str:
    """A field as a terminal may have it."""
    return clean(_text(value), limit)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _strings(value: object) -> list[str]:
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def _dicts(value: object) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
