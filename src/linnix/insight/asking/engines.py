"""Which grammars a model server on this host is known to obey.

Owns a small file for each port, written by whoever started the server and tried it, and read by whoever asks it.
Refuses to try anything: a server without llguidance that is sent Lark ends itself. Invariants: a file is believed only
if it is root's or the reader's own, and the process that it is of still runs; without one GBNF is what is sent.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from linnix.insight.asking.transport import Url

GBNF, LARK, FREE = "gbnf", "lark", "free"

#: Of root's servers; others have theirs where the user's runtime files are.
_SYSTEM = Path("/run/linnix")


def note(port: int, pid: int, grammars: Sequence[str]) -> None:
    """A server on this port, of this process, was found to obey these. Nobody will know where it cannot be written."""
    folder = _own_folder()
    with suppress(OSError):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = folder / f".{port}.{os.getpid()}"
        new.write_text(json.dumps({"pid": pid, "grammars": [name.lower() for name in grammars]}))
        new.rename(_file(folder, port))


def forget(port: int) -> None:
    """The server is gone."""
    with suppress(OSError):
        _file(_own_folder(), port).unlink(missing_ok=True)


def best(url: Url) -> str:
    """The grammar to send there: Lark where it is known to be obeyed, else GBNF."""
    if url.on_loopback:
        for folder in _folders():
            if LARK in _obeyed(_file(folder, url.port)):
                return LARK
    return GBNF


def _obeyed(file: Path) -> list[str]:
    try:
        owner, said = file.stat().st_uid, json.loads(file.read_bytes())
        if owner not in (0, os.geteuid()) or not Path(f"/proc/{int(said['pid'])}").exists():
            return []
        return [str(name) for name in said["grammars"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _file(folder: Path, port: int) -> Path:
    return folder / f"model-{port}.json"


def _folders() -> Iterator[Path]:
    yield _own_folder()
    yield _SYSTEM


def _own_folder() -> Path:
    if named := os.environ.get("LINNIX_RUNTIME_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return _SYSTEM
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "linnix"
    return Path(tempfile.gettempdir()) / f"linnix-{os.geteuid()}"
