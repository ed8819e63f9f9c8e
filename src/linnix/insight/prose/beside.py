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
    "~last": re.compile(r"\b(?:last|past)\s+$", re.IGNORECASE),
}
_OF_WAITING = re.compile(r"\s*of (?:its|the|all|that|this|their) (?:waiting|wait|stalls?|delays?)\b", re.IGNORECASE)
_USED = re.compile(r"\b(?:used|uses|use|using|held|taken)\b", re.IGNORECASE)
_RATE = re.compile(r"\s+[A-Za-z]+(?:\s+[A-Za-z]+)?\s+(?:a|per|each|every) second\b", re.IGNORECASE)


def signs(before: str, rest: str, clause: str) -> Tags:
    """What tells of a number between ``before`` and ``rest`` how it is meant: names with a tilde, as ``matters`` has
    them.
    """
    found = {name for name, pattern in _BEFORE.items() if pattern.search(before)}
    found |= {"~of_waiting"} if _OF_WAITING.match(rest) else set()
    found |= {"~used"} if _USED.search(clause) else {"~unused"}
    behind = _NEXT.match(rest)
    counted = tags_of([behind[1].lower()]) if behind and behind[1] else Tags()
    return frozenset(found | {f"~{tag}" for tag in counted})


def each_second(rest: str) -> bool:
    """Whether what follows a number makes it a rate: "900 forks a second"."""
    return _RATE.match(rest) is not None


def counts(rest: str, about: Tags, rate: bool) -> bool:
    """Whether what follows a bare number says what was counted, or nothing, or how often a second."""
    behind = _NEXT.match(rest)
    words = [word.lower() for word in (behind.groups() if behind else ()) if word]
    if not words or words[0] in _AFTER_COUNT or (words[0] == "times" and rate):
        return True
    return bool(tags_of(words) & about)
