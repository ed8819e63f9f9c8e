"""Words that name nobody.

Owns the list of plain words, and which forms of them count. Refuses words that are names of common commands, numbers,
directions and ranks: those are checked or refused elsewhere. Invariant: a word that is not known here, nor a name of
the facts, makes a sentence one that is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

_VOWELS = "aeiou"
#: Forms that are daemons' names.
_NEVER = frozenset(["named", "timed", "routed", "sensed", "listed"])


@cache
def _words() -> frozenset[str]:
    from importlib.resources import files  # which takes longer to load than all of this

    return frozenset((files(__package__) / "words.txt").read_text(encoding="utf-8").split())


def is_plain(word: str) -> bool:
    """Whether this is a plain word, or a form of one."""
    word = word.lower()
    return word not in _NEVER and any(form in _words() for form in _forms(word))


def _forms(word: str) -> Iterator[str]:
    """The word, and what it may be a form of."""
    yield word
    word = word.removesuffix("'s").removesuffix("’s")
    yield word
    if word.endswith(("ies", "ied")):
        yield word[:-3] + "y"
    for ending in ("s", "es", "ed", "ing", "ly", "ness"):  # not "er": that may be a comparison
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3:
            yield stem
            if ending in ("ed", "ing"):
                yield stem + "e"
                if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in _VOWELS:
                    yield stem[:-1]
