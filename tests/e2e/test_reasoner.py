"""linnix-reasoner as a user runs it: a process, its two outputs, its exit code."""

from __future__ import annotations

import errno
import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from linnix.insight import menu, rules_text
from support.far_end import (
    SPINNING,
    Handler,
    Server,
    after,
    completion,
    daemon,
    delta,
    events,
    hang_up,
    host,
    process,
    reply,
    serving,
    until_the_client_leaves,
)

COMPLETIONS = "/v1/chat/completions"
ANSWER = menu.first(menu.build(SPINNING))
SHORT_ANSWER = menu.first(menu.build(SPINNING, short=True))
SHORT = rules_text.explain(SPINNING, short=True).short
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("LLM_ENDPOINT", "LLM_MODEL", "OPENAI_API_KEY", "LINNIX_API_TOKEN", "NO_COLOR", "TERM")
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "linnix.reasoner", *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments), env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def cognitod() -> Iterator[Server]:
    with serving(daemon()) as server:
        yield server


def test_without_a_daemon_it_says_how_to_start_one_and_exits_with_3() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    done = run("--host", url)
    expected = f"Failed to fetch /system from {url}: connection refused. Start it with: sudo cognitod\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", expected)


def test_the_whole_analysis_on_a_pipe(cognitod: Server) -> None:
    with serving({COMPLETIONS: completion(*ANSWER)}) as model:
        done = run("--host", cognitod.url, "--endpoint", model.url, TZ="UTC")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    told = done.stdout.replace("\n", " ")
    text = " ".join(sentence.text for sentence in rules_text.explain(SPINNING).sentences)
    assert f"LLM Analysis: {text} source: tiny (model), " in told
    assert done.stdout.startswith(
        """\
System snapshot of box at 2025-10-09 08:53:20
  CPU        53.0 % of 2 cores
  Memory     25.0 % (2.0 GB of 8.0 GB)
  Load       1.10  0.60  0.30
  Stalled    3.0 % of the last 10 s waiting on cpu

Top CPU
  NAME                    PID   CPU %    MEM MB  MEM %
  sh                     1001    99.8       8.0    0.1
  chrome                 1002     2.3     600.0    7.5
  cognitod               1003     0.6      60.0    0.8  (Linnix)

Top memory
  NAME                    PID   CPU %    MEM MB  MEM %
  chrome                 1002     2.3     600.0    7.5
  cognitod               1003     0.6      60.0    0.8  (Linnix)
  sh                     1001    99.8       8.0    0.1

LLM Analysis:
"""
    )


def test_endpoint_model_key_and_token_come_from_the_environment(cognitod: Server) -> None:
    with serving({COMPLETIONS: completion(SHORT_ANSWER)}) as model:
        done = run(
            "--short",
            "--host",
            cognitod.url,
            LLM_ENDPOINT=model.url,
            LLM_MODEL="mine",
            OPENAI_API_KEY="sk-1",
            LINNIX_API_TOKEN="t0ken",
        )
        (request,) = model.requests
    assert done.stdout.splitlines()[0] == SHORT
    assert (request.json["model"], request.headers["authorization"]) == ("mine", "Bearer sk-1")
    assert {seen.headers["authorization"] for seen in cognitod.requests} == {"Bearer t0ken"}


PAGE = reply(200, b"<!doctype html><title>Welcome to nginx</title>", "text/html")


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (PAGE, "answered with a web page, not with a chat completion; the path should end in /v1/chat/completions"),
        (reply(401, b'{"error":{"message":"Invalid API Key"}}'), "HTTP 401: the key is wrong or missing"),
        (reply(301, b"", Location="http://example.org/"), "redirects to http://example.org/; redirects are"),
        (reply(503, b'{"error":{"message":"Loading model"}}'), 'HTTP 503: "Loading model"'),
        (events(delta(ANSWER[:30])), "the answer broke off after 30 characters"),
        (hang_up, "connection closed without an answer"),
        (events(then=until_the_client_leaves), "no complete answer within 1 s (--timeout); lower LLAMA_CTX"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_answer_costs_one_line_and_not_the_analysis(
    cognitod: Server, handler: Handler, message: str
) -> None:
    with serving({COMPLETIONS: handler}) as model:
        arguments = ("--host", cognitod.url, "--endpoint", model.url + COMPLETIONS, "--timeout", "1")
        done = run(*arguments)
        required = run(*arguments, "--short", "--require-model")
    assert done.returncode == 0
    assert "LLM Analysis:\n" in done.stdout
    assert SHORT in " ".join(done.stdout.split())  # the sentence is longer than a line
    assert message in done.stdout.splitlines()[-1]
    assert done.stdout.splitlines()[-1].startswith("source: rules (")
    assert required.returncode == 4
    assert required.stderr == "A model was required (--require-model), and no checked answer came from one.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--short", "--stream"], "argument --stream: not allowed with argument --short"),
        (["--filter", "high_cpu"], "--filter needs --stream."),
        (["--raw"], "--raw needs --stream or --alerts; elsewhere --json gives JSON."),
        (["--timeout", "0"], "--timeout 0: expected seconds, more than 0."),
        (["--host", "ftp://x"], "--host: 'ftp://x' is not an address like http://127.0.0.1:3000"),
        (["--endpoint", "http://"], "--endpoint (LLM_ENDPOINT): 'http://' is not an address like http://127.0.0.1:3000"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_explained_and_exits_with_2(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_output_goes_to_the_file_as_well(cognitod: Server, tmp_path: Path) -> None:
    file = tmp_path / "analysis.txt"
    with serving({COMPLETIONS: completion(ANSWER)}) as model:
        done = run("--host", cognitod.url, "--endpoint", model.url, "--output", str(file))
    assert (done.returncode, file.read_text()) == (0, done.stdout)


@pytest.mark.parametrize("redirect", ["--output", "stdout"])
def test_a_full_disk_is_a_failure(cognitod: Server, redirect: str) -> None:
    arguments = command("--short", "--host", cognitod.url, "--endpoint", "127.0.0.1:1")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*arguments, "--output", "/dev/full"] if redirect == "--output" else arguments,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL if redirect == "--output" else full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    what = "--output /dev/full" if redirect == "--output" else "Cannot write to standard output"
    assert (done.returncode, done.stderr) == (1, f"{what}: no space left on device\n")


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    busy = host(*(process(n, f"worker{n}", cpu_pct=5.0) for n in range(1, 30)))
    with serving(daemon(busy, stream=events(*['data: {"pid":1}\n\n'] * 9000))) as at:
        shell = f"{' '.join(command('--stream', '--host', at.url))} | head -n 2"
        done = subprocess.run(
            ["sh", "-c", shell], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True
        )
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_ctrl_c_ends_a_stream_with_130_and_without_a_word(cognitod: Server) -> None:
    with (
        serving(daemon(stream=events(then=until_the_client_leaves))) as at,
        subprocess.Popen(
            command("--stream", "--host", at.url),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child,
    ):
        assert child.stdout is not None
        assert child.stdout.readline() == "Events as they happen; Ctrl-C ends.\n"
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=10)
    assert (child.returncode, error) == (130, "")


def test_a_daemon_that_goes_away_in_mid_stream_is_told_and_exits_with_3() -> None:
    with serving(daemon(stream=events('data: {"pid":1,"comm":"sh"}\n\n'))) as at:
        done = run("--stream", "--host", at.url)
    message = f"The daemon at {at.url} went away during /stream: the daemon closed the stream.\n"
    assert (done.returncode, done.stderr) == (3, message)


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What a terminal of 100 columns is sent."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*arguments),
        env=ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "100"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as child:
        os.close(theirs)
        sent = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError as error:  # Linux says EIO when the last writer has left
                assert error.errno == errno.EIO
                break
            if not chunk:
                break
            sent += chunk
        os.close(ours)
    assert child.returncode == 0
    return sent.decode()


def test_on_a_terminal_of_a_busy_host_the_models_text_replaces_the_rules() -> None:
    busy = host(process(1, "sh", cpu_pct=199.0), cpu_pct=99.0, psi_cpu=60.0)
    answer = menu.first(menu.build(busy))
    with serving(daemon(busy)) as at, serving({COMPLETIONS: after(0.5, completion(answer))}) as model:
        plain = on_a_terminal("--host", at.url, "--endpoint", model.url, NO_COLOR="1")
        coloured = on_a_terminal("--host", at.url, "--endpoint", model.url)
    provisional, final = re.split(r"\x1b\[\d+A\r\x1b\[J", plain)
    sentence = rules_text.explain(busy).short
    assert "[the rules' text, while the model is still reading]" in provisional
    assert sentence in " ".join(provisional.split())
    assert sentence in " ".join(final.split())
    assert "\x1b[" not in provisional + final
    assert "\x1b[1mLLM Analysis:\x1b[0m" in coloured


# From here on with the real daemon and the real model.

# Threads that need no lock, more of them than cores and in a session of their own, so that together they get a core
# even on a machine that others load.
BUSY_LOOP = """
import hashlib, threading
for _ in range(6):
    threading.Thread(target=lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)).start()
"""


@dataclass
class Linnix:
    """A running `linnix up`."""

    process: subprocess.Popen[str]
    host: str
    endpoint: str

    def reasoner(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run("--host", self.host, "--endpoint", self.endpoint, *arguments, **environment)


@contextmanager
def up(data: Path, **environment: str) -> Iterator[Linnix]:
    ports = [str(closed_port()) for _ in range(3)]
    arguments = ["--port", ports[0], "--metrics-port", ports[1], "--model-port", ports[2], "--no-analysis", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "linnix.cli.main", "up", *arguments],
        env=ENVIRONMENT | {"LINNIX_DATA_DIR": str(data), "LINNIX_BPF": "off"} | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            ready = 0
            for line in process.stdout:
                ready += json.loads(line)["event"] == "ready"
                if ready == 2:
                    break
            assert ready == 2
            yield Linnix(process, f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[2]}")
        finally:
            process.terminate()
            process.communicate(timeout=10)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("data")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)  # 145 MB that pytest would keep for three runs


@pytest.fixture(scope="module")
def linnix(data: Path) -> Iterator[Linnix]:
    with up(data) as running:
        yield running


@pytest.fixture
def spinner() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", BUSY_LOOP], start_new_session=True) as child:
        try:
            yield child
        finally:
            child.kill()


def until(what: Any, within_s: float = 90.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.25)
    return found


def tagged(linnix: Linnix, pid: int) -> bool:
    connection = http.client.HTTPConnection(linnix.host.removeprefix("http://"), timeout=5)
    connection.request("GET", f"/processes/{pid}")
    found = json.load(connection.getresponse())
    connection.close()
    return "high_cpu" in found.get("tags", [])


@pytest.mark.model
@pytest.mark.timeout(300)
class TestWithTheRealModel:
    def test_the_busiest_process_is_named_by_the_model(self, linnix: Linnix, spinner: subprocess.Popen[bytes]) -> None:
        until(lambda: tagged(linnix, spinner.pid))
        document = json.loads(linnix.reasoner("--json", "--timeout", "60").stdout)
        assert document["model_error"] is None
        assert (document["source"], document["insight"]["model"]) == ("model", "SmolLM2-135M-Instruct")
        assert spinner.pid in {row["pid"] for row in document["top_cpu"]}
        assert document["timings"]["predicted_per_second"] > 0

    def test_short_is_one_sentence(self, linnix: Linnix) -> None:
        done = linnix.reasoner("--short", "--json", "--timeout", "60")
        document = json.loads(done.stdout)
        assert (document["source"], len(document["insight"]["sentences"])) == ("model", 1)

    def test_a_hog_that_ran_before_shows_under_the_filter_of_its_tag(
        self, linnix: Linnix, spinner: subprocess.Popen[bytes]
    ) -> None:
        until(lambda: tagged(linnix, spinner.pid))
        done = subprocess.run(
            ["timeout", "-s", "INT", "3", *command("--host", linnix.host, "--stream", "--filter", "high_cpu")],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.stdout.startswith("high_cpu now: ")
        assert str(spinner.pid) in done.stdout

    def test_an_unknown_tag_is_refused_with_the_known_ones(self, linnix: Linnix) -> None:
        done = linnix.reasoner("--stream", "--filter", "hot")
        assert done.returncode == 2
        assert "high_cpu" in done.stderr

    def test_the_daemons_insight(self, linnix: Linnix) -> None:
        done = linnix.reasoner("--insights")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Insights:\n")

    def test_a_model_server_killed_in_mid_answer_is_told(self, linnix: Linnix) -> None:
        with subprocess.Popen(
            command("--host", linnix.host, "--endpoint", linnix.endpoint, "--timeout", "30"),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            while child.stdout.readline() != "LLM Analysis:\n":
                pass
            for each in psutil.Process(linnix.process.pid).children(recursive=True):
                if "linnix.modelserver.child" in each.cmdline():
                    each.kill()
            told, error = child.communicate(timeout=60)
        assert child.returncode == 0
        assert error == ""
        assert told.splitlines()[-1].startswith("source: ")


@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_wrong_key_is_told(data: Path) -> None:
    with up(data, LLAMA_API_KEY="right") as running:
        wrong = running.reasoner("--short", "--timeout", "60", OPENAI_API_KEY="wrong")
        right = running.reasoner("--short", "--timeout", "60", OPENAI_API_KEY="right")
    assert "HTTP 401: the key is wrong or missing; set OPENAI_API_KEY or --api-key)" in wrong.stdout
    assert right.stdout.splitlines()[-1].startswith("source: SmolLM2-135M-Instruct (model), ")
