"""Golden frames of the stream, byte for byte."""

from __future__ import annotations

import mmap
from typing import Any

import msgspec
import numpy as np

from linnix.cognitod.api import frames
from linnix.cognitod.events import EVENT, EXEC_TEXT, Kind
from linnix.cognitod.model import ROW, Frames, Home, Tag, TagChange

GIB = 1 << 30


def places(cgroup_id: int, _number: int) -> Home:
    return Home(cgroup="/system.slice/cron.service", unit="cron.service") if cgroup_id == 7 else Home()


def event(kind: Kind, **fields: Any) -> Any:
    made = np.zeros(1, EVENT)
    values = {"pid": 200, "ppid": 100, "uid": 1000, "gid": 1001, "ts_ns": 5_000, "start_ns": 900, "comm": b"sh"}
    for name, value in {**values, "kind": int(kind), **fields}.items():
        made[name] = value
    return made


def one(events: Any, *, tags: int = 0, birth_ns: int = 0, text: Any = None) -> Frames:
    texts = np.zeros(0, EXEC_TEXT) if text is None else text
    return Frames(
        events,
        np.array([41], np.uint64),
        np.array([tags], np.uint32),
        np.array([birth_ns], np.uint64),
        np.array([-1 if text is None else 0], np.int32),
        texts,
        np.zeros(1, np.uint32),
    )


def encoded(given: Frames, mem_total_bytes: int = GIB) -> bytes:
    return b"".join(frames.event_chunks(given, places, mem_total_bytes))


HEAD = b'"uid":1000,"gid":1001,'
UNKNOWN = b'"exit_time_ns":0,"cpu_pct_milli":65535,"mem_pct_milli":65535,'
ZEROS = b'"data":0,"data2":0,"aux":0,"aux2":0,"start_ns":900,'


def test_a_fork_is_an_unnamed_frame_in_the_order_of_the_original() -> None:
    assert encoded(one(event(Kind.FORK, cgroup_id=7))) == (
        b'data: {"pid":200,"ppid":100,' + HEAD + b'"comm":"sh","event_type":1,"event_type_name":"fork",'
        b'"ts_ns":5000,"seq":41,' + UNKNOWN + ZEROS + b'"cgroup":"/system.slice/cron.service","unit":"cron.service",'
        b'"tags":[]}\n\n'
    )


def test_an_exec_says_what_it_ran() -> None:
    text = np.zeros(1, EXEC_TEXT)
    text["filename"], text["filename_len"] = b"/bin/sh", 7
    argv = b"sh\0-c\0true\0"
    text["argv"] = np.frombuffer(argv.ljust(256, b"\0"), "V256")
    text["argv_len"] = text["argv_total"] = len(argv)
    assert encoded(one(event(Kind.EXEC), text=text)) == (
        b'data: {"pid":200,"ppid":100,' + HEAD + b'"comm":"sh","event_type":0,"event_type_name":"exec",'
        b'"ts_ns":5000,"seq":41,' + UNKNOWN + ZEROS + b'"filename":"/bin/sh","argv":["sh","-c","true"],'
        b'"cgroup":null,"unit":null,"tags":[]}\n\n'
    )


def test_an_exec_whose_text_was_lost_says_so_with_null() -> None:
    assert b'"filename":null,"argv":[],' in encoded(one(event(Kind.EXEC)))


def test_an_exit_says_how_it_ended_and_what_it_used() -> None:
    ended = event(Kind.EXIT, exit_code=127, cpu_ns=2_000, max_rss_pages=GIB // mmap.PAGESIZE // 4)
    assert encoded(one(ended, tags=int(Tag.SHORT_LIVED | Tag.FAILED_EXIT), birth_ns=1_000)) == (
        b'data: {"pid":200,"ppid":100,' + HEAD + b'"comm":"sh","event_type":2,"event_type_name":"exit",'
        b'"ts_ns":5000,"seq":41,"exit_time_ns":5000,"cpu_pct_milli":50000,"mem_pct_milli":25000,'
        b'"cpu_percent":50.0,"mem_percent":25.0,' + ZEROS + b'"exit_code":127,"exit_signal":0,"cpu_ns":2000,'
        b'"max_rss_bytes":268435456,"cgroup":null,"unit":null,"tags":["short_lived","failed_exit"]}\n\n'
    )


def test_more_than_sixteen_bits_of_cpu_is_clamped_in_one_field_and_true_in_the_other() -> None:
    busy = encoded(one(event(Kind.EXIT, cpu_ns=10_000), birth_ns=1_000))
    assert b'"cpu_pct_milli":65534,' in busy
    assert b'"cpu_percent":250.0,' in busy


def test_an_exit_of_a_process_of_unknown_age_claims_no_cpu() -> None:
    unknown = encoded(one(event(Kind.EXIT, cpu_ns=10_000)), mem_total_bytes=0)
    assert b'"cpu_pct_milli":65535,"mem_pct_milli":65535,"data":0' in unknown


def test_a_hostile_name_cannot_end_its_frame() -> None:
    hostile = encoded(one(event(Kind.FORK, comm=b'\n\ndata: {}\x1b[2J"\xff')))
    assert hostile.count(b"\n") == 2
    assert b'"comm":"\\n\\ndata: {}\\u001b[2J\\"' in hostile


def test_bytes_that_are_not_utf8_become_the_replacement_character() -> None:
    assert '"comm":"a\ufffdb"'.encode() in encoded(one(event(Kind.FORK, comm=b"a\xffb")))


def test_a_tag_change_is_a_named_frame_that_an_original_client_can_parse_too() -> None:
    rows = np.zeros(1, ROW)
    for name, value in {"pid": 9, "ppid": 1, "start_ns": 900, "comm": b"hog", "tags": int(Tag.HIGH_CPU)}.items():
        rows[name] = value
    rows["cpu_pct"], rows["mem_pct"] = 99.5, 1.25
    change = TagChange(7_000, rows, np.array([Tag.HIGH_CPU], np.uint32), np.array([Tag.SHORT_LIVED], np.uint32))
    assert b"".join(frames.tag_chunks(change, places)) == (
        b'event: tag\ndata: {"pid":9,"ppid":1,"uid":0,"gid":0,"comm":"hog","event_type":1000,"event_type_name":"tag",'
        b'"ts_ns":7000,"seq":0,"exit_time_ns":0,"cpu_pct_milli":65534,"mem_pct_milli":1250,"cpu_percent":99.5,'
        b'"mem_percent":1.25,' + ZEROS + b'"cgroup":null,"unit":null,"tags":["high_cpu"],'
        b'"tags_gained":["high_cpu"],"tags_lost":["short_lived"]}\n\n'
    )


def test_a_long_batch_leaves_in_chunks_and_in_order() -> None:
    n = 2 * frames.CHUNK + 1
    events = np.zeros(n, EVENT)
    events["pid"] = np.arange(n)
    events["kind"] = Kind.FORK
    numbers = np.arange(n)
    batch = Frames(
        events,
        numbers.astype(np.uint64),
        np.zeros(n, np.uint32),
        np.zeros(n, np.uint64),
        np.full(n, -1, np.int32),
        np.zeros(0, EXEC_TEXT),
        np.zeros(n, np.uint32),
    )
    chunks = list(frames.event_chunks(batch, places, GIB))
    assert [chunk.count(b"data: ") for chunk in chunks] == [frames.CHUNK, frames.CHUNK, 1]
    told = [msgspec.json.decode(line[6:])["pid"] for line in b"".join(chunks).split(b"\n\n") if line]
    assert told == list(range(n))


def test_lines_of_a_file_are_the_same_objects_without_the_framing() -> None:
    fork = one(event(Kind.FORK))
    assert b"".join(frames.event_lines(fork, places, GIB)) == encoded(fork).removeprefix(b"data: ")[:-1]
