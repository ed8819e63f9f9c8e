"""Arrays of records, moved whole.

Owns nothing but a way of asking. Refuses fields: a record is so many bytes here. Invariant: the outcome is that of the
plain expression which each docstring names.

numpy copies and joins records field by field, and to join also compares their types in Python: for a few hundred
records of twenty fields that takes ten times as long as to move their bytes. ``take`` and ``compress`` move bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array


def _whole(records: Array) -> Array:
    return records.view(np.dtype((np.void, records.dtype.itemsize)))


def join(parts: Sequence[Array]) -> Array:
    """``np.concatenate(parts)``; there must be one at least, and all are of the type of the first."""
    if len(parts) == 1:
        return parts[0]
    joined: Array = np.concatenate([_whole(part) for part in parts]).view(parts[0].dtype)
    return joined


def wipe(records: Array, at: NDArray[np.intp]) -> None:
    """``records[at] = np.zeros(1, records.dtype)``"""
    records.view(np.uint8).reshape(len(records), records.dtype.itemsize)[at] = 0


def fill(records: Array, at: NDArray[np.intp], record: Array) -> None:
    """``records[at] = record``, of which there is one."""
    _whole(records)[at] = _whole(record)


def grown(records: Array, size: int) -> Array:
    """The same records in an array of ``size``, zeros behind them."""
    larger = np.zeros(size, records.dtype)
    _whole(larger)[: len(records)] = _whole(records)
    return larger


def chosen(records: Array, which: NDArray[np.bool_] | slice) -> Array:
    """``records[which]``"""
    return records[which] if isinstance(which, slice) else records.compress(which)
