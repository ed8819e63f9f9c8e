"""The last events of the host, for whoever comes too late to have listened.

Owns a bounded number of events with their texts. Refuses to be filled by one parent: beyond its share the oldest of
the same parent go first, so that a fork storm does not push everyone else's evidence out. Invariant: never more than
``limit`` events, in the order they happened.
"""

from __future__ import annotations

import numpy as np

from linnix.cognitod import records
from linnix.cognitod.events import EVENT, EXEC_TEXT
from linnix.cognitod.model import Frames

LIMIT = 1000


class History:
    """Events as ``Frames``. ``share`` is how many of the events one parent's children may hold."""

    def __init__(self, limit: int = LIMIT, share: int = LIMIT // 4) -> None:
        self._limit = limit
        self._share = share
        self.frames = Frames(
            np.zeros(0, EVENT),
            np.zeros(0, np.uint64),
            np.zeros(0, np.uint32),
            np.zeros(0, np.uint64),
            np.zeros(0, np.int32),
            np.zeros(0, EXEC_TEXT),
            np.zeros(0, np.uint32),
        )

    def __len__(self) -> int:
        return len(self.frames)

    def extend(self, new: Frames) -> None:
        """Append a batch."""
        if not len(new):
            return
        both = _joined(self.frames, new)
        ppid = both.events["ppid"]
        newest_first = np.lexsort((-np.arange(len(ppid)), ppid))
        starts = np.flatnonzero(np.diff(ppid[newest_first], prepend=-1) != 0)
        rank = np.empty(len(ppid), np.intp)
        rank[newest_first] = np.arange(len(ppid)) - np.repeat(starts, np.diff(np.append(starts, len(ppid))))
        keep = np.flatnonzero(rank < self._share)[-self._limit :]
        mask = np.zeros(len(ppid), np.bool_)
        mask[keep] = True
        self.frames = both.select(mask)


def _joined(old: Frames, new: Frames) -> Frames:
    shifted = np.where(new.text_at >= 0, new.text_at + np.int32(len(old.texts)), np.int32(-1))
    return Frames(
        records.join([old.events, new.events]),
        np.concatenate([old.seq, new.seq]),
        np.concatenate([old.tags, new.tags]),
        np.concatenate([old.first_ns, new.first_ns]),
        np.concatenate([old.text_at, shifted.astype(np.int32)]),
        records.join([old.texts, new.texts]),
        np.concatenate([old.homes, new.homes]),
    )
