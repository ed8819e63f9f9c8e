"""What was encoded for one client, for the others who are sent the same.

Owns the chunks of the last few items. Refuses to encode: it is told how. Invariant: a client reads what it would
have been sent alone, and what is kept is bounded by items, not by clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

#: Clients that keep up are at the same item, or one apart.
KEPT = 4


class _Encoded:
    """Chunks of one item, made when the first client wants them."""

    def __init__(self, item: object, made: Iterator[bytes]) -> None:
        self.item = item
        self._made = made
        self._chunks: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        at = 0
        while True:
            if at == len(self._chunks):
                chunk = next(self._made, None)
                if chunk is None:
                    return
                self._chunks.append(chunk)
            yield self._chunks[at]
            at += 1


class Sharing:
    """The last items that were encoded. One thread: the event loop's."""

    def __init__(self) -> None:
        self._last: deque[_Encoded] = deque(maxlen=KEPT)

    def chunks(self, item: object, encode: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        """The chunks of ``item``, encoded by ``encode`` unless this very item was lately.

        Between two chunks others may run: each client goes through them at its own pace.
        """
        for encoded in self._last:
            if encoded.item is item:
                return iter(encoded)
        encoded = _Encoded(item, encode())
        self._last.append(encoded)
        return iter(encoded)

    def forget(self) -> None:
        """Let go of everything, when nobody is left to share with."""
        self._last.clear()
