"""A small host, made by hand, behind the real pipeline and the real applications."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import uvicorn
from starlette.applications import Starlette

from linnix.cognitod import blaming, metrics
from linnix.cognitod.api.app import build
from linnix.cognitod.books import Books
from linnix.cognitod.config import Config
from linnix.cognitod.detect import Alerts, Engine, rules
from linnix.cognitod.events import EVENT, EXEC_TEXT, PROCESS, Batch, Counters, Kind, ProbeState
from linnix.cognitod.host.cgroup import Cgroups
from linnix.cognitod.host.homes import Homes
from linnix.cognitod.hub import Hub
from linnix.cognitod.kernel import probes
from linnix.cognitod.metrics.blame import BlameCollector
from linnix.cognitod.metrics.sights import SightsCollector
from linnix.cognitod.model import Sample, Snapshot
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.processes import Table
from linnix.cognitod.sensing import Sensing
from linnix.cognitod.sights import Sights

GIB = 1 << 30
S = 10**9


@dataclass(frozen=True)
class Proc:
    """A process of the host; ``start_ns`` follows from the pid unless it is given."""

    pid: int
    comm: bytes = b"sleep"
    ppid: int = 1
    cpu_ns: int = 0
    rss_bytes: int = 4 << 20
    start_ns: int = 0
    state: bytes = b"S"
    cgroup_id: int = 0

    @property
    def start(self) -> int:
        return self.start_ns or 1000 + self.pid


@dataclass
class World:
    """Time, processes and events are what a test says."""

    config: Config = field(default_factory=Config)
    sight: str = "bpf"
    degraded: tuple[str, ...] = ()
    queue: int = 65_536
    now_ns: int = 1000 * S
    probe_lines: tuple[ProbeState, ...] = ()
    off: frozenset[str] = frozenset()  # classes of rules that are switched off

    def __post_init__(self) -> None:
        self.counters = Counters(produced=dict.fromkeys(("exec", "fork", "exit", "exec_text"), 0))
        self.cgroups = Cgroups()
        self.cgroups.remember(7, "/system.slice/app.service")
        active = rules.defaults()
        table, homes = Table(), Homes(self.cgroups)
        self.blame = blaming.keep(blaming.Chosen([], {}), table, homes)
        self.sights = Sights(
            wall=lambda: 1_764_000_000.0 + self.seconds,
            clock=lambda: self.now_ns,
            tell=lambda finding: self.pipeline.judging.note(finding, self.off),
        )
        self.pipeline = Pipeline(
            table=table,
            engine=Engine(active),
            gate=Alerts(active, "box"),
            hub=Hub(self.queue),
            sight_name=self.sight,
            degraded=self.degraded,
            clock=lambda: self.now_ns,
            homes=homes,
            read_counters=lambda: self.counters,
            senses=Sensing(self.sights, self.blame, table, lambda *who: self.pipeline.home_of(*who)),
        )
        self.closing = asyncio.Event()
        self.probes = probes.Table(lambda: self.probe_lines)
        self.registry = metrics.build(
            self.pipeline,
            BlameCollector(self.blame),
            SightsCollector(self.sights, self.probes, self.pipeline.place),
        )
        self.apps = build(
            self.pipeline,
            self.config,
            closing=self.closing,
            registry=self.registry,
            books=self.blame,
            seen=self.sights,
            probes=self.probes,
        )
        self.seconds = 0

    def see(self, reading: object) -> None:
        """An optional probe told something."""
        self.sights.receivers[type(reading)](reading)

    def sample(self, *processes: Proc, books: Books | None = None, **totals: Any) -> None:
        """A second passes, and these are the processes of the host."""
        self.now_ns += S
        self.seconds += 1
        table = np.zeros(len(processes), PROCESS)
        for at, each in enumerate(sorted(processes, key=lambda p: p.pid)):
            for name in ("pid", "ppid", "comm", "cpu_ns", "rss_bytes", "state", "cgroup_id"):
                table[at][name] = getattr(each, name)
            table[at]["start_ns"], table[at]["uid"], table[at]["gid"], table[at]["threads"] = each.start, 1000, 1000, 1
        host: dict[str, Any] = {
            "hostname": "box",
            "kernel": "6.18.44",
            "cores": 2,
            "cpu_pct": 41.5,
            "mem_total_bytes": 16 * GIB,
            "mem_used_bytes": 10 * GIB,
            "mem_available_bytes": 6 * GIB,
            "load_avg": (4.1, 3.8, 2.9),
            "uptime_s": 900.0,
            "psi_cpu_some_avg10": 12.5,
            "psi_memory_some_avg10": 0.0,
            "psi_memory_full_avg10": 0.0,
            "psi_io_some_avg10": 0.0,
            "psi_io_full_avg10": 0.0,
        }
        snapshot = Snapshot(timestamp=1_764_000_000.0 + self.seconds, ts_ns=self.now_ns, **{**host, **totals})
        self.pipeline.on_sample(Sample(table, snapshot, 0, np.zeros(0, EXEC_TEXT), books))

    def happen(self, *events: np.void, texts: Any = None) -> None:
        """These events reach the daemon in one batch."""
        batch = np.array(list(events), EVENT)
        for name, count in zip(*np.unique(batch["kind"], return_counts=True), strict=True):
            self.counters.produced[Kind(name).name.lower()] += int(count)
        self.pipeline.on_batch(Batch(batch, np.zeros(0, EXEC_TEXT) if texts is None else texts), self.now_ns)

    def event(self, kind: Kind, pid: int, ppid: int = 1, comm: bytes = b"sh", **fields: Any) -> np.void:
        """One event of now."""
        made = np.zeros((), EVENT)
        values = {
            "start_ns": 1000 + pid,
            "parent_start_ns": 1000 + ppid,
            "uid": 1000,
            "gid": 1000,
            "ts_ns": self.now_ns,
        }
        for name, value in {**values, "kind": int(kind), "pid": pid, "ppid": ppid, "comm": comm, **fields}.items():
            made[name] = value
        return made[()]

    def get(self, path: str, app: Starlette | None = None, **options: Any) -> httpx.Response:
        """One request, without a network."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=app or self.apps.api)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
                return await client.get(path, **options)

        return asyncio.run(ask())

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The API behind a real server on a free port; its base URL."""
        listener = socket.create_server(("127.0.0.1", 0))
        settings = uvicorn.Config(
            self.apps.api, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(settings)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            self.closing.set()
            server.should_exit = True
            await asyncio.wait_for(running, 10)
            listener.close()

    def listen(
        self, path: str, then: Callable[[], None], frames: int, headers: dict[str, str] | None = None
    ) -> list[str]:
        """Connect to a stream, let ``then`` happen, and return the first ``frames`` frames, comments included."""

        async def scenario() -> list[str]:
            async with (
                self.served() as base,
                httpx.AsyncClient(timeout=10) as client,
                client.stream("GET", base + path, headers=headers) as answer,
            ):
                assert answer.status_code == 200, await answer.aread()
                then()
                return await first_frames(answer, frames)

        return asyncio.run(scenario())


async def first_frames(answer: httpx.Response, count: int) -> list[str]:
    """What stands between the blank lines, until there are ``count`` of them."""
    text = ""
    async for chunk in answer.aiter_text():
        text += chunk
        if text.count("\n\n") >= count:
            return text.split("\n\n")[:count]
    return [part for part in text.split("\n\n") if part]


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """A scenario with a loop of its own and an end in sight."""

    async def bounded() -> Any:
        return await asyncio.wait_for(scenario(), 20)

    return asyncio.run(bounded())
