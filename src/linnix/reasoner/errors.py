"""How linnix-reasoner ends: its exit codes, and the one exception that carries a line for the user and a code.

Owns the numbers. Refuses wording: whoever raises knows what failed, on which input and what to do. Invariant: every
far-end trouble reaches the user as a ``ReasonerError`` or a ``FarEndError``, never as a traceback.
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


class FarEndError(Exception):
    """The far end did not answer as it should; ``reason`` is a short phrase without the address ("connection refused").

    ``status`` is the HTTP status if one arrived.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
