"""How `linnix faultlab run` shows that it gets on: a bar on a terminal, lines in a pipe, objects with `--json`.

Refuses to decide what is worth saying. Invariant: on a terminal there is one bar, and lines stand above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linnix.cli._report import Report
from linnix.insight.render import clean

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class LabProgress:
    """A context manager around all runs."""

    def __init__(self, as_json: bool) -> None:
        self._report = Report(as_json)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> LabProgress:
        import sys

        if not self._report.as_json and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[left]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=2)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, event: str, text: str, mood: str = "", **fields: object) -> None:
        """Something happened."""
        if self._bar is None:
            self._report.say(event, clean(text), mood, **fields)
        elif event != "phase":  # the bar tells those
            style = {"good": "green", "warn": "yellow", "bad": "red"}.get(mood)
            self._bar.console.print(clean(text), style=style, markup=False, highlight=False)

    def moving(self, text: str, done_s: float, total_s: float) -> None:
        """Time passes."""
        left = f"{max(total_s - done_s, 0):.0f} s left"
        if self._bar is None:
            self._report.waiting(f"{clean(text)} · {left}")
            return
        if self._task is None:
            self._task = self._bar.add_task("", total=total_s, left=left)
        self._bar.update(self._task, description=clean(text), completed=done_s, total=total_s, left=left)
