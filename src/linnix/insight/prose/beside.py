"""What stands beside a number and says how it is meant.

Owns the reading of the words before and behind it. Refuses values. Invariant: a bare number counts what is named behind
it, or nothing is; ``30 gigabytes`` and ``1 year`` count nothing that is known.
"""

from __future__ import annotations

import re

from linnix.insight.prose.topics import Tags, tags_of

#: Units of time, as ``figures.NUMBER`` reads them.
SECONDS = frozenset(
    ["us", "µs", "ms", "millisecond", "milliseconds", "s", "sec", "secs", "second", "seconds"]  # up to a minute
) | {"min", "minute", "minutes", "h", "hour", "hours", "day", "days"}
#: After a count without a unit: nothing, one of these, or within two words what is counted.
_AFTER_COUNT = frozenset(
    ["of", "in", "on", "at", "by", "with", "for", "within", "during", "now", "as", "a", "per", "each", "from", "is"]
)
_NEXT = re.compile(r"[\s,]*([A-Za-z]+)?\s*([A-Za-z]+)?")
_BEFORE = {
    "~in": re.compile(r"\b(?:in|within)\s+(?:the\s+)?$", re.IGNORECASE),
    "~for": re.compile(r"\bfor\s+(?:the\s+)?$", re.IGNORECASE),
    "~of": re.compile(r"\bof\s+(?:its\s+|the\s+)?$", re.IGNORECASE),
    "~last": re.compile(r"\b(?:last|past)\s+$", re.IGNORECASE),
}
_OF_TIME = re.compile(r"\s*of (?:the|its) (?:time|periods?)\b", re.IGNORECASE)
_AHEAD = re.compile(r"\b(?:will|would|could|may|might|until|before|exhaust\w*)\b", re.IGNORECASE)
_RUNNING = re.compile(r"\brunning\s+(?:for|since)\b", re.IGNORECASE)
_OF_WHAT_IS_USED = re.compile(
    r"\s*of (?:the |its |all )?(?:\w+ )?(?:use|usage|consumption|utili[sz]ation|activity|calls)\b", re.IGNORECASE
)
_ACCOUNTS = re.compile(r"\b(?:overall|combined|capacity|account\w* for|responsible for)\b", re.IGNORECASE)
_OF_WAITING = re.compile(r"\s*of (?:its|the|all|that|this|their) (?:waiting|wait|stalls?|delays?)\b", re.IGNORECASE)
_USED = re.compile(
    r"\b(?:us(?:age|e[sd]?|ing)|consum\w*|allocat\w*|occup\w*|tak(?:en|es?|ing)|h[eo]ld\w*)\b", re.IGNORECASE
)
_RATE = re.compile(r"\s+[A-Za-z]+(?:\s+[A-Za-z]+)?\s+(?:a|per|each|every) second\b", re.IGNORECASE)


def signs(before: str, rest: str, clause: str) -> Tags:
    """What tells of a number between ``before`` and ``rest`` how it is meant: names with a tilde, as ``matters`` has
    them.
    """
    found = {name for name, pattern in _BEFORE.items() if pattern.search(before)}
    found |= {"~of_waiting"} if _OF_WAITING.match(rest) else set()
    found |= {"~of_time"} if _OF_TIME.match(rest) else set()
    found |= {"~used"} if _USED.search(clause) else {"~unused"}
    found |= {"~ahead"} if _AHEAD.search(clause) else {"~past"}
    found |= {"~running"} if _RUNNING.search(clause) else set()
    found |= set() if "~of" in found else {"~bare"}
    behind = _NEXT.match(rest)
    counted = tags_of([behind[1].lower()]) if behind and behind[1] else Tags()
    return frozenset(found | {f"~{tag}" for tag in counted})


def each_second(rest: str) -> bool:
    """Whether what follows a number makes it a rate: "900 forks a second"."""
    return _RATE.match(rest) is not None


def is_share(rest: str, clause: str) -> bool:
    """Whether a percentage is said to be one of what is used by all, and not of what there is."""
    return _OF_WHAT_IS_USED.match(rest) is not None or _ACCOUNTS.search(clause) is not None


def counts(rest: str, about: Tags, rate: bool) -> bool:
    """Whether what follows a bare number says what was counted, or nothing, or how often a second."""
    behind = _NEXT.match(rest)
    words = [word.lower() for word in (behind.groups() if behind else ()) if word]
    if not words or words[0] in _AFTER_COUNT or (words[0] == "times" and rate):
        return True
    return bool(tags_of(words) & about)
