"""`linnix blame`: who makes whom wait.

Owns the options and when the daemon is asked. Refuses to interpret: what it prints is the daemon's own answer, made a
table by `_blame_table`. Invariant: names are cleaned before they reach a terminal, and `--json` prints what the daemon
said, as it said it.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_WATCH_WINDOW_S = 10.0
_WINDOW_S = 60.0


class Resource(StrEnum):
    """What is waited for."""

    CPU = "cpu"
    IO = "io"
    MEMORY = "memory"


class Level(StrEnum):
    """Between whom."""

    PROCESS = "process"
    CGROUP = "cgroup"
    UNIT = "unit"
    POD = "pod"


def _duration(text: str) -> float:
    """`90s`, `5m`, `1h`, or plain seconds."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} is no duration like 90s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def _moment(text: str) -> float:
    """Unix seconds, or a local date and time as 2026-05-01T12:30."""
    try:
        return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither unix seconds nor a time like 2026-05-01T12:30") from None


def blame(
    resource: Annotated[Resource, typer.Option(help="What is waited for.")] = Resource.CPU,
    by: Annotated[
        Level | None, typer.Option(help="Between whom. [default: what --victim is, else process]", show_default=False)
    ] = None,
    victim: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="Only who this waits for: a pid, /cgroup/path, unit or namespace/pod."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How far back, as 90s, 5m or 1h. [default: 60s]")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Unix seconds, or 2026-05-01T12:30. Kept for an hour.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="The same; now if not given.")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="So many pairs, the most painful first.")] = 10,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.5, max=60.0, help="Seconds between two looks of --watch.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="The daemon's answer; with --watch one a line.")] = False,
    host: Annotated[
        str | None, typer.Option(metavar="URL", help="The daemon. [default: LINNIX_LISTEN_ADDR, else 127.0.0.1:3000]")
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and a pipe do the same.")] = False,
) -> None:
    """Say who makes whom wait: for a CPU, for a disk, for memory.

    Each line is a victim, an offender, and how long the one waited for the other.

    STALL is time in which any thread of the victim waited, as the kernel counts pressure; TASK is summed over threads.

    What is inferred is never added to what is measured, and a victim can be its own offender.

    The daemon measures while the host is under pressure; the last line says for how long it did.

    Examples: linnix blame --victim postgresql.service · linnix blame --resource io --by unit --since 15m
    """
    from linnix.cli._asking import ask, base_url, default_host

    if start is not None and since is not None:
        raise typer.BadParameter("give either --from or --since")
    if watch and (start is not None or end is not None):
        raise typer.BadParameter("--watch looks at what happens now: use --since to say how far back")
    base = base_url(host) if host is not None else default_host()
    params: dict[str, str] = {"resource": resource.value, "top": str(top)}
    params |= {"by": by.value} if by else {}
    params |= {"victim": victim} if victim else {}
    window_s = _duration(since) if since is not None else _WATCH_WINDOW_S if watch else _WINDOW_S

    def look() -> dict[str, Any]:
        bounds = {}
        if end is not None:
            bounds["to"] = f"{_moment(end):.6f}"
        if start is not None:
            bounds["from"] = f"{_moment(start):.6f}"
        elif since is not None or watch or end is not None:
            bounds["from"] = f"{(_moment(end) if end is not None else time.time()) - window_s:.6f}"
        return ask(base, "/blame", params | bounds)

    colour = not no_color and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    if not watch:
        _print_once(look(), as_json, colour)
        return
    _watch(look, interval, as_json, colour)


def _print_once(told: dict[str, Any], as_json: bool, colour: bool) -> None:
    from linnix.cli import _blame_table

    if as_json:
        print(json.dumps(told, indent=2))
        return
    for line in _blame_table.lines(told, _width(), colour):
        print(line)


def _watch(look: Callable[[], dict[str, Any]], interval_s: float, as_json: bool, colour: bool) -> None:
    from linnix.cli import _blame_table
    from linnix.cli._watching import redraws, watch

    redrawn = redraws() and not as_json

    def shown() -> list[str]:
        told = look()
        if as_json:
            return [json.dumps(told)]
        return _blame_table.lines(told, _width(), colour) if redrawn else _blame_table.short_lines(told)

    watch(shown, interval_s, redrawn)


def _width() -> int:
    return shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 160
