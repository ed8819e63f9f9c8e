"""Takes passwords, tokens and keys out of command lines before anything keeps or serves them.

Owns how a text is searched and rewritten. Refuses to decide what is secret: ``secret_shapes`` does, and whoever
configures more or less of it. Invariants: what follows the used bytes of a text is zero (a record's memory may hold
leftovers of another); no Python object is made for a text in which nothing looks like a secret; and nobody who runs
programs with texts made to be slow to search can hold the daemon up: what there is no time to search is hidden whole.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import ARGV_LEN, FILENAME_LEN, Array
from linnix.cognitod.secret_shapes import CUT, GROUPS, HINTS, PROGRAMS

HIDDEN = b"***"
#: How long the texts of one batch may be searched. A usual one takes 0.1 ms, the worst known 1 ms.
BUDGET_NS = 10_000_000
#: Answers that are remembered, by a digest: in a storm the same commands come again and again.
MAX_REMEMBERED = 1024


class Redactor:
    """Redacts the texts of a batch.

    ``extra``: regular expressions whose whole match is hidden too. ``shown``: a value that one of these matches as a
    whole is not hidden. ``groups``: of ``secret_shapes.GROUPS``, those that count.
    """

    def __init__(
        self, extra: Iterable[str] = (), *, shown: Iterable[str] = (), groups: Iterable[str] = tuple(GROUPS)
    ) -> None:
        self._extra = [re.compile(pattern.encode()) for pattern in extra]
        self._shown = [re.compile(pattern.encode()) for pattern in shown]
        groups = frozenset(groups)
        self._patterns = [pattern for name in GROUPS if name in groups for pattern in GROUPS[name]]
        self._cut = [pattern for name in CUT if name in groups for pattern in CUT[name]]
        self._programs = PROGRAMS if "programs" in groups else ()
        self._hints = HINTS if groups else ()
        self._remembered: dict[int, bytes] = {}
        self.unsearched = 0  # texts that were hidden whole

    def line(self, text: bytes, *, cut: bool = False) -> bytes:
        """A command line, words separated by NUL, without its secrets. ``cut``: its end is missing."""
        for program, secret in self._programs:
            if (found := program.search(text)) is not None:
                text = text[: found.end()] + secret.sub(self._hide, text[found.end() :])
        for pattern in self._patterns:
            text = pattern.sub(self._hide, text)
        if cut:
            for pattern in self._cut:
                text = pattern.sub(self._hide, text)
        for pattern in self._extra:
            text = pattern.sub(HIDDEN, text)
        return text

    def _hide(self, match: re.Match[bytes]) -> bytes:
        value = match[0][len(match[1]) :]
        if any(pattern.fullmatch(value) for pattern in self._shown):
            return match[0]
        return match[1] + HIDDEN

    def __call__(self, texts: Array) -> Array:
        """The same texts (dtype EXEC_TEXT) without secrets; only those that may hold one are rewritten."""
        if not len(texts):
            return texts
        texts = texts.copy()
        argv, argv_len = _bytes(texts["argv"], ARGV_LEN), np.minimum(texts["argv_len"], ARGV_LEN)
        name, name_len = _bytes(texts["filename"], FILENAME_LEN), np.minimum(texts["filename_len"], FILENAME_LEN)
        argv[_PLACE[:ARGV_LEN] >= argv_len[:, None]] = 0
        name[_PLACE[:FILENAME_LEN] >= name_len[:, None]] = 0
        texts["argv"], texts["filename"] = argv.view(f"V{ARGV_LEN}").ravel(), name.view(f"S{FILENAME_LEN}").ravel()
        deadline_ns = time.monotonic_ns() + BUDGET_NS
        for at in self._suspects(argv, argv_len):
            before = argv[at, : argv_len[at]].tobytes()
            after = self._searched(before, bool(texts["argv_total"][at] > argv_len[at]), deadline_ns)
            if after != before:
                _rewrite(texts, at, after)
        for at in self._suspects(name, name_len):
            texts["filename"][at] = self._searched(bytes(texts["filename"][at]), False, deadline_ns)[: FILENAME_LEN - 1]
            texts["filename_len"][at] = len(bytes(texts["filename"][at]))
        return texts

    def _searched(self, text: bytes, cut: bool, deadline_ns: int) -> bytes:
        digest = hash((text, cut))  # keyed, so that nobody can make two texts collide; and what it leads to is redacted
        known = self._remembered.get(digest)
        if known is None:
            if time.monotonic_ns() > deadline_ns:
                self.unsearched += 1
                return HIDDEN
            known = self.line(text, cut=cut)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = known
        return known

    def _suspects(self, lines: NDArray[np.uint8], used: NDArray[np.uint32]) -> list[int]:
        """Those in which something looks like a secret: all are searched as one text, a NUL between two."""
        ends = np.cumsum(used.astype(np.intp) + 1)
        ended = np.zeros((len(lines), lines.shape[1] + 1), np.uint8)
        ended[:, :-1] = lines
        buffer = ended[_PLACE[: ended.shape[1]] <= used[:, None]].tobytes()
        lower = buffer.lower()
        found: set[int] = set()
        for hint in self._hints:
            at = lower.find(hint)
            while at >= 0:
                row = int(np.searchsorted(ends, at, side="right"))
                found.add(row)
                at = lower.find(hint, int(ends[row]))
        for pattern in self._extra:
            starts = [hit.start() for hit in pattern.finditer(buffer)]
            found.update(np.searchsorted(ends, starts, side="right").tolist())
        return sorted(found)


_PLACE = np.arange(max(ARGV_LEN, FILENAME_LEN) + 1)


def _bytes(column: Array, width: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(column).view(np.uint8).reshape(len(column), width)


def _rewrite(texts: Array, at: int, argv: bytes) -> None:
    cut = int(texts["argv_total"][at]) - int(texts["argv_len"][at])
    kept = argv[:ARGV_LEN]
    texts["argv"][at] = np.void(kept.ljust(ARGV_LEN, b"\0"))
    texts["argv_len"][at] = len(kept)
    texts["argv_total"][at] = len(argv) + max(cut, 0)
