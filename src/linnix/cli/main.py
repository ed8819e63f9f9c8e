"""`linnix`: the command that holds the parts together.

One module per command; this one mounts them, and is the only place where an error is printed and an exit code chosen.
What a command needs beyond the standard library it imports when it runs, so that `--help` answers at once.
"""

import os
import sys
from typing import Annotated

import typer

from linnix import __version__
from linnix.cli import blame, doctor, evaluate, faultlab, findings, model, rules, run, up
from linnix.cli._errors import CommandError, ExitCode

app = typer.Typer(
    name="linnix",
    help="See every process on this host, and have trouble explained in checked words.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 daemon not reachable, 4 model not reachable, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("run")(run.run)
app.command("doctor")(doctor.doctor)
app.command("blame")(blame.blame)
app.command("findings")(findings.findings)
app.command("eval")(evaluate.evaluate)
app.add_typer(model.app, name="model")
app.add_typer(rules.app, name="rules")
app.add_typer(faultlab.app, name="faultlab")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"linnix {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """See every process on this host, and have trouble explained in checked words."""


def main() -> None:
    """Run a command and leave with its exit code."""
    code = _run()
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _told(error)
        # What is still buffered must not fail a second time when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run() -> int:
    try:
        app()
    except SystemExit as end:  # how Typer ends, always
        return end.code if isinstance(end.code, int) else ExitCode.DONE
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.advice:
            print(error.advice, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        return _told(error)
    return ExitCode.DONE


def _told(error: OSError) -> int:
    """One line for what the system refused; a reader that left (`linnix doctor | head -1`) has seen enough."""
    if isinstance(error, BrokenPipeError):
        return ExitCode.DONE
    print(f"error: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
    return ExitCode.FAILED


if __name__ == "__main__":
    main()
