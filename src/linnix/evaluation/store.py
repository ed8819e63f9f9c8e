"""Predictions in a file, a line each.

Owns the file. Refuses to change what is there. Invariants: who stops in the middle goes on where it stopped; what was
asked once is not asked again, unless the facts of that case, or the question about them, are others today; an answer of
another day is checked anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from linnix.evaluation.cases import Case
from linnix.evaluation.systems import Prediction, System, again

#: A system, a case, and the digest of what was asked.
Asked = tuple[str, str, str]


class PredictionsError(Exception):
    """The file cannot be read or written; the text says why."""


class Predictions:
    """All that is known, of all systems. Without a path it is kept in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[Asked, Prediction] = {}
        self._kept: dict[Asked, Prediction] = {}  # of an earlier day, as it was judged then
        if path is not None and path.exists():
            for number, line in enumerate(path.read_bytes().splitlines(), start=1):
                try:
                    found = msgspec.json.decode(line, type=Prediction)
                except msgspec.MsgspecError as error:
                    raise PredictionsError(f"{path}:{number}: {error}") from error
                self._kept[found.system, found.case, found.digest] = found

    def of(self, system: str, cases: Sequence[Case]) -> list[Prediction]:
        """What one system said of these, as far as it was asked."""
        asked = {(system, case.id, case.digest): case for case in cases}
        for key in asked.keys() & self._kept.keys():
            self._known[key] = again(asked[key], self._kept.pop(key))
        return [self._known[key] for key in asked if key in self._known]

    def missing(self, system: str, cases: Sequence[Case]) -> list[Case]:
        """Cases that it was not asked about."""
        known = self._known.keys() | self._kept.keys()
        return [case for case in cases if (system, case.id, case.digest) not in known]

    def ask(self, system: System, cases: Sequence[Case]) -> Iterator[Prediction]:
        """Ask about what is missing, one after the other, and keep each at once."""
        for case in self.missing(system.name, cases):
            prediction = system.explain(case)
            self._known[system.name, case.id, case.digest] = prediction
            if self._path is not None:
                try:
                    with self._path.open("ab") as file:
                        file.write(msgspec.json.encode(prediction) + b"\n")
                except OSError as error:
                    raise PredictionsError(f"{self._path}: {error.strerror}") from error
            yield prediction
