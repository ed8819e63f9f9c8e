"""Events told from little: messages that only name pids, and scans that only show who is there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from linnix.cognitod.events import Array, Kind
from linnix.cognitod.host.lives import Lives
from linnix.cognitod.host.netlink import Message, What
from linnix.cognitod.host.scan import TICK_NS, Scanner

STAT = "{pid} ({comm}) S {ppid} 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 {tick} 0 0 0\n"


class World:
    """A /proc that can be changed, and what is told of it."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.lives = Lives(Scanner(proc), proc)
        self.now_ns = time.monotonic_ns()
        self.boot_tick = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // TICK_NS

    def put(self, pid: int, ppid: int = 1, comm: str = "x", threads: int = 1, tick: int | None = None) -> None:
        (self.proc / str(pid)).mkdir(exist_ok=True)
        tick = self.boot_tick if tick is None else tick
        text = STAT.format(pid=pid, ppid=ppid, comm=comm, threads=threads, tick=tick)
        (self.proc / str(pid) / "stat").write_text(text)

    def remove(self, pid: int) -> None:
        (self.proc / str(pid) / "stat").unlink()
        (self.proc / str(pid)).rmdir()

    def hear(self, what: What, pid: int, tgid: int | None = None, **rest: int) -> None:
        self.lives.hear([Message(what, self.now_ns, 0, pid, tgid or pid, **rest)])

    def scan(self) -> Array:
        return Scanner(self.proc).scan()

    def told(self) -> list[tuple[Kind, int, int, bytes, int]]:
        events = self.lives.take().events
        return [
            (Kind(int(e["kind"])), int(e["pid"]), int(e["ppid"]), bytes(e["comm"]), int(e["exit_code"])) for e in events
        ]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.put(1, 0, "init", tick=1)
    made.put(10, 1, "shell", tick=5)
    made.lives.seed(made.scan())
    return made


def test_those_that_are_there_at_first_are_no_news(world: World) -> None:
    assert world.told() == []


def test_a_life_is_told_from_fork_to_exit(world: World) -> None:
    world.hear(What.FORK, 20, parent=10)
    world.put(20, 10, "job")
    world.hear(What.EXEC, 20)
    world.remove(20)
    world.hear(What.EXIT, 20, status=0x300, parent=10)

    assert world.told() == [
        (Kind.FORK, 20, 10, b"shell", 0),
        (Kind.EXEC, 20, 10, b"job", 0),
        (Kind.EXIT, 20, 10, b"job", 3),
    ]


def test_a_life_too_short_to_be_looked_up_keeps_its_parents_name(world: World) -> None:
    world.hear(What.FORK, 20, parent=10)
    world.hear(What.EXEC, 20)
    world.hear(What.EXIT, 20, status=9)
    events = world.lives.take().events

    assert events["comm"].tolist() == [b"shell"] * 3
    assert events["exit_signal"].tolist() == [0, 0, 9]
    assert len(set(events["start_ns"].tolist())) == 1
    assert set(events["parent_start_ns"].tolist()) == {5 * TICK_NS}


def test_an_exec_brings_its_text(world: World) -> None:
    world.hear(What.FORK, 20, parent=10)
    world.put(20, 10, "job")
    (world.proc / "20/cmdline").write_bytes(b"job\0-v\0")
    world.hear(What.EXEC, 20)
    batch = world.lives.take()

    assert [bytes(text["argv"])[:7] for text in batch.texts] == [b"job\0-v\0"]
    assert batch.events["text_seq"].tolist() == [0, int(batch.texts["seq"][0])]
    assert batch.events["start_ns"][1] == batch.texts["start_ns"][0]


def test_threads_are_counted_and_not_told(world: World) -> None:
    world.hear(What.FORK, 21, tgid=10, parent=10)
    world.hear(What.EXIT, 21, tgid=10)

    assert world.told() == []
    assert world.lives.threads == 1


def test_a_leader_that_exits_first_is_no_death_until_its_last_thread(world: World) -> None:
    world.put(10, 1, "shell", threads=2, tick=5)
    world.hear(What.EXIT, 10)
    assert world.told() == []
    world.put(10, 1, "shell", threads=1, tick=5)
    world.hear(What.EXIT, 11, tgid=10, status=0x500)

    assert world.told() == [(Kind.EXIT, 10, 1, b"shell", 5)]


def test_a_scan_gives_its_rows_the_start_that_the_events_carried(world: World) -> None:
    world.hear(What.FORK, 20, parent=10)
    told = int(world.lives.take().events["start_ns"][0])
    world.put(20, 10, "job", tick=told // TICK_NS + 1)
    rows = world.scan()
    world.lives.settle(rows)

    assert rows["start_ns"].tolist() == [TICK_NS, 5 * TICK_NS, told]


def test_scans_alone_tell_who_came_who_runs_something_else_and_who_is_gone(world: World) -> None:
    world.put(20, 10, "shell")
    world.put(21, 10, "job")
    world.lives.compare(world.scan(), world.now_ns)
    assert world.told() == [
        (Kind.FORK, 20, 10, b"shell", 0),
        (Kind.FORK, 21, 10, b"job", 0),
        (Kind.EXEC, 21, 10, b"job", 0),
    ]
    world.lives.settle(world.scan())
    world.put(20, 10, "other")
    world.remove(21)
    world.lives.compare(world.scan(), world.now_ns)

    assert world.told() == [(Kind.EXIT, 21, 10, b"job", 0), (Kind.EXEC, 20, 10, b"other", 0)]


def test_a_pid_that_came_back_is_a_death_and_a_birth(world: World) -> None:
    world.put(10, 1, "later", tick=5000)
    world.lives.compare(world.scan(), world.now_ns)

    assert world.told()[:2] == [(Kind.EXIT, 10, 1, b"shell", 0), (Kind.FORK, 10, 1, b"later", 0)]


def test_a_message_about_a_birth_that_a_scan_told_already_is_not_told_twice(world: World) -> None:
    world.put(20, 10, "shell")
    world.lives.compare(world.scan(), world.now_ns)
    world.lives.take()
    world.hear(What.FORK, 20, parent=10)

    assert world.told() == []


def test_the_books_count_what_was_told(world: World) -> None:
    world.hear(What.FORK, 20, parent=10)
    world.hear(What.EXEC, 20)
    world.hear(What.EXIT, 20)

    assert world.lives.produced == {"exec": 1, "fork": 1, "exit": 1, "exec_text": 0, "account": 0}
    assert world.lives.take().texts.tolist() == []
