"""Errors of the laboratory as those of a command.

Owns which of them has which exit code. Invariant: what to do about it is told with what failed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from linnix.cli._errors import CommandError, ExitCode


@contextmanager
def told() -> Iterator[None]:
    """Raises CommandError for what the laboratory raises in the block."""
    from linnix.faultlab.errors import LabError, NoDaemonError

    try:
        yield
    except LabError as error:
        code = ExitCode.NO_DAEMON if isinstance(error, NoDaemonError) else ExitCode.FAILED
        raise CommandError(str(error), error.advice, code) from error
