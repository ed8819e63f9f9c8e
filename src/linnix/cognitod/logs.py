"""What the daemon says about itself: readable lines, or JSON lines, on stderr.

Owns the format. Refuses files and rotation: whoever runs the daemon has them. Invariant: one record is one line,
whatever is in it, so that nothing a process is called can forge another.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import TextIO

import msgspec

_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}


def _one_line(message: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


class TextFormatter(logging.Formatter):
    """``12:00:00 warning message``; the traceback of an unforeseen fault follows on lines of its own, indented."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        when = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = record.levelname.lower()
        if self._colour and record.levelno in _COLOURS:
            level = f"\x1b[{_COLOURS[record.levelno]}m{level}\x1b[0m"
        line = f"{when} {level} {_one_line(record.getMessage())}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    {_one_line(part)}" for part in trace.splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """``{"timestamp":…,"level":…,"logger":…,"message":…}``, unix seconds."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields: dict[str, str | float] = {
            "timestamp": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def set_up(
    style: str, level: str, stream: TextIO = sys.stderr, environ: Mapping[str, str] = os.environ
) -> logging.Handler:
    """Send every record from ``level`` up to ``stream``; ``style`` is ``text`` or ``json``."""
    handler = logging.StreamHandler(stream)
    colour = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter(colour=colour))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(root.level, logging.WARNING))
    return handler
