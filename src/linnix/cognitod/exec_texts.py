"""What processes were started with: filename and argv, joined to their exec events.

Owns the kept texts and the join on (pid, start_ns, seq). Refuses secrets: what arrives here is redacted already.
Invariant: a text that is kept belongs to exactly one slot of the process table, and is freed with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod import records
from linnix.cognitod.events import ARGV_LEN, EXEC_TEXT, Array
from linnix.cognitod.handles import Handles, Index

#: Slots of identities (pid, start_ns), -1 where unknown.
Locate = Callable[[NDArray[np.uint32], NDArray[np.uint64]], Index]

#: Texts that wait for their exec event; more than this are dropped and counted.
MAX_PENDING = 4096

_OWN_MODULE = re.compile(rb"-m\0linnix\.")
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))


def _mix(pid: NDArray[np.uint32], start_ns: NDArray[np.uint64], seq: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One sortable number for a triple. Matches are compared field by field, so a collision only costs a match."""
    mixed: NDArray[np.uint64] = (pid.astype(np.uint64) * _MIX[0]) ^ (start_ns * _MIX[1]) ^ (seq * _MIX[2])
    return mixed


def join(events: Array, texts: Array) -> NDArray[np.int32]:
    """For each event (dtype EVENT, any kind) the index of the text that belongs to it, or -1."""
    at = np.full(len(events), -1, np.int32)
    wanting = np.flatnonzero(events["text_seq"])
    if not len(wanting) or not len(texts):
        return at
    asked = events[wanting]
    keys = _mix(texts["pid"], texts["start_ns"], texts["seq"])
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys[order], _mix(asked["pid"], asked["start_ns"], asked["text_seq"]))
    found = order[np.minimum(place, len(order) - 1)]
    match = texts[found]
    same = (
        (match["pid"] == asked["pid"]) & (match["start_ns"] == asked["start_ns"]) & (match["seq"] == asked["text_seq"])
    )
    at[wanting[same]] = found[same]
    return at


def words(argv: bytes, used: int, total: int) -> list[str]:
    """The words of an argument area of which ``used`` of ``total`` bytes were kept; a cut last word ends in ``…``."""
    if not used:
        return []
    parts = argv[:used].decode("utf-8", "replace").split("\0")
    if parts[-1] == "":
        parts.pop()
    elif total > used:
        parts[-1] += "…"
    return parts


class ExecTexts:
    """The text of each slot of the process table, if it has one."""

    def __init__(self) -> None:
        self._texts = np.zeros(64, EXEC_TEXT)
        self._handles = Handles()
        self._handle = np.zeros(0, np.int32)  # per slot: handle + 1, 0 none
        self._seq = np.zeros(0, np.uint64)  # per slot: which text its last exec announced
        self._pending = self._texts[:0]
        self.unmatched = 0  # texts that came without their exec event

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._handles)

    def resize(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        for name in ("_handle", "_seq"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros(slots - len(old), old.dtype)]))

    def clear(self, slots: Index) -> None:
        """Forget the texts of these slots."""
        handles = self._handle[slots]
        self._handles.give(handles[handles > 0].astype(np.intp) - 1)
        self._handle[slots] = 0
        self._seq[slots] = 0

    def replace(self, once: Index, slots: Index, seq: NDArray[np.uint64]) -> None:
        """``slots`` (``once`` holds each a single time) exec'ed in this order, announcing these texts."""
        self.clear(once)
        self._seq[slots] = seq

    def take(self, texts: Array, slots: Index, locate: Locate) -> Index:
        """Give each text to its process; returns the slots that turn out to run a module of Linnix.

        ``slots`` are those of the exec events that came with ``texts``, -1 for a text without one: its process is
        located by identity, and if its exec event is still to come it waits for one more call.
        """
        waited = len(self._pending)
        both = np.concatenate([self._pending, texts]) if waited else texts
        if not len(both):
            return np.zeros(0, np.intp)
        holder = locate(both["pid"], both["start_ns"])
        holder[waited:] = np.where(slots >= 0, slots, holder[waited:])
        match = (holder >= 0) & (self._seq[holder] == both["seq"]) & (self._handle[holder] == 0)
        given, at = np.unique(holder[match], return_index=True)
        chosen = both[np.flatnonzero(match)[at]]
        self._handle[given] = self._put(chosen) + 1

        early = (holder < 0) | (both["seq"] > self._seq[holder])
        pending = both[waited:][early[waited:]]
        self.unmatched += int(np.count_nonzero(early[:waited])) + max(0, len(pending) - MAX_PENDING)
        self._pending = pending[-MAX_PENDING:].copy()

        argv = np.ascontiguousarray(chosen["argv"]).tobytes()
        return given[sorted({hit.start() // ARGV_LEN for hit in _OWN_MODULE.finditer(argv)})]

    def _put(self, texts: Array) -> Index:
        handles = self._handles.take(len(texts))
        while self._handles.top > len(self._texts):
            self._texts = records.grown(self._texts, 2 * len(self._texts))  # what is not used yet is not resident
        self._texts[handles] = texts
        return handles

    def handles(self, slots: Index) -> Index:
        """Handles of these slots' texts, -1 where there is none."""
        return self._handle[slots].astype(np.intp) - 1

    def read(self, handles: Index) -> tuple[list[str | None], list[list[str]]]:
        """Of each text the path given to execve, cut after 127 bytes, and the words, cut after ``ARGV_LEN`` bytes.
        None and nothing for handle -1.
        """
        texts = self._texts.take(handles, mode="wrap")
        used = np.where(handles >= 0, np.minimum(texts["argv_len"], ARGV_LEN), 0).tolist()
        argv = np.ascontiguousarray(texts["argv"]).tobytes()
        starts = range(0, len(argv), ARGV_LEN)
        paths = [
            name.decode("utf-8", "replace") if handle >= 0 else None
            for name, handle in zip(texts["filename"].tolist(), handles.tolist(), strict=True)
        ]
        return paths, [
            words(argv[at : at + count], count, total) if count else []
            for at, count, total in zip(starts, used, texts["argv_total"].tolist(), strict=True)
        ]
