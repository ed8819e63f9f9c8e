"""What llama.cpp prints: kept, bounded, and at hand when the process dies.

Owns the pipe from the child's standard error. Refuses to let the log grow: two files of 1 MiB at most. Invariant: the
pipe is always read, so that the child never stalls on a full one, whether the log can be written or not.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

MAX_BYTES = 1 << 20
_TAIL_LINES = 40


class ChildLog:
    """Reads a child's output in a thread of its own; the last lines stay in memory, the rest goes to ``path``."""

    def __init__(self, path: Path | None, echo: bool) -> None:
        self.path = path
        self._echo = echo
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._file: IO[bytes] | None = None
        self._thread: threading.Thread | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._open(path)
            except OSError:
                self.path = None  # the tail in memory is what an error message needs; a log file is a convenience

    def follow(self, pipe: IO[bytes]) -> None:
        """Start reading ``pipe`` until it ends."""
        self._thread = threading.Thread(target=self._read, args=(pipe,), name="llama-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the pipe's end and close the file."""
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        if self._file is not None:
            self._file.close()
            self._file = None

    def last_lines(self, count: int) -> list[str]:
        """The last lines printed, oldest first."""
        if self._thread is not None:
            self._thread.join(timeout=0.2)  # after a death the pipe's end is near; its last words matter most
        return list(self._tail)[-count:]

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._tail.append(line.decode("utf-8", "replace").rstrip())
                if self._echo:
                    sys.stderr.write(self._tail[-1] + "\n")
                self._write(line)

    def _write(self, line: bytes) -> None:
        if self._file is None or self.path is None:
            return
        try:
            if self._file.tell() + len(line) > MAX_BYTES:
                self._file.close()
                self._open(self.path)
            self._file.write(line)
        except (OSError, ValueError):  # a full disk, or closed under us at the end: go on reading without a file
            self._file = None

    def _open(self, path: Path) -> None:
        """Begin a log file; the one before stays as ``NAME.1``."""
        if path.exists():
            path.replace(path.with_name(path.name + ".1"))
        self._file = path.open("wb", buffering=0)
