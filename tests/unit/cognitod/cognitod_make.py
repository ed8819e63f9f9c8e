"""The smallest events, samples and texts that a test needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from linnix.cognitod.events import ARGV_LEN, EVENT, EXEC_TEXT, PROCESS, Array, Batch, Kind

SECOND = 10**9
NO_TEXTS = np.zeros(0, EXEC_TEXT)


def record(dtype: np.dtype, **fields: Any) -> Array:
    """One record; what is not named is zero."""
    one = np.zeros(1, dtype)
    for name, value in fields.items():
        one[name] = value
    return one


def event(kind: Kind, pid: int, ts_ns: int, **fields: Any) -> Array:
    """An event; the process was born at its own ``start_ns``, or when this happened."""
    return record(EVENT, kind=kind, pid=pid, ts_ns=ts_ns, **{"start_ns": ts_ns, "comm": b"work", **fields})


def batch(*events: Array, texts: Array = NO_TEXTS) -> Batch:
    """Events in this order."""
    return Batch(np.concatenate(events) if events else np.zeros(0, EVENT), texts)


def process(pid: int, start_ns: int, **fields: Any) -> Array:
    """A row of a sample."""
    return record(PROCESS, pid=pid, start_ns=start_ns, **{"threads": 1, "state": b"S", "comm": b"work", **fields})


def text(
    pid: int, start_ns: int, seq: int, *words: str, filename: str = "/bin/work", total: int | None = None
) -> Array:
    """What an exec ran."""
    argv = b"".join(word.encode() + b"\0" for word in words)
    return record(
        EXEC_TEXT,
        pid=pid,
        start_ns=start_ns,
        seq=seq,
        filename=filename.encode(),
        filename_len=len(filename),
        argv=np.void(argv[:ARGV_LEN].ljust(ARGV_LEN, b"\0")),
        argv_len=min(len(argv), ARGV_LEN),
        argv_total=total if total is not None else len(argv),
    )
