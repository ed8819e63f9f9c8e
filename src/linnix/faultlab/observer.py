"""The real daemon, as a run sees it: started on free ports, or one that runs, and asked over HTTP.

Owns the requests and what of their answers is kept: bytes, as they came. Refuses to import the daemon: a recording
holds what any client would get. Invariant: the thread that reads events ends when the run does, whatever the daemon
does, since its socket is shut from our side.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from linnix.faultlab import commands
from linnix.faultlab.errors import NoDaemonError

START_WITHIN_S = 60.0
_STOP_WITHIN_S = 5.0
_ANSWER_WITHIN_S = 5.0
# A comment comes every 10 s where nothing happens.
_SILENCE_S = 60.0


class Observer:
    """A daemon at an address."""

    def __init__(self, url: str) -> None:
        token = os.environ.get("LINNIX_API_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        # No proxy from the environment: a daemon is of this machine.
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=_ANSWER_WITHIN_S, trust_env=False)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; status 0 and the reason where there is no answer."""
        try:
            answer = self._client.get(path, headers={"Accept": "application/json"})
        except httpx.HTTPError as error:
            return 0, f"{type(error).__name__}: {error}".encode()
        return answer.status_code, answer.content

    def status(self) -> dict[str, Any]:
        """``/status``; empty where it cannot be had."""
        try:
            told = self._client.get("/status").json()
        except (httpx.HTTPError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def wait(self, pause: Callable[[float], None], alive: Callable[[], bool], said: Callable[[], str]) -> None:
        """Return when it has facts. Raises NoDaemonError where that does not come to be."""
        deadline = time.monotonic() + START_WITHIN_S
        while (status := self.get("/facts")[0]) != 200:
            if not alive():
                raise NoDaemonError("cognitod ended before it was ready", said())
            if status not in (0, 503):
                raise NoDaemonError(f"{self.url}/facts answers with status {status}", "Is LINNIX_API_TOKEN set?")
            if time.monotonic() > deadline:
                raise NoDaemonError(f"{self.url}/facts: no answer within {START_WITHIN_S:.0f} s", said())
            pause(0.1)

    def events(self, path: str, keep: Callable[[str, str], None]) -> Events:
        """Follow ``/stream`` or ``/alerts``: ``keep(name, data)`` is called for each frame, from another thread."""
        return Events(self._client, path, keep)


class Events:
    """A subscription for the length of a block, which begins when the daemon has accepted it."""

    def __init__(self, client: httpx.Client, path: str, keep: Callable[[str, str], None]) -> None:
        self._client = client
        self._path = path
        self._keep = keep
        self._accepted = threading.Event()
        self._response: httpx.Response | None = None
        self._leaving = False
        self.problem = ""
        self._thread = threading.Thread(target=self._read, name="events", daemon=True)

    def __enter__(self) -> Events:
        self._thread.start()
        self._accepted.wait(_ANSWER_WITHIN_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        if self._response is not None:
            stream = self._response.extensions.get("network_stream")
            with suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        self._thread.join(_ANSWER_WITHIN_S)

    @property
    def running(self) -> bool:
        """Whether frames may still come."""
        return self._thread.is_alive()

    def _read(self) -> None:
        try:
            timeout = httpx.Timeout(_ANSWER_WITHIN_S, read=_SILENCE_S)
            with self._client.stream("GET", self._path, timeout=timeout) as response:
                response.raise_for_status()
                self._response = response
                name = ""
                for line in response.iter_lines():
                    self._accepted.set()  # its first line is a comment, sent when it listens
                    if line.startswith("event:"):
                        name = line[6:].strip()
                    elif line.startswith("data:"):
                        self._keep(name, line[5:].strip())
                    elif not line:
                        name = ""
        except httpx.HTTPError as error:
            self.problem = "" if self._leaving else f"{type(error).__name__}: {error}"
        else:
            self.problem = "" if self._leaving else "the daemon ended the stream"
        finally:
            self._accepted.set()


@contextmanager
def running(url: str, pause: Callable[[float], None]) -> Iterator[Observer]:
    """A daemon that runs already; it is left running."""
    observer = Observer(url)
    try:
        if observer.get("/healthz")[0] == 0:
            raise NoDaemonError(f"{url} does not answer", "Without --host, a daemon is started for each run")
        observer.wait(pause, lambda: True, lambda: "")
        yield observer
    finally:
        observer.close()


@contextmanager
def own(group: Path, work: Path, pause: Callable[[float], None]) -> Iterator[Observer]:
    """A daemon of our own, on free ports and with a data folder of its own, gone afterwards."""
    api, metrics = _free_ports()
    data, said_file = work / "daemon", work / "daemon.said"
    data.mkdir()
    process = commands.spawn(
        sys.executable,
        [sys.executable, "-m", "linnix.cognitod"],
        groups=[group],
        environment=as_shipped(os.environ, data, api, metrics),
        folder=data,
        said=said_file,
        cpus=sorted(os.sched_getaffinity(0)),
        death_signal=signal.SIGTERM,
    )
    observer = Observer(f"http://127.0.0.1:{api}")
    try:
        observer.wait(pause, lambda: process.poll() is None, lambda: commands.said(said_file))
        yield observer
    finally:
        observer.close()
        _stop(process)


def as_shipped(environ: Mapping[str, str], data: Path, api: int, metrics: int) -> dict[str, str]:
    """What a daemon of our own is told: nothing that is set up on this host, neither variables nor files, since what is
    recorded is of the defaults.
    """
    settings = data / "linnix.toml"  # instead of the one in /etc
    settings.write_text(f"[rules]\ndir = {json.dumps(str(data / 'rules.d'))}\n")  # instead of /etc/linnix/rules.d
    return {
        **{name: value for name, value in environ.items() if not name.startswith("LINNIX_")},
        "LINNIX_CONFIG": str(settings),
        "LINNIX_LISTEN_ADDR": f"127.0.0.1:{api}",
        "LINNIX_METRICS_LISTEN_ADDR": f"127.0.0.1:{metrics}",
        "LINNIX_DATA_DIR": str(data),
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(two.getsockname()[1])
