"""`linnix up`: daemon and model server in the foreground, until Ctrl-C or SIGTERM.

Owns their supervision: what dies is reported and started again, after 1 s, then 2, up to 30. Refuses to share: a port
that is held, even by a healthy Linnix, is an error that names the holder. Invariant: within 3 s of the first signal
both are gone, whatever they were doing.
"""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from linnix.cli._child import Child
    from linnix.cli._report import Report
    from linnix.cli._service import Service
    from linnix.cli._stack import Stop

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0
# A child that ran this long before it died was well: the next death starts from the shortest wait again.
_WELL_AFTER_S = 60.0
# As for `run`: most rules want to have seen it for ten or twelve seconds.
_WATCH_S = 14.0


class Supervised:
    """One service, its child, and when to start it again."""

    def __init__(self, service: "Service", report: "Report", verbose: bool) -> None:
        """Start it."""
        self.service = service
        self._report = report
        self._verbose = verbose
        self._backoff_s = _FIRST_BACKOFF_S
        self._restart_at: float | None = None
        self._announced = True
        self.child = self._start()

    def look(self, now: float) -> None:
        """Notice a death, and start again when its time has come. `now` is monotonic, in seconds."""
        if self._restart_at is not None:
            if now >= self._restart_at:
                self._restart_at = None
                self._announced = False
                self.child = self._start()
            return
        if self.child.returncode is not None:
            self._mourn(now)
        elif not self._announced and self.service.health() == "ready":
            self._announced = True
            self._report.say("ready", f"{self.service.name} is ready again", "good", service=self.service.name)

    def _mourn(self, now: float) -> None:
        if now - self.child.started_at > _WELL_AFTER_S:
            self._backoff_s = _FIRST_BACKOFF_S
        how = self.child.describe_end()
        self.child.finish(0.0)
        said = "" if self._verbose else "".join(f"\n    {line}" for line in self.child.drain()[-5:])
        self._report.say(
            "died",
            f"{self.service.name} {how}; starting it again in {self._backoff_s:.0f} s{_cleaned(said)}",
            "bad",
            service=self.service.name,
            how=how,
            retry_s=self._backoff_s,
            lines=list(self.child.lines),
        )
        self._restart_at = now + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, _LONGEST_BACKOFF_S)

    def _start(self) -> "Child":
        from linnix.cli._child import Child

        child = Child(
            self.service.name,
            self.service.command,
            self.service.environment,
            on_line=self._report.heard if self._verbose else None,
        )
        self._report.say(
            "starting",
            f"Starting {self.service.name} at {self.service.address} (pid {child.pid})",
            service=self.service.name,
            pid=child.pid,
            address=str(self.service.address),
        )
        return child


def _cleaned(lines: str) -> str:
    from linnix.insight.render import clean

    return "\n".join(clean(line) for line in lines.split("\n"))


def up(
    no_model: Annotated[bool, typer.Option("--no-model", help="Start no model server; the rules explain.")] = False,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="PATH", help="GGUF file for the model server.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="cognitod's configuration.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The daemon's port. [default: as configured, 3000]")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Prometheus port. [default: as configured, 9464]")
    ] = None,
    model_port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="LLAMA_PORT", help="The model server's port.")
    ] = 8090,
    no_analysis: Annotated[bool, typer.Option("--no-analysis", help="Do not explain the host at the start.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what both write.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and a pipe do the same.")] = False,
) -> None:
    """Keep daemon and model server running here, until Ctrl-C or SIGTERM.

    One that dies is reported and started again, after 1 s at first and 30 s at most. Run it as root to see everything.
    """
    from linnix.cli import _stack
    from linnix.cli._child import stop_all
    from linnix.cli._report import Report

    report = Report(as_json, colour=not no_color)
    watched, served = _stack.services(config, port, metrics_port, model_port, model)
    watched.refuse_if_taken("--port or --metrics-port")
    if not no_model:
        served.refuse_if_taken("--model-port")
    kept: list[Supervised] = []
    with _stack.Stop.on_signals() as stop, ExitStack() as cleanup:
        cleanup.callback(lambda: stop_all([each.child for each in kept], _stack.STOP_WITHIN_S))
        try:
            kept.append(Supervised(watched, report, verbose))
            if not no_model:
                kept.append(Supervised(served, report, verbose))
            deadlines = {watched.name: _stack.DAEMON_START_S, served.name: _stack.MODEL_START_S}
            waiting = {each.service.name: (each.service, each.child, deadlines[each.service.name]) for each in kept}
            # What does not come up at all is a mistake to be told at once, not to be retried for ever.
            for service in _stack.wait_ready(waiting, report, stop):
                report.say("ready", f"{service.name} is ready", "good", service=service.name, url=service.address.url)
            if reason := _stack.blindness(watched):
                report.say("blind", f"This daemon does not see everything: {reason}", "warn", reason=reason)
            _tell_urls(report, watched, None if no_model else served)
            if not no_analysis:
                _stack.wait_for_samples(watched, _WATCH_S, report, stop)
                _first_analysis(report, watched, None if no_model else served, stop, as_json, no_color)
            report.say("running", "Running. Ctrl-C stops both." if not no_model else "Running. Ctrl-C stops it.")
            while True:
                stop.pause(0.2)
                for each in kept:
                    each.look(time.monotonic())
        except _stack.StopRequested:
            report.done_waiting()
            report.say("stopping", "Stopping")
    report.say("stopped", "Stopped")
    # A signal is how this command is meant to end, so that is a clean stop: exit code 0.


def _tell_urls(report: "Report", watched: "Service", served: "Service | None") -> None:
    urls = {
        "api": watched.address.url,
        "stream": f"{watched.address.url}/stream",
        "prometheus": f"{watched.others[0].url}/metrics/prometheus",
    }
    if served is not None:
        urls["model"] = f"{served.address.url}/v1/chat/completions"
    report.say("urls", "\n".join(f"  {name:<11}{url}" for name, url in urls.items()), urls=urls)


def _first_analysis(
    report: "Report", watched: "Service", served: "Service | None", stop: "Stop", as_json: bool, no_color: bool
) -> None:
    from linnix.cli import _stack
    from linnix.cli._child import Child, stop_all

    if not as_json:
        command, environment = _stack.reasoner(watched, served, *(["--no-color"] if no_color else []))
        if code := _stack.explain(command, environment, stop):
            report.say("analysis-failed", f"The first analysis ended with exit code {code}", "warn", code=code)
        return
    command, environment = _stack.reasoner(watched, served, "--json")
    said: list[str] = []
    child = Child("linnix-reasoner", command, environment, on_line=lambda _name, line: said.append(line))
    try:
        while child.returncode is None:
            stop.pause(0.05)
        child.drain()
    finally:
        stop_all([child], timeout_s=0.5)
    report.say("analysis", "First analysis", analysis=_last_object(said))


def _last_object(lines: list[str]) -> object:
    """The JSON object among the lines; notes on standard error stand around it."""
    for line in reversed(lines):
        try:
            return json.loads(line)
        except ValueError:
            continue
    return None
