"""What answers say a process used and holds, and how they say that it is not known."""

from __future__ import annotations

from typing import Any

import numpy as np
from world import GIB, Proc, S, World

from linnix.cognitod.events import ACCOUNT, EVENT, EXEC_TEXT, PROCESS, UNKNOWN, UNKNOWN_ADJ, UNKNOWN_FILES, Batch, Kind
from linnix.cognitod.model import USAGE

FIELDS = tuple(name for name in USAGE.names or () if name != "_pad")
RATES = tuple(name for name in FIELDS if name.endswith(("_pct", "_per_s")))
COUNTERS = {
    "cpu_ns": 4 * S,
    "utime_ns": S,
    "stime_ns": 3 * S,
    "run_delay_ns": S,
    "nvcsw": 100,
    "nivcsw": 200,
    "min_flt": 300,
    "maj_flt": 400,
    "read_bytes": 500,
    "write_bytes": 600,
    "cancelled_write_bytes": 700,
}
HOLDINGS = {
    "rss_file_bytes": 1 << 20,
    "rss_anon_bytes": 2 << 20,
    "rss_shmem_bytes": 4 << 20,
    "swap_bytes": 8 << 20,
    "pgtables_bytes": 1 << 16,
    "rss_bytes": 7 << 20,
    "open_files": 31,
    "oom_score_adj": 500,
    "nice": -3,
}


def seen(world: World, **fields: Any) -> None:
    """A second passes, and this is process 10."""
    row = np.zeros(1, PROCESS)
    for name, value in {"pid": 10, "start_ns": 1010, "threads": 1, "state": b"S", "comm": b"app", **fields}.items():
        row[name] = value
    world.now_ns += S
    world.pipeline.table.sample(row, world.now_ns, 16 * GIB, swap_total_bytes=0)


def accounted() -> World:
    world = World()
    seen(world, **COUNTERS, **HOLDINGS)
    seen(world, **{name: 2 * value for name, value in COUNTERS.items()}, **HOLDINGS)
    return world


def told(world: World, path: str = "/processes/10") -> dict[str, Any]:
    answer = world.get(path).json()
    return {name: answer[name] for name in FIELDS if name in answer}


AMOUNTS = {
    "cpu_user_ns": 2 * S,
    "cpu_system_ns": 6 * S,
    "run_delay_ns": 2 * S,
    "voluntary_switches": 200,
    "involuntary_switches": 400,
    "minor_faults": 600,
    "major_faults": 800,
    "read_bytes": 1000,
    "write_bytes": 1200,
    "cancelled_write_bytes": 1400,
}


def test_a_process_is_told_with_all_that_it_used_and_holds() -> None:
    assert told(accounted()) == {
        **AMOUNTS,
        "rss_file_bytes": 1 << 20,
        "rss_anon_bytes": 2 << 20,
        "rss_shmem_bytes": 4 << 20,
        "swap_bytes": 8 << 20,
        "run_delay_pct": 100.0,
        "voluntary_switches_per_s": 100.0,
        "involuntary_switches_per_s": 200.0,
        "minor_faults_per_s": 300.0,
        "major_faults_per_s": 400.0,
        "read_bytes_per_s": 500.0,
        "write_bytes_per_s": 600.0,
        "cpu_user_pct": 100.0,
        "cpu_system_pct": 300.0,
        "open_files": 31,
        "oom_score": 1000,
        "oom_score_adj": 500,
        "nice": -3,
    }


def test_what_this_host_cannot_tell_is_null_and_not_nothing() -> None:
    world = World()
    untold = {**dict.fromkeys(("run_delay_ns", "nvcsw", "read_bytes", "swap_bytes", "pgtables_bytes"), UNKNOWN)}
    for _ in range(2):
        seen(world, **{**COUNTERS, **HOLDINGS, **untold, "open_files": UNKNOWN_FILES, "oom_score_adj": UNKNOWN_ADJ})

    assert {name for name, value in told(world).items() if value is None} == {
        *("run_delay_ns", "run_delay_pct", "voluntary_switches", "voluntary_switches_per_s"),
        *("read_bytes", "read_bytes_per_s", "swap_bytes", "open_files", "oom_score", "oom_score_adj"),
    }


def test_one_that_was_just_born_is_unknown_until_a_sample_sees_it() -> None:
    world = accounted()
    world.happen(world.event(Kind.FORK, 12, 10))

    assert told(world, "/processes/12") == dict.fromkeys(FIELDS)


def test_an_exited_process_has_its_final_account_and_no_rates() -> None:
    world = accounted()
    world.happen(world.event(Kind.EXIT, 10, cpu_ns=9 * S))
    final = np.zeros(1, ACCOUNT)
    for name, value in {"pid": 10, "start_ns": 1010, "cpu_ns": 10 * S, "utime_ns": S, "stime_ns": 4 * S}.items():
        final[name] = value
    final["nvcsw"] = 250
    world.pipeline.on_batch(Batch(np.zeros(0, EVENT), np.zeros(0, EXEC_TEXT), final), world.now_ns)

    assert told(world) == {
        **AMOUNTS,
        "cpu_user_ns": 2 * S,
        "cpu_system_ns": 8 * S,
        "voluntary_switches": 250,
        **dict.fromkeys(("rss_file_bytes", "rss_anon_bytes", "rss_shmem_bytes", "swap_bytes", "open_files"), 0),
        "oom_score": 0,
        "oom_score_adj": 500,
        "nice": -3,
    }
    assert not set(RATES) & set(world.get("/processes/10").json())


def test_every_list_of_processes_says_the_same_of_one() -> None:
    world = accounted()
    world.sample(Proc(1, b"init", ppid=0), Proc(10, b"app"))
    one = world.get("/processes/10").json()

    assert [each for each in world.get("/processes").json() if each["pid"] == 10] == [one]
    assert world.get("/ppid/1").json() == [one]
