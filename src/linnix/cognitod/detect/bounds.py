"""What parameters of detectors have in common: their base, and the bounds of their numbers.

Owns the types that a number in a rule file may have. Refuses parameters themselves: those of the original and their kin
are in ``params``, those of detectors that read facts in ``signs``. Invariant: whatever passes can be held in bounded
memory.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

#: A window longer than this could not be held in bounded memory.
MAX_WINDOW_S = 3600.0
#: What facts tell of single processes is kept for so long, in full: some 50 of them, each second.
MAX_SEEN_S = 600.0
#: More events than this inside one window are not kept apart (see ``recent.Ring``).
MAX_COUNT = 100_000

Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_WINDOW_S)]
Window = Annotated[float, msgspec.Meta(gt=0, le=MAX_WINDOW_S)]
Seen = Annotated[float, msgspec.Meta(gt=0, le=MAX_SEEN_S)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="detector"):
    """Base of all. ``cls`` is the class of its findings, of ``insight.classes``; some refine it by what they see."""

    cls: ClassVar[str] = "unknown"
