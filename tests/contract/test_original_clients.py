"""What the original's own clients demand of a frame, and that both its frames and ours satisfy them.

They are serde structs: a missing field or a wrong type fails the frame, a field they do not know is skipped. Both
require ``tags``, which the original's server stopped sending.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
from sse_text import frames
from world import GIB, Proc, S, World

from linnix.cognitod.events import Kind


class StreamEvent(msgspec.Struct):
    """linnix-cli and linnix-reasoner, ``/stream``."""

    pid: int
    ppid: int
    uid: int
    gid: int
    comm: str
    event_type: int
    ts_ns: int
    seq: int
    exit_time_ns: int
    cpu_pct_milli: int
    mem_pct_milli: int
    tags: list[str]
    cpu_percent: float | None = None
    mem_percent: float | None = None

    def __post_init__(self) -> None:
        for name in ("cpu_pct_milli", "mem_pct_milli"):
            assert 0 <= getattr(self, name) < 1 << 16
        for name in ("pid", "ppid", "uid", "gid", "event_type"):
            assert 0 <= getattr(self, name) < 1 << 32


class SystemSnapshot(msgspec.Struct):
    """linnix-reasoner, ``/system``: numbers, never null."""

    timestamp: int
    cpu_percent: float
    mem_percent: float
    load_avg: tuple[float, float, float]
    disk_read_bytes: int
    disk_write_bytes: int
    net_rx_bytes: int
    net_tx_bytes: int
    psi_cpu_some_avg10: float
    psi_memory_some_avg10: float
    psi_memory_full_avg10: float
    psi_io_some_avg10: float
    psi_io_full_avg10: float


class CliProcess(msgspec.Struct):
    """linnix-cli ``processes``."""

    pid: int
    ppid: int
    uid: int
    gid: int
    comm: str
    event_type: str
    cpu_pct: float | None = None
    mem_pct: float | None = None
    age_sec: int | None = None
    state: str | None = None
    priority: str | None = None


class CliAlert(msgspec.Struct):
    """linnix-cli ``--alerts``: severity is a Rust enum without a rename."""

    rule: str
    severity: str
    message: str
    host: str

    def __post_init__(self) -> None:
        assert self.severity in ("Info", "Low", "Medium", "High")


class InsightsReply(msgspec.Struct):
    """linnix-reasoner ``--insights`` and the dashboard."""

    summary: str
    metrics: dict[str, str | list[str]]
    top_cpu: list[dict[str, int | str]]
    top_memory: list[dict[str, int | str]]
    alerts: list[dict[str, int | str]]
    timestamp: int


def parse(data: Any, shape: Any) -> Any:
    return msgspec.json.decode(json.dumps(data), type=shape)


def test_every_kind_of_frame_of_the_stream_parses_in_the_originals_clients() -> None:
    world = World()
    world.sample(Proc(1, b"init", ppid=0), Proc(4412, b"hog"))

    def happens() -> None:
        world.happen(world.event(Kind.FORK, 4413, 4412), world.event(Kind.EXEC, 4413, 4412))
        world.now_ns += S // 2
        world.happen(world.event(Kind.EXIT, 4413, 4412, exit_code=1, cpu_ns=S // 4, max_rss_pages=100))
        for second in range(1, 20):
            world.sample(Proc(1, b"init", ppid=0), Proc(4412, b"hog", cpu_ns=second * 2 * S, rss_bytes=8 * GIB))

    told = frames("\n\n".join(world.listen("/stream", happens, 5)))
    parsed = [(name, parse(data, StreamEvent)) for name, data in told]
    assert [(name, event.event_type) for name, event in parsed[:3]] == [(None, 1), (None, 0), (None, 2)]
    assert "failed_exit" in parsed[2][1].tags
    name, change = parsed[3]
    assert (name, change.pid, change.comm) == ("tag", 4412, "hog")
    assert set(change.tags) & {"high_cpu", "high_mem"}


def test_system_is_numbers_even_where_the_kernel_has_no_pressure() -> None:
    world = World()
    names = ("psi_cpu_some_avg10", "psi_memory_some_avg10", "psi_memory_full_avg10", "psi_io_some_avg10")
    world.sample(Proc(1), **dict.fromkeys((*names, "psi_io_full_avg10"), None))
    answer = world.get("/system").json()
    assert parse(answer, SystemSnapshot).psi_cpu_some_avg10 == 0.0
    assert answer["psi_available"] is False


@pytest.mark.parametrize("path", ["/processes", "/ppid/1", "/context"])
def test_processes_parse_in_the_originals_clients(path: str) -> None:
    world = World()
    world.sample(Proc(1, b"init", ppid=0), Proc(4412, b"java"))
    world.happen(world.event(Kind.FORK, 4413, 1), world.event(Kind.EXIT, 4413, 1))
    processes = parse(world.get(path).json(), list[CliProcess])
    assert processes
    assert {process.state for process in processes} <= {"exec", "fork", "running", "exited"}


def test_alerts_parse_in_the_originals_clients() -> None:
    world = World()

    def happens() -> None:
        for second in range(1, 90):
            world.sample(Proc(4412, b"java", cpu_ns=int(second * 1.9 * S)), cpu_pct=97.0)

    told = frames("\n\n".join(world.listen("/alerts", happens, 2)))
    assert [parse(data, CliAlert).host for _, data in told] == ["box"]


def test_insights_are_strings_where_the_originals_clients_print_them() -> None:
    world = World()
    world.sample(Proc(4412, b"java"))
    answer: httpx.Response = world.get("/insights")
    reply = parse(answer.json(), InsightsReply)
    assert reply.metrics == {"cpu_percent": "41.5", "mem_percent": "62.5", "load_avg": ["4.10", "3.80", "2.90"]}
    assert reply.summary
    assert answer.json()["source"] == "rules"
