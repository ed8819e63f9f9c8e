"""Server-sent events out of a byte stream.

Owns the framing (https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6). Refuses to interpret
data. Invariant: an event is yielded when its blank line has arrived and not before, so that a stream that breaks off
never yields half an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from linnix.insight.asking.errors import FarEndError

#: More than this without a line end is not an event stream.
MAX_LINE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event: ``name`` is ``message`` where the stream gives none."""

    name: str
    data: str


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Parse ``chunks``. Comments are dropped; undecodable bytes become U+FFFD.

    Raises ``FarEndError`` on an endless line.
    """
    name = ""
    data: list[str] = []
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode("utf-8", "replace")
            if not line:
                if data:
                    yield Event(name or "message", "\n".join(data))
                name = ""
                data = []
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
        if len(rest) > MAX_LINE_BYTES:
            raise FarEndError("not an event stream")
