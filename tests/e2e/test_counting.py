"""Every process counts: a workload of prime numbers of everything, against what `/stream` and `/status` say of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from linnix.cognitod.kernel import preflight
from workloads.lifecycle import EXECUTABLE, read_log, run

FORKS, EXECS, FAILURES = 10_007, 4_999, 101

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        any(not c.ok for c in preflight.checks(os.environ)),
        reason="eBPF cannot be used here: see linnix doctor",
    ),
]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """The URL of a running cognitod with default settings."""
    port = free_port()
    env = os.environ | {
        "LINNIX_LISTEN_ADDR": f"127.0.0.1:{port}",
        "LINNIX_METRICS_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
        "LINNIX_DATA_DIR": str(tmp_path / "data"),
    }
    process = subprocess.Popen([str(Path(sys.executable).with_name("cognitod"))], env=env, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, "cognitod ended"
            assert time.monotonic() < deadline, "cognitod did not answer within 30 s"
            try:
                if httpx.get(url + "/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        assert process.wait(10) == 0


class Listener(threading.Thread):
    """A client of `/stream` that keeps the frames it is interested in as they come."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.frames: list[dict[str, object]] = []
        self.lost: list[str] = []
        self.ready = threading.Event()
        self._url = url

    def run(self) -> None:
        with httpx.stream("GET", self._url, timeout=None) as response:
            self.ready.set()
            event = ""
            try:
                for line in response.iter_lines():
                    if line.startswith("event:"):
                        event = line[6:].strip()
                    elif line.startswith("data:") and not event:
                        self.frames.append(json.loads(line[5:]))
                    elif line.startswith("data:") and event == "lost":
                        self.lost.append(line)
                    elif not line:
                        event = ""
            except httpx.TransportError:
                return  # the daemon ended


def test_a_workload_of_primes_is_counted_exactly_by_ppid_twice_in_a_row(daemon: str, tmp_path: Path) -> None:
    """Forks, execs, failed execs, names, parents and exit codes equal what the workload logged of itself."""
    listener = Listener(daemon + "/stream?type=fork,exec,exit")
    listener.start()
    assert listener.ready.wait(10)
    for turn in range(2):
        log = tmp_path / f"log{turn}"
        first = len(listener.frames)
        run(log, FORKS, EXECS, FAILURES)
        itself, children = read_log(log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            mine = [f for f in listener.frames[first:] if f["ppid"] == itself.pid]
            if sum(f["event_type_name"] == "exit" for f in mine) >= FORKS:
                break
            time.sleep(0.2)
        forks = [f for f in mine if f["event_type_name"] == "fork"]
        execs = [f for f in mine if f["event_type_name"] == "exec"]
        exits = [f for f in mine if f["event_type_name"] == "exit"]
        failed = {c.pid for c in children if c.end == "fail"}

        assert (len(forks), len(execs), len(exits)) == (FORKS, EXECS, FORKS)
        assert [f["pid"] for f in forks] == [c.pid for c in children]
        assert [f["pid"] for f in execs] == [c.pid for c in children if c.end == "exec"]
        assert [(f["pid"], f["comm"], f["exit_code"]) for f in exits] == [(c.pid, c.comm, c.status) for c in children]
        assert {str(f["comm"]) for f in execs} == {EXECUTABLE}
        assert Counter(f["exit_code"] for f in exits if f["pid"] in failed) == {127: FAILURES}
        assert not failed & {f["pid"] for f in execs}
    assert listener.lost == []

    time.sleep(2.5)  # the books are closed at samples, one a second
    status = httpx.get(daemon + "/status").json()
    books = status["fork_books"]

    assert status["coverage"]["lost"] == dict.fromkeys(status["coverage"]["lost"], 0)
    assert books["forks"] >= 2 * FORKS
    assert books["kernel_processes_delta"] == books["forks"] + books["threads"] + books["workers"]
    assert books["unexplained"] == 0
