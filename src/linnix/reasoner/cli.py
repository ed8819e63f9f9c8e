"""``linnix-reasoner``: its flags, its environment, its exit codes.

Owns the command line and how the command ends. Refuses work: it hands over to ``analysis`` or ``live``, which are
imported only when they are wanted. Invariant: the user never sees a traceback, and the exit code is one of
``errors.Exit``.

argparse, where the other commands use Typer: importing that and what it parses with costs a tenth of a second of CPU,
as much as all the rest of this command, and on a host whose cores are taken that is twice or three times as long.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from linnix import __version__
from linnix.insight.asking.errors import AddressError
from linnix.reasoner.errors import Exit, ReasonerError

#: When the command began, on the monotonic clock: half a second for the first text counts from here.
STARTED = time.monotonic()

DEFAULT_HOST = "http://127.0.0.1:3000"
DEFAULT_TIMEOUT_S = 10.0

DESCRIPTION = """\
Explain this host: what is busy, what waits, and who is behind it.

Asks cognitod for the facts and a small language model on this machine for the
explanation. Every name and number in the text is checked against the facts.
Without a model, or where its answer fails the check, the rules explain."""

#: Variables that stand in for an option; the last two have none, as a secret or as everybody's convention.
ENVIRONMENT = {
    "LLM_ENDPOINT": "as --endpoint",
    "LLM_MODEL": "as --model",
    "OPENAI_API_KEY": "as --api-key",
    "LINNIX_API_TOKEN": "the token of a daemon that wants one",
    "NO_COLOR": "not empty: no colours",
}
EXIT_CODES = {
    Exit.DONE: "done, also when the words are the rules'",
    Exit.FAILED: "failed",
    Exit.USAGE: "usage",
    Exit.NO_DAEMON: "daemon not reachable",
    Exit.NO_MODEL: "--require-model, and no checked answer from the model",
    Exit.INTERRUPTED: "interrupted",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    lines = ["environment:", *(f"  {name:<17} {text}" for name, text in ENVIRONMENT.items())]
    lines += ["", "exit codes:", *(f"  {int(code):<4} {text}" for code, text in EXIT_CODES.items())]
    lines += ["", "examples:", "  linnix-reasoner --short", "  linnix-reasoner --stream --filter high_cpu"]
    lines.append("  linnix-reasoner --ask 'why is postgres slow?'")
    found = argparse.ArgumentParser(
        prog="linnix-reasoner",
        description=DESCRIPTION,
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = found.add_argument_group("what to print (default: the full analysis)").add_mutually_exclusive_group()
    what.add_argument("--short", action="store_true", help="one sentence")
    what.add_argument("--ask", metavar="QUESTION", help="an answer from the same facts, or that they do not tell")
    what.add_argument("--insights", action="store_true", help="the daemon's own insight, risks included")
    what.add_argument("--alerts", action="store_true", help="the open alerts, then new ones as they come")
    what.add_argument("--stream", action="store_true", help="process events as they happen")
    how = found.add_argument_group("how to print it")
    how.add_argument(
        "--reading", action="store_true", help="below it, a larger model's own reading, as far as it can be checked"
    )
    how.add_argument("--filter", metavar="TAG", help="with --stream: only processes with this tag, as high_cpu")
    how.add_argument("--raw", action="store_true", help="with --stream or --alerts: the daemon's JSON, one a line")
    how.add_argument("--json", action="store_true", help="one JSON object; JSON lines with --stream and --alerts")
    how.add_argument("--output", metavar="FILE", type=Path, help="write the text to FILE as well, without colours")
    how.add_argument("--no-color", action="store_true", help="no colours; a pipe does the same")
    whom = found.add_argument_group("whom to ask")
    whom.add_argument("--host", metavar="URL", default=DEFAULT_HOST, help="the daemon (default %(default)s)")
    whom.add_argument(
        "--endpoint",
        metavar="URL",
        help="OpenAI-compatible chat completions (default http://127.0.0.1:8090/v1/chat/completions); "
        "one on another host is told facts of this one",
    )
    whom.add_argument("--model", metavar="NAME", help="the model to ask for (default linnix-3b-distilled)")
    whom.add_argument("--api-key", metavar="KEY", help="key for the endpoint; better in OPENAI_API_KEY")
    whom.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        help="how long the model may take for its whole answer (default %(default)g)",
    )
    whom.add_argument(
        "--require-model", action="store_true", help="exit with 4 unless the answer is the model's, checked"
    )
    found.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return found


def reason(options: argparse.Namespace) -> None:
    """Do what the options say. Raises ``ReasonerError``."""
    _check(options)
    from linnix.insight.asking.transport import parse_url
    from linnix.reasoner.client import Daemon
    from linnix.reasoner.output import Output

    daemon = Daemon(parse_url(options.host, "--host"), _variable("LINNIX_API_TOKEN"))
    sink = Output(colour=not options.no_color, file=options.output)
    with contextlib.closing(sink), contextlib.closing(daemon):
        if options.insights or options.alerts or options.stream:
            from linnix.reasoner import live

            if options.insights:
                live.insights(daemon, sink, as_json=options.json, timeout_s=options.timeout)
            elif options.alerts:
                live.alerts(daemon, sink, as_json=options.json or options.raw)
            else:
                live.stream(daemon, sink, tag=options.filter, raw=options.json or options.raw)
            return
        from linnix.insight.asking.question import DEFAULT_ENDPOINT, DEFAULT_MODEL, Endpoint, parse_endpoint
        from linnix.reasoner import analysis

        named = options.endpoint or _variable("LLM_ENDPOINT") or DEFAULT_ENDPOINT
        endpoint = Endpoint(
            url=parse_endpoint(named, "--endpoint (LLM_ENDPOINT)"),
            model=options.model or _variable("LLM_MODEL") or DEFAULT_MODEL,
            key=options.api_key or _variable("OPENAI_API_KEY"),
        )
        from_model = analysis.run(
            daemon,
            endpoint,
            sink,
            short=options.short,
            as_json=options.json,
            timeout_s=options.timeout,
            started=STARTED,
            question=options.ask,
            own_reading=options.reading,
        )
    if options.require_model and not from_model:
        raise ReasonerError(
            "A model was required (--require-model), and no checked answer came from one.", Exit.NO_MODEL
        )


def _variable(name: str) -> str | None:
    """An environment variable; blank is absent."""
    return os.environ.get(name, "").strip() or None


def _check(options: argparse.Namespace) -> None:
    """What argparse cannot say."""
    if options.filter is not None and not options.stream:
        raise ReasonerError("--filter needs --stream.", Exit.USAGE)
    if options.raw and not (options.stream or options.alerts):
        raise ReasonerError("--raw needs --stream or --alerts; elsewhere --json gives JSON.", Exit.USAGE)
    if not 0 < options.timeout < 86_400:
        raise ReasonerError(f"--timeout {options.timeout:g}: expected seconds, more than 0.", Exit.USAGE)


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Turn every way a run can end into its exit code and at most one line on stderr."""
    try:
        yield
    except AddressError as error:
        print(error, file=sys.stderr)
        sys.exit(Exit.USAGE)
    except ReasonerError as error:
        print(error.message, file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _forget_output()  # standard output cannot be written: that is what has just been told
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        _forget_output()  # our reader has seen enough (`| head`)
        sys.exit(Exit.DONE)


def _forget_output() -> None:
    """What is still buffered must not fail again when Python exits: that would change the exit code to 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    with _ending():
        reason(parser().parse_args(arguments))
