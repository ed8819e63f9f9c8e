"""A llama.cpp server as a child process: start, wait until it answers, watch, stop.

Owns the child's life. Refuses a port that another process holds and a model that is not whole. Invariant: after
:meth:`ServerProcess.stop`, or after the death of the thread that called :meth:`ServerProcess.start`, no child is left.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil

from linnix.insight.asking import engines
from linnix.insight.render import clean
from linnix.modelserver.artifacts import Model, data_dir
from linnix.modelserver.child import Job
from linnix.modelserver.header import ModelError
from linnix.modelserver.logs import ChildLog
from linnix.modelserver.probe import Endpoint, enforced_grammars, is_healthy
from linnix.modelserver.settings import (
    CACHE_RAM_MIB,
    HOST,
    SLOTS,
    Settings,
    child_environment,
    context_for,
    decode_threads,
    llama_server_arguments,
    read_help,
)

READY_TIMEOUT_S = 300.0
"""A 3B file on a cold spinning disk takes a minute; five are not a load but a fault."""
STOP_TIMEOUT_S = 2.0
_POLL_S = 0.03
_TAIL_LINES = 6


class ServerError(Exception):
    """The server could not be started, did not become ready, or died; the text says how and what to do."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A server that answers. ``load_s`` is from its start to its first healthy answer, canaries not counted."""

    load_s: float
    grammars: tuple[str, ...]


class ServerProcess:
    """One server for one model; a context manager that stops it.

    The kernel ties the child to the *thread* that calls :meth:`start`, which must live as long as the server is wanted:
    start it from the main thread. ``runtime`` is ``llama-server``, ``xllamacpp`` or ``auto`` (the first where there is
    one on PATH).
    """

    def __init__(
        self, model: Model, settings: Settings | None = None, *, runtime: str = "auto", verbose: bool = False
    ) -> None:
        self.model = model
        self.settings = settings or Settings()
        self.ctx, self.ctx_note = context_for(model, self.settings.ctx)
        self.threads = self.settings.resolved_threads()
        self.runtime, self._binary = choose_runtime(runtime)
        self.endpoint = Endpoint(self.settings.port, self.settings.api_key, HOST)
        self._verbose = verbose
        self._log: ChildLog | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0

    @property
    def pid(self) -> int | None:
        """The child's pid, or ``None`` before :meth:`start` and after :meth:`stop`."""
        return self._child.pid if self._child else None

    @property
    def url(self) -> str:
        """The endpoint that clients are given."""
        return f"http://localhost:{self.settings.port}/v1/chat/completions"

    @property
    def log_path(self) -> Path | None:
        """Where llama.cpp's own log goes, or ``None`` where it cannot be written."""
        return self._log.path if self._log else None

    def start(self) -> None:
        """Start the child.

        Raises :class:`ServerError` when the port is taken, :class:`ModelError` when ``llama-server`` does not run.
        """
        refuse_busy_port(self.settings.port)
        self._log = ChildLog(data_dir() / "logs" / f"model-server-{self.settings.port}.log", self._verbose)
        self._started_s = time.monotonic()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "linnix.modelserver.child", str(os.getpid()), *self._command()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=child_environment(os.environ, self.settings),
            start_new_session=True,  # Ctrl-C in a terminal reaches us only, and we stop the child in order
        )
        assert self._child.stdout is not None
        self._log.follow(self._child.stdout)

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S, on_wait: Callable[[float], None] | None = None) -> Ready:
        """Wait until the model is loaded, then try the grammars. ``on_wait`` is called with the seconds waited so far.

        Raises :class:`ServerError` when the child dies or the time is over.
        """
        while not is_healthy(self.endpoint):
            self._raise_if_dead()
            waited_s = time.monotonic() - self._started_s
            if waited_s > timeout_s:
                raise ServerError(
                    f"the model server is not ready after {timeout_s:.0f} s{self._tail()}"
                    "\n  use a smaller model or a smaller LLAMA_CTX"
                )
            if on_wait:
                on_wait(waited_s)
            time.sleep(_POLL_S)
        load_s = time.monotonic() - self._started_s
        self._raise_if_dead()  # else another program's server answered on a port that ours could not take
        grammars = enforced_grammars(self.endpoint, llguidance=self.runtime == "xllamacpp")
        self._raise_if_dead()
        engines.note(self.settings.port, self.pid or 0, grammars)
        return Ready(load_s, grammars)

    def exit_status(self) -> int | None:
        """The child's return code as ``subprocess`` gives it, or ``None`` while it runs."""
        return self._child.poll() if self._child else None

    def wait(self) -> None:
        """Return only by :class:`ServerError`: when the child dies. Signals interrupt it."""
        assert self._child is not None
        self._child.wait()
        self._raise_if_dead()

    def stop(self) -> None:
        """Stop the child: SIGTERM, and SIGKILL after two seconds. May be called twice."""
        child, self._child = self._child, None
        if child is not None:
            engines.forget(self.settings.port)
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    child.kill()
            child.wait()
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        if self._binary is not None:
            help_text = read_help(self._binary)
            return ["exec", *llama_server_arguments(self._binary, self.model, self.settings, self.ctx, help_text)]
        job = Job(
            model=str(self.model.path.absolute()),
            name=self.model.name,
            host=HOST,
            port=self.settings.port,
            ctx=self.ctx,
            threads=self.threads,
            decode_threads=decode_threads(self.model, self.threads),
            slots=SLOTS,
            cache_ram_mib=CACHE_RAM_MIB,
        )
        return ["xllamacpp", msgspec.json.encode(job).decode()]

    def _raise_if_dead(self) -> None:
        code = self.exit_status()
        if code is not None:
            raise ServerError(f"the model server {describe_exit(code)}{self._tail()}")

    def _tail(self) -> str:
        if self._log is None:
            return ""
        lines = self._log.last_lines(_TAIL_LINES)
        where = f" (all of it in {self._log.path})" if self._log.path else ""
        return "".join([f"\n  its last lines{where}:" if lines else "", *(f"\n    {line}" for line in lines)])


def choose_runtime(runtime: str) -> tuple[str, Path | None]:
    """The runtime to use and the ``llama-server`` binary if it is that. Raises :class:`ModelError`."""
    binary = shutil.which("llama-server") if runtime in ("auto", "llama-server") else None
    if binary is not None:
        return "llama-server", Path(binary)
    if runtime == "llama-server":
        raise ModelError("no llama-server on PATH\n  install llama.cpp, or leave --runtime out for the built-in one")
    return "xllamacpp", None


def describe_exit(code: int) -> str:
    """A return code in words."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = "; the kernel does so when memory runs out" if -code == signal.SIGKILL else ""
        return f"was killed by {name}{hint}"
    return f"ended with exit code {code}"


def refuse_busy_port(port: int) -> None:
    """Raise :class:`ServerError`, naming the process, when something listens on the port or it may not be used."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise ServerError(f"port {port} needs root\n  choose one above 1023 in LLAMA_PORT") from error
        except OSError as error:
            raise ServerError(
                f"port {port} is in use by {port_holder(port)}"
                f"\n  stop it, or choose another port: LLAMA_PORT={port + 1 if port < 65535 else port - 1}"
            ) from error


def free_port() -> int:
    """A TCP port on loopback that nothing listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_holder(port: int) -> str:
    """Who listens on a TCP port, as ``name (pid N)``, as far as this user may see."""
    try:
        connections = psutil.net_connections("tcp")
        listening = [(c.pid, c.laddr) for c in connections if c.status == psutil.CONN_LISTEN]
        for pid in [pid for pid, address in listening if pid and address and address.port == port]:
            return f"{clean(psutil.Process(pid).name())} (pid {pid})"
    except psutil.Error:
        pass  # gone meanwhile, or not ours to see
    return f"a process this user may not see (sudo ss -ltnp 'sport = :{port}' shows it)"
