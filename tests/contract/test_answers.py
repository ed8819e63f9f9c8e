"""What the routes say, beyond their shape."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from world import GIB, Proc, S, World

from linnix.cognitod.books import Books
from linnix.cognitod.config import Api, Config
from linnix.cognitod.events import EXEC_TEXT, Flood, Kind
from linnix.insight import facts

BOOKS = Books(
    at_ns=0,
    cores=2,
    run_ns=0,
    idle_task_ns=0,
    idle_ns=0,
    steal_ns=0,
    irq_ns=0,
    processes=0,
    forks=0,
    threads=0,
    workers=0,
    together=True,
)
HOSTILE = b'</script>"\x1b[31m\n\xff'


def populated() -> World:
    world = World()
    for second in (1, 2):
        app = Proc(10, b"app", rss_bytes=GIB, cpu_ns=second * 2 * S, cgroup_id=7)
        world.sample(Proc(1, b"init", ppid=0), app, Proc(11, b"app", 10, cpu_ns=second * S // 2))
    return world


def test_cpu_beyond_a_core_is_said_as_it_is() -> None:
    answer = populated().get("/processes/10").json()
    assert (answer["cpu_pct"], answer["mem_pct"], answer["rss_bytes"]) == (200.0, 6.25, GIB)
    assert (answer["cgroup"], answer["unit"]) == ("/system.slice/app.service", "app.service")
    assert (answer["state"], answer["event_type"], answer["preexisting"]) == ("running", "unknown", True)


def test_what_ran_before_the_daemon_is_listed_with_its_age() -> None:
    assert populated().get("/processes/1").json()["age_sec"] == 1001


def test_an_exited_process_is_listed_with_its_end_and_without_percentages() -> None:
    world = populated()
    world.happen(world.event(Kind.FORK, 12, 10))
    world.now_ns += 5 * S
    world.happen(world.event(Kind.EXIT, 12, 10, exit_code=3, cpu_ns=S, max_rss_pages=10))
    world.now_ns += 60 * S
    answer = world.get("/processes/12").json()
    assert (answer["state"], answer["exit_code"], answer["exit_signal"], answer["age_sec"]) == ("exited", 3, 0, 5)
    assert "cpu_pct" not in answer
    assert "mem_pct" not in answer


SHAPES = "cpu_pct>N, mem_pct>N, comm=NAME, unit=NAME, cgroup=PATH, container=ID, pod=NAMESPACE/NAME or namespace=NAME"


@pytest.mark.parametrize(
    ("query", "pids"),
    [
        ("", {1, 10, 11}),
        ("?filter=cpu_pct>70", {10}),
        ("?filter=cpu_pct>0", {10, 11}),
        ("?filter=mem_pct>6.2", {10}),
        ("?filter=comm=app", {10, 11}),
        ("?namespace=prod", {1, 10, 11}),
    ],
)
def test_processes_are_filtered(query: str, pids: set[int]) -> None:
    assert {each["pid"] for each in populated().get("/processes" + query).json()} == pids


@pytest.mark.parametrize(
    ("query", "pids"),
    [
        ("?sort=cpu_pct:desc", [10, 11, 1]),
        ("?sort=pid:asc", [1, 10, 11]),
        ("?sort=pid:desc&limit=2", [11, 10]),
        ("?sort=mem_pct:desc&limit=1", [10]),
        ("?sort=age_sec:desc&limit=1", [1]),
        ("?limit=0", []),
    ],
)
def test_processes_are_ordered_and_cut(query: str, pids: list[int]) -> None:
    assert [each["pid"] for each in populated().get("/processes" + query).json()] == pids


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/processes?filter=cpu_pct<5", "filter='cpu_pct<5': expected " + SHAPES),
        ("/processes?filter=cpu_pct>1e9", "filter='cpu_pct>1e9': expected " + SHAPES),
        (
            "/processes?sort=psi_contribution",
            "sort='psi_contribution': expected one of cpu_pct, mem_pct, rss_bytes, age_sec, pid, then :desc or :asc",
        ),
        ("/processes?filter=pod=web", "pod='web': expected NAMESPACE/NAME"),
        ("/processes?limit=-1", "limit='-1': expected a whole number"),
        ("/processes/init", "pid='init': expected a process id"),
        ("/ppid/x", "ppid='x': expected a process id"),
        ("/graph/1.5", "pid='1.5': expected a process id"),
        ("/timeline?start=yesterday", "start='yesterday': expected a whole number"),
        ("/timeline?severity=fatal", "severity='fatal': expected one of info, low, medium, high"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(path: str, error: str) -> None:
    answer = populated().get(path)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize(("path", "error"), [("/processes/99", "Not found"), ("/graph/99", "PID not found")])
def test_an_unknown_process_is_not_found_in_the_originals_words(path: str, error: str) -> None:
    answer = populated().get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": error})


@pytest.mark.parametrize("path", ["/processes/4194305", "/processes/999999999999999999", "/graph/999999999999999999"])
def test_a_pid_beyond_any_is_just_not_found(path: str) -> None:
    assert populated().get(path).status_code == 404


def test_a_child_list_and_a_family_agree() -> None:
    world = populated()
    assert [each["pid"] for each in world.get("/ppid/10").json()] == [11]
    assert world.get("/graph/10").json() == {
        "root": 10,
        "nodes": [
            {
                "pid": pid,
                "ppid": ppid,
                "comm": comm,
                "uid": 1000,
                "gid": 1000,
                "event_type": "unknown",
                "relationship": kin,
                "level": level,
            }
            for pid, ppid, comm, kin, level in [
                (10, 1, "app", "self", 0),
                (1, 0, "init", "ancestor", -1),
                (11, 10, "app", "descendant", 1),
            ]
        ],
        "truncated": False,
    }


def test_context_tells_the_last_events_in_order_with_what_was_run() -> None:
    world = populated()
    text = np.zeros(1, EXEC_TEXT)
    argv = b"sh\0-c\0true\0"
    text["pid"], text["start_ns"], text["seq"] = 12, 1012, 1
    text["filename"], text["filename_len"] = b"/bin/sh", 7
    text["argv"], text["argv_len"] = np.frombuffer(argv.ljust(256, b"\0"), "V256"), len(argv)
    text["argv_total"] = len(argv)
    world.happen(world.event(Kind.FORK, 12, 10), world.event(Kind.EXEC, 12, 10, b"sh", text_seq=1), texts=text)
    told = world.get("/context").json()
    assert [(each["pid"], each["event_type"], each["filename"], each["argv"]) for each in told] == [
        (12, "fork", None, []),
        (12, "exec", "/bin/sh", ["sh", "-c", "true"]),
    ]
    running = world.get("/processes/12").json()
    assert (running["filename"], running["argv"], running["state"]) == ("/bin/sh", ["sh", "-c", "true"], "exec")


def test_a_table_too_long_for_one_piece_is_one_array_all_the_same() -> None:
    world = World()
    world.sample(Proc(1, b"init", ppid=0))
    for start in range(1000, 4500, 500):
        born = [world.event(Kind.FORK, pid, 1) for pid in range(start, start + 500)]
        world.happen(*born, *(world.event(Kind.EXIT, pid, 1) for pid in range(start, start + 500)))
    for path in ("/processes", "/ppid/1"):
        answer = world.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        listed = [each["pid"] for each in answer.json() if each["pid"] != 1]
        assert sorted(listed) == list(range(1000, 4500))


@pytest.mark.parametrize("path", ["/processes", "/ppid/1", "/graph/66", "/context", "/status", "/facts", "/insights"])
def test_a_hostile_name_is_data_and_nothing_else(path: str) -> None:
    world = World()
    for second in range(30):
        world.sample(Proc(1, b"init", ppid=0), Proc(66, HOSTILE, cpu_ns=second * S, rss_bytes=8 * GIB))
    world.happen(world.event(Kind.FORK, 67, 66, HOSTILE))
    answer = world.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"\x1b" not in answer.content
    assert b"\n" not in answer.content
    json.loads(answer.content)


@pytest.mark.parametrize("path", ["/system", "/facts", "/insights", "/metrics/system"])
def test_before_the_first_sample_there_is_nothing_to_say_and_that_is_said(path: str) -> None:
    answer = World().get(path)
    assert answer.status_code == 503
    assert answer.json() == {"error": "the first sample of the host is not there yet; ask again in a second"}


@pytest.mark.parametrize("path", ["/healthz", "/status", "/processes", "/context", "/metrics", "/timeline", "/readyz"])
def test_before_the_first_sample_the_rest_answers(path: str) -> None:
    assert World().get(path).status_code == 200


def test_full_sight_is_ready() -> None:
    answer = World().get("/readyz")
    assert (answer.status_code, answer.json()["ready"], answer.json()["reason"]) == (200, True, None)


BLIND = ("eBPF is not used: no CAP_BPF", "no BTF at /sys/kernel/btf/vmlinux")


def test_a_blind_daemon_is_alive_but_not_ready_and_says_why() -> None:
    world = World(sight="proc", degraded=BLIND)
    answer = world.get("/readyz")
    assert answer.status_code == 503
    told: dict[str, Any] = answer.json()
    assert (told["ready"], told["kernel_instrumentation"], told["transport"]) == (False, "unavailable", "userspace")
    assert (told["reason"], told["reasons"]) == ("; ".join(BLIND), list(BLIND))
    assert world.get("/healthz").status_code == 200
    assert world.get("/status").json()["degraded"] == list(BLIND)
    assert world.get("/status").json()["sight"] == "proc"


def test_a_blind_daemon_is_ready_where_that_is_accepted() -> None:
    world = World(Config(api=Api(require_kernel_instrumentation=False)), sight="proc", degraded=BLIND)
    assert world.get("/readyz").status_code == 200


def test_status_balances_its_books() -> None:
    world = populated()
    world.happen(world.event(Kind.FORK, 12, 10), world.event(Kind.EXEC, 12, 10), world.event(Kind.EXIT, 12, 10))
    world.counters.lost = {"exec": 0, "fork": 1, "exit": 0, "exec_text": 5}
    told = world.get("/status").json()
    assert told["coverage"] == {
        "pct": 75.0,
        "produced": {"exec": 1, "fork": 1, "exit": 1, "exec_text": 0},
        "drained": 3,
        "processed": 3,
        "lost": {
            "ring_exec": 0,
            "ring_fork": 1,
            "ring_exit": 0,
            "ring_exec_text": 5,
            "flood": 0,
            "ingest_queue": 0,
            "ingest_accounts": 0,
            "slow_subscribers": 0,
        },
    }
    assert (told["rb_overflows"], told["dropped_events_total"]) == (6, 1)
    assert told["tables"]["processes_alive"] == 3
    assert told["tables"]["processes_exited"] == 1
    assert told["rss_bytes"] > told["pss_bytes"] > 0


def test_status_names_who_floods_and_what_he_lost() -> None:
    world = World()
    world.counters.flood = {"exec": 0, "fork": 5, "exit": 3, "exec_text": 2, "account": 1}
    world.counters.floods = (Flood(7, 1000, (0, 5, 3, 2, 1)),)
    world.pipeline.queue_floods, world.pipeline.queue_dropped = {(7, 1000): 4}, 4
    told = world.get("/status").json()
    assert told["flooders"] == [
        {
            "cgroup_id": 7,
            "cgroup": "/system.slice/app.service",
            "unit": "app.service",
            "uid": 1000,
            "lost": {"fork": 5, "exit": 3, "exec_text": 2, "account": 1, "queue": 4},
        }
    ]
    assert (told["coverage"]["lost"]["flood"], told["dropped_events_total"]) == (8, 12)
    series = world.get("/metrics/prometheus").text
    assert 'linnix_flood_lost_total{cgroup="/system.slice/app.service",uid="1000"} 15.0' in series


def test_status_reconciles_forks_with_the_kernels_own_counter() -> None:
    world = World()
    assert world.get("/status").json()["fork_books"] is None
    world.sample(Proc(1), books=replace(BOOKS, processes=5000))
    world.sample(Proc(1), books=replace(BOOKS, processes=5030, forks=7, threads=19, workers=2))
    assert world.get("/status").json()["fork_books"] == {
        "kernel_processes_delta": 30,
        "forks": 7,
        "threads": 19,
        "workers": 2,
        "unexplained": 2,
    }


def test_status_holds_cpu_time_against_what_was_not_idle() -> None:
    world = World()
    world.sample(Proc(1), books=BOOKS)
    assert world.get("/status").json()["conservation"] is None
    later = replace(BOOKS, at_ns=10 * S, run_ns=8 * S, idle_task_ns=11 * S, idle_ns=10 * S + S // 2, steal_ns=S // 2)
    world.sample(Proc(1), books=later)
    assert world.get("/status").json()["conservation"] == {
        "window_s": 10.0,
        "busy_pct": 45.0,
        "accounted_ns": 8 * S + S // 2,
        "interrupts_ns": S // 2,
        "expected_ns": 9 * S,
        "error_pct": -5.5556,
        "holds": False,
    }


def hogged() -> World:
    world = World()
    for second in range(1, 90):
        world.sample(Proc(1, b"init", ppid=0), Proc(66, b"hog", cpu_ns=int(second * 1.9 * S)), cpu_pct=97.0)
    return world


def test_open_alerts_are_an_array_where_json_is_asked_for() -> None:
    world = hogged()
    told = world.get("/alerts", headers={"Accept": "application/json"}).json()
    assert told
    for alert in told:
        assert alert["severity"] in ("Info", "Low", "Medium", "High")
        assert alert["evidence"]
        assert (alert["pid"], alert["comm"]) in ((66, "hog"), (None, None))
    for _ in range(900):
        world.sample(Proc(1, b"init", ppid=0), cpu_pct=1.0)
    assert world.get("/alerts", headers={"Accept": "application/json"}).json() == []


def test_the_timeline_says_the_same_of_an_alert_in_lower_case() -> None:
    world = hogged()
    open_now = world.get("/alerts", headers={"Accept": "application/json"}).json()
    past = {entry["id"]: entry for entry in world.get("/timeline").json()}
    assert past
    for alert in open_now:
        assert past[alert["id"]] == {**alert, "severity": alert["severity"].lower()}


def test_the_timeline_is_cut_by_time_and_severity() -> None:
    world = hogged()
    everything = world.get("/timeline").json()
    assert [entry["timestamp"] for entry in everything] == sorted((e["timestamp"] for e in everything), reverse=True)
    first = everything[-1]
    assert world.get(f"/timeline?end={first['timestamp'] - 1}").json() == []
    at = f"?start={first['timestamp']}&end={first['timestamp']}"
    assert first in world.get("/timeline" + at).json()
    same = world.get(f"/timeline?severity={first['severity'].upper()}").json()
    assert {entry["severity"] for entry in same} == {first["severity"]}


def test_facts_are_the_bytes_that_a_reader_of_facts_writes() -> None:
    body = hogged().get("/facts").content
    assert facts.encode(facts.decode(body)) == body


def test_facts_of_one_moment_are_the_same_bytes_each_time() -> None:
    world = hogged()
    assert world.get("/facts").content == world.get("/facts").content


def test_insights_name_the_hog_as_the_facts_do() -> None:
    told = hogged().get("/insights").json()
    assert "hog" in told["summary"]
    assert told["top_cpu"][0] == {"pid": 66, "comm": "hog", "cpu_percent": "190.0"}
    assert told["alerts"][0]["pid"] == 66
    assert len(told["alerts"]) <= 5
