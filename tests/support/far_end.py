"""Doubles of the far ends that linnix-reasoner talks to: real sockets that say what a test scripts.

``Server`` answers each path with a handler; ``daemon`` is one that serves the routes of cognitod from given Facts.
The answers are bytes on the wire, not stand-ins for our own code.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from linnix.insight import facts as wire

MB, GB = 10**6, 10**9


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Handler = Callable[[Request, socket.socket], None]


@dataclass
class Server:
    """Listens on a port, of its own unless told. ``requests`` is what arrived, in order. An unknown path is a 404 of a
    daemon.
    """

    handlers: dict[str, Handler]
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):  # the client left first
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                while request := _read(lines):
                    self.requests.append(request)
                    handler = self.handlers.get(request.path.partition("?")[0])
                    (handler or reply(404, b'{"error":"no such path"}'))(request, connection)
            except OSError:  # the client left, or the test closed us
                return


def _read(lines: Any) -> Request | None:
    first = lines.readline().decode()
    if not first:
        return None
    method, path, _ = first.split(" ", 2)
    headers = {}
    while (line := lines.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers, lines.read(int(headers.get("content-length", 0))))


def reply(status: int, body: bytes, kind: str = "application/json", **headers: str) -> Handler:
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"

    def handler(_request: Request, connection: socket.socket) -> None:
        connection.sendall(head.encode() + body)

    return handler


def hang_up(_request: Request, connection: socket.socket) -> None:
    """Close without a word."""
    connection.shutdown(socket.SHUT_RDWR)


def json_reply(value: Any) -> Handler:
    return reply(200, json.dumps(value).encode())


def until_the_client_leaves(connection: socket.socket) -> None:
    """Say nothing more, and wait."""
    connection.recv(1)


def after(seconds: float, handler: Handler) -> Handler:
    """The same answer, late."""

    def late(request: Request, connection: socket.socket) -> None:
        time.sleep(seconds)
        handler(request, connection)

    return late


def events(*frames: str, then: Callable[[socket.socket], object] | None = None) -> Handler:
    """An event stream of these frames; then ``then(connection)`` is called, and the connection closed."""

    def handler(_request: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for frame in frames:
            connection.sendall(frame.encode())
        if then is not None:
            then(connection)
        connection.shutdown(socket.SHUT_RDWR)

    return handler


def delta(text: str, model: str = "tiny") -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return f"data: {json.dumps({'model': model, 'choices': [choice]})}\n\n"


def ended(model: str = "tiny") -> str:
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    timings = {"predicted_per_second": 80.0, "predicted_n": 30}
    return f"data: {json.dumps({'model': model, 'choices': [choice], 'timings': timings})}\n\ndata: [DONE]\n\n"


def completion(*texts: str) -> Handler:
    return events(*map(delta, texts), ended())


@contextmanager
def serving(handlers: dict[str, Handler]) -> Iterator[Server]:
    server = Server(handlers)
    try:
        yield server
    finally:
        server.close()


def process(n: int, comm: str = "sleep", **changes: Any) -> wire.Process:
    values: dict[str, Any] = {
        "id": f"P{n}", "pid": 1000 + n, "ppid": 1, "start_ns": n, "comm": comm, "uid": 0, "cpu_pct": 0.0,
        "rss_bytes": 8 * MB, "mem_pct": 0.1, "rss_delta_bytes": 0, "threads": 1, "state": "S", "age_s": 300.0,
        "forks_per_s": 0.0,
    }  # fmt: skip
    return wire.Process(**(values | changes))


def host(*processes: wire.Process, cpu_pct: float = 53.0, psi_cpu: float | None = 3.0, **changes: Any) -> wire.Facts:
    return wire.Facts(
        timestamp=1_760_000_000.0,
        ts_ns=10**9,
        host=wire.Host(
            hostname="box", kernel="6.12.0", cores=2, mem_total_bytes=8 * GB, mem_used_bytes=2 * GB, swap_total_bytes=0,
            swap_used_bytes=0, cpu_pct=cpu_pct, mem_pct=25.0, load_avg=(1.1, 0.6, 0.3), uptime_s=86400.0,
        ),
        pressure=wire.Pressure(
            cpu_some_pct=psi_cpu, memory_some_pct=0.0, memory_full_pct=0.0, io_some_pct=0.0, io_full_pct=0.0
        ),
        activity=wire.Activity(
            window_s=10.0, forks_per_s=1.0, execs_per_s=1.0, exits_per_s=1.0, short_jobs_per_s=0.0,
            failed_exits_per_s=0.0, lost_events=0,
        ),
        processes=processes,
        **changes,
    )  # fmt: skip


SPINNING = host(
    process(1, "sh", cpu_pct=99.8, state="R", age_s=42.0),
    process(2, "chrome", cpu_pct=2.3, rss_bytes=600 * MB, mem_pct=7.5, threads=30),
    process(3, "cognitod", cpu_pct=0.6, rss_bytes=60 * MB, mem_pct=0.8, own=True),
)


def system(facts: wire.Facts) -> dict[str, Any]:
    return {
        "timestamp": int(facts.timestamp),
        "cpu_percent": facts.host.cpu_pct,
        "mem_percent": facts.host.mem_pct,
        "load_avg": list(facts.host.load_avg),
        "psi_cpu_some_avg10": facts.pressure.cpu_some_pct or 0.0,
        "psi_memory_some_avg10": facts.pressure.memory_some_pct or 0.0,
        "psi_io_some_avg10": facts.pressure.io_some_pct or 0.0,
    }


def daemon(seen: wire.Facts = SPINNING, *, offline: bool = False, **more: Handler) -> dict[str, Handler]:
    """The routes of a cognitod that sees ``seen``; ``more`` adds or replaces routes, as ``alerts=…``."""
    return {
        "/system": json_reply(system(seen)),
        "/facts": reply(200, wire.encode(seen)),
        "/status": json_reply({"offline": offline}),
        **{f"/{name}": handler for name, handler in more.items()},
    }
