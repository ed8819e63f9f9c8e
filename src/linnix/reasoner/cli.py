"""``linnix-reasoner``: its flags, its environment, its exit codes.

Owns the command line and how the command ends. Refuses work: it hands over to ``analysis`` or ``live``, which are
imported only when they are wanted, because an answer in half a second has no time for imports that it does not need.
Invariant: the user never sees a traceback, and the exit code is one of ``errors.Exit``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from linnix import __version__
from linnix.reasoner.errors import Exit, ReasonerError

#: When the command began, on the monotonic clock: half a second for the first text counts from here.
STARTED = time.monotonic()

DEFAULT_HOST = "http://127.0.0.1:3000"
DEFAULT_TIMEOUT_S = 10.0

EPILOG = (
    "LINNIX_API_TOKEN holds the token of a daemon that wants one. "
    "Exit codes: 0 done, 1 failed, 2 usage, 3 daemon not reachable, "
    "4 model required (--require-model) and no checked answer from it, 130 interrupted."
)

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"linnix-reasoner {__version__}")
        raise typer.Exit(Exit.DONE)


@app.command(epilog=EPILOG)
def reasoner(
    short: Annotated[
        bool, typer.Option("--short", metavar="", help="One sentence instead of the full analysis.")
    ] = False,
    insights: Annotated[
        bool, typer.Option("--insights", metavar="", help="Print the daemon's own insight, risks included.")
    ] = False,
    alerts: Annotated[
        bool, typer.Option("--alerts", metavar="", help="Print the open alerts, then follow new ones.")
    ] = False,
    stream: Annotated[bool, typer.Option("--stream", metavar="", help="Follow process events as they happen.")] = False,
    filter_tag: Annotated[
        str | None,
        typer.Option("--filter", metavar="TAG", help="With --stream: only processes with this tag, as high_cpu."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", metavar="", help="With --stream or --alerts: the daemon's JSON, one a line.")
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="LLM_ENDPOINT",
            metavar="URL",
            help="OpenAI-compatible chat completions to ask; by default the model server at "
            "http://127.0.0.1:8090/v1/chat/completions. One on another host is told facts of this one.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(envvar="LLM_MODEL", metavar="NAME", help="Model to ask for; by default linnix-3b-distilled."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="OPENAI_API_KEY", metavar="KEY", help="Key for the endpoint.", show_default=False),
    ] = None,
    host: Annotated[str, typer.Option(metavar="URL", help="The daemon to ask.")] = DEFAULT_HOST,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the model may take for its whole answer.")
    ] = DEFAULT_TIMEOUT_S,
    require_model: Annotated[
        bool, typer.Option("--require-model", metavar="", help="Exit with 4 unless the answer is the model's, checked.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the text to FILE as well, without colours.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="One JSON object instead of text; JSON lines with streams.")
    ] = False,
    no_color: Annotated[
        bool, typer.Option("--no-color", metavar="", help="No colours. NO_COLOR and a pipe do the same.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Explain this host: what is busy, what waits, and who is behind it.

    Asks cognitod for the facts and a small language model on this machine for the explanation.
    Every name and number in the text is checked against the facts.
    Without a model, or where its answer fails the check, the rules explain.
    """
    with _ending():
        _check_usage([insights, alerts, stream, short], filter_tag, raw, timeout)
        from linnix.reasoner.client import Daemon
        from linnix.reasoner.output import Output
        from linnix.reasoner.transport import parse_url

        daemon = Daemon(parse_url(host, "--host"), os.environ.get("LINNIX_API_TOKEN", "").strip() or None)
        sink = Output(colour=not no_color, file=output)
        with contextlib.closing(sink), contextlib.closing(daemon):
            if insights or alerts or stream:
                from linnix.reasoner import live

                if insights:
                    live.insights(daemon, sink, as_json=as_json, timeout_s=timeout)
                elif alerts:
                    live.alerts(daemon, sink, as_json=as_json or raw)
                else:
                    live.stream(daemon, sink, tag=filter_tag, raw=raw or as_json)
                return
            from linnix.reasoner import analysis
            from linnix.reasoner.llm import DEFAULT_ENDPOINT, DEFAULT_MODEL, Endpoint, parse_endpoint

            named = (endpoint or "").strip()
            asked = Endpoint(
                url=parse_endpoint(named or DEFAULT_ENDPOINT, "--endpoint (LLM_ENDPOINT)"),
                model=(model or "").strip() or DEFAULT_MODEL,
                key=(api_key or "").strip() or None,
            )
            from_model = analysis.run(
                daemon, asked, sink, short=short, as_json=as_json, timeout_s=timeout, started=STARTED
            )
        if require_model and not from_model:
            raise ReasonerError(
                "A model was required (--require-model), and no checked answer came from one.", Exit.NO_MODEL
            )


def _check_usage(modes: list[bool], filter_tag: str | None, raw: bool, timeout: float) -> None:
    _insights, alerts, stream, _short = modes
    if sum(modes) > 1:
        raise ReasonerError("--short, --insights, --alerts and --stream exclude each other: give one.", Exit.USAGE)
    if filter_tag is not None and not stream:
        raise ReasonerError("--filter needs --stream.", Exit.USAGE)
    if raw and not (stream or alerts):
        raise ReasonerError("--raw needs --stream or --alerts; elsewhere --json gives JSON.", Exit.USAGE)
    if not 0 < timeout < 86_400:
        raise ReasonerError(f"--timeout {timeout:g}: expected seconds, more than 0.", Exit.USAGE)


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Turn every way a run can end into its exit code and at most one line on stderr."""
    try:
        yield
    except ReasonerError as failure:
        print(failure.message, file=sys.stderr)
        raise typer.Exit(failure.code) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # Our reader has seen enough (`| head`). What is still buffered must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.DONE) from None


def main() -> None:
    """Entry point."""
    try:
        app(prog_name="linnix-reasoner")
    except KeyboardInterrupt:  # outside the command: while it was being imported or parsed
        sys.exit(Exit.INTERRUPTED)
