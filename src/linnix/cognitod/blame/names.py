"""Where victims and offenders lived, kept for as long as the amounts that name them.

Owns one number for each distinct home, so that an hour of readings holds each path once. Refuses to look anything up.
Invariant: a number that a segment holds stays valid; 0 is the home that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable

from linnix.cognitod.model import Home

#: Distinct homes; what comes beyond them is not known.
MAX_HOMES = 8192

UNKNOWN = Home()


class Names:
    """Homes by number. ``in_use`` tells which numbers are still held, and is asked when room runs out."""

    def __init__(self, in_use: Callable[[], set[int]]) -> None:
        self._numbers: dict[Home, int] = {UNKNOWN: 0}
        self._homes: dict[int, Home] = {0: UNKNOWN}
        self._last = 0
        self._in_use = in_use

    def number(self, home: Home) -> int:
        """The number of a home; 0 if it is not known, or there is no more room."""
        known = self._numbers.get(home)
        if known is not None:
            return known
        if len(self._homes) >= MAX_HOMES:
            self._purge()
            if len(self._homes) >= MAX_HOMES:
                return 0
        self._last += 1
        self._numbers[home] = self._last
        self._homes[self._last] = home
        return self._last

    def home(self, number: int) -> Home:
        """The home of a number."""
        return self._homes.get(number, UNKNOWN)

    def homes(self) -> list[Home]:
        """All of them."""
        return list(self._homes.values())

    def numbers(self, wanted: Callable[[Home], bool]) -> list[int]:
        """The numbers of the homes that are wanted."""
        return [number for number, home in self._homes.items() if wanted(home)]

    def _purge(self) -> None:
        used = self._in_use() | {0}
        self._homes = {number: home for number, home in self._homes.items() if number in used}
        self._numbers = {home: number for number, home in self._homes.items()}
