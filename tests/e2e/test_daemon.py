"""`cognitod` as a process: what it says, what it serves, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from linnix import __version__
from linnix.cognitod.config import Config
from linnix.cognitod.daemon import choose_sight
from linnix.cognitod.detect import Alerts, Engine
from linnix.cognitod.hub import Hub
from linnix.cognitod.ingest import Ingest
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.processes import Table
from linnix.cognitod.redact import Redactor
from linnix.cognitod.snapshots import HostReader

pytestmark = pytest.mark.timeout(120)

COGNITOD = [sys.executable, "-m", "linnix.cognitod"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def cognitod(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NO_COLOR": "1", **environ}
    return subprocess.run(
        [*COGNITOD, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=60, check=False
    )


class Daemon:
    """A running daemon on ports of its own."""

    def __init__(self, tmp_path: Path, arguments: tuple[str, ...] = (), **environ: str) -> None:
        self.api, self.metrics, self.data = free_port(), free_port(), tmp_path / "data"
        self.url = f"http://127.0.0.1:{self.api}"
        self.log = tmp_path / "log"
        ports = {
            "LINNIX_LISTEN_ADDR": f"127.0.0.1:{self.api}",
            "LINNIX_METRICS_LISTEN_ADDR": f"127.0.0.1:{self.metrics}",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*COGNITOD, *arguments],
                env={**os.environ, "LINNIX_DATA_DIR": str(self.data), "NO_COLOR": "1", **ports, **environ},
                stderr=log,
                stdout=log,
            )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10, **more)

    def wait_until_it_answers(self) -> None:
        for _ in range(600):
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.get("/system").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"no answer: {self.log.read_text()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit code, and the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(20), time.monotonic() - began


@contextmanager
def running(tmp_path: Path, *arguments: str, **environ: str) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path, arguments, **environ)
    try:
        daemon.wait_until_it_answers()
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_two_seconds_with_streams_open(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as daemon, httpx.Client(timeout=20) as client:
        ended: list[bool] = []

        def read(path: str) -> None:
            with client.stream("GET", daemon.url + path) as response:
                for _ in response.iter_raw():
                    pass
                ended.append(True)

        readers = [
            threading.Thread(target=read, args=(path,)) for path in ("/stream", "/stream", "/alerts", "/processes/live")
        ]
        for reader in readers:
            reader.start()
        for _ in range(200):
            if daemon.get("/status").json()["subscribers"] >= 3:
                break
            time.sleep(0.02)
        stuck = socket.create_connection(("127.0.0.1", daemon.api))  # one that never reads what it asked for
        stuck.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")

        code, took_s = daemon.stop(number)
        for reader in readers:
            reader.join(5)
        stuck.close()

    assert (code, len(ended)) == (0, 4), daemon.log.read_text()
    assert took_s < 2
    assert daemon.log.read_text().endswith("info stopped\n")


def test_an_alert_is_in_the_file_and_events_are_where_a_handler_puts_them(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("- {name: few, detector: fork_burst, threshold: 3, window_seconds: 10, severity: low}\n")
    events = tmp_path / "events.ndjson"
    with running(tmp_path, "--handler", f"rules:{rules}", "--handler", f"jsonl:{events}") as daemon:
        alerts = daemon.data / "alerts.ndjson"
        for _ in range(400):
            subprocess.run(["/bin/true"], check=True)
            if alerts.exists() and events.exists():
                break
            time.sleep(0.02)
        code, _ = daemon.stop()

    assert code == 0
    told = json.loads(alerts.read_text().splitlines()[0])
    assert (told["id"], told["rule"], told["severity"]) == ("alert-1", "few", "low")
    kinds = {json.loads(line).get("event_type_name") for line in events.read_text().splitlines()}
    assert "fork" in kinds


def test_rules_are_loaded_anew_on_a_signal_and_a_wrong_set_changes_nothing(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("- {name: few, detector: fork_burst, threshold: 3, window_seconds: 10}\n")

    def after_reload(daemon: Daemon, wanted: str) -> dict[str, Any]:
        daemon.process.send_signal(signal.SIGHUP)
        for _ in range(400):
            told: dict[str, Any] = daemon.get("/status").json()["rules"]
            if wanted in (told["error"] or f"{told['count']} rules"):
                return told
            time.sleep(0.02)
        raise AssertionError(daemon.log.read_text())

    with running(tmp_path, "--handler", f"rules:{rules}", LINNIX_BPF="off") as daemon:
        assert daemon.get("/status").json()["rules"]["files"] == [str(rules)]
        rules.write_text(rules.read_text() + "- {name: hog, detector: cpu_pct, treshold: 80, duration: 5}\n")
        wrong = after_reload(daemon, "did you mean 'threshold'?")
        rules.write_text(rules.read_text().replace("treshold", "threshold"))
        right = after_reload(daemon, "2 rules")
        code, _ = daemon.stop()

    assert (wrong["count"], right["count"], right["error"], code) == (1, 2, None, 0)
    assert f"{rules}:2: rule 'hog': treshold" in daemon.log.read_text()


def test_switched_off_it_still_serves_and_says_what_it_cannot_see(tmp_path: Path) -> None:
    with running(tmp_path, LINNIX_BPF="off") as daemon:
        ready, processes = daemon.get("/readyz"), daemon.get("/processes").json()
        code, _ = daemon.stop()

    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert "eBPF is switched off" in ready.json()["reason"]
    assert os.getpid() in {process["pid"] for process in processes}
    assert code == 0


def test_it_serves_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "run/s"
    with running(tmp_path, LINNIX_UDS_PATH=str(path)) as daemon:
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://localhost") as client:
            health = client.get("/healthz").json()["status"]
        daemon.stop()

    assert (health, path.exists()) == ("ok", False)


def test_a_token_is_asked_for_on_the_api_and_not_on_the_operational_port(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, LINNIX_API_TOKEN="t", LINNIX_BPF="off")
    try:
        for _ in range(400):
            try:
                scraped = httpx.get(f"http://127.0.0.1:{daemon.metrics}/metrics/prometheus").status_code
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        codes = [daemon.get("/healthz", headers=h).status_code for h in ({}, {"Authorization": "Bearer t"})]
    finally:
        daemon.stop()

    assert (scraped, codes) == (200, [401, 200])


def test_a_busy_port_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        addr = f"127.0.0.1:{holder.getsockname()[1]}"
        done = cognitod(LINNIX_LISTEN_ADDR=addr, LINNIX_DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert f"cannot listen on {addr} (api.listen_addr): address already in use" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "message"),
    [
        ((), {"LINNIX_LISTEN_ADDR": "0.0.0.0:1"}, 2, "a token is required"),
        (("--config", "/nonexistent"), {}, 2, "error: /nonexistent: no such file"),
        (("--handler", "csv:/x"), {}, 2, "--handler csv:/x: expected jsonl:PATH or rules:PATH"),
        (("--handler", "rules:/nonexistent"), {}, 1, "cannot read the rule file /nonexistent: no such file"),
        (("--nonsense",), {}, 2, "unrecognized arguments: --nonsense"),
        (("--check-config", "--config", "/nonexistent"), {}, 1, "error: /nonexistent: no such file"),
        (("--check-config", "--handler", "rules:/nonexistent"), {}, 1, "cannot read the rule file"),
    ],
)
def test_what_a_user_did_wrong_is_a_sentence_and_a_code(
    arguments: tuple[str, ...], environ: dict[str, str], code: int, message: str
) -> None:
    done = cognitod(*arguments, **environ)

    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_check_config_tells_every_problem_and_needs_no_privilege(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[api]\nlisten_adr = 1\n[telemetry]\nretention_seconds = true\nmin_eps_to_enable = 20\n")
    bad = cognitod("--check-config", "--config", path)
    path.write_text("[telemetry]\nmin_eps_to_enable = 20\n")
    good = cognitod("--check-config", "--config", path)

    assert (bad.returncode, bad.stderr.splitlines()) == (
        1,
        [
            "error: api.listen_adr: unknown key; did you mean api.listen_addr?",
            "error: telemetry.retention_seconds: expected a whole number, found True",
        ],
    )
    assert (good.returncode, good.stdout.startswith("configuration is valid: ")) == (0, True)
    assert good.stderr.startswith("warning: telemetry.min_eps_to_enable: has no effect")


def test_dry_run_attaches_and_ends_and_probe_only_is_json(tmp_path: Path) -> None:
    dry = cognitod("--dry-run", "--detach", LINNIX_BPF="off")
    probe = cognitod("--probe-only")

    assert (dry.returncode, dry.stdout.startswith("attached: processes are seen through ")) == (0, True)
    assert "--detach has no effect" in dry.stderr
    assert json.loads(probe.stdout).keys() >= {"rss_probe", "btf"}
    assert cognitod("--version").stdout == f"cognitod {__version__}\n"


def test_log_lines_are_json_when_asked_for(tmp_path: Path) -> None:
    with running(tmp_path, "--log-format", "json", LINNIX_BPF="off") as daemon:
        daemon.stop()

    levels = [json.loads(line)["level"] for line in daemon.log.read_text().splitlines()]
    assert levels[-1] == "info"


def test_twenty_rounds_leave_no_file_and_no_thread_open() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def round_trip() -> None:
        sight, degraded = choose_sight(Config())
        host = HostReader()
        pipeline = Pipeline(
            table=Table(), engine=Engine([]), gate=Alerts([], "h"), hub=Hub(), sight_name=sight.name, degraded=degraded
        )
        failures: list[BaseException] = []
        ingest = Ingest(
            sight,
            pipeline,
            asyncio.get_running_loop(),
            read_snapshot=host.read_snapshot,
            read_texts=host.read_texts,
            redact=Redactor(),
            interval_s=1,
            on_failure=failures.append,
        )
        ingest.start()
        while pipeline.snapshot is None and not failures:
            await asyncio.sleep(0.01)
        assert ingest.stop()
        host.close()
        assert failures == []

    asyncio.run(round_trip())  # the first one loads what stays loaded
    before = open_files(), threading.active_count()
    for _ in range(20):
        asyncio.run(round_trip())

    assert (open_files(), threading.active_count()) == before
