"""Who stood behind an OOM kill: noted while it can be told, and told for ten minutes."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from cognitod_make import SECOND, batch, event, process
from test_sights import oom

from linnix.cognitod.events import Kind
from linnix.cognitod.kills import Kills
from linnix.cognitod.model import Home, Snapshot
from linnix.cognitod.processes import Table
from linnix.cognitod.senses import Kill
from linnix.cognitod.sights import Kill as Seen

MIB = 1 << 20
GIB = 1 << 30
#: What the record of ``test_sights`` held.
HELD = 768 * mmap.PAGESIZE


class Host:
    """A parent (30), its child that will be killed (41), and an innocent (60)."""

    def __init__(self) -> None:
        self.table = Table()
        self.kills = Kills(self.table, lambda pid, *_: Home(cgroup="/app" if pid < 60 else "/other"))
        self.seen: list[Seen] = []
        self.now_s = 0

    def second(self, *more: np.ndarray, victim: bool = True, available: int = GIB, until: int = 0) -> tuple[Kill, ...]:
        """A second, or as many as lead to ``until``."""
        self.now_s = max(self.now_s + 1, until)
        rows = [process(1, 1), process(30, 5, ppid=1, comm=b"keeper"), process(60, 6, ppid=1, comm=b"calm")]
        rows += [process(41, 1041, ppid=30, comm=b"glutton", rss_bytes=HELD)] if victim else []
        self.table.sample(np.concatenate([*rows, *more]), self.now_s * SECOND, 16 * GIB)
        return self.kills.at(
            Snapshot(
                timestamp=0.0,
                ts_ns=self.now_s * SECOND,
                mem_total_bytes=16 * GIB,
                mem_available_bytes=available,
            ),
            self.seen,
        )

    def kill(self) -> None:
        """In the middle of the next second."""
        ts_ns = self.now_s * SECOND + SECOND // 2
        self.seen.append(Seen(oom(41, ts_ns)[0], 0.0))
        self.table.update(batch(event(Kind.EXIT, 41, ts_ns, start_ns=1041, ppid=30, parent_start_ns=5, exit_signal=9)))


def told(**changed: Any) -> Kill:
    known: dict[str, Any] = {
        "victim": (41, 1041),
        "comm": "glutton",
        "age_s": 0.5,
        "rss_bytes": HELD,
        "parent": (30, 5),
        "largest": (41, 1041),
        "cgroup": "/app",
        "limit": "host",
    }
    return Kill(**{**known, **changed})


def test_a_kill_is_told_with_the_parent_of_its_victim_for_ten_minutes() -> None:
    host = Host()
    assert host.second() == ()
    host.kill()
    assert host.second(victim=False) == (told(),)
    assert host.second(victim=False, until=400) == (told(age_s=398.5),)  # the table has forgotten the victim by now
    assert host.second(victim=False, until=601) == (told(age_s=599.5),)
    assert host.second(victim=False) == ()


def test_what_the_parent_starts_in_the_victims_place_is_the_next_to_blame() -> None:
    host = Host()
    host.second()
    host.kill()
    host.second(victim=False)
    again = process(42, 9000, ppid=30, comm=b"glutton", rss_bytes=MIB)
    helper = process(43, 9001, ppid=30, comm=b"helper", rss_bytes=GIB)
    assert [kill.largest for kill in host.second(again, helper, victim=False)] == [(42, 9000)]


def test_who_grew_more_than_half_of_what_the_victim_held_is_to_blame_and_stays_it() -> None:
    host = Host()
    for second in range(20):
        host.second(process(50, 7, ppid=1, comm=b"leak", rss_bytes=second * 8 * MIB))
    host.kill()
    assert [kill.largest for kill in host.second(process(50, 7, ppid=1, rss_bytes=GIB), victim=False)] == [(50, 7)]
    assert [kill.largest for kill in host.second(victim=False)] == [(50, 7)]


def test_a_host_with_room_did_not_kill_for_itself() -> None:
    host = Host()
    host.second(available=2 * GIB)
    host.kill()
    assert [kill.limit for kill in host.second(victim=False, available=0)] == ["cgroup"]


def test_who_grows_in_another_group_did_not_use_up_what_this_one_may_have() -> None:
    for pid, blamed in ((50, (50, 7)), (70, (41, 1041))):
        host = Host()
        for second in range(20):
            host.second(process(pid, 7, ppid=1, rss_bytes=second * 8 * MIB), available=8 * GIB)
        host.kill()
        told_now = host.second(process(pid, 7, ppid=1, rss_bytes=GIB), victim=False)
        assert [(kill.limit, kill.largest) for kill in told_now] == [("cgroup", blamed)]


def test_a_kill_of_which_nothing_else_is_known_is_told_all_the_same() -> None:
    host = Host()
    host.seen.append(Seen(oom(41, SECOND // 2)[0], 0.0))
    assert host.second(victim=False) == (told(parent=None),)
