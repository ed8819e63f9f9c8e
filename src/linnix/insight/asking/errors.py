"""What goes wrong with an address or with whom it leads to.

Owns the two exceptions. Refuses exit codes and hints: whoever asks knows what the user can do. Invariant: every far-end
trouble is a ``FarEndError``, never an exception of a socket or of a protocol.
"""

from __future__ import annotations


class AddressError(ValueError):
    """What the user named is no address; the text says which option, and what was expected."""


class FarEndError(Exception):
    """The far end did not answer as it should; ``reason`` is a short phrase without the address ("connection refused").

    ``status`` is the HTTP status if one arrived.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
