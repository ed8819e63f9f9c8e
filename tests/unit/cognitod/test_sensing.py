"""What instruments told becomes rates of now, and is not told any more once they are silent."""

from __future__ import annotations

from typing import Any

import numpy as np
from test_sights import give, histogram, sockets, tcp

from linnix.cognitod.blame.books import Blame
from linnix.cognitod.blame.meter import BlameReading
from linnix.cognitod.events import ACCOUNT, EVENT, EXEC_TEXT, PROCESS, Batch, Kind
from linnix.cognitod.host.blocked import BlockedReading
from linnix.cognitod.host.blocked import Stuck as Thread
from linnix.cognitod.host.filesystems import Filesystem, FilesystemsReading, Mount
from linnix.cognitod.host.waits import WaitsReading
from linnix.cognitod.kernel.latency import LatencyReading
from linnix.cognitod.kernel.syncs import SYNC_KEY, SyncsReading
from linnix.cognitod.model import Home, Snapshot
from linnix.cognitod.processes import Table
from linnix.cognitod.senses import Senses, SocketRates, Space, Stuck, SyncRates, Waits
from linnix.cognitod.sensing import Sensing, Syncing
from linnix.cognitod.sights import Sights

S = 10**9
MIB = 1 << 20
GIB = 1 << 30


class Host:
    """Sights that are given readings, and asked once a second."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.sights, self.blame = Sights(clock=lambda: self.now_ns), Blame()
        self.table = Table()
        self.sensing = Sensing(self.sights, self.blame, self.table, lambda *_: Home())

    def at(self, second: float, *readings: object) -> Senses:
        self.now_ns = int(second * S)
        for reading in readings:
            give(self.sights, reading)
        return self.sensing(Snapshot(timestamp=1e9 + second, ts_ns=int(second * S)))


def test_a_host_without_instruments_tells_nothing() -> None:
    assert Host().at(1) == Senses()


def test_what_sockets_moved_and_threads_wait_for_is_passed_on_while_it_holds() -> None:
    host = Host()
    moved, waiting = sockets(S, S, (42, 2, (300, 20, 50, 10, 4))), WaitsReading(S, {(5, 50): Waits(80.0, 3, 0.0)}, {})
    told = host.at(1, moved, waiting)

    assert told.sockets == {(42, 2): SocketRates(300.0, 50.0, 20.0, 10.0, 4.0)}
    assert told.waits == {(5, 50): Waits(80.0, 3, 0.0)}
    assert host.at(60) == Senses()


def disk(used: int, size: int = 100 * GIB, point: bytes = b"/srv", **more: Any) -> Filesystem:
    mount = Mount("8:1", point, "ext4", b"/dev/sda1", more.pop("read_only", False))
    return Filesystem(mount, size, used, size - used, more.get("inodes"), more.get("inodes_used"))


def spaces(*readings: tuple[float, Filesystem]) -> list[tuple[Space, ...]]:
    host = Host()
    return [host.at(at, FilesystemsReading(int(at * S), (one,))).spaces for at, one in readings]


def test_a_file_system_that_fills_is_told_after_ten_seconds_if_it_would_be_full_soon() -> None:
    filling = [(5.0 * n, disk(40 * GIB + 5 * n * 128 * MIB)) for n in range(4)]
    told = spaces(*filling)
    used = 40 * GIB + 15 * 128 * MIB
    assert told[:2] == [(), ()]
    assert told[3] == (Space("/srv", used / GIB, 100 * GIB - used, None, 128.0 * MIB),)

    for slowly in (32 * MIB, MIB // 2):  # in more than half an hour, or nothing to speak of
        assert spaces(*((5.0 * n, disk(40 * GIB + 5 * n * slowly)) for n in range(4)))[3] == ()


def test_a_file_system_that_is_nearly_full_is_told_at_once_and_so_is_one_out_of_inodes() -> None:
    assert spaces((5, disk(80 * GIB))) == [(Space("/srv", 80.0, 20 * GIB, None, 0.0),)]
    assert spaces((5, disk(GIB, inodes=1000, inodes_used=990))) == [(Space("/srv", 1.0, 99 * GIB, 99.0, 0.0),)]
    assert spaces((5, disk(79 * GIB))) == [()]
    assert spaces((5, disk(99 * GIB, read_only=True))) == [()]


def test_a_file_system_that_is_not_read_any_more_is_not_told() -> None:
    host = Host()
    assert len(host.at(5, FilesystemsReading(5 * S, (disk(99 * GIB),))).spaces) == 1
    assert host.at(25).spaces == ()


def born(table: Table, *people: tuple[int, int]) -> None:
    """Pid and parent; they started at a thousand times their pid."""
    rows = np.zeros(len(people), PROCESS)
    for at, (pid, ppid) in enumerate(people):
        rows[at]["pid"], rows[at]["ppid"], rows[at]["start_ns"] = pid, ppid, 1000 * pid
    table.sample(rows, S, GIB)


def ends(table: Table, *pids: int) -> None:
    events = np.zeros(len(pids), EVENT)
    for at, pid in enumerate(pids):
        events[at]["kind"], events[at]["pid"], events[at]["start_ns"], events[at]["ts_ns"] = (
            Kind.EXIT,
            pid,
            1000 * pid,
            S,
        )
    table.update(Batch(events, np.zeros(0, EXEC_TEXT), np.zeros(0, ACCOUNT)))


def synced(second: int, window_s: int, calls: dict[int, int]) -> SyncsReading:
    keys = np.zeros(len(calls), SYNC_KEY)
    keys["pid"], keys["start_ns"] = list(calls), [1000 * pid for pid in calls]
    return SyncsReading(second * S, window_s * S, keys, np.array(list(calls.values()), np.uint64), 0, 0)


def test_syncs_are_of_who_lives_and_else_of_its_nearest_forebear_that_does() -> None:
    table = Table()
    born(table, (2, 1), (3, 2), (4, 3), (5, 2))
    ends(table, 3, 4)
    syncing = Syncing(table)

    assert syncing.at(S, None) == {}
    told = [syncing.at(S, synced(1, 2, {4: 70, 3: 10, 5: 30, 99: 1000}))]
    told += [syncing.at(second * S, synced(second, 1, {})) for second in range(2, 12)]
    assert told[0] == {(2, 2000): SyncRates(None, 8.0), (5, 5000): SyncRates(15.0, 0.0)}
    assert told[1:10] == [{(2, 2000): SyncRates(None, 8.0)}] * 9
    assert told[10] == {}


def test_who_was_told_of_while_it_lived_is_not_told_again_of_its_parent() -> None:
    table = Table()
    born(table, (2, 1), (3, 2))
    syncing = Syncing(table)

    assert syncing.at(S, synced(1, 1, {3: 500})) == {(3, 3000): SyncRates(500.0, 0.0)}
    ends(table, 3)
    assert syncing.at(2 * S, synced(2, 1, {3: 400})) == {}


def test_syncs_are_told_as_they_were_read_last() -> None:
    host = Host()
    born(host.table, (3, 1))

    assert host.at(1, synced(1, 1, {3: 7})).syncs == {(3, 3000): SyncRates(7.0, 0.0)}
    assert host.at(2, synced(2, 2, {3: 8})).syncs == {(3, 3000): SyncRates(4.0, 0.0)}


def test_syncs_that_are_not_read_any_more_are_not_told() -> None:
    table = Table()
    born(table, (3, 1))
    syncing, reading = Syncing(table), synced(1, 1, {3: 5})

    assert [syncing.at(second * S, reading) for second in (1, 4, 5)] == [{(3, 3000): SyncRates(5.0, 0.0)}] * 2 + [{}]


def thread(pid: int, since: float, wchan: str = "", stack: tuple[str, ...] = ()) -> Thread:
    return Thread(pid, pid + 1, 1000 + pid, b"w", 7, int(since * S), wchan, stack)


def test_a_process_is_stuck_for_as_long_as_its_longest_stuck_thread() -> None:
    threads = (thread(40, 10, "io_schedule"), thread(50, 12, stack=("folio_wait_bit+0x80/0x120",)), thread(40, 15))
    host = Host()
    assert host.at(21, BlockedReading(20 * S, threads, 3)).stuck == {
        (40, 1040): Stuck(10.0, "io_schedule"),
        (50, 1050): Stuck(8.0, "folio_wait_bit"),
    }
    assert host.at(31).stuck == {}


def test_tcp_trouble_is_a_rate_over_ten_seconds_of_those_who_had_any() -> None:
    host = Host()
    told = [host.at(0, tcp(100, (41, 1, 7, 50), (42, 1, 7, 50))).tcp_failures_per_s]
    told += [host.at(1, tcp(120, (41, 1, 7, 15), (41, 1, 8, 5))).tcp_failures_per_s]
    told += [host.at(second).tcp_failures_per_s for second in range(2, 14)]

    assert told[:3] == [{}, {(41, 1): 20.0}, {(41, 1): 10.0}]
    assert told[10] == {(41, 1): 2.0}
    assert told[11:] == [{}, {}, {}]


def test_trouble_that_has_no_owner_is_nobodys() -> None:
    host = Host()
    host.at(0, tcp(0))
    assert host.at(1, tcp(9, (0, 0, 0, 9))).tcp_failures_per_s == {}


def test_a_latency_is_told_while_it_is_read() -> None:
    host = Host()
    readings = [LatencyReading("runqueue", second * S, histogram(7, c3=second)) for second in (0, 5, 10)]
    told = [host.at(reading.ts_ns / S, reading).runqueue_p99_us for reading in readings]
    assert told[0] is None
    assert [round(p99 or 0.0, 1) for p99 in told[1:]] == [8.2, 8.2]
    assert (host.at(26).runqueue_p99_us is None, host.at(27).runqueue_p99_us) == (False, None)
    assert host.at(27).block_io_p99_us is None


def test_blame_is_said_to_be_measured_while_a_meter_is_attached() -> None:
    host = Host()
    engaged = BlameReading(resource="io", epoch=1, begin_ns=S, end_ns=S, wall_offset_ns=10**18)
    host.blame.on_reading(engaged)
    assert host.at(1).measures_blame == ("io",)
    host.blame.on_reading(
        BlameReading(resource="io", epoch=1, begin_ns=S, end_ns=2 * S, wall_offset_ns=10**18, last=True)
    )
    assert host.at(2).measures_blame == ()
