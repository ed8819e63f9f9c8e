"""Reading a stream the way a client does."""

from __future__ import annotations

import json
from typing import Any


def frames(text: str) -> list[tuple[str | None, Any]]:
    """(event name, data) of each frame that carries data."""
    found = []
    for part in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("event"), json.loads(fields["data"])))
    return found
