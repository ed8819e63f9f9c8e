"""How linnix-reasoner ends: its exit codes, and the one exception that carries a line for the user and a code.

Owns the numbers. Refuses wording: whoever raises knows what failed, on which input and what to do. Invariant: every
trouble reaches the user as one line, never as a traceback.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes, the same for every Linnix command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    NO_MODEL = 4
    INTERRUPTED = 130


class ReasonerError(Exception):
    """The command cannot go on: ``message`` is one line for stderr, ``code`` the exit code."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
