"""What `linnix up` and `linnix run` say while they work: lines for a person, or one JSON object a line.

Invariant: lines for a person go to standard error, so that standard output carries the analysis alone; with `--json`
every line of standard output is an object with `event` and `time` (unix seconds). Output of children is cleaned here:
it may quote a hostile process name.
"""

import json
import os
import sys
import threading
import time
from typing import TextIO

from linnix.insight.render import clean

_COLOURS = {"good": "32", "warn": "33", "bad": "31", "dim": "2"}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Report:
    """Says things once, in the right form; safe to call from the threads that read children's output."""

    def __init__(self, as_json: bool, colour: bool = True) -> None:
        """`colour` asks for it; NO_COLOR and a pipe refuse it."""
        self.as_json = as_json
        self._stream: TextIO = sys.stdout if as_json else sys.stderr
        self._terminal = self._stream.isatty() and not as_json
        self._colour = colour and self._terminal and not os.environ.get("NO_COLOR")
        self._lock = threading.Lock()
        self._waiting_shown = False
        self._frame = 0
        self._last_wait_line = ""
        self._next_wait_line_at = 0.0

    def say(self, event: str, text: str, mood: str = "", **fields: object) -> None:
        """One line: `text` for a person; `event` and `fields` for a program."""
        with self._lock:
            if self.as_json:
                self._write(json.dumps({"event": event, "time": round(time.time(), 3), "text": text, **fields}) + "\n")
            else:
                self._clear_waiting()
                self._write(self._painted(text, mood) + "\n")

    def heard(self, name: str, line: str) -> None:
        """A line a child wrote."""
        text = clean(line)
        if text.strip():
            self.say("log", f"  {name} │ {text}", "dim", service=name, line=text)

    def waiting(self, text: str) -> None:
        """Call a few times a second while waiting: a moving line on a terminal, a new line every 5 s in a log."""
        with self._lock:
            if self.as_json:
                return
            if self._terminal:
                self._clear_waiting()
                self._frame += 1
                columns = os.get_terminal_size(self._stream.fileno()).columns or 80  # 0: the terminal does not say
                line = f"{_SPINNER[self._frame % len(_SPINNER)]} {text}"
                self._write(line[: max(columns - 1, 20)])
                self._waiting_shown = True
            elif text.partition(" · ")[0] != self._last_wait_line or time.monotonic() >= self._next_wait_line_at:
                self._last_wait_line = text.partition(" · ")[0]
                self._next_wait_line_at = time.monotonic() + 5.0
                self._write(f"… {text}\n")

    def done_waiting(self) -> None:
        """Take the moving line away."""
        with self._lock:
            self._clear_waiting()

    def _clear_waiting(self) -> None:
        if self._waiting_shown:
            self._write("\r\x1b[2K")
            self._waiting_shown = False

    def _painted(self, text: str, mood: str) -> str:
        return f"\x1b[{_COLOURS[mood]}m{text}\x1b[0m" if self._colour and mood else text

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
