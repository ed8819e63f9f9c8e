"""Who is named beside those with most CPU and memory, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from detect_world import MIB, S

from linnix.cognitod.detect.chosen import MAX_PROCESSES, choose
from linnix.cognitod.detect.growing import Growing
from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.events import UNKNOWN_FILES
from linnix.cognitod.model import ROW, USAGE
from linnix.cognitod.senses import Identity, Kill, Senses, SocketRates, Space, Stall, Stuck, SyncRates, Waits

QUIET = {"open_files": UNKNOWN_FILES}


def host(*people: dict[str, Any], **told: Any) -> Moment:
    """Processes by columns of ROW and USAGE, children of pid 1 unless they say otherwise; ``told`` is of Senses."""
    rows, usage = np.zeros(len(people) + 1, ROW), np.zeros(len(people) + 1, USAGE)
    for at, columns in enumerate(({"pid": 1}, *people)):
        given = {"ppid": 1, "alive": True, "state": b"S", "threads": 1, "start_ns": columns["pid"], **QUIET, **columns}
        for name, value in given.items():
            (rows if name in (ROW.names or ()) else usage)[at][name] = value
    return Moment.of(rows, usage, Senses(**told))


def named(moment: Moment, *culprits: int) -> list[int]:
    return [int(moment.rows["pid"][place]) for place in choose(moment, [who(pid) for pid in culprits])]


def who(pid: int) -> Identity:
    return pid, pid


@pytest.mark.parametrize(
    ("name", "enough", "too_little"),
    [
        ("read_bytes_per_s", 256 * 1024, 200 * 1024),
        ("write_bytes_per_s", 256 * 1024, np.nan),
        ("open_files", 64, 63),
        ("voluntary_switches_per_s", 100, 99),
        ("run_delay_pct", 5, 4),
        ("swap_bytes", 8 * MIB, 7 * MIB),
        ("threads", 16, 15),
        ("failed_children", 2, 1),
        ("child_exits", 5, 4),
        ("rss_growth_bytes", 8 * MIB, 7 * MIB),
    ],
)
def test_the_three_that_stand_out_by_a_measure_are_named(name: str, enough: float, too_little: float) -> None:
    people = [{"pid": pid, name: enough + pid} for pid in (10, 11, 12, 13)]
    assert named(host({"pid": 9, name: too_little}, *people)) == [13, 12, 11]
    assert named(host({"pid": 9, name: too_little})) == []


@pytest.mark.parametrize(
    "told",
    [
        {"sockets": {who(10): SocketRates(60e3, 60e3, 1, 1, 0), who(11): SocketRates(50e3, 50e3, 1, 1, 0)}},
        {"sockets": {who(10): SocketRates(0, 0, 0, 0, 100), who(11): SocketRates(0, 0, 49, 50, 0)}},
        {"waits": {who(10): Waits(10, None, None), who(11): Waits(9, None, None)}},
        {"waits": {who(10): Waits(None, None, 10), who(11): Waits(None, None, 9)}},
        {"waits": {who(10): Waits(None, 2, None), who(11): Waits(0, 1, 0)}},
        {"syncs": {who(10): SyncRates(2.0, 3.0), who(11): SyncRates(None, 4.9)}},
        {"tcp_failures_per_s": {who(10): 1.0, who(11): 0.9}},
        {"stuck": {who(10): Stuck(5.0, None), who(99): Stuck(50.0, None)}},
    ],
)
def test_whoever_an_instrument_tells_enough_of_is_named(told: dict[str, Any]) -> None:
    assert named(host({"pid": 10}, {"pid": 11}, **told)) == [10]


def test_all_parties_of_what_went_wrong_are_named() -> None:
    stall = Stall("cpu", who(10), who(11), "measured", 100, 100, 1.0, 10.0, False)
    kill = Kill(who(20), "glutton", 5.0, 1, who(21), who(22), None, "host")
    people = [{"pid": pid} for pid in (10, 11, 12, 21, 22)]
    writer = {"pid": 30, "write_bytes_per_s": 65_536.0}
    dead = {"pid": 20, "alive": False, "state": b"X"}

    assert named(host(*people, dead, stalls=(stall,), kills=(kill,))) == [10, 11, 21, 22, 20]
    assert named(host(*people, writer, spaces=(Space("/", 99.0, 1, None, 0.0),))) == [30]
    assert named(host(*people, writer)) == []


def test_the_root_of_a_great_tree_is_named_and_not_what_stands_above_it() -> None:
    below = [{"pid": 100 + n, "ppid": 30, "start_ns": 100 + n} for n in range(8)]
    assert named(host({"pid": 10}, {"pid": 20, "ppid": 10}, {"pid": 30, "ppid": 20}, *below)) == [30, 20, 10]
    assert named(host({"pid": 10}, {"pid": 30, "ppid": 10}, *below[:7])) == []


@pytest.mark.parametrize(("name", "enough"), [("open_files", 16), ("threads", 6)])
def test_who_grows_is_named_beside_three_that_have_more(name: str, enough: int) -> None:
    large = [{"pid": pid, name: 5000 + pid} for pid in (10, 11, 12)]
    growing = Growing()

    def at(second: int, *values: int) -> list[int]:
        small = [{"pid": pid, name: value} for pid, value in enumerate(values, 20)]
        moment = host(*large, *small)
        return named(replace(moment, grown=growing.observe(moment, second * S)))

    assert at(0, 5, 5) == [12, 11, 10]
    assert at(5, 5 + enough, 4 + enough) == [12, 20, 11, 10]
    assert at(10, 5 + enough, 4 + enough) == [12, 20, 11, 10]
    assert at(20, 5 + enough, 4 + enough) == [12, 11, 10]


def test_a_process_that_was_not_there_and_a_count_that_is_not_told_have_not_grown() -> None:
    growing = Growing()
    growing.observe(host({"pid": 10, "open_files": 9}, {"pid": 11}, {"pid": 12, "open_files": 9}), 0)
    later = host({"pid": 10, "open_files": 80}, {"pid": 11, "open_files": 80}, {"pid": 12}, {"pid": 13, "threads": 90})
    below = [{"pid": 50 + n, "ppid": 10, "start_ns": 50 + n} for n in range(3)]
    assert growing.observe(later, S)["open_files"].tolist() == [0, 71, 0, 0, 0]
    later = host({"pid": 10, "open_files": 8}, *below)
    assert growing.observe(later, 2 * S)["descendants"].tolist() == [1, 3, 0, 0, 0]


def test_parents_are_named_up_to_two_generations_but_neither_init_nor_the_kernel() -> None:
    line = [{"pid": 10}, {"pid": 20, "ppid": 10}, {"pid": 30, "ppid": 20}, {"pid": 40, "ppid": 30, "cpu_pct": 50.0}]
    kernel = [{"pid": 2, "ppid": 0, "kthread": True}, {"pid": 50, "ppid": 2, "kthread": True, "cpu_pct": 5.0}]
    assert named(host(*line, *kernel)) == [40, 50, 30, 20]


def test_culprits_come_first_then_the_busy_then_those_who_stand_out_and_the_parents_of_the_busy_last() -> None:
    moment = host(
        {"pid": 10},
        {"pid": 11, "cpu_pct": 90.0, "ppid": 16},
        {"pid": 12, "threads": 30, "ppid": 17},
        {"pid": 13, "threads": 20},
        {"pid": 14, "open_files": 500},
        {"pid": 15, "open_files": 400},
        {"pid": 16, "start_ns": 5},
        {"pid": 17, "start_ns": 6},
    )
    assert named(moment, 10) == [10, 11, 14, 12, 17, 15, 13, 16]


def test_threads_of_the_kernel_are_named_only_for_cpu_and_for_what_they_are_part_of() -> None:
    kernel = [{"pid": 10, "kthread": True, "voluntary_switches_per_s": 900.0, "run_delay_pct": 90.0}]
    assert named(host(*kernel)) == []
    assert named(host(*kernel, stuck={who(10): Stuck(9.0, "jbd2_commit")})) == [10]
    assert named(host({"pid": 10, "kthread": True, "cpu_pct": 1.0})) == [10]


def test_on_a_host_where_everybody_stands_out_no_more_than_can_be_read_are_named() -> None:
    random = np.random.default_rng(3)
    measures = ("cpu_pct", "rss_bytes", "threads", "open_files", "run_delay_pct", "child_exits", "failed_children")
    people = [
        {"pid": 10 + n, "ppid": max(1, 10 + n // 2), "start_ns": 10 + n}
        | {name: float(random.integers(10**6, 10**7)) for name in measures}
        for n in range(200)
    ]
    stalls = tuple(Stall("cpu", who(200 - n), who(150 - n), "measured", 100, 100, 0.1, 10.0, None) for n in range(20))
    found = named(host(*people, stalls=stalls), 205)

    assert (len(found), len(set(found)), found[0]) == (MAX_PROCESSES, MAX_PROCESSES, 205)
