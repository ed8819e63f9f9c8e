"""What sums over a sliding window leave to be made up, tick by tick.

Owns the books: of one kind of event, how many were made of whom and when. Refuses events: ``recorded`` makes those.
Invariant: no event that was made for one is made again for another, so that what the host counted comes out right.

Who was not told at the tick before may have done some of its window meanwhile. What of it the host's sum does not have
as new was made then, of nobody: that is taken over in the books, and stays nobody's for whoever saw the event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from linnix.cognitod.detect.replayed_jobs import Identity, spread
from linnix.cognitod.detect.tags import WINDOW_S
from linnix.cognitod.detect.view import NS

NOBODY: Identity = (0, 0)
#: Of one kind and parent in one tick: more is a recording that is wrong.
_MAX_EVENTS = 100_000
_WINDOW_NS = round(WINDOW_S * NS)


class _Batch(NamedTuple):
    """Events that were spread over a time."""

    begin_ns: int
    end_ns: int
    number: int


class Counted:
    """Made-up events of one kind: by parent, what of them is still in a window."""

    def __init__(self) -> None:
        self._made: dict[Identity, deque[_Batch]] = {}
        self._told: dict[Identity, int] = {}  # when each was told last, within the window
        self._last_ns = -1

    def due(
        self, told: Mapping[Identity, float], whole: float, whole_s: float, begin_ns: int, now_ns: int
    ) -> dict[Identity, int]:
        """How many are missing since ``begin_ns``. ``told``: what each parent did in ``WINDOW_S``; ``whole``: what all
        did in ``whole_s`` seconds.
        """
        self.forget(now_ns - max(_WINDOW_NS, round(whole_s * NS)))
        missing = {who: max(self.missing(who, wanted, now_ns), 0) for who, wanted in told.items()}
        anew = [who for who in told if missing[who] and self._told.get(who) != self._last_ns]
        new = round(whole) - self._all(now_ns - round(whole_s * NS))
        new -= sum(number for who, number in missing.items() if who not in anew)
        for who in anew:
            here = min(missing[who], max(new, 0))
            new -= here
            missing[who] -= self._take_over(who, missing[who] - here, self._told.get(who, now_ns - _WINDOW_NS))
        due: dict[Identity, int] = {}
        for who, number in missing.items():
            self._add(due, who, number, begin_ns, now_ns)
        self._add(due, NOBODY, round(whole) - self._all(now_ns - round(whole_s * NS)), begin_ns, now_ns)
        self._told = {who: ns for who, ns in self._told.items() if ns > now_ns - _WINDOW_NS}
        self._told |= dict.fromkeys(told, now_ns)
        self._last_ns = now_ns
        return due

    def made(self, who: Identity, number: int, begin_ns: int, end_ns: int) -> None:
        """So many are there already."""
        if number > 0:
            self._made.setdefault(who, deque()).append(_Batch(begin_ns, end_ns, number))

    def missing(self, who: Identity, wanted: float, now_ns: int) -> int:
        """How many of what it did in ``WINDOW_S`` are not there."""
        return round(wanted) - _inside(self._made.get(who, ()), now_ns - _WINDOW_NS)

    def forget(self, oldest_ns: int) -> None:
        """What ended by then is of no window any more."""
        for who, batches in list(self._made.items()):
            while batches and batches[0].end_ns <= oldest_ns:
                batches.popleft()
            if not batches:
                del self._made[who]

    def _all(self, begin_ns: int) -> int:
        return sum(_inside(batches, begin_ns) for batches in self._made.values())

    def _take_over(self, who: Identity, number: int, since_ns: int) -> int:
        """Count so many of what nobody did since then as done by this one; how many there were."""
        nobody, left = self._made.get(NOBODY, deque()), number
        for at, batch in enumerate(nobody):
            taken = min(left, batch.number) if batch.end_ns > since_ns else 0
            if taken:
                nobody[at] = batch._replace(number=batch.number - taken)
                self.made(who, taken, batch.begin_ns, batch.end_ns)
                left -= taken
        return number - left

    def _add(self, due: dict[Identity, int], who: Identity, missing: int, begin_ns: int, now_ns: int) -> None:
        if missing > 0:
            due[who] = min(missing, _MAX_EVENTS)
            self.made(who, due[who], begin_ns, now_ns)


def _inside(batches: Iterable[_Batch], begin_ns: int) -> int:
    """How many of the events are later than ``begin_ns``."""
    return sum(
        batch.number
        if batch.begin_ns >= begin_ns
        else batch.number - int(np.searchsorted(spread(*batch), begin_ns, "right"))
        for batch in batches
    )
