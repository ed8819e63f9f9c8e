"""The folder a laboratory writes to: one folder a run, complete or not there.

Owns names of files and how a run becomes complete: it is written to ``NAME-SEED.part`` and renamed at its very end.
Refuses a folder that another laboratory writes to, and to replace a complete run. Invariant: what lies at ``NAME-SEED``
is whole, and its digest says of which version of the scenario it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from linnix.faultlab.disks import WORK
from linnix.faultlab.errors import RefusedError, writing
from linnix.faultlab.plan import Plan

VERSION = 1


class FactsLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of facts.jsonl; ``facts`` and ``findings`` are the bytes of the answers."""

    asked: float
    answered: float
    phase: str
    status: int
    facts: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    findings: msgspec.Raw = msgspec.Raw(b"null")  # of a daemon that has /findings


class EventLine(msgspec.Struct, frozen=True):
    """A line of events.jsonl: the name of the frame (empty: a lifecycle event), and the bytes of its data."""

    received: float
    event: str
    data: msgspec.Raw


class _Meta(msgspec.Struct):
    digest: str = ""


class Output:
    """A folder of runs, held while the block lasts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    def __enter__(self) -> Output:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise RefusedError(f"{self.path}: another laboratory writes there", "Name another --out") from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def sweep(self) -> list[Path]:
        """Remove what a killed laboratory's commands wrote; what was removed."""
        found = [path for path in sorted(self.path.iterdir()) if WORK.fullmatch(path.name)]
        for path in found:
            shutil.rmtree(path)
        return found

    def is_complete(self, plan: Plan) -> bool:
        """Whether this run is here. Raises RefusedError where one of another version of the scenario is."""
        place = self.path / plan.run
        if not place.exists():
            return False
        try:
            digest = msgspec.json.decode((place / "meta.json").read_bytes(), type=_Meta).digest
        except (OSError, msgspec.MsgspecError) as error:
            raise RefusedError(f"{place}: not a run of a laboratory ({error})", "Name another --out") from error
        if digest != plan.digest:
            raise RefusedError(
                f"{place}: recorded with another version of {plan.scenario.name}",
                "Remove that folder to run it again, or name another --out",
            )
        return True

    def begin(self, plan: Plan, laboratory: str) -> Part:
        """A run that is about to be recorded; what is left of one that was not finished goes."""
        return Part(self.path, plan.run, self.path / f".app-{laboratory}")


class Part:
    """A run that is being recorded; ``work`` is where its commands write, and gone when the block ends."""

    def __init__(self, out: Path, run: str, work: Path) -> None:
        self.work = work.absolute()
        self._folder = out / f"{run}.part"
        self._final = out / run

    def __enter__(self) -> Part:
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._folder.mkdir()
        (self.work / "data").mkdir(parents=True)
        self._facts = (self._folder / "facts.jsonl").open("wb")
        self._events = (self._folder / "events.jsonl").open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._facts.close()
        self._events.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def tick(self, line: FactsLine) -> None:
        """One answer of ``/facts``."""
        with writing(self._folder):
            self._facts.write(msgspec.json.encode(line) + b"\n")
            self._facts.flush()

    def event(self, name: str, data: str) -> None:
        """One frame of ``/stream``."""
        line = EventLine(time.time(), name, msgspec.Raw(data.encode()))
        self._events.write(msgspec.json.encode(line) + b"\n")

    def events(self) -> Iterator[bytes]:
        """The lifecycle events recorded so far."""
        self._events.flush()
        yield from (bytes(line.data) for line in read_events(self._folder) if not line.event)

    def facts(self) -> Iterator[bytes]:
        """The facts recorded so far."""
        yield from (bytes(line.facts) for line in read_facts(self._folder) if line.status == 200)

    def write(self, name: str, content: Any) -> None:
        """One of the files that are written at the end; bytes are kept as they are."""
        raw = content if isinstance(content, bytes) else msgspec.json.format(msgspec.json.encode(content), indent=1)
        with writing(self._folder):
            (self._folder / name).write_bytes(raw)

    def complete(self) -> Path:
        """All is written: give the run its name."""
        for file in (self._facts, self._events):
            file.flush()
            os.fsync(file.fileno())
        self._folder.rename(self._final)
        return self._final


def read_facts(folder: Path) -> Iterator[FactsLine]:
    """The lines of a run's facts.jsonl."""
    with (folder / "facts.jsonl").open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line, type=FactsLine)


def read_events(folder: Path) -> Iterator[EventLine]:
    """The lines of a run's events.jsonl."""
    with (folder / "events.jsonl").open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line, type=EventLine)
