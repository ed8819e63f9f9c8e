"""Runs as a data set: one compressed archive a part, read where it lies.

Owns the layout of an archive and the log of its openings. Refuses events: they are large, and facts hold what is told.
Invariants: the same runs make the same bytes, so that a digest can be committed before anybody looks; and nobody reads
runs of part ``test`` from an archive without a line in the log beside it that says when, why and at which commit.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import subprocess
import tarfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from linnix.faultlab.errors import LabError, RefusedError, writing
from linnix.faultlab.private import Private
from linnix.faultlab.recording import FactsLine
from linnix.faultlab.truth import Truth

SUFFIX = ".tar.xz"
OPENINGS = "test-openings.log"
SUMS = "SHA256SUMS"
#: In this order in an archive, so that who reads it along knows the truth before the facts.
_FILES = ("truth.json", "meta.json", "facts.jsonl")
_MEMBER = re.compile(r"([a-z][a-z0-9-]*-[0-9]+)/(truth\.json|meta\.json|facts\.jsonl)")
# Runs of a scenario resemble each other, and lie beside each other: 64 MiB of dictionary hold several of them.
_PRESET = 9 | lzma.PRESET_EXTREME


class _Meta(msgspec.Struct):
    failed: str | None = None


@dataclass(frozen=True)
class Run:
    """One run, wherever it lies; ``read`` gives the bytes of one of its files."""

    name: str
    read: Callable[[str], bytes]

    @property
    def truth(self) -> Truth:
        """What really happened. Raises LabError where the file says something else."""
        try:
            return msgspec.json.decode(self.read("truth.json"), type=Truth)
        except msgspec.MsgspecError as error:
            raise LabError(f"{self.name}/truth.json: {error}") from error

    @property
    def failed(self) -> str:
        """Why the daemon failed while it was recorded; empty where it did not."""
        try:
            return msgspec.json.decode(self.read("meta.json"), type=_Meta).failed or ""
        except msgspec.MsgspecError as error:
            raise LabError(f"{self.name}/meta.json: {error}") from error

    def lines(self) -> Iterator[FactsLine]:
        """The lines of facts.jsonl."""
        for number, line in enumerate(self.read("facts.jsonl").split(b"\n"), start=1):
            if not line:
                continue
            try:
                yield msgspec.json.decode(line, type=FactsLine)
            except msgspec.MsgspecError as error:
                raise LabError(f"{self.name}/facts.jsonl:{number}: {error}") from error


def read(place: Path, part: str | None = None, why: str = "") -> Iterator[Run]:
    """The runs of a part, or all, of a folder of recordings, of a folder of archives, or of one archive, by name.

    Raises LabError for what is neither, and RefusedError where an archive of part ``test`` is to be opened without why.
    """
    if place.is_file():
        yield from _of_part(_unpacked(place, why), part)
        return
    if not place.is_dir():
        raise LabError(f"{place}: no such file or folder")
    found = sorted(path for path in place.iterdir() if (path / "truth.json").is_file() and path.suffix != ".part")
    archives = sorted(place.glob(f"*{SUFFIX}"))
    if part is not None and (whole := place / f"{part}{SUFFIX}") in archives:
        archives = [whole]
    if not found and not archives:
        raise LabError(f"{place}: no run (NAME-SEED/truth.json) and no archive (*{SUFFIX}) in this folder")
    for path in found:
        yield from _of_part(iter([Run(path.name, partial(_file, path))]), part)
    if not found:
        for archive in archives:
            yield from _of_part(_unpacked(archive, why), part)


def pack(runs: Sequence[Run], out: Path, part: str | None = None) -> dict[Path, str]:
    """Write runs as one archive, or, to a folder, as one a part; of each written file its SHA-256.

    Raises RefusedError where one archive would hold several parts.
    """
    parts: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        parts[run.truth.part].append(run)
    if part is not None:
        parts = defaultdict(list, {part: parts[part]} if part in parts else {})
    if not parts:
        raise RefusedError("there are no runs to pack" + (f" of part {part!r}" if part else ""))
    if out.name.endswith(SUFFIX):
        if len(parts) > 1:
            words = f"{out}: an archive holds one part, and these are of {', '.join(sorted(parts))}"
            raise RefusedError(words, "Name one with --part, or a folder with --out")
        return {out: _write(out, next(iter(parts.values())))}
    out.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in sorted(parts):
        path = out / f"{name}{SUFFIX}"
        written[path] = _write(path, parts[name])
    found = sorted(out.glob(f"*{SUFFIX}"))  # also of parts that were packed before
    (out / SUMS).write_text("".join(f"{_digest(path)}  {path.name}\n" for path in found))
    return written


def unpack(archive: Path, out: Path, why: str = "") -> list[Path]:
    """Write the runs of an archive as folders; those. Raises RefusedError where one is there already."""
    written = []
    for run in _unpacked(archive, why):
        folder = out / run.name
        if folder.exists():
            raise RefusedError(f"{folder}: is there already", "Name another --out")
        with writing(folder):
            folder.mkdir(parents=True)
            for name in _FILES:
                (folder / name).write_bytes(run.read(name))
        written.append(folder)
    return written


def _of_part(runs: Iterator[Run], part: str | None) -> Iterator[Run]:
    return (run for run in runs if part is None or run.truth.part == part)


def _write(path: Path, runs: Sequence[Run]) -> str:
    new = path.with_name(f"{path.name}.new")
    try:
        with writing(path):
            _pack(new, runs)
            new.rename(path)
    finally:
        new.unlink(missing_ok=True)
    return _digest(path)


def _pack(path: Path, runs: Sequence[Run]) -> None:
    with lzma.open(path, "wb", preset=_PRESET) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for run in sorted(runs, key=lambda run: run.name):
            private = Private(run.truth)
            for name in _FILES:
                member = tarfile.TarInfo(f"{run.name}/{name}")  # of nobody, of 1970
                content = private.file(name, run.read(name))
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _unpacked(archive: Path, why: str) -> Iterator[Run]:
    logged = False
    with _opened(archive) as tar:
        files: dict[str, bytes] = {}
        for member in tar:
            found = _MEMBER.fullmatch(member.name)
            if found is None or not member.isfile():
                raise LabError(f"{archive}: {member.name!r} is no file of a run")
            stream = tar.extractfile(member)
            assert stream is not None  # it is a file
            files[found[2]] = stream.read()
            if found[2] == _FILES[-1]:
                if set(files) != set(_FILES):
                    raise LabError(f"{archive}: {found[1]} lacks {', '.join(sorted(set(_FILES) - set(files)))}")
                run = Run(found[1], files.__getitem__)
                if not logged and run.truth.part == "test":
                    _log_opening(archive, why)
                    logged = True
                yield run
                files = {}


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with lzma.open(archive) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            yield tar
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
        raise LabError(f"{archive}: not an archive of runs ({error})") from error


def _log_opening(archive: Path, why: str) -> None:
    why = " ".join(why.split())
    if not why:
        raise RefusedError(
            f"{archive} is of part 'test', and each time that is opened is logged", "Say why it must be: --why TEXT"
        )
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    log = archive.parent / OPENINGS
    try:
        with log.open("a") as file:
            file.write(f"{when} sha256:{_digest(archive)} commit:{_commit(archive.parent)} {why}\n")
    except OSError as error:
        raise RefusedError(f"{log}: {error.strerror}", "Part 'test' is opened only where that can be logged") from error


def _commit(folder: Path) -> str:
    """The commit that is checked out there, `-dirty` where files differ from it; `none` outside of a repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    return done.stdout.strip() or "none"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise LabError(f"{folder / name}: {error.strerror}") from error
