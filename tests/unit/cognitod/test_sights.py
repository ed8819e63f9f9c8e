"""What is kept of the optional probes' readings, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from linnix.cognitod import sights as subject
from linnix.cognitod.host.waits import WaitsReading
from linnix.cognitod.kernel.latency import BOUNDS_NS, COUNTS, HISTOGRAM, LatencyReading
from linnix.cognitod.kernel.oom import OOM, OomReading
from linnix.cognitod.kernel.sockets import SOCKET_COUNTS, SOCKET_KEY, SocketsReading
from linnix.cognitod.kernel.tcp import TCP_COUNTS, TCP_KEY, TCP_KINDS, TcpReading
from linnix.cognitod.model import Finding
from linnix.cognitod.senses import SocketRates, Waits
from linnix.cognitod.sights import (
    MAX_OOMS,
    MAX_OWNERS,
    SOCKETS_HOLD_NS,
    WAITS_HOLD_NS,
    Owner,
    Sights,
    percentile_us,
    together,
)

S = 10**9


def histogram(cgroup: int, **classes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.void]]:
    """``c3=5``: five in the class with number 3."""
    rows = np.zeros(1, HISTOGRAM)
    rows["cgroup_id"] = cgroup
    for name, times in classes.items():
        rows["counts"][0, int(name[1:])] = times
    rows["sum_ns"] = sum(classes.values()) * 1000
    return rows


def give(sights: Sights, reading: object) -> None:
    sights.receivers[type(reading)](reading)


def test_the_recent_histogram_is_that_of_about_ten_seconds_whatever_came_before() -> None:
    sights = Sights()
    for second in range(0, 40, 2):
        rows = histogram(7, c1=second)
        if second >= 34:  # a cgroup that was not there ten seconds ago
            rows = np.concatenate((rows, histogram(9, c2=second - 30)))
        give(sights, LatencyReading("runqueue", second * S, rows))
    found = sights.latencies["runqueue"]

    assert found.window_s == 10.0
    assert together(found.recent())["counts"][:3].tolist() == [0, 10, 8]
    assert together(found.total())["counts"][:3].tolist() == [0, 38, 8]
    assert int(together(found.recent())["sum_ns"]) == 18_000


def test_a_cgroup_whose_counts_moved_to_the_rest_is_no_negative_time() -> None:
    sights = Sights()
    give(sights, LatencyReading("block", 0, np.concatenate((histogram(0), histogram(7, c1=5)))))
    give(sights, LatencyReading("block", S, np.concatenate((histogram(0, c1=5), histogram(7, c1=2)))))

    assert sights.latencies["block"].recent()["counts"][:, 1].tolist() == [5, 0]


@pytest.mark.parametrize(
    ("classes", "percent", "expected"),
    [
        ({}, 50, None),
        ({"c0": 10}, 50, 0.512),
        ({"c1": 4}, 25, 1.28),
        ({"c1": 50, "c3": 50}, 50, 2.048),
        ({"c1": 50, "c3": 50}, 100, 8.192),
        ({f"c{COUNTS - 1}": 1}, 99, BOUNDS_NS[-1] / 1000),
    ],
)
def test_a_percentile_lies_on_a_straight_line_within_its_class(
    classes: dict[str, int], percent: float, expected: float | None
) -> None:
    assert percentile_us(histogram(1, **classes)["counts"][0], percent) == (
        None if expected is None else pytest.approx(expected)
    )


def oom(pid: int, ts_ns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.void]]:
    record = np.zeros(1, OOM)
    record["pid"], record["start_ns"], record["ts_ns"] = pid, 1000 + pid, ts_ns
    record["comm"], record["anon_pages"], record["file_pages"] = b"glutton", 512, 256
    return record


def test_each_kill_is_kept_with_its_time_and_raises_an_alert() -> None:
    raised: list[Finding] = []
    sights = Sights(wall=lambda: 5000.0, clock=lambda: 100 * S, tell=raised.append)
    give(sights, OomReading(oom(41, 97 * S), 3, 1))

    assert [(int(kill.record["pid"]), kill.timestamp) for kill in sights.kills] == [(41, 4997.0)]
    assert (sights.kills_total, sights.kills_lost) == (3, 1)
    assert [(one.cls, one.severity, one.pid, one.start_ns, one.comm, one.timestamp) for one in raised] == [
        ("oom_kill", "high", 41, 1041, "glutton", 4997.0)
    ]
    assert raised[0].message == "the kernel killed pid 41, which held 3 MiB, because memory was used up"


def test_only_the_last_kills_are_kept_and_all_are_counted() -> None:
    sights = Sights()
    for number in range(MAX_OOMS + 7):
        give(sights, OomReading(oom(number, S), number + 1, 0))
    assert (len(sights.kills), sights.kills_total) == (MAX_OOMS, MAX_OOMS + 7)


def tcp(totals: int, *owners: tuple[int, int, int, int]) -> TcpReading:
    """Owners as pid, start, cgroup, and how many retransmits."""
    keys, counts = np.zeros(len(owners), TCP_KEY), np.zeros(len(owners), TCP_COUNTS)
    for at, (pid, start_ns, cgroup, times) in enumerate(owners):
        keys[at] = (start_ns, cgroup, pid, 0)
        counts["counts"][at, 0] = times
    return TcpReading(keys, counts, (totals,) + (0,) * (len(TCP_KINDS) - 1), 0)


def test_what_is_told_by_owner_adds_up_over_readings() -> None:
    sights = Sights()
    give(sights, tcp(5, (41, 1, 7, 2), (42, 1, 7, 3)))
    give(sights, tcp(16, (41, 1, 7, 11)))

    assert {owner: int(counts[0]) for owner, counts in sights.tcp.items()} == {Owner(42, 1, 7): 3, Owner(41, 1, 7): 13}
    assert (sights.tcp_totals[0], sights.tcp_lost) == (16, 0)


def test_owners_that_are_forgotten_stay_in_the_totals() -> None:
    sights = Sights()
    give(sights, tcp(5, (1, 1, 7, 5)))
    give(sights, tcp(5 + MAX_OWNERS, *((pid, 1, 7, 1) for pid in range(2, MAX_OWNERS + 2))))

    assert len(sights.tcp) == MAX_OWNERS
    assert Owner(1, 1, 7) not in sights.tcp
    assert sights.tcp_lost == 5
    assert sum(int(counts[0]) for counts in sights.tcp.values()) + sights.tcp_lost == sights.tcp_totals[0]


def sockets(ts_ns: int, window_ns: int, *rows: tuple[int, int, tuple[int, ...]]) -> SocketsReading:
    """Rows as pid, start, and tx bytes, tx calls, rx bytes, rx calls, connects."""
    keys, counts = np.zeros(len(rows), SOCKET_KEY), np.zeros(len(rows), SOCKET_COUNTS)
    for at, (pid, start_ns, numbers) in enumerate(rows):
        keys[at], counts[at] = (start_ns, pid, 0), numbers
    return SocketsReading(ts_ns, window_ns, keys, counts, 3)


def test_rates_of_sockets_are_of_the_last_window_that_was_looked_at_and_hold_over_a_rest() -> None:
    now = [10 * S]
    sights = Sights(clock=lambda: now[0])
    give(sights, sockets(9 * S, S, (41, 1, (5, 1, 7, 1, 0))))
    give(sights, sockets(10 * S, 2 * S, (42, 2, (300, 20, 50, 10, 4)), (0, 0, (0, 0, 0, 0, 9))))
    told = dict(sights.sockets)
    now[0] += SOCKETS_HOLD_NS
    held = dict(sights.sockets)
    now[0] += 1

    assert told == held == {(42, 2): SocketRates(150.0, 25.0, 10.0, 5.0, 2.0)}
    assert sights.sockets == {}
    assert sights.socket_totals == {"tx_bytes": 305, "tx_calls": 21, "rx_bytes": 57, "rx_calls": 11, "connects": 13}
    assert sights.sockets_lost == 3


def test_waits_are_told_by_identity_and_of_a_pid_alone_if_it_is_known_whose_it_is() -> None:
    now = [10 * S]
    known = {6: (6, 60)}
    sights = Sights(clock=lambda: now[0], identify=known.get)
    waits = {(5, 50): Waits(80.0, 3, 0.0)}
    give(sights, WaitsReading(10 * S, waits, {6: Waits(100.0, 1, None), 7: Waits(100.0, 1, None)}))
    told = dict(sights.waits)
    now[0] += WAITS_HOLD_NS + 1

    assert told == {**waits, (6, 60): Waits(100.0, 1, None)}
    assert sights.waits == {}


def test_the_largest_are_those_with_the_most_entries_and_never_empty() -> None:
    rows = np.concatenate((histogram(1, c1=2), histogram(2), histogram(3, c0=5), histogram(4, c9=1)))
    assert subject.largest(rows, 2)["cgroup_id"].tolist() == [3, 1]
    assert subject.largest(rows, 9)["cgroup_id"].tolist() == [3, 1, 4]
