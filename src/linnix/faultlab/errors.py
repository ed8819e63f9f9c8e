"""What can go wrong in the laboratory, told to a person.

Owns the words' shape: what failed, on which input, and what to do about it. Refuses exit codes and printing: those are
the command's. Every error that is meant for a person is a ``LabError``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path


class LabError(Exception):
    """What failed, on which input; ``advice`` says what to do about it."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses while this is written, told with its name: a full disk does not say which file it is."""
    try:
        yield
    except OSError as error:
        advice = "Make room there, or name another --out" if error.errno in (ENOSPC, EDQUOT, EFBIG) else ""
        raise LabError(f"{path}: {error.strerror or error}", advice) from error


class FormatError(LabError):
    """A scenario file that does not say what a scenario file must say: ``FILE:LINE: what``."""


class RefusedError(LabError):
    """A run that could harm this host, or that this host cannot carry; ``passes`` where waiting may help."""

    passes = False


class MissingError(RefusedError):
    """A run that needs programs which are not on PATH: ``programs`` are those, with their Debian package if known."""

    def __init__(self, programs: Mapping[str, str]) -> None:
        packages = [package for package in programs.values() if package]
        advice = f"Debian has it in: {' '.join(packages)}" if packages else "Install it, or leave this scenario out"
        super().__init__(f"{', '.join(programs)}: not on PATH", advice)
        self.programs = dict(programs)


class TooBusyError(RefusedError):
    """A run on a host on which too much else runs."""

    passes = True


class RunFailedError(LabError):
    """A run that began and is worth nothing: its command did not run, or went beyond what it may use."""


class NoDaemonError(LabError):
    """No daemon answers, so nothing can be recorded."""
