"""Numbers handed out and taken back, many at a time.

Owns which indices of a growing array are in use. Refuses the array itself: its owner grows it when ``top`` passes
its length. Invariant: a number is out at most once, and all that were ever out are below ``top``.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
_Number = TypeVar("_Number", bound=np.integer[Any])


def distinct(numbers: NDArray[_Number]) -> NDArray[_Number]:
    """Each value once, ascending: ``np.unique``, which takes five times as long for a few hundred and, at its first
    call, imports a megabyte of masked arrays.
    """
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(*columns: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """One number for each row of these columns, the same for the same row. Two rows share one with a chance of 2^-64.

    Sorting by it brings equal rows together, at an eighth of what ``np.lexsort`` of eight columns takes.
    """
    numbers = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        numbers = (numbers ^ column.astype(np.uint64)) * _GOLDEN
        numbers ^= numbers >> np.uint64(29)
    return numbers


def of_names(names: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """``mixed`` of names of a fixed length, a multiple of eight: numbers are sorted in a fifth of the time."""
    return mixed(*np.ascontiguousarray(names).view("<u8").reshape(len(names), names.dtype.itemsize // 8).T)


class Handles:
    """A stack of free numbers, kept as an array so that thousands come and go without a Python object each."""

    def __init__(self) -> None:
        self._free = np.empty(64, np.intp)
        self._count = 0
        self.top = 0

    def __len__(self) -> int:
        """How many are out."""
        return self.top - self._count

    def take(self, n: int) -> Index:
        """``n`` numbers that are not out, used ones first."""
        reused = min(n, self._count)
        self._count -= reused
        fresh = n - reused
        taken = np.concatenate(
            [self._free[self._count : self._count + reused], np.arange(self.top, self.top + fresh, dtype=np.intp)]
        )
        self.top += fresh
        return taken

    def give(self, numbers: Index) -> None:
        """Take these back."""
        while self._count + len(numbers) > len(self._free):
            self._free = np.concatenate([self._free, np.empty(len(self._free), np.intp)])
        self._free[self._count : self._count + len(numbers)] = numbers
        self._count += len(numbers)
