"""Rows of the process table, and events of the recent past, as the processes of the wire.

Owns the mapping from ``model.ROW`` and ``events.EVENT`` to ``wire.Process``. Refuses to select or order: it describes
what it gets, in the order it comes. Invariant: what is not known is left out: an exited process has no percentages.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from linnix.cognitod.api import wire
from linnix.cognitod.events import ARGV_LEN, UNKNOWN_ADJ, UNKNOWN_FILES, Array, Kind
from linnix.cognitod.exec_texts import words
from linnix.cognitod.model import SEEDED, UNKNOWN, UNKNOWN_NICE, USAGE, Frames, Home, Rows, tag_names, text

#: Where somebody lives, by cgroup id and number of a home, as in ROW.
Places = Callable[[int, int], Home]


#: Fields of ROW that are looked at as they are.
_SENT = (
    *("pid", "ppid", "uid", "gid", "comm", "start_ns", "exit_code", "exit_signal", "cpu_ns", "max_rss_bytes"),
    *("rss_bytes", "rss_growth_bytes", "threads", "state", "preexisting", "tags", "alive", "last_kind"),
)
#: How USAGE says that a value is not known, where it does not say UNKNOWN.
_UNKNOWN = {"open_files": UNKNOWN_FILES, "oom_score_adj": UNKNOWN_ADJ, "nice": UNKNOWN_NICE}


class Processes(Protocol):
    """What is known of processes beside their rows; the process table is one."""

    def started_with(self, slots: NDArray[np.intp]) -> tuple[list[str | None], list[list[str]]]:
        """Path and words of the last exec seen, secrets redacted."""
        ...

    def usage(self, slots: NDArray[np.intp]) -> Rows:
        """What they used and hold, dtype USAGE."""
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


def describe(rows: Rows, processes: Processes, places: Places, now_ns: int) -> list[wire.Process]:
    """Every row as the wire has it."""
    return list(map(wire.Process, *_columns(rows, processes, places, now_ns)))


def _columns(rows: Rows, processes: Processes, places: Places, now_ns: int) -> list[list[Any]]:
    """The fields of ``wire.Process`` in its order, each for all rows: no Python per process but where there is text."""
    column = {name: rows[name].tolist() for name in _SENT}
    alive, kinds = column["alive"], column["last_kind"]
    places_of = list(zip(rows["cgroup_id"].tolist(), rows["home"].tolist(), strict=True))
    homes = {place: places(*place) for place in set(places_of)}
    lives = {(lives, kind): life(lives, kind) for lives, kind in set(zip(alive, kinds, strict=True))}
    types = {kind: event_type(kind) for kind in set(kinds)}
    states = {state: text(state) for state in set(column["state"])}
    tags = {bits: list(tag_names(bits)) for bits in set(column["tags"])}
    pods = {place: k8s(home) for place, home in homes.items()}
    containers = {place: container(home) for place, home in homes.items()}
    dead = np.flatnonzero(~rows["alive"]).tolist()
    slots = rows["slot"].astype(np.intp)
    filenames, argvs = processes.started_with(slots)
    ended_ns = np.where(rows["exit_ns"] > 0, rows["exit_ns"], now_ns).astype(np.int64)
    age_s = np.maximum(ended_ns - rows["first_ns"].astype(np.int64), 0) // 10**9
    return [
        column["pid"],
        column["ppid"],
        column["uid"],
        column["gid"],
        [name.decode("utf-8", "replace") for name in column["comm"]],  # model.text, without its call
        [types[kind] for kind in kinds],
        _of_living(_rounded(rows["cpu_pct"]), dead),
        _of_living(_rounded(rows["mem_pct"]), dead),
        age_s.tolist(),
        [lives[key] for key in zip(alive, kinds, strict=True)],
        [pods[place] for place in places_of],
        [homes[place].priority or UNSET for place in places_of],
        column["start_ns"],
        [filename or None for filename in filenames],
        argvs,
        _of_dead(column["exit_code"], dead),
        _of_dead(column["exit_signal"], dead),
        column["cpu_ns"],
        column["max_rss_bytes"],
        column["rss_bytes"],
        column["rss_growth_bytes"],
        column["threads"],
        [states[state] for state in column["state"]],
        [homes[place].cgroup for place in places_of],
        [homes[place].unit for place in places_of],
        [containers[place] for place in places_of],
        column["preexisting"],
        [tags[bits] for bits in column["tags"]],
        *_used(processes.usage(slots), dead),
    ]


def _used(usage: Rows, dead: list[int]) -> Iterator[list[Any]]:
    """The fields of USAGE in its order, which is that of ``wire.Process``; null for what is not known."""
    for name in USAGE.names or ():
        if name == "_pad":
            continue
        column = usage[name]
        if column.dtype.kind == "f":
            yield _of_living(_but(_rounded(column), np.isnan(column)), dead)
        else:
            yield _but(column.tolist(), column == _UNKNOWN.get(name, UNKNOWN))


def _rounded(column: NDArray[Any]) -> list[float]:
    rounded: list[float] = column.astype(np.float64).round(2).tolist()
    return rounded


def _but(values: list[Any], unknown: NDArray[np.bool_]) -> list[Any]:
    for at in np.flatnonzero(unknown).tolist():
        values[at] = None
    return values


def _of_living(values: list[Any], dead: list[int]) -> list[Any]:
    for at in dead:
        values[at] = UNSET
    return values


def _of_dead(values: list[Any], dead: list[int]) -> list[Any]:
    told: list[Any] = [UNSET] * len(values)
    for at in dead:
        told[at] = values[at]
    return told


def of_events(frames: Frames, places: Places, now_ns: int) -> list[wire.Process]:
    """The process of each event as the event told of it, for ``/context``."""
    events = frames.events
    described = []
    columns = (frames.tags.tolist(), frames.first_ns.tolist(), frames.text_at.tolist(), frames.homes.tolist())
    for values, bits, first_ns, text_at, number in zip(events.tolist(), *columns, strict=True):
        field = dict(zip(events.dtype.names or (), values, strict=True))
        exited = field["kind"] == Kind.EXIT
        home = places(field["cgroup_id"], number)
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
