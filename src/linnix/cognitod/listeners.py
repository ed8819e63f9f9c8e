"""The sockets that the daemon serves on, and the servers behind them.

Owns binding and the end of serving. Refuses signals: the daemon decides when to stop. Invariant: all sockets are
bound before anything else starts, so that a busy port costs nothing but a message.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from linnix.cognitod.config import parse_listen_addr

#: How long a server waits for its last responses before it cuts them off.
GRACE_S = 1


class ListenError(Exception):
    """An address that cannot be served on; the message says which and why."""


def bind_tcp(key: str, addr: str) -> socket.socket:
    """A listening socket on ``host:port``. ``key`` is the configuration's name for it, for the message."""
    host, port = parse_listen_addr(addr)
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
    except OSError as error:
        raise ListenError(f"cannot listen on {addr} ({key}): {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(256)
    except OSError as error:
        bound.close()
        hint = "; is cognitod running already? Another address: set " + key if error.errno == 98 else ""
        raise ListenError(f"cannot listen on {addr} ({key}): {(error.strerror or '').lower()}{hint}") from error
    bound.setblocking(False)
    return bound


@contextmanager
def unix_socket(path: Path) -> Iterator[socket.socket]:
    """A listening socket in the file system, mode 0660; a stale one of an earlier run makes way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with bound:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.stat().st_mode):
                raise ListenError(f"cannot listen on {path} (api.unix_socket): it exists and is no socket")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(str(path)) == 0:
                    raise ListenError(f"cannot listen on {path} (api.unix_socket): another process serves on it")
            path.unlink()
        old = os.umask(0o117)
        try:
            bound.bind(str(path))
        except OSError as error:
            raise ListenError(f"cannot listen on {path} (api.unix_socket): {error.strerror}") from error
        finally:
            os.umask(old)
        bound.listen(64)
        bound.setblocking(False)
        try:
            yield bound
        finally:
            path.unlink(missing_ok=True)


class _State(ServerState):
    """The server's state, whose ``Date`` is made when a response needs it and at most once a second.

    uvicorn makes it anew ten times a second on a timer of its own, which is most of what an idle daemon does.
    """

    def __init__(self) -> None:
        self._made_s = -1
        self._headers: list[tuple[bytes, bytes]] = []
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """What every response begins with."""
        now_s = int(time.time())
        if now_s != self._made_s:
            self._made_s = now_s
            self._headers = [(b"date", formatdate(now_s, usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """uvicorn sets them empty at the beginning."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = _State()
        self._over = asyncio.Event()

    def end(self) -> None:
        """Let ``serve`` come to its end."""
        self.should_exit = True
        self._over.set()

    async def main_loop(self) -> None:
        """Sleep until the end: there is nothing to do ten times a second."""
        await self._over.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield


class Servers:
    """One uvicorn server per application, all on the running loop."""

    def __init__(self) -> None:
        self._servers: list[_Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, app: ASGIApp, sockets: Sequence[socket.socket]) -> None:
        """Serve ``app`` on ``sockets``; returns when it answers."""
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=30,
        )
        server = _Server(config)
        self._servers.append(server)
        self._tasks.append(asyncio.create_task(server.serve(list(sockets))))
        while not server.started:
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Take no more requests, let the last ones end, cut off those that do not."""
        for server in self._servers:
            server.end()
        await asyncio.gather(*self._tasks)
