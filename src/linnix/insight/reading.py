"""The answer format, character by character.

Owns what may stand between a model's words. Refuses meaning: ``verify`` knows which words there are. Lenient on white
space, case and code fences only. Invariant: a pair is given out as soon as its end is seen, and never twice.

    ev=a,c
    is=A
    why=loops,traceless,wait_cpu,cleared,mem_fine
    act=threads,nice
    of=cpu_spin,medium,P1
"""

from __future__ import annotations

from linnix.insight import render

_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


class Reader:
    """Splits a stream of characters into (key, value) pairs, each as soon as its end is seen."""

    def __init__(self) -> None:
        self._word = ""
        self._key: str | None = None  # the key whose values are being read
        self._expect = "key"  # key, equals, value, more (a comma, or the next key)
        self._fence = False

    def feed(self, text: str) -> list[tuple[str, str]]:
        """Raises ``ValueError`` on anything that is not the format."""
        pairs: list[tuple[str, str]] = []
        for char in text.lower():
            if self._fence:
                self._fence = char != "\n"
            elif char in _WORD:
                self._word += char
            else:
                self._close(pairs)
                self._separate(char)
        return pairs

    def end(self) -> list[tuple[str, str]]:
        """The pair that only the end of the answer closes. Raises ``ValueError`` when it ends in the middle."""
        pairs = self.feed("\n")
        if self._expect != "more":
            raise ValueError("the answer is cut short")
        return pairs

    def _close(self, pairs: list[tuple[str, str]]) -> None:
        word, self._word = self._word, ""
        if not word:
            return
        if self._expect in ("key", "more"):
            self._key, self._expect = word, "equals"
        elif self._expect == "value" and self._key is not None:
            pairs.append((self._key, word))
            self._expect = "more"
        else:
            raise ValueError(f"'=' is missing after {render.clean(self._key or '', 40)}")

    def _separate(self, char: str) -> None:
        if char == "`" and self._expect in ("key", "more"):
            self._fence = True
        elif (char == "=" and self._expect == "equals") or (char == "," and self._expect == "more"):
            self._expect = "value"
        elif not char.isspace():
            raise ValueError(f"unexpected character {render.clean(char)!r}")
