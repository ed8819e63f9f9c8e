"""Storage that others wait for, and storage that is used up."""

from __future__ import annotations

import pytest
from detect_world import SUSPENDED_NS
from msgspec.structs import replace
from seconds import MB, MIB, Seconds

from linnix.cognitod.detect.causes import rank
from linnix.insight.facts import Filesystem

RULES = """
- {name: io, detector: io_saturation, threshold_pct: 20, duration: 5, severity: medium}
- {name: sync, detector: fsync_storm, threshold_pct: 70, duration: 3, severity: medium}
- {name: full, detector: disk_full, threshold_pct: 95, full_within_seconds: 1800, severity: medium}
- {name: full_soon, detector: disk_full, threshold_pct: 99, full_within_seconds: 120, severity: high}
"""


def test_a_reader_that_others_wait_for_is_named() -> None:
    w = Seconds(RULES)
    w.pressure |= {"io_some_pct": 70.0, "io_full_pct": 20.0}
    w.totals["disk_busy_pct"] = 99.0
    api = w.runs(300, "api", group="/api", read_bytes_per_s=0.2 * MB)
    scan = w.runs(301, "scan", group="/scan", read_bytes_per_s=80.0 * MB)
    w.waits(api, scan, ms=4000.0, share=0.8, resource="io")
    w.seconds(6)
    assert w.alarms == {("io", "medium", 301)}
    (finding,) = w.last
    assert finding.evidence == {
        "io_some_pct": 70.0,
        "threshold": 20.0,
        "io_full_pct": 20.0,
        "disk_busy_pct": 99.0,
        "for_s": 5.0,
        "moved_bytes_per_s": 80_000_000.0,
        "victims": 1.0,
    }


def test_without_measured_waits_it_is_who_moves_most_where_nobody_gets_anything_done() -> None:
    w = Seconds(RULES)
    w.pressure |= {"io_some_pct": 90.0, "io_full_pct": 60.0}
    w.runs(300, "api", group="/api", read_bytes_per_s=0.2 * MB)
    w.runs(301, "scan", group="/scan", write_bytes_per_s=30.0 * MB, read_bytes_per_s=50.0 * MB)
    w.seconds(6)
    assert w.alarms == {("io", "medium", 301)}


def test_a_busy_disk_that_nobody_waits_for_and_a_niced_backup_are_remarks() -> None:
    w = Seconds(RULES)
    w.totals["disk_busy_pct"] = 95.0
    w.pressure |= {"io_some_pct": 15.0, "io_full_pct": 5.0}
    w.runs(300, "tar", read_bytes_per_s=90.0 * MB)
    w.seconds(10)
    assert w.remarks == {("io", 300)}
    (finding,) = w.last
    assert next(iter(finding.evidence.items())) == ("disk_busy_pct", 95.0)
    assert finding.evidence["threshold"] == 80.0

    w.pressure |= {"io_some_pct": 90.0, "io_full_pct": 60.0}
    w.told[next(iter(w.told))]["nice"] = 19
    w.seconds(10)
    assert w.alarms == set()


def test_workers_that_are_in_each_other_s_way_are_told_of_who_started_them() -> None:
    w = Seconds(RULES)
    w.pressure |= {"io_some_pct": 35.0, "io_full_pct": 1.0}
    w.totals["disk_busy_pct"] = 85.0
    w.runs(300, "search", group="/logs")
    readers = [w.runs(301 + n, "tac", 300, group="/logs", read_bytes_per_s=30.0 * MB) for n in range(3)]
    for row in readers:
        w.waits(row, row, ms=300.0, share=0.25, resource="io", kind="own_threads")
    w.seconds(6)
    assert w.alarms == {("io", "medium", 300)}
    (finding,) = w.last
    assert finding.evidence["victims"] == 3.0

    # One that it started is as good as itself.
    w.blame = w.blame[:1]
    w.seconds(20)
    assert {finding.severity for finding in w.last} == {"info"}


def test_what_a_disk_has_time_for_is_no_victim_of_its_own_group() -> None:
    w = Seconds(RULES)
    w.pressure |= {"io_some_pct": 35.0, "io_full_pct": 1.0}
    w.totals["disk_busy_pct"] = 60.0
    w.runs(300, "postgres", group="/db", read_bytes_per_s=30.0 * MB)
    for row in [w.runs(301 + n, "postgres", 300, group="/db", read_bytes_per_s=3.0 * MB) for n in range(3)]:
        w.waits(row, row, ms=300.0, share=0.25, resource="io", kind="own_threads")
    w.seconds(9)
    assert (w.alarms, w.remarks) == (set(), {("io", 300)})


def test_a_lone_reader_waits_for_itself() -> None:
    w = Seconds(RULES)
    w.pressure |= {"io_some_pct": 90.0, "io_full_pct": 85.0}
    w.runs(300, "sh", ended_read_bytes_per_s=40.0 * MB)
    w.runs(301, "tar", 300, read_bytes_per_s=30.0 * MB)
    w.runs(302, "journald", group="/journal", write_bytes_per_s=4096.0)
    w.seconds(9)
    assert (w.alarms, w.remarks) == (set(), {("io", 300)})


def test_a_loop_of_short_commands_is_named_by_what_they_moved() -> None:
    w = Seconds(RULES)
    w.pressure |= {"io_some_pct": 90.0, "io_full_pct": 60.0}
    w.runs(300, "sh", ended_read_bytes_per_s=60.0 * MB)
    w.runs(301, "postgres", write_bytes_per_s=5.0 * MB)
    w.seconds(6)
    assert w.alarms == {("io", "medium", 300)}


def test_what_does_little_but_sync_is_named() -> None:
    w = Seconds(RULES)
    w.runs(300, "ledger", cpu=6.0, sync_pct=92.0, write_bytes_per_s=0.4 * MB, voluntary_switches_per_s=400.0)
    w.seconds(4)
    assert w.alarms == {("sync", "medium", 300)}
    assert w.last[0].message == "pid 300 was in fsync or the like in 92 % of the looks at it"


def test_clients_of_a_database_take_turns() -> None:
    w = Seconds(RULES)
    for n in range(4):
        w.runs(300 + n, "postgres", cpu=20.0, sync_pct=35.0, voluntary_switches_per_s=900.0)
    w.seconds(20)
    assert w.alarms == set()


def test_a_loop_of_short_commands_that_sync_is_its_shells() -> None:
    w = Seconds(RULES)
    w.pressure["io_some_pct"] = 40.0
    w.totals["disk_busy_pct"] = 60.0
    w.runs(300, "sh", cpu=1.0, ended_syncs_per_s=120.0)
    w.runs(301, "keeper", group="/other", syncs_per_s=20.0)
    w.seconds(3)
    w.runs(302, "dd", ppid=300, start_ns=w.now_ns + SUSPENDED_NS, syncs_per_s=210.0)
    w.seconds(1)
    assert w.alarms == {("sync", "medium", 300)}
    assert w.last[0].evidence == {
        "syncs_per_s": 330.0,
        "threshold": 50.0,
        "io_some_pct": 40.0,
        "disk_busy_pct": 60.0,
        "processes": 2.0,
        "victims": 0.0,
        "for_s": 3.0,
    }
    assert w.last[0].message == "pid 300 and its like ask 330 times a second for data to be on disk"


def test_many_syncs_that_slow_nothing_down_are_nothing() -> None:
    w = Seconds(RULES)
    w.pressure["io_some_pct"] = 4.9
    w.totals["disk_busy_pct"] = 29.0
    w.runs(300, "ledger", syncs_per_s=900.0)
    w.seconds(10)
    assert (w.alarms, w.remarks) == (set(), set())
    w.totals["disk_busy_pct"] = 30.0
    w.seconds(4)
    assert w.alarms == {("sync", "medium", 300)}


def test_a_storm_is_over_when_no_disk_has_anything_to_do() -> None:
    w = Seconds(RULES)
    w.pressure["io_some_pct"] = 15.0
    w.totals["disk_busy_pct"] = 4.9
    w.runs(300, "sh", ended_syncs_per_s=120.0)
    w.seconds(10)
    assert (w.alarms, w.remarks) == (set(), set())
    w.totals["disk_busy_pct"] = None
    w.seconds(4)
    assert w.alarms == {("sync", "medium", 300)}


def commits(busy_pct: float, *per_s: float) -> Seconds:
    """A database and its clients, each of which has its share of the syncs."""
    w = Seconds(RULES)
    w.pressure["io_some_pct"] = 15.0
    w.totals["disk_busy_pct"] = busy_pct
    w.runs(300, "postgres", group="/db")
    for n, syncs_per_s in enumerate(per_s):
        w.runs(301 + n, "postgres", ppid=300, group="/db", syncs_per_s=syncs_per_s)
    return w


def test_commits_are_what_a_database_is_for() -> None:
    four, two = commits(79.0, 100.0, 90.0, 80.0, 95.0).seconds(20), commits(79.0, 600.0, 400.0).seconds(20)
    assert (four.alarms, four.remarks) == (set(), {("sync", 300)})
    assert (two.alarms, two.remarks) == (set(), {("sync", 301)})


def test_commits_that_others_are_measured_to_wait_for_or_that_a_disk_has_no_time_beside_are_no_remark() -> None:
    w = commits(50.0, 100.0, 100.0, 100.0)
    backend = next(row for (pid, _), row in w.processes.items() if pid == 301)
    w.waits(w.runs(400, "api", group="/api"), backend, ms=4000.0, share=0.8, resource="io")
    w.seconds(4)
    assert w.alarms == {("sync", "medium", 300)}
    assert (w.last[0].evidence["processes"], w.last[0].evidence["victims"]) == (3.0, 1.0)
    assert commits(80.0, 100.0, 100.0, 100.0).seconds(4).alarms == {("sync", "medium", 300)}


def disk(used_pct: float, left_mib: int, per_s: float = 0.0, writers: tuple[str, ...] = ()) -> Filesystem:
    return Filesystem(
        id="D1",
        mount="/srv",
        used_pct=used_pct,
        available_bytes=left_mib * MIB,
        fill_bytes_per_s=per_s * MIB,
        writers=writers,
    )


def test_a_file_system_that_fills_names_its_writer_and_is_high_when_two_minutes_are_left() -> None:
    w = Seconds(RULES)
    w.runs(300, "logger", write_bytes_per_s=4.0 * MB)
    w.filesystems = [disk(82.0, 4000, 4.0, ("P1",))]
    w.seconds(1)
    assert w.alarms == {("full", "medium", 300)}
    assert w.last[0].evidence == {
        "full_in_s": 1000.0,
        "threshold": 1800.0,
        "used_pct": 82.0,
        "available_bytes": 4000.0 * MIB,
        "fill_bytes_per_s": 4.0 * MIB,
    }
    w.filesystems = [disk(90.0, 400, 4.0, ("P1",))]
    w.seconds(1)
    assert w.alarms == {("full", "medium", 300), ("full_soon", "high", 300)}


ONE = "- {name: full, detector: disk_full, threshold_pct: 95, full_within_seconds: 1800, severity: medium}"


@pytest.mark.parametrize(
    ("used_pct", "inodes_pct", "left_mib", "per_s", "first"),
    [
        (52.0, None, 400, 4.0, {"full_in_s": 100.0, "threshold": 120.0}),
        (79.9, None, 4000, 4.0, None),
        (80.0, None, 4000, 4.0, {"full_in_s": 1000.0, "threshold": 1800.0}),
        (98.0, None, 20, 4.0, {"full_in_s": 5.0, "threshold": 1800.0}),
        (97.0, None, 8000, 4.0, {"used_pct": 97.0, "threshold": 95.0}),
        (97.0, None, 900, 0.0, {"used_pct": 97.0, "threshold": 95.0}),
        (97.0, 99.0, 900, 0.0, {"used_pct": 97.0, "threshold": 95.0}),
        (97.0, None, 20 << 10, 0.0, None),
        (40.0, 94.9, 300_000, 0.0, None),
        (40.0, 99.0, 300_000, 0.0, {"inodes_used_pct": 99.0, "threshold": 95.0}),
        (82.0, 99.0, 4000, 4.0, {"inodes_used_pct": 99.0, "threshold": 95.0}),
    ],
)
def test_what_is_at_its_end_comes_first_with_what_it_was_held_against(
    used_pct: float, inodes_pct: float | None, left_mib: int, per_s: float, first: dict[str, float] | None
) -> None:
    w = Seconds(ONE)
    w.filesystems = [replace(disk(used_pct, left_mib, per_s), inodes_used_pct=inodes_pct)]
    w.seconds(1)
    rest = {"used_pct": used_pct, "available_bytes": float(left_mib * MIB), "fill_bytes_per_s": per_s * MIB}
    rest |= {"full_in_s": float(round(left_mib / per_s))} if per_s else {}
    rest |= {} if inodes_pct is None else {"inodes_used_pct": inodes_pct}
    assert [finding.evidence for finding in w.last] == ([] if first is None else [rest | first])
    assert [list(finding.evidence)[:2] for finding in w.last] == ([] if first is None else [list(first)])


def test_the_less_time_is_left_the_surer_it_is() -> None:
    scores = list[float]()
    for used_pct, left_mib in ((52.0, 400), (90.0, 280), (98.9, 20), (99.1, 16), (100.0, 0)):
        w = Seconds("- {name: soon, detector: disk_full, threshold_pct: 99, full_within_seconds: 120, severity: high}")
        w.filesystems = [disk(used_pct, left_mib, 4.0)]
        w.seconds(1)
        scores += [cause.score for cause in rank(w.last, None)]
    assert scores == [0.311, 0.343, 0.42, 0.42, 0.42]


def test_a_file_system_without_inodes_says_so_and_is_told_before_one_with_less_room() -> None:
    w = Seconds(ONE)
    fuller = replace(disk(96.0, 900), mount="/home")
    w.filesystems = [fuller, replace(disk(40.0, 300_000), inodes_used_pct=100.0)]
    w.seconds(1)
    assert [(finding.severity, finding.message) for finding in w.last] == [
        (
            "low",
            "100 % of a file system's inodes are used, whatever room is left; "
            "a file system is used to 40 %, 300000 MiB are left",
        )
    ]


def test_who_filled_it_is_remembered_when_there_is_nothing_left_to_write_to() -> None:
    w = Seconds(RULES)
    w.runs(300, "logger", write_bytes_per_s=4.0 * MB)
    w.filesystems = [disk(98.0, 40, 4.0, ("P1",))]
    w.seconds(1)
    w.filesystems = [disk(100.0, 0)]
    w.seconds(30)
    assert {finding.pid for finding in w.last} == {300}


def test_who_writes_elsewhere_is_not_named_for_a_disk_that_does_not_fill() -> None:
    w = Seconds(RULES)
    w.runs(300, "postgres", write_bytes_per_s=9.0 * MB)
    w.filesystems = [disk(97.0, 900, writers=("P1",))]
    w.seconds(3)
    assert w.alarms == {("full", "low", None)}

    w = Seconds(RULES)
    w.runs(300, "logger", write_bytes_per_s=4.0 * MB)
    other = w.runs(301, "postgres")
    w.filesystems = [disk(98.0, 40, 4.0, ("P1",))]
    w.seconds(1)
    w.tell(other, write_bytes_per_s=90.0 * MB)
    w.filesystems = [disk(100.0, 0, writers=("P2", "P1"))]
    w.seconds(5)
    assert {finding.pid for finding in w.last} == {300}


def test_who_filled_it_is_named_though_another_writes_last_or_more_for_a_moment() -> None:
    w = Seconds(RULES)
    logger = w.runs(300, "logger", write_bytes_per_s=20.0 * MB)
    other = w.runs(301, "postgres", write_bytes_per_s=1.0 * MB)
    for left_mib in range(220, 20, -20):
        w.filesystems = [disk(90.0, left_mib, 20.0, ("P1", "P2"))]
        w.seconds(1)
    w.tell(other, write_bytes_per_s=90.0 * MB)
    w.seconds(1)
    w.tell(other, write_bytes_per_s=2.0 * MB)
    w.tell(logger, write_bytes_per_s=0.0)
    w.filesystems = [disk(100.0, 0, 10.0, ("P2",))]  # on average of the last ten seconds it still fills
    w.seconds(10)
    w.filesystems = [disk(100.0, 0, writers=("P2",))]
    w.seconds(10)
    assert w.alarms == {("full_soon", "high", 300)}


def test_one_disk_is_filled_by_one_and_a_first_guess_ends_with_the_better_one() -> None:
    w = Seconds(RULES)
    logger = w.runs(300, "logger", write_bytes_per_s=0.3 * MB)
    other = w.runs(301, "postgres", write_bytes_per_s=1.2 * MB)
    told = []
    for left_mib in range(40, 20, -2):
        w.filesystems = [disk(90.0, left_mib, 2.0, ("P1", "P2"))]
        w.seconds(1)
        w.tell(other, write_bytes_per_s=0.0)
        w.tell(logger, write_bytes_per_s=2.2 * MB)
        told.append({finding.pid for finding in w.last})
    assert told == [{301}] + [{300}] * 9


def test_who_writes_ten_times_what_it_gains_writes_elsewhere() -> None:
    w = Seconds(RULES)
    logger = w.runs(300, "logger", write_bytes_per_s=1.1 * MB)
    w.runs(301, "hrsync", write_bytes_per_s=30.0 * MB)
    for left_mib in range(20, 10, -1):
        w.filesystems = [disk(93.0, left_mib, 1.1, ("P2", "P1"))]
        w.seconds(1)
    assert w.alarms == {("full_soon", "high", 300)}

    w.gone(logger)
    w.seconds(10)
    assert [finding.pid for finding in w.last] == [None]


def test_who_writes_while_inodes_run_out_fills_it_too() -> None:
    w = Seconds(RULES)
    w.runs(300, "cache", write_bytes_per_s=0.2 * MB)
    for used_pct in (95.0, 95.5, 96.0):
        w.filesystems = [replace(disk(40.0, 9000, 0.1, ("P1",)), inodes_used_pct=used_pct)]
        w.seconds(1)
    assert [(finding.pid, finding.severity) for finding in w.last] == [(300, "medium")]


def test_one_that_has_been_full_for_long_is_low_and_a_large_one_with_room_is_nothing() -> None:
    w = Seconds(RULES)
    w.filesystems = [disk(97.0, 900)]
    w.seconds(1)
    assert w.alarms == {("full", "low", None)}

    w = Seconds(RULES)
    w.filesystems = [disk(97.0, 300_000), disk(60.0, 9000, 20.0)]
    w.seconds(9)
    assert w.alarms == set()
