"""Words that claim something: a rank, a direction, a comparison, a number, or that it is not so.

Owns the lists, and what a sentence claims by them. Refuses what is never checked: comparisons, steadiness, numbers in
words, two directions at once. Invariant: a plain word (``english``) that says how much, in which order or whither is on
one of these lists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


class RefusedError(Exception):
    """The sentence is not shown, for this reason."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HIGHEST = _words(
    "most highest largest biggest busiest heaviest greatest top main mainly primary primarily leading chief dominant"
)
RISING = _words(
    "rise rises rising risen rose grow grows growing grown grew growth increase increases increased increasing climb "
    "climbs climbed climbing leak leaks leaked leaking leakage swell swells swelling gain gains gained gaining expand "
    "expands expanded expanding exhaust exhausts exhausted exhausting exhaustion raise raises raised raising spike "
    "spikes spiked spiking fill fills filled filling pile piles piled piling"
)
FALLING = _words(
    "fall falls falling fallen fell drop drops dropped dropping shrink shrinks shrinking shrank decrease decreases "
    "decreased decreasing decline declines declined declining recover recovers recovered recovering recovery improve "
    "improves improved improving reduce reduces reduced reducing reduction lowers lowered lowering drain drains "
    "drained draining frees freed freeing release releases released releasing"
)
COMPARES = _words(
    "more less fewer higher lower larger smaller bigger busier greater than least lowest smallest fewest double twice "
    "half faster slower worse worst better best exceed exceeds exceeded exceeding excess only alone almost nearly all "
    "entire entirely whole majority bulk mostly largely solely merely both each every none nobody above below beneath "
    "behind beyond ahead equal equally equals same similar similarly like alike first second third lead leads led "
    "leader leaders relative relatively ratio compare compares compared comparing comparison comparable match matches "
    "unlike major minor earlier later latter follow follows followed following remaining rest fully complete "
    "completely"
)
STEADY = _words(
    "steady steadily stable constant constantly unchanged flat level levels remain remains remained settle settles "
    "settled stay stays stayed staying"
)
NEGATES = _words(
    "not no never neither nor without cannot hardly barely unlikely stop stops stopped stopping cease ceased ceases "
    "nothing nowhere exclude excludes excluded excluding absence absent lack lacks lacked lacking rare rarely seldom "
    "unable prevent prevents prevented preventing avoid avoids avoided avoiding impossible longer instead rather "
    "except unless end ends ended ending finish finishes finished pause paused resolve resolved free wrong wrongly "
    "little few idle empty spare inactive done lose loses doubt fixed"
)
#: Numbers in words; what is written with digits can be held against figures.
COUNTS = _words(
    "zero one once two three four five six seven eight nine ten eleven twelve dozen dozens couple pair pairs single "
    "hundred hundreds thousand thousands million millions third thirds quarter quarters"
)
SPOKEN = HIGHEST | RISING | FALLING | COMPARES | STEADY | NEGATES | COUNTS
#: Plain though they are no plain words: they are checked.
CHECKED = HIGHEST | RISING | FALLING

#: What is no number or rank, though it looks like one: of what a share is, and how sure somebody is.
_ONE_CORE = re.compile(r"\bof one (?=core\b|cpu\b)", re.IGNORECASE)
_MOST_LIKELY = re.compile(r"\bmost (?=likely\b|probabl[ey]\b)", re.IGNORECASE)
_A_SECOND = re.compile(r"(?:/s\b|\b(?:a|per|each|every) second\b)", re.IGNORECASE)
#: Whatever goes up or down, but for what takes up, ends up, breaks down, or is up to something.
_UP = re.compile(r"(?:\b(\w+)\s+)?\bup\b(?!\s+to\b)|\brun(?:s|ning)?\s+(?:out|low|short)\b", re.IGNORECASE)
_DOWN = re.compile(r"(?:\b(\w+)\s+)?\bdown\b(?!\s+to\b)", re.IGNORECASE)
_NOT_AWAY = _words(
    "take takes taken took taking end ends ended ending use uses used using show shows showed make "
    "makes start starts started set sets hold holds held tie ties tied wake wakes break breaks broke track pin pins"
)
_OVER = re.compile(r"\b(?:well|far|way|just|slightly) (?:over|under|within)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:rul(?:e|es|ed|ing) out|fail(?:s|ed|ing)? to|(?:is|are|was|were)(?: now| almost)? over)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a sentence claims beside its numbers. ``direction``: ``rising``, ``falling``, or None."""

    ranks: bool
    direction: str | None

    @property
    def any(self) -> bool:
        """Whether it claims anything."""
        return self.ranks or self.direction is not None


def plain(sentence: str) -> str:
    """It, without words that only look like numbers or ranks."""
    return _MOST_LIKELY.sub(" ", _A_SECOND.sub(" ", _ONE_CORE.sub(" ", sentence)))


def moves(sentence: str) -> bool:
    """Whether something goes up or down in it, by these words."""
    return _goes(_UP, sentence) or _goes(_DOWN, sentence)


def _goes(way: re.Pattern[str], sentence: str) -> bool:
    return any((found[1] or "").lower() not in _NOT_AWAY for found in way.finditer(sentence))


def negation(sentence: str, words: Sequence[str]) -> str | None:
    """By what word it says that something is not so."""
    found = _DENIED.search(sentence)
    return found[0] if found else next((word for word in words if word in NEGATES), None)


def read(sentence: str, words: Sequence[str]) -> Claims:
    """What it claims; ``words`` are those of ``plain``, in lower case. Raises ``RefusedError`` for what is never
    checked.
    """
    if counts := next((word for word in words if word in COUNTS), None):
        raise RefusedError(f"a number in words ({counts})")
    if compares := next((word for word in words if word in COMPARES), None):
        raise RefusedError(f"a comparison ({compares})")
    if steady := next((word for word in words if word in STEADY), None):
        raise RefusedError(f"a steadiness that is not told ({steady})")
    if over := _OVER.search(sentence):
        raise RefusedError(f"a comparison ({over[0]})")
    rises = bool(RISING & set(words)) or _goes(_UP, sentence)
    falls = bool(FALLING & set(words)) or _goes(_DOWN, sentence)
    if rises and falls:
        raise RefusedError("two directions at once")
    return Claims(bool(HIGHEST & set(words)), "rising" if rises else "falling" if falls else None)
