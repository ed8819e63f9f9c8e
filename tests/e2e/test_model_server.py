"""The model server as a user starts it: the script, the bundled model, real requests."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
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

from linnix.modelserver.artifacts import Conversion, find_model
from linnix.modelserver.server import ServerError, ServerProcess, free_port
from linnix.modelserver.settings import Settings

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

REPOSITORY = Path(__file__).parents[2]
START_S = 120.0
STOP_S = 3.0


def ignore(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with the bundled model converted in it, as after a first start."""
    directory = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNIX_DATA_DIR", str(directory))
        find_model(None, Conversion(ignore, ignore, ignore, ignore))
        yield directory
    shutil.rmtree(directory)  # 145 MB that pytest would keep for three runs


@pytest.fixture(scope="module")
def command_on_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which ``linnix`` is this source tree, for where it is not installed."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "linnix").write_text(f'#!/bin/sh\nexec {sys.executable} -m linnix.cli.main "$@"\n')
    (folder / "linnix").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@dataclass
class Started:
    """A server started through the script; ``stdout`` and ``stderr`` are files it writes to."""

    process: subprocess.Popen[bytes]
    port: int
    stdout: Path
    stderr: Path

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        status, content = self.request(method, path, body)
        assert status == 200, content
        return json.loads(content)

    def said(self, text: str, within_s: float) -> str:
        deadline = time.monotonic() + within_s
        while text not in self.stderr.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        said = self.stderr.read_text()
        assert text in said, said
        return said

    def server(self) -> psutil.Process:
        (child,) = psutil.Process(self.process.pid).children()
        return child


@contextmanager
def started(
    folder: Path, data_dir: Path, path: str, *arguments: str, ready: bool = True, **environment: str
) -> Iterator[Started]:
    port = free_port()
    stdout, stderr = folder / "stdout", folder / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            [REPOSITORY / "serve_distilled_model.sh", *arguments],
            cwd=folder,
            env={**os.environ, "PATH": path, "LINNIX_DATA_DIR": str(data_dir), "LLAMA_PORT": str(port), **environment},
            stdout=out,
            stderr=err,
        )
    server = Started(process, port, stdout, stderr)
    try:
        if ready:
            server.said("Ready in", START_S)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, data_dir: Path, command_on_path: str) -> Iterator[Started]:
    with started(tmp_path_factory.mktemp("cwd"), data_dir, command_on_path, "--runtime", "xllamacpp") as running:
        yield running


def completion(server: Started, **fields: Any) -> Any:
    body = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 16, "temperature": 0}
    return server.json("POST", "/v1/chat/completions", body | fields)


def test_the_banner_has_the_guides_lines_with_the_true_values(server: Started) -> None:
    threads = min(8, len(os.sched_getaffinity(0)))
    assert server.stdout.read_text() == (
        "🚀 Starting Linnix Model Server (SmolLM2-135M-Instruct, bundled)\n"
        "   Model: SmolLM2-135M-Instruct-Q8_0.gguf\n"
        f"   Port: {server.port}\n"
        "   Context: 4096 tokens\n"
        f"   Threads: {threads}\n"
        "\n"
        f"📡 API Endpoint: http://localhost:{server.port}/v1/chat/completions\n"
    )


def test_it_says_that_both_grammars_are_enforced(server: Started) -> None:
    assert "grammars enforced: GBNF and Lark" in server.said("grammars", 1)


def test_the_model_list_names_the_model_that_is_served(server: Started) -> None:
    listed = server.json("GET", "/v1/models")["data"]
    assert [(model["id"], model["meta"]["n_ctx"], model["meta"]["ftype"]) for model in listed] == [
        ("SmolLM2-135M-Instruct", 4096, "Q8_0")
    ]


def test_the_distilled_name_is_accepted_and_answered_by_the_true_one(server: Started) -> None:
    answer = completion(server, model="linnix-3b-distilled")
    assert answer["model"] == "SmolLM2-135M-Instruct"
    assert answer["choices"][0]["message"]["content"].strip()


def test_a_grammar_binds_the_answer(server: Started) -> None:
    answer = completion(server, grammar='root ::= "teal" | "ochre"')
    assert answer["choices"][0]["message"]["content"] in ("teal", "ochre")


def test_a_bad_grammar_is_refused(server: Started) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "grammar": "root ::= (", "max_tokens": 4}
    assert server.request("POST", "/v1/chat/completions", body)[0] == 400


def test_metrics_are_on_and_slots_and_the_web_page_are_off(server: Started) -> None:
    completion(server)
    status, metrics = server.request("GET", "/metrics")
    assert status == 200
    assert b"llamacpp:tokens_predicted_total" in metrics
    assert [server.request("GET", path)[0] for path in ("/slots", "/")] == [501, 404]


def test_it_listens_on_loopback_only(server: Started) -> None:
    listening = [c.laddr for c in server.server().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert [tuple(address) for address in listening] == [("127.0.0.1", server.port)]


def test_a_page_of_another_origin_may_not_read_answers(server: Started) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/v1/models", headers={"Origin": "http://elsewhere.example"})
    headers = dict(connection.getresponse().getheaders())
    connection.close()
    assert "Access-Control-Allow-Origin" not in headers


def test_a_second_server_on_the_port_is_refused_by_the_name_of_the_first(
    server: Started, tmp_path: Path, data_dir: Path, command_on_path: str
) -> None:
    environment = {"LLAMA_PORT": str(server.port)}
    with started(tmp_path, data_dir, command_on_path, ready=False, **environment) as second:
        assert second.process.wait(30) == 1
        assert second.stdout.read_text() == ""
        assert second.stderr.read_text().startswith(f"error: port {server.port} is in use by python")


def test_with_a_key_requests_without_it_are_refused_and_it_is_not_on_a_command_line(
    tmp_path: Path, data_dir: Path, command_on_path: str
) -> None:
    with started(tmp_path, data_dir, command_on_path, LLAMA_API_KEY="k-e-y") as server:
        statuses = [
            server.request("GET", "/v1/models")[0],
            server.request("GET", "/v1/models", Authorization="Bearer wrong")[0],
            server.request("GET", "/v1/models", Authorization="Bearer k-e-y")[0],
            server.request("GET", "/health")[0],
        ]
        assert statuses == [401, 401, 200, 200]
        assert not any("k-e-y" in argument for argument in server.server().cmdline())
        assert "grammars enforced: GBNF and Lark" in server.said("grammars", 1)


def test_sigterm_ends_it_with_0_in_time_even_in_mid_answer_and_leaves_no_child(
    tmp_path: Path, data_dir: Path, command_on_path: str
) -> None:
    with started(tmp_path, data_dir, command_on_path) as server:
        child = server.server()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = {"messages": [{"role": "user", "content": "Count."}], "ignore_eos": True, "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        assert connection.getresponse().readline().startswith(b"data: ")
        server.process.terminate()
        assert server.process.wait(STOP_S) == 0
        connection.close()
        assert not child.is_running()
        assert server.stderr.read_text().endswith("stopped\n")


def test_ctrl_c_ends_it_with_130(tmp_path: Path, data_dir: Path, command_on_path: str) -> None:
    with started(tmp_path, data_dir, command_on_path) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(STOP_S) == 130
        assert "Traceback" not in server.stderr.read_text()


def test_the_death_of_the_child_is_reported_with_its_cause_and_last_lines(
    tmp_path: Path, data_dir: Path, command_on_path: str
) -> None:
    with started(tmp_path, data_dir, command_on_path) as server:
        server.server().send_signal(signal.SIGSEGV)
        assert server.process.wait(10) == 1
        said = server.stderr.read_text()
        assert "error: the model server was killed by SIGSEGV" in said
        assert "its last lines" in said


def test_the_child_dies_with_a_parent_that_is_killed(tmp_path: Path, data_dir: Path, command_on_path: str) -> None:
    with started(tmp_path, data_dir, command_on_path) as server:
        child = server.server()
        server.process.kill()
        psutil.wait_procs([child], timeout=5)
        assert not child.is_running()


def test_a_context_beyond_the_models_is_capped_and_said(tmp_path: Path, data_dir: Path, command_on_path: str) -> None:
    with started(tmp_path, data_dir, command_on_path, LLAMA_CTX="32768") as server:
        assert "   Context: 8192 tokens\n" in server.stdout.read_text()
        server.said(
            "note: LLAMA_CTX=32768 is more than the 8192 tokens SmolLM2-135M-Instruct was trained for: serving 8192\n",
            1,
        )
        assert server.json("GET", "/v1/models")["data"][0]["meta"]["n_ctx"] == 8192


def test_a_context_beyond_32768_is_a_usage_error(tmp_path: Path, data_dir: Path, command_on_path: str) -> None:
    with started(tmp_path, data_dir, command_on_path, ready=False, LLAMA_CTX="32769") as server:
        assert server.process.wait(30) == 2
        assert "32768" in server.stderr.read_text()
        assert "Traceback" not in server.stderr.read_text()


def test_a_named_file_that_is_missing_is_an_error_and_exit_1(
    tmp_path: Path, data_dir: Path, command_on_path: str
) -> None:
    with started(tmp_path, data_dir, command_on_path, ready=False, LINNIX_MODEL="/nowhere/m.gguf") as server:
        assert server.process.wait(30) == 1
        assert server.stderr.read_text().splitlines()[0] == "error: cannot open model file /nowhere/m.gguf"
        assert server.stdout.read_text() == ""


def test_the_distilled_files_name_does_not_make_another_model_it(
    tmp_path: Path, data_dir: Path, command_on_path: str
) -> None:
    (tmp_path / "linnix-3b-distilled-q5_k_m.gguf").symlink_to(next((data_dir / "models").glob("*.gguf")))
    with started(tmp_path, data_dir, command_on_path) as server:
        assert server.stdout.read_text().splitlines()[:2] == [
            "🚀 Starting Linnix Model Server (Smollm2 135M 8k Lc100K Mix1 Ep2)",
            "   Model: linnix-3b-distilled-q5_k_m.gguf",
        ]


def test_the_first_start_converts_with_a_line_at_its_start_and_end(tmp_path: Path, command_on_path: str) -> None:
    data = tmp_path / "data"
    with started(tmp_path, data, command_on_path) as server:
        lines = server.stderr.read_text().splitlines()
        assert lines[0].startswith("Converting the bundled model to Q8_0, once")
        assert lines[1].startswith("   converted in ")
        assert lines[1].endswith(" s, 145 MB")
        assert server.json("GET", "/v1/models")["data"][0]["meta"]["n_params"] == 134_515_008
    shutil.rmtree(data)


def test_a_file_that_llama_cpp_refuses_is_reported_with_its_words(tmp_path: Path, data_dir: Path) -> None:
    """The header is whole and the tensors are there, but not those of a llama: only llama.cpp can find that."""
    from support.gguf_files import write_gguf

    model = find_model(write_gguf(tmp_path / "odd.gguf"), Conversion(ignore, ignore, ignore, ignore))
    server = ServerProcess(model, Settings(free_port()), runtime="xllamacpp")
    with (
        server,
        pytest.raises(ServerError, match=r"the model server ended with exit code 1\n  its last lines") as error,
    ):
        server.wait_ready(timeout_s=60)
    assert "load" in str(error.value)


def test_a_llama_server_on_path_is_preferred_and_runs_with_our_arguments(
    tmp_path: Path, data_dir: Path, command_on_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for llama.cpp's binary: it shows its command line and environment and ends."""
    fake = tmp_path / "llama-server"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --help ] && echo "--metrics --no-webui" && exit 0\necho "got $*"\nenv\nexit 3\n'
    )
    fake.chmod(0o755)
    environment = {"LLAMA_ARG_HOST": "0.0.0.0", "LLAMA_API_KEY": "k-e-y"}
    with started(tmp_path, data_dir, f"{tmp_path}:{command_on_path}", ready=False, **environment) as server:
        assert server.process.wait(60) == 1
        log = (data_dir / "logs" / f"model-server-{server.port}.log").read_text()
    assert "error: the model server ended with exit code 3" in server.stderr.read_text()
    assert f"--alias SmolLM2-135M-Instruct --host 127.0.0.1 --port {server.port} --ctx-size 4096" in log
    assert "LLAMA_API_KEY=k-e-y" in log
    assert "LLAMA_ARG_HOST" not in log
