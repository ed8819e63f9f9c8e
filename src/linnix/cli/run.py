"""`linnix run`: start what is not running, explain this host once, stop what was started.

Refuses to disturb: a healthy Linnix that already serves the ports is used and left running, a stranger on a port is an
error that names it. Invariant: whatever happens, nothing that this command started is left behind.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from linnix.cli._errors import CommandError, ExitCode

DEFAULT_MODEL_PORT = 8090


def run(
    short: Annotated[bool, typer.Option("--short", help="One sentence instead of the full analysis.")] = False,
    watch: Annotated[
        float, typer.Option(min=2.0, max=3600.0, help="Seconds a daemon started here watches before it is asked.")
    ] = 14.0,
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
    ] = DEFAULT_MODEL_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="The analysis as one JSON object.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and a pipe do the same.")] = False,
) -> None:
    """Explain this host once: start daemon and model if need be, print the analysis, stop them again.

    The analysis goes to standard output, everything else to standard error. Run it as root to see every process.
    """
    from linnix.cli import _stack
    from linnix.cli._child import Child, stop_all
    from linnix.cli._report import Report

    report = Report(as_json=False, colour=not no_color)
    watched, served = _stack.services(config, port, metrics_port, model_port, model)
    children: list[Child] = []
    with _stack.Stop.on_signals() as stop, ExitStack() as cleanup:
        cleanup.callback(lambda: stop_all(children, _stack.STOP_WITHIN_S))
        try:
            waiting = {}
            wanted = [(watched, _stack.DAEMON_START_S, "--port or --metrics-port")]
            if not no_model:
                wanted.append((served, _stack.MODEL_START_S, "--model-port"))
            for service, deadline_s, option in wanted:
                if _stack.already_serving(service, report, stop):
                    report.say("using", f"Using the {service.name} that already answers at {service.address}")
                    continue
                service.refuse_if_taken(option)
                report.say("starting", f"Starting {service.name} at {service.address}")
                child = Child(service.name, service.command, service.environment)
                children.append(child)
                waiting[service.name] = (service, child, deadline_s)
            try:
                for service in _stack.wait_ready(waiting, report, stop):
                    report.say("ready", f"{service.name} is ready", "good")
            except _stack.StartError as error:
                if error.service is not served:
                    raise CommandError(str(error), error.advice, ExitCode.NO_DAEMON) from error
                report.say("no-model", f"{error}\n{error.advice}\nGoing on without it: the rules explain.", "warn")
            if watched.name in waiting:
                if reason := _stack.blindness(watched):
                    report.say("blind", f"This daemon does not see everything: {reason}", "warn")
                _stack.wait_for_samples(watched, watch, report, stop)
            flags = [flag for flag, on in (("--short", short), ("--json", as_json), ("--no-color", no_color)) if on]
            code = _stack.explain(*_stack.reasoner(watched, None if no_model else served, *flags), stop)
        except _stack.StopRequested:
            report.done_waiting()
            report.say("interrupted", "Interrupted: stopping what was started", "warn")
            code = ExitCode.INTERRUPTED
    raise typer.Exit(code)
