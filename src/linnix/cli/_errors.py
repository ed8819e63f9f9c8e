"""The one error every `linnix` command raises for a person to read, and the exit codes they share.

`main` is the only place that prints it and leaves; a command never calls `sys.exit`.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command of Linnix."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    NO_MODEL = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """What failed, on which input; `advice` says what to do about it."""

    def __init__(self, message: str, advice: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.advice = advice
        self.code = code
