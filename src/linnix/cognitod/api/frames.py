"""Events and tag changes as frames of the stream.

Owns the mapping from ``model.Frames`` and ``model.TagChange`` to the bytes that a client reads. Refuses to choose: a
subscription has filtered already. Invariant: frames leave in the order of the arrays, and columns are read once per
chunk, so that 10,000 events a second cost a few percent of a core.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from linnix.cognitod.api import sse, wire
from linnix.cognitod.api.rows import Places, container, exec_text, k8s
from linnix.cognitod.events import Kind
from linnix.cognitod.model import Frames, TagChange, tag_names, text

#: Events in one chunk: small enough that the event loop is never held up for more than a few milliseconds.
CHUNK = 512

_encode = msgspec.json.Encoder().encode


def event_chunks(frames: Frames, places: Places, mem_total_bytes: int) -> Iterator[bytes]:
    """Unnamed frames, up to ``CHUNK`` of them joined."""
    for start in range(0, len(frames), CHUNK):
        part = frames.select(slice(start, start + CHUNK))
        yield b"".join([sse.frame(_encode(event)) for event in _events(part, places, mem_total_bytes)])


def event_lines(frames: Frames, places: Places, mem_total_bytes: int) -> Iterator[bytes]:
    """The same events as lines of JSON, up to ``CHUNK`` of them joined."""
    for start in range(0, len(frames), CHUNK):
        part = frames.select(slice(start, start + CHUNK))
        yield b"".join([_encode(event) + b"\n" for event in _events(part, places, mem_total_bytes)])


def tag_chunks(change: TagChange, places: Places) -> Iterator[bytes]:
    """Frames named ``tag``, up to ``CHUNK`` of them joined."""
    for start in range(0, len(change), CHUNK):
        part = change.select(slice(start, start + CHUNK))
        yield b"".join([sse.frame(_encode(event), wire.TAG_EVENT_NAME) for event in _tag_changes(part, places)])


def _events(frames: Frames, places: Places, mem_total_bytes: int) -> Iterator[wire.Event]:
    events = frames.events
    column = {name: events[name].tolist() for name in events.dtype.names or ()}
    tags = frames.tags.tolist()
    names = {bits: list(tag_names(bits)) for bits in set(tags)}
    seqs, births, text_at = frames.seq.tolist(), frames.first_ns.tolist(), frames.text_at.tolist()
    homes = frames.homes.tolist()
    for at, kind in enumerate(column["kind"]):
        ts_ns = column["ts_ns"][at]
        home = places(column["cgroup_id"][at], homes[at])
        event = wire.Event(
            pid=column["pid"][at],
            ppid=column["ppid"][at],
            uid=column["uid"][at],
            gid=column["gid"][at],
            comm=text(column["comm"][at]),
            event_type=kind,
            event_type_name=wire.STREAM_EVENT_TYPES[kind],
            ts_ns=ts_ns,
            seq=seqs[at],
            exit_time_ns=0,
            cpu_pct_milli=wire.UNKNOWN_MILLI,
            mem_pct_milli=wire.UNKNOWN_MILLI,
            start_ns=column["start_ns"][at],
            cgroup=home.cgroup,
            unit=home.unit,
            container=container(home) or UNSET,
            k8s=k8s(home) or UNSET,
            tags=names[tags[at]],
        )
        if kind == Kind.EXEC:
            event.filename, event.argv = exec_text(frames.texts, text_at[at])
        elif kind == Kind.EXIT:
            event.exit_time_ns = ts_ns
            event.exit_code = column["exit_code"][at]
            event.exit_signal = column["exit_signal"][at]
            event.cpu_ns = cpu_ns = column["cpu_ns"][at]
            event.max_rss_bytes = max_rss_bytes = column["max_rss_pages"][at] * mmap.PAGESIZE
            lifetime_ns = ts_ns - births[at]
            if births[at] and lifetime_ns > 0:
                _set_cpu(event, 100.0 * cpu_ns / lifetime_ns)
            if mem_total_bytes:
                _set_mem(event, 100.0 * max_rss_bytes / mem_total_bytes)
        yield event


def _tag_changes(change: TagChange, places: Places) -> Iterator[wire.Event]:
    names = change.rows.dtype.names or ()
    gained, lost = change.gained.tolist(), change.lost.tolist()
    for at, values in enumerate(change.rows.tolist()):
        row = dict(zip(names, values, strict=True))
        home = places(row["cgroup_id"], row["home"])
        event = wire.Event(
            pid=row["pid"],
            ppid=row["ppid"],
            uid=row["uid"],
            gid=row["gid"],
            comm=text(row["comm"]),
            event_type=wire.TAG_EVENT_TYPE,
            event_type_name=wire.TAG_EVENT_NAME,
            ts_ns=change.ts_ns,
            seq=0,
            exit_time_ns=0,
            cpu_pct_milli=wire.UNKNOWN_MILLI,
            mem_pct_milli=wire.UNKNOWN_MILLI,
            start_ns=row["start_ns"],
            cgroup=home.cgroup,
            unit=home.unit,
            container=container(home) or UNSET,
            k8s=k8s(home) or UNSET,
            tags=list(tag_names(row["tags"])),
            tags_gained=list(tag_names(gained[at])),
            tags_lost=list(tag_names(lost[at])),
        )
        _set_cpu(event, row["cpu_pct"])
        _set_mem(event, row["mem_pct"])
        yield event


def _set_cpu(event: wire.Event, percent: float) -> None:
    event.cpu_percent, event.cpu_pct_milli = round(percent, 2), wire.milli(percent)


def _set_mem(event: wire.Event, percent: float) -> None:
    event.mem_percent, event.mem_pct_milli = round(percent, 2), wire.milli(percent)
