"""Query parameters made values.

Owns the reading of what a URL carries. Refuses to guess: what is not understood is a 400 that names the parameter, what
came in it and what would have been understood. Parameters nobody asked about are ignored, as in the original.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.requests import Request

from linnix.cognitod.api.errors import RequestError, bad_request

#: include/linux/threads.h, PID_MAX_LIMIT on 64 bits
PID_LIMIT = 1 << 22


def path_pid(request: Request, name: str) -> int:
    """A PID in the path."""
    given = request.path_params[name]
    if not _is_number(given):
        raise bad_request(name, given, "a process id")
    return int(given)


def number(params: Mapping[str, str], name: str) -> int | None:
    """A whole number, 0 or more; None if not given."""
    given = params.get(name)
    if given is None:
        return None
    if not _is_number(given):
        raise bad_request(name, given, "a whole number")
    return int(given)


def words(params: Mapping[str, str], name: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in params.get(name, "").split(",") if part.strip()]


def pids(params: Mapping[str, str], name: str) -> frozenset[int] | None:
    """A list of PIDs; None if not given."""
    parts = words(params, name)
    for part in parts:
        if not _is_number(part) or int(part) > PID_LIMIT:
            raise bad_request(name, part, "process ids, separated by commas")
    return frozenset(map(int, parts)) or None


def choices(params: Mapping[str, str], name: str, known: Iterable[str]) -> frozenset[str] | None:
    """A list of words from ``known``; None if not given."""
    parts = words(params, name)
    known = list(known)
    for part in parts:
        if part not in known:
            raise RequestError(400, f"{name}={part!r}: unknown; valid are {', '.join(known)}")
    return frozenset(parts) or None


def _is_number(given: str) -> bool:
    return given.isascii() and given.isdigit() and len(given) <= 18
