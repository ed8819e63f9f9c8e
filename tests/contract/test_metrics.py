"""The exposition: names and types are pinned, values are the daemon's own counters."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from world import Proc, World

from linnix.cognitod.events import Kind

GOLDEN = Path(__file__).parent / "recorded" / "prometheus_families.txt"


def families(text: str) -> list[str]:
    return [line.removeprefix("# TYPE ") for line in text.splitlines() if line.startswith("# TYPE ")]


def values(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def storm() -> World:
    world = World()
    world.sample(Proc(1, b"init", ppid=0), Proc(10))
    world.happen(*(world.event(Kind.FORK, pid, 10) for pid in range(100, 107)))
    world.happen(world.event(Kind.EXEC, 100, 10), world.event(Kind.EXIT, 100, 10, exit_code=127))
    world.counters.lost = {"exec": 0, "fork": 3, "exit": 1, "exec_text": 2}
    world.counters.threads = 19
    return world


def test_the_families_and_their_types_are_the_golden_ones() -> None:
    assert families(storm().get("/metrics/prometheus").text) == GOLDEN.read_text().splitlines()


@pytest.mark.parametrize("listener", ["api", "operational"])
def test_both_listeners_speak_the_text_format(listener: str) -> None:
    world = storm()
    answer = world.get("/metrics/prometheus", getattr(world.apps, listener))
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_values_are_what_happened() -> None:
    told = values(storm().get("/metrics/prometheus").text)
    assert {
        name: told[name]
        for name in (
            "linnix_kernel_instrumentation_active",
            "linnix_events_total",
            "linnix_events_by_kind_total,kind=fork",
            "linnix_events_by_kind_total,kind=exec",
            "linnix_events_by_kind_total,kind=exit",
            "linnix_events_lost_total,cause=ring_fork",
            "linnix_events_lost_total,cause=ring_exec_text",
            "linnix_dropped_events_total",
            "linnix_dropped_events_by_type_total,event_type=1",
            "linnix_dropped_events_by_type_total,event_type=7",
            "linnix_ringbuf_overflows_total",
            "linnix_threads_created_total",
            "linnix_failed_exits_total",
            "linnix_psi_percent,resource=cpu,scope=some",
            "linnix_processes,state=alive",
            "linnix_processes,state=exited",
            "linnix_sight_degraded",
        )
    } == {
        "linnix_kernel_instrumentation_active": 1,
        "linnix_events_total": 9,
        "linnix_events_by_kind_total,kind=fork": 7,
        "linnix_events_by_kind_total,kind=exec": 1,
        "linnix_events_by_kind_total,kind=exit": 1,
        "linnix_events_lost_total,cause=ring_fork": 3,
        "linnix_events_lost_total,cause=ring_exec_text": 2,
        "linnix_dropped_events_total": 4,
        "linnix_dropped_events_by_type_total,event_type=1": 3,
        "linnix_dropped_events_by_type_total,event_type=7": 0,
        "linnix_ringbuf_overflows_total": 6,
        "linnix_threads_created_total": 19,
        "linnix_failed_exits_total": 1,
        "linnix_psi_percent,resource=cpu,scope=some": 12.5,
        "linnix_processes,state=alive": 8,
        "linnix_processes,state=exited": 1,
        "linnix_sight_degraded": 0,
    }


def test_what_cannot_be_seen_is_a_series_with_its_reason() -> None:
    world = World(sight="proc", degraded=('no "BTF"\nhere',))
    told = values(world.get("/metrics/prometheus").text)
    assert told["linnix_kernel_instrumentation_active"] == 0
    assert told['linnix_sight_degraded_reason,reason=no "BTF"\nhere'] == 1


def test_requests_are_counted_by_route_and_never_by_what_a_client_made_up() -> None:
    world = storm()
    for path in ("/processes/1", "/processes/2", "/processes/99", "/wp-admin.php", "/etc/passwd"):
        world.get(path)
    world.get("/healthz", world.apps.operational)
    told = values(world.get("/metrics/prometheus").text)
    assert {name: value for name, value in told.items() if name.startswith("linnix_http_requests_total")} == {
        "linnix_http_requests_total,listener=api,method=GET,route=/processes/{pid},status=200": 1,
        "linnix_http_requests_total,listener=api,method=GET,route=/processes/{pid},status=404": 2,
        "linnix_http_requests_total,listener=api,method=GET,route=other,status=404": 2,
        "linnix_http_requests_total,listener=operational,method=GET,route=/healthz,status=200": 1,
    }
