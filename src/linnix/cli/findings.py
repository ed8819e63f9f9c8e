"""`linnix findings`: what is wrong, the most likely cause first.

Owns the options and when the daemon is asked. Refuses to interpret: what it prints is the daemon's own answer, made a
table by `_findings_table`. Invariant: names are cleaned before they reach a terminal, and `--json` prints what the
daemon said, as it said it.
"""

import json
import os
import shutil
import sys
import time
from typing import Annotated, Any

import typer


def findings(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.5, max=60.0, help="Seconds between two looks of --watch.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="The daemon's answer; with --watch one a line.")] = False,
    host: Annotated[
        str | None, typer.Option(metavar="URL", help="The daemon. [default: LINNIX_LISTEN_ADDR, else 127.0.0.1:3000]")
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and a pipe do the same.")] = False,
) -> None:
    """Say what is wrong on this host, and which process causes it.

    The most likely cause comes first, symptoms after all causes.

    Under each are the numbers that a rule judged by, what it explains, and who was measured to wait for it.

    SCORE says how likely this is a cause and worth looking at first, between 0 and 1.

    Examples: linnix findings · linnix findings --watch · linnix findings --json | jq '.[0].process'
    """
    from linnix.cli import _findings_table
    from linnix.cli._asking import ask, ask_list, base_url, default_host
    from linnix.cli._watching import redraws
    from linnix.cli._watching import watch as look_again

    base = base_url(host) if host is not None else default_host()
    colour = not no_color and sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def look() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        told = ask_list(base, "/findings")
        # Only an empty answer needs to be explained.
        return told, {} if told or as_json else ask(base, "/status", {})["checked"]

    if not watch:
        told, checked = look()
        shown = [json.dumps(told, indent=2)] if as_json else _findings_table.lines(told, checked, _width(), colour)
        print("\n".join(shown))
        return

    redrawn = redraws() and not as_json

    def next_lines() -> list[str]:
        told, checked = look()
        if as_json:
            return [json.dumps(told)]
        if redrawn:
            return _findings_table.lines(told, checked, _width(), colour)
        return _findings_table.short_lines(told, checked, time.time())

    look_again(next_lines, interval, redrawn)


def _width() -> int:
    return shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 160
