"""Rows of the process table as the processes of the wire.

Owns the mapping from ``model.ROW`` to ``wire.Process``. Refuses to select or order: it describes the rows it gets,
in their order. Invariant: nothing that is not known is invented; a percentage that was never measured is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from msgspec import UNSET, UnsetType

from linnix.cognitod.api import wire
from linnix.cognitod.events import Kind
from linnix.cognitod.model import SEEDED, Rows, tag_names, text

#: cgroup path and systemd unit of a cgroup id, each None where it is not known
Places = Callable[[int], tuple[str | None, str | None]]


class Texts(Protocol):
    """What processes were started with; the process table is one."""

    def filename(self, slot: int) -> str | None:
        """Path of the last exec seen."""
        ...

    def argv(self, slot: int) -> list[str]:
        """Its words, secrets redacted."""
        ...


def event_type(last_kind: int) -> str:
    """Spelling of the last event of a process in answers about processes."""
    return wire.UNKNOWN_EVENT_TYPE if last_kind == SEEDED else wire.EVENT_TYPES[last_kind]


def life(alive: bool, last_kind: int) -> str:
    """``exec`` or ``fork`` after that event, ``running`` when it was there before us, else ``exited``."""
    if not alive:
        return "exited"
    return {Kind.EXEC: "exec", Kind.FORK: "fork"}.get(Kind(last_kind), "running") if last_kind != SEEDED else "running"


def percent(value: float) -> float | UnsetType:
    """Two decimals, or nothing where nothing was measured."""
    return UNSET if math.isnan(value) else round(value, 2)


def describe(rows: Rows, texts: Texts, places: Places, now_ns: int) -> list[wire.Process]:
    """Every row as the wire has it."""
    known = {int(cgroup): places(int(cgroup)) for cgroup in set(rows["cgroup_id"].tolist())}
    names = {bits: list(tag_names(bits)) for bits in set(rows["tags"].tolist())}
    ages = [
        max((exit_ns or now_ns) - first_ns, 0) // 10**9
        for first_ns, exit_ns in zip(rows["first_ns"].tolist(), rows["exit_ns"].tolist(), strict=True)
    ]
    described = []
    for row, age in zip(rows.tolist(), ages, strict=True):
        field = dict(zip(rows.dtype.names or (), row, strict=True))
        cgroup, unit = known[field["cgroup_id"]]
        alive, kind = field["alive"], field["last_kind"]
        described.append(
            wire.Process(
                pid=field["pid"],
                ppid=field["ppid"],
                uid=field["uid"],
                gid=field["gid"],
                comm=text(field["comm"]),
                event_type=event_type(kind),
                cpu_pct=percent(field["cpu_pct"]),
                mem_pct=percent(field["mem_pct"]),
                age_sec=age,
                state=life(alive, kind),
                k8s=None,
                start_ns=field["start_ns"],
                filename=texts.filename(field["slot"]) or None,
                argv=texts.argv(field["slot"]),
                exit_code=UNSET if alive else field["exit_code"],
                exit_signal=UNSET if alive else field["exit_signal"],
                cpu_ns=field["cpu_ns"],
                rss_bytes=field["rss_bytes"],
                max_rss_bytes=field["max_rss_bytes"],
                rss_growth_bytes=field["rss_growth_bytes"],
                threads=field["threads"],
                proc_state=text(field["state"]),
                cgroup=cgroup,
                unit=unit,
                preexisting=field["preexisting"],
                tags=names[field["tags"]],
            )
        )
    return described
