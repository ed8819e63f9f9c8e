"""`linnix up` and `linnix run` with the real daemon and the real model server, on ports of their own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.timeout(180)


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One data directory for all, so that the bundled model is converted once."""
    return {**os.environ, "LINNIX_DATA_DIR": str(tmp_path_factory.mktemp("data")), "NO_COLOR": "1"}


@pytest.fixture
def ports() -> list[str]:
    api, metrics, model = free_ports(3)
    return ["--port", str(api), "--metrics-port", str(metrics), "--model-port", str(model)]


def linnix(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "linnix.cli.main", *arguments]


@dataclass
class Up:
    """A running `linnix up --json` and what it has told so far."""

    process: subprocess.Popen[str]
    told: list[dict[str, Any]] = field(default_factory=list)

    def until(self, event: str, **fields: object) -> dict[str, Any]:
        """Read on to the next line that tells this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))
            if {"event": event, **fields}.items() <= self.told[-1].items():
                return self.told[-1]
        raise AssertionError(f"it ended without telling {event} {fields}: {self.told}")

    def pid_of(self, service: str) -> int:
        return int(
            [line["pid"] for line in self.told if line["event"] == "starting" and line["service"] == service][-1]
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code; its own limit is 3 s, so that is all the time it gets."""
        self.process.send_signal(number)
        return self.process.wait(timeout=3)


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[Up]:
    process = subprocess.Popen(linnix("up", "--json", *arguments), env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield Up(process)
    finally:
        process.kill()  # its children's parent-death signal ends them too
        process.communicate()


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def still_alive(processes: list[psutil.Process]) -> list[str]:
    _gone, alive = psutil.wait_procs(processes, timeout=2)
    return [process.name() for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.model
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_both_and_all_they_started(
    environment: dict[str, str], ports: list[str], number: signal.Signals
) -> None:
    with running(environment, "--no-analysis", *ports) as up:
        up.until("running")
        ready = sorted(line["service"] for line in up.told if line["event"] == "ready")
        everything = tree(up.process.pid)

        code = up.stop(number)

        assert (ready, code, still_alive(everything)) == (["cognitod", "model server"], 0, [])


@pytest.mark.model
def test_the_first_analysis_and_the_addresses_are_told(environment: dict[str, str], ports: list[str]) -> None:
    with running(environment, *ports) as up:
        analysis = up.until("analysis")["analysis"]
        [urls] = [line["urls"] for line in up.told if line["event"] == "urls"]

        assert sorted(urls) == ["api", "model", "prometheus", "stream"]
        assert isinstance(analysis, dict)
        assert up.stop() == 0


def test_a_daemon_that_is_killed_is_reported_and_started_again(environment: dict[str, str], ports: list[str]) -> None:
    with running(environment, "--no-model", "--no-analysis", *ports) as up:
        up.until("running")
        first = up.pid_of("cognitod")

        os.kill(first, signal.SIGKILL)

        died = up.until("died", service="cognitod")
        up.until("ready", service="cognitod")
        assert (died["how"], died["retry_s"], up.pid_of("cognitod") != first) == (
            "was killed by SIGKILL; the kernel does so when memory runs out",
            1.0,
            True,
        )
        assert up.stop() == 0


@pytest.mark.model
def test_a_model_that_is_missing_ends_it_with_the_model_server_s_words(
    environment: dict[str, str], ports: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        linnix("up", "--model", str(tmp_path / "gone.gguf"), *ports),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "cannot open model file" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("command", ["up", "run"])
def test_a_port_held_by_a_stranger_is_an_error_that_names_it(
    environment: dict[str, str], ports: list[str], command: str
) -> None:
    with socket.create_server(("127.0.0.1", int(ports[1]))):
        done = subprocess.run(
            linnix(command, "--no-model", *ports), env=environment, capture_output=True, text=True, check=False
        )

    assert (done.returncode, done.stdout) == (1, "")
    assert f"the port is held by {psutil.Process().name()} (pid {os.getpid()})" in done.stderr


@contextmanager
def busy_process(name: str, folder: Path) -> Iterator[int]:
    """A process of that name which does nothing but compute."""
    program = folder / name
    shutil.copy("/bin/sh", program)  # a link to busybox would look at its own name
    with subprocess.Popen([str(program), "-c", "while :; do :; done"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.model
def test_run_names_the_busiest_process_and_leaves_nothing_behind(
    environment: dict[str, str], ports: list[str], tmp_path: Path
) -> None:
    with busy_process("hotloop", tmp_path) as pid:
        done = subprocess.run(linnix("run", *ports), env=environment, capture_output=True, text=True, check=False)

    analysis = done.stdout.partition("LLM Analysis:")[2]
    assert done.returncode == 0, done.stderr
    assert "hotloop" in analysis, done.stdout
    assert str(pid) in done.stdout
    listening = {str(each.laddr[1]) for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    assert listening & set(ports) == set()


def test_run_without_ebpf_says_what_it_cannot_see_and_explains_the_rest(
    environment: dict[str, str], ports: list[str]
) -> None:
    done = subprocess.run(
        linnix("run", "--no-model", "--watch", "3", *ports),
        env={**environment, "LINNIX_BPF": "off"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (
        done.returncode,
        "This daemon does not see everything" in done.stderr,
        "LLM Analysis:" in done.stdout,
    ) == (0, True, True), done.stderr


def test_run_beside_a_linnix_that_answers_uses_that_one(environment: dict[str, str], ports: list[str]) -> None:
    with running(environment, "--no-model", "--no-analysis", *ports) as up:
        up.until("running")
        done = subprocess.run(
            linnix("run", "--no-model", *ports), env=environment, capture_output=True, text=True, check=False
        )

        assert (done.returncode, "Using the cognitod that already answers" in done.stderr) == (0, True), done.stderr
        assert psutil.pid_exists(up.pid_of("cognitod"))
        assert up.stop() == 0


def test_an_interrupted_run_stops_what_it_started(environment: dict[str, str], ports: list[str]) -> None:
    process = subprocess.Popen(
        linnix("run", "--no-model", "--watch", "600", *ports),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        while "watching" not in process.stderr.readline():
            assert process.poll() is None
        everything = tree(process.pid)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=3)

    assert (code, still_alive(everything)) == (130, []), time.monotonic() - started
