"""Rows of the process table, and events of the recent past, as the processes of the wire.

Owns the mapping from ``model.ROW`` and ``events.EVENT`` to ``wire.Process``. Refuses to select or order: it describes
what it gets, in the order it comes. Invariant: what is not known is left out: an exited process has no percentages.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Protocol

from msgspec import UNSET

from linnix.cognitod.api import wire
from linnix.cognitod.events import ARGV_LEN, Array, Kind
from linnix.cognitod.exec_texts import words
from linnix.cognitod.model import SEEDED, Frames, Home, Rows, tag_names, text

#: Who lives in the cgroup of an id
Places = Callable[[int], Home]


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


def container(home: Home) -> wire.Container | None:
    """The container of a home, None outside of one."""
    return wire.Container(home.container, home.runtime, home.container_name) if home.container else None


def k8s(home: Home) -> wire.K8s | None:
    """The pod of a home, None outside of one and while its name is not known. A pod without a label of its priority is
    ``medium``, as in the original.
    """
    if home.pod is None:
        return None
    return wire.K8s(
        pod_name=home.pod,
        namespace=home.namespace or "",
        container_name=home.container_name or "",
        owner_kind=home.owner_kind,
        owner_name=home.owner_name,
        priority=home.priority or "medium",
        slo_tier=home.slo_tier,
    )


def exec_text(texts: Array, at: int) -> tuple[str | None, list[str]]:
    """Filename and words of an exec, given its index in ``texts``; nothing where its text is not there."""
    if at < 0:
        return None, []
    told = texts[at]
    argv = words(told["argv"].tobytes(), min(int(told["argv_len"]), ARGV_LEN), int(told["argv_total"]))
    return text(bytes(told["filename"])), argv


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
        home = known[field["cgroup_id"]]
        alive, kind = field["alive"], field["last_kind"]
        described.append(
            wire.Process(
                pid=field["pid"],
                ppid=field["ppid"],
                uid=field["uid"],
                gid=field["gid"],
                comm=text(field["comm"]),
                event_type=event_type(kind),
                cpu_pct=round(field["cpu_pct"], 2) if alive else UNSET,
                mem_pct=round(field["mem_pct"], 2) if alive else UNSET,
                age_sec=age,
                state=life(alive, kind),
                k8s=k8s(home),
                priority=home.priority or UNSET,
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
                cgroup=home.cgroup,
                unit=home.unit,
                container=container(home),
                preexisting=field["preexisting"],
                tags=names[field["tags"]],
            )
        )
    return described


def of_events(frames: Frames, places: Places, now_ns: int) -> list[wire.Process]:
    """The process of each event as the event told of it, for ``/context``."""
    events = frames.events
    described = []
    for values, bits, first_ns, text_at in zip(
        events.tolist(), frames.tags.tolist(), frames.first_ns.tolist(), frames.text_at.tolist(), strict=True
    ):
        field = dict(zip(events.dtype.names or (), values, strict=True))
        exited = field["kind"] == Kind.EXIT
        home = places(field["cgroup_id"])
        filename, argv = exec_text(frames.texts, text_at)
        end_ns = field["ts_ns"] if exited else now_ns
        described.append(
            wire.Process(
                pid=field["pid"],
                ppid=field["ppid"],
                uid=field["uid"],
                gid=field["gid"],
                comm=text(field["comm"]),
                event_type=event_type(field["kind"]),
                age_sec=max(end_ns - first_ns, 0) // 10**9 if first_ns else UNSET,
                state=life(not exited, field["kind"]),
                k8s=k8s(home),
                priority=home.priority or UNSET,
                start_ns=field["start_ns"],
                filename=filename,
                argv=argv,
                exit_code=field["exit_code"] if exited else UNSET,
                exit_signal=field["exit_signal"] if exited else UNSET,
                cpu_ns=field["cpu_ns"],
                max_rss_bytes=field["max_rss_pages"] * mmap.PAGESIZE,
                cgroup=home.cgroup,
                unit=home.unit,
                container=container(home),
                tags=list(tag_names(bits)),
            )
        )
    return described
