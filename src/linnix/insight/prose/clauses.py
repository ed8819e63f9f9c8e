"""A sentence in its clauses, and whom each of them is about.

Owns the splitting and the reading of names and pronouns. Refuses to guess: where it is not plain to see whom a clause
is about, it is about nobody known. Invariant: names that are joined are never torn apart, so that what is said of two
is not held against one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from linnix.insight.facts import Filesystem, Process

MARK = "\x00"
#: A name, as it stands in a sentence that is being checked: its number between marks.
ENTITY = re.compile(f"{MARK}(\\d+){MARK}(?:['’]s)?")
WORD = re.compile(r"[A-Za-z][A-Za-z'’]*")

#: Whose name: a process, a file system, or the host itself.
Entity = Process | Filesystem | None


class Whom(Enum):
    """Of whom a clause is that names no process and no file system."""

    HOST = "the host"
    UNCLEAR = "it is not clear whom"


Subject = Process | Filesystem | Whom

_JOINS = r"(?:and|but|while|which|whereas|because|due to|owing to|since|so|therefore|when|where|until|although|though)"
_SPLITS = re.compile(rf"[,;:]\s+(?:{_JOINS}\s+)?|\s+{_JOINS}\s+", re.IGNORECASE)
_BEFORE = re.compile(rf"{MARK}(?:['’]s)?(?:\s*\(pid \d+\))?\s*$")
_AFTER = re.compile(rf"^\s*(?:(?:the|process|of)\s+)*{MARK}")
_HOST = re.compile(r"\b(?:hosts?|machine|system|load)\b", re.IGNORECASE)
_OF_ALL = re.compile(r"\b(?:cores|cpus|processors|hosts?|machine|system|servers?)\b", re.IGNORECASE)
_IT = re.compile(r"\b(?:it|its|itself|(?:this|the|that|same) process)\b", re.IGNORECASE)
#: Somebody, of whom no figure of the host is. Processes and tasks, of which there are many, may be all of them.
_PARTY = re.compile(
    r"\b(?:process|task|child|children|they|their|them|he|she|his|her|kernel|somebody|someone|(?:application|backup|build|"
    r"cache|cgroup|client|cluster|code|command|consumer|container|culprit|daemon|database|device|driver|group|hog|"
    r"hypervisor|instance|job|library|monitor|neighbou?r|object|offender|other|owner|parent|party|pool|program|query|"
    r"queue|reader|role|scheduler|script|segment|server|service|session|source|stream|supervisor|table|target|team|"
    r"thread|tool|transaction|tree|user|victim|waiter|worker|workload|writer)s?)\b",
    re.IGNORECASE,
)
#: The host's own: a part of a sentence that begins with one of these is not about whoever was named before.
_CAUSE = re.compile(r"\b(?:because|due to|owing to|since)\b", re.IGNORECASE)
_OWN = re.compile(
    r"^(?:(?:so|then|thus|as|also|now|therefore|hence|consequently|accordingly|meanwhile|overall),?\s+)*(?:the\s+)?(?:cpus?|memory|disks?|storage|network|load|pressure|processes|tasks|"
    r"filesystem)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence. ``subject``: whom it is about; ``named``: whether it says so itself."""

    text: str
    subject: Subject
    named: bool


def split(
    sentence: str, people: Sequence[tuple[str, Entity]], last: Process | None, plain_names: Collection[str] = ()
) -> list[Clause]:
    """Its clauses; ``last`` is whom the sentence before was about. ``plain_names``: names that are words as well, in
    lower case: where such a word stands bare, it may be either.
    """
    found: list[Clause] = []
    before: Subject | None = None
    aside = False  # a part of why something is so: what comes after it is about somebody before it
    for join, text in _parts(sentence):
        subject, named = _subject(text, people, before, last)
        unknown = aside and not named and "which" not in join.lower()
        if unknown or (not named and {word.lower() for word in WORD.findall(text)} & set(plain_names)):
            subject = Whom.UNCLEAR
        found.append(Clause(text, subject, named))
        before, aside = subject, _CAUSE.search(join) is not None
    return found


def of_all(text: str) -> bool:
    """Whether it speaks of all cores, or of the host."""
    return _OF_ALL.search(text) is not None


def _parts(sentence: str) -> Iterator[tuple[str, str]]:
    """Each with what joins it to the one before."""
    start, join = 0, ""
    for found in _SPLITS.finditer(sentence):
        left, right = sentence[start : found.start()], sentence[found.end() :]
        joined = _BEFORE.search(left) and _AFTER.search(right)
        if not joined and WORD.search(ENTITY.sub(" ", left)):
            yield join, left
            start, join = found.end(), found[0]
    yield join, sentence[start:]


def _subject(
    text: str, people: Sequence[tuple[str, Entity]], before: Subject | None, last: Process | None
) -> tuple[Subject, bool]:
    entities = [people[int(found[1])][1] for found in ENTITY.finditer(text)]
    named = {each.id: each for each in entities if each is not None}
    plain = ENTITY.sub(" ", text)
    if len(named) == 1:
        return next(iter(named.values())), True
    if named:
        return Whom.UNCLEAR, True
    if _HOST.search(plain) or entities:
        return Whom.HOST, True
    if _IT.search(plain):
        return before or last or Whom.UNCLEAR, False
    if _PARTY.search(plain):
        return Whom.UNCLEAR, False
    return Whom.HOST if before is None or _OWN.match(plain.strip()) else before, False
