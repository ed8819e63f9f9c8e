"""What the probes are and what the optional ones saw, as it is served."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import Proc, World

from linnix.cognitod.detect.rules import parse
from linnix.cognitod.events import ProbeState
from linnix.cognitod.host.blocked import BlockedReading, Stuck
from linnix.cognitod.host.filesystems import Filesystem, FilesystemsReading, Mount
from linnix.cognitod.kernel.latency import HISTOGRAM, LatencyReading
from linnix.cognitod.kernel.oom import OOM, OomReading
from linnix.cognitod.kernel.tcp import TCP_COUNTS, TCP_KEY, TCP_KINDS, TcpReading

S = 10**9
PAGE = mmap.PAGESIZE
LINES = (
    ProbeState(
        name="lifecycle", what="births", required=True, programs=("a", "b"), runs=1000, run_ns=250_000, attach_ms=12.5
    ),
    ProbeState(name="oom", what="kills", state="failed", reason="no BTF"),
    ProbeState(name="tcp", what="trouble", state="off", reason="probes.tcp = false"),
)


def histograms(*rows: tuple[int, dict[int, int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.void]]:
    found = np.zeros(len(rows), HISTOGRAM)
    for at, (cgroup, classes) in enumerate(rows):
        found["cgroup_id"][at] = cgroup
        for number, times in classes.items():
            found["counts"][at, number] = times
            found["sum_ns"][at] += times * 2000
    return found


def seen() -> World:
    world = World(probe_lines=LINES)
    world.sample(Proc(1, b"init", ppid=0), Proc(10, b"app", cgroup_id=7))
    return world


def test_the_table_is_the_same_everywhere_it_is_shown() -> None:
    world = seen()
    table = world.get("/probes").json()

    assert world.get("/status").json()["probe_table"] == table
    assert (table["stats"], table["measured_s"]) == ("off", 0.0)
    assert [(line["name"], line["required"], line["state"], line["reason"]) for line in table["probes"]] == [
        ("lifecycle", True, "on", None),
        ("oom", False, "failed", "no BTF"),
        ("tcp", False, "off", "probes.tcp = false"),
    ]
    assert [line["ns_per_run"] for line in table["probes"]] == [250.0, None, None]
    assert world.get("/readyz").json()["probes"] == {
        "lifecycle": "on",
        "oom": "failed: no BTF",
        "tcp": "off: probes.tcp = false",
    }


def test_an_optional_probe_that_failed_does_not_make_the_daemon_unready_and_a_required_one_does() -> None:
    assert seen().get("/readyz").status_code == 200

    broken = ProbeState(name="tasks", what="use", required=True, state="failed", reason="no memory")
    answer = World(probe_lines=(*LINES, broken)).get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["tasks: no memory"])


def test_latency_is_told_of_the_host_and_of_each_cgroup() -> None:
    world = seen()
    world.see(LatencyReading("runqueue", 0, histograms((0, {}), (7, {1: 10}))))
    world.see(LatencyReading("runqueue", 4 * S, histograms((0, {5: 1}), (7, {1: 10, 3: 20})), 3 * S))
    answer = world.get("/latency").json()

    assert (answer["unit"], answer["block"]) == ("us", None)
    told = answer["runqueue"]
    assert told["measured_s"] == 3.0
    assert (told["window_s"], told["recent"]["count"], told["total"]["count"]) == (4.0, 21, 31)
    assert told["total"]["mean"] == 2.0
    first, rest = told["cgroups"]
    assert (first["cgroup_id"], first["cgroup"], first["unit"]) == (7, "/system.slice/app.service", "app.service")
    assert first["recent"] == {"count": 20, "mean": 2.0, "p50": 6.144, "p90": 7.782, "p99": 8.151}
    assert (rest["cgroup_id"], rest["cgroup"], rest["total"]["count"]) == (0, None, 1)
    assert [row["cgroup_id"] for row in world.get("/latency?top=1").json()["runqueue"]["cgroups"]] == [7]
    assert world.get("/latency?top=x").status_code == 400
    system = world.get("/system").json()
    assert system["runqueue_latency_us"] == {key: told[key] for key in ("window_s", "measured_s", "recent", "total")}
    assert system["block_latency_us"] is None


def test_histograms_are_prometheus_histograms_with_every_count_in_them() -> None:
    world = seen()
    world.see(LatencyReading("block", 0, histograms((0, {29: 1}), (7, {0: 2, 1: 3, 2: 4}))))
    families = {
        family.name: family
        for family in text_string_to_metric_families(world.get("/metrics/prometheus").text)
        if "latency" in family.name
    }
    host = {
        sample.labels.get("le", sample.name): sample.value
        for sample in families["linnix_block_latency_seconds"].samples
    }
    assert (host["1.024e-06"], host["4.096e-06"], host["274.877906944"], host["+Inf"]) == (2, 9, 9, 10)
    assert host["linnix_block_latency_seconds_sum"] == pytest.approx(20e-6)
    of_cgroups = families["linnix_cgroup_block_latency_seconds"].samples
    assert {sample.labels["cgroup"] for sample in of_cgroups} == {"/system.slice/app.service", "other"}


def kill() -> OomReading:
    record = np.zeros(1, OOM)
    for name, value in {
        "ts_ns": 998 * S,
        "start_ns": 1010,
        "invoker_start_ns": 1001,
        "cgroup_id": 7,
        "memcg_id": 99,
        "total_pages": 4000,
        "anon_pages": 1000,
        "file_pages": 20,
        "shmem_pages": 3,
        "swap_pages": 7,
        "pgtables_bytes": 8192,
        "pid": 10,
        "uid": 1000,
        "invoker_pid": 1,
        "oom_score_adj": -500,
        "comm": b"a\xffp\x1b",
        "invoker_comm": b"init",
        "memcg_name": b"app.service",
    }.items():
        record[name] = value
    return OomReading(record, 3, 1)


def test_a_kill_is_told_with_all_that_was_held_and_raises_an_alert() -> None:
    world = seen()
    world.see(kill())

    assert world.get("/oom").json() == {
        "total": 3,
        "lost": 1,
        "kills": [
            {
                "timestamp": 1_764_000_000.0 + 1 - (world.now_ns - 998 * S) / S,
                "ts_ns": 998 * S,
                "pid": 10,
                "start_ns": 1010,
                "comm": "a\ufffdp\x1b",
                "uid": 1000,
                "invoker_pid": 1,
                "invoker_start_ns": 1001,
                "invoker_comm": "init",
                "rss_bytes": 1023 * PAGE,
                "anon_bytes": 1000 * PAGE,
                "file_bytes": 20 * PAGE,
                "shmem_bytes": 3 * PAGE,
                "swap_bytes": 7 * PAGE,
                "pgtables_bytes": 8192,
                "total_bytes": 4000 * PAGE,
                "oom_score_adj": -500,
                "cgroup_id": 7,
                "cgroup": "/system.slice/app.service",
                "unit": "app.service",
                "memory_cgroup_id": 99,
                "memory_cgroup": "app.service",
            }
        ],
    }
    assert world.get("/system").json()["oom_kills"] == 3
    assert world.get("/timeline").json() == []  # it is told with the next sample, when it can be known why
    world.sample(Proc(10))
    assert [(entry["class"], entry["pid"], entry["severity"]) for entry in world.get("/timeline").json()] == [
        ("oom_kill", 10, "high")
    ]


@pytest.mark.parametrize(
    ("rules", "off", "told"),
    [
        ("", (), ["oom_kill"]),  # no rule speaks of kills, so the kernel does
        ("", ("oom_kill",), []),
        ("", ("cpu_spin",), ["oom_kill"]),
        ("- {name: kills, detector: oom_kill, threshold: 1, window_seconds: 60, severity: low}", (), ["kills"]),
        ("- {name: kills, detector: oom_kill, threshold: 2, window_seconds: 60, severity: low}", (), []),
    ],
)
def test_a_kill_that_no_rule_speaks_of_is_told_unless_that_is_switched_off(
    rules: str, off: tuple[str, ...], told: list[str]
) -> None:
    world = seen()
    world.pipeline.use_rules(parse(rules))
    world.off = frozenset(off)
    world.see(kill())
    world.sample(Proc(1, b"init", ppid=0), Proc(10, b"app", cgroup_id=7))
    assert [each["rule"] for each in world.get("/findings").json()] == told


def test_a_stuck_thread_is_told_with_its_stack_and_since_when() -> None:
    world = seen()
    stuck = Stuck(10, 12, 1010, b"worker", 7, 990 * S, "io_schedule", ("io_schedule+0x12/0x40", "vfs_read+0x1/0x2"))
    world.see(BlockedReading(1000 * S, (stuck,), 5))

    assert world.get("/blocked").json() == {
        "looked_at": 1_764_000_000.0,
        "total": 5,
        "threads": [
            {
                "pid": 10,
                "tid": 12,
                "start_ns": 1010,
                "comm": "worker",
                "process_comm": "app",
                "cgroup": "/system.slice/app.service",
                "unit": "app.service",
                "since": 1_763_999_990.0,
                "blocked_s": 10.0,
                "wchan": "io_schedule",
                "stack": ["io_schedule+0x12/0x40", "vfs_read+0x1/0x2"],
            }
        ],
    }
    assert world.get("/system").json()["blocked_threads"] == 5


def test_tcp_trouble_is_told_by_process_and_by_cgroup_and_the_worst_come_first() -> None:
    world = seen()
    keys, counts = np.zeros(3, TCP_KEY), np.zeros(3, TCP_COUNTS)
    for at, (pid, start_ns, cgroup, kind, times) in enumerate(
        ((10, 1010, 7, "retransmits", 5), (1, 1001, 7, "connects", 90), (0, 0, 0, "resets_sent", 2))
    ):
        keys[at] = (start_ns, cgroup, pid, 0)
        counts["counts"][at, TCP_KINDS.index(kind)] = times
    world.see(TcpReading(keys, counts, (5, 3, 0, 90, 0, 0, 0, 0), 1))
    answer = world.get("/tcp").json()
    none = dict.fromkeys(TCP_KINDS, 0)

    assert answer["totals"] == {**none, "retransmits": 5, "resets_sent": 3, "connects": 90}
    assert answer["unattributed"] == 3
    assert [(row["pid"], row["comm"], row["counts"]) for row in answer["processes"]] == [
        (10, "app", {**none, "retransmits": 5}),
        (0, None, {**none, "resets_sent": 2}),
        (1, "init", {**none, "connects": 90}),
    ]
    assert [(row["cgroup"], row["counts"]["retransmits"]) for row in answer["cgroups"]] == [
        ("/system.slice/app.service", 5),
        (None, 0),
    ]
    assert world.get("/system").json()["tcp"] == answer["totals"]


def test_filesystems_that_were_not_asked_have_no_sizes() -> None:
    world = seen()
    local = Filesystem(Mount("8:1", b"/da\xffta", "ext4", b"/dev/sda1", False), 1000, 600, 300, 50, 11)
    remote = Filesystem(Mount("0:9", b"/home", "nfs4", b"server:/home", False))
    world.see(FilesystemsReading(1000 * S, (local, remote)))
    answer = world.get("/filesystems").json()

    assert answer["read_at"] == 1_764_000_000.0
    assert [(row["mount"], row["network"], row["used_pct"], row["avail_bytes"]) for row in answer["filesystems"]] == [
        ("/da\ufffdta", False, 66.67, 300),
        ("/home", True, None, None),
    ]
    assert world.get("/system").json()["filesystems"] == [
        {"mount": "/da\ufffdta", "used_pct": 66.67, "avail_bytes": 300}
    ]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/latency", {"unit": "us", "runqueue": None, "block": None}),
        ("/oom", {"total": 0, "lost": 0, "kills": []}),
        ("/blocked", {"looked_at": None, "total": 0, "threads": []}),
        ("/filesystems", {"read_at": None, "filesystems": []}),
    ],
)
def test_before_anything_was_seen_nothing_is_told(path: str, answer: object) -> None:
    assert World().get(path).json() == answer
