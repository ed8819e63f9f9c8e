"""`linnix blame`: what it asks, what it prints, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from linnix.cli._blame_table import lines, short_lines, who
from support.far_end import Request, Server, json_reply, reply

BETA = {"pid": 200, "start_ns": 1, "comm": "beta", "cgroup": "/app.slice/b.service", "unit": "b.service"}
ALPHA = {"pid": 100, "start_ns": 1, "comm": "al\x1b[31mpha", "cgroup": "/", "unit": None}


def pair(victim: Any, offender: Any, stall_ms: float, share: float, kind: str = "measured") -> dict[str, Any]:
    return {
        "victim": victim,
        "offender": offender,
        "task_ms": 2 * stall_ms,
        "stall_ms": stall_ms,
        "share": share,
        "kind": kind,
    }


def told(*pairs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resource": "cpu",
        "from": 1764000000.0,
        "to": 1764000060.0,
        "pairs": list(pairs),
        "attributed_ms": 2500.0,
        "psi_total_ms": None,
        "coverage": 0.9,
        "permalink": "/blame?",
        "by": "process",
        "victim": None,
        "pairs_total": len(pairs),
        "inferred_ms": 0.0,
        "host_psi_ms": 2600.0,
        "waited_ms": 5000.0,
        "lost_ms": 0.0,
        "engaged_s": 55.0,
        "epochs": 1,
        "engaged": True,
        "reason": None,
        **more,
    }


SAMPLE = told(
    pair(ALPHA, BETA, 2400, 0.82),
    pair(BETA, BETA, 90, 1.0, "own_threads"),
    attributed_ms=2490.0,
    psi_total_ms=2600.0,
    inferred_ms=12.0,
    pairs_total=5,
)


@pytest.fixture
def daemon() -> Iterator[Server]:
    server = Server({"/blame": json_reply(SAMPLE)})
    yield server
    server.close()


def linnix(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "linnix.cli.main", "blame", *arguments],
        env={**os.environ, "TZ": "UTC", **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def asked(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


def test_a_table_says_who_made_whom_wait_and_what_the_figures_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert lines(SAMPLE, 120, colour=False) == [
        "cpu: who waits, 16:00:00 to 16:01:00 (60 s)",
        "STALL  SHARE    TASK  KIND         VICTIM                     OFFENDER",
        '2.4 s   82 %   4.8 s  measured     "al␛[31mpha" (pid 100)     beta (pid 200, b.service)',
        "90 ms  100 %  180 ms  own threads  beta (pid 200, b.service)  beta (pid 200, b.service)",
        "and 3 smaller pairs (--top)",
        "charged 2.5 s; the kernel's own count of the stall is 2.6 s; inferred besides: 12 ms",
        "measured for 55 s of 60 s, coverage 90 %",
    ]


def test_a_narrow_terminal_costs_names_not_amounts() -> None:
    shown = lines(SAMPLE, 70, colour=False)
    assert all(len(line) <= 70 for line in shown[1:4])
    assert shown[2].startswith("2.4 s   82 %   4.8 s  measured")


def test_colours_are_only_where_they_were_asked_for() -> None:
    assert "\x1b[" not in "".join(lines(SAMPLE, 120, colour=False))
    assert "\x1b[36m" in "".join(lines(SAMPLE, 120, colour=True))


def test_a_line_in_a_pipe_is_complete_in_itself() -> None:
    (first, _) = short_lines(SAMPLE)
    assert first.endswith('cpu "al␛[31mpha" (pid 100) waited 2.4 s (82 %) for beta (pid 200, b.service), measured')


@pytest.mark.parametrize(
    ("party", "words"),
    [
        ("/app.slice/b.service", "/app.slice/b.service"),
        ("/", "/"),
        ("(others)", "(others)"),
        ("/evil\x1b[2J", '"/evil␛[2J"'),
        ({"pid": 0, "start_ns": 0, "comm": "(nobody)", "cgroup": None, "unit": None}, "(nobody)"),
        ({"pid": None, "start_ns": 0, "comm": "(others)", "cgroup": "/a", "unit": None}, "(others in /a)"),
        ({"pid": None, "start_ns": 0, "comm": "(others)", "cgroup": None, "unit": None}, "(others)"),
        ({"pid": 7, "start_ns": 1, "comm": "", "cgroup": "/a", "unit": None}, "? (pid 7, /a)"),
        ({"pid": 7, "start_ns": 1, "comm": "(others)", "cgroup": "/", "unit": None}, '"(others)" (pid 7)'),
    ],
)
def test_a_name_is_plain_where_it_can_be_and_quoted_where_it_must(party: Any, words: str) -> None:
    assert who(party) == words


def test_nobody_waiting_is_said_with_what_is_known() -> None:
    calm = told(attributed_ms=0.0, engaged=False, engaged_s=0.0, coverage=0.0)
    assert lines(calm, 80, colour=False)[1:] == [
        "Nobody waited, as far as was measured.",
        "measured for 0 ms of 60 s, coverage 0 %; waiting for pressure to rise",
    ]
    off = {**calm, "reason": "blame.mode is off"}
    assert lines(off, 80, colour=False)[-1].endswith("not measured now: blame.mode is off")
    assert short_lines(off)[0].endswith("cpu nobody waited (blame.mode is off)")


def test_options_become_the_question(daemon: Server) -> None:
    options = ["--resource", "io", "--by", "unit", "--victim", "b.service", "--top", "3"]
    done = linnix("--host", daemon.url, *options, "--from", "1764000000", "--to", "1764000060.5")
    assert done.returncode == 0, done.stderr
    assert asked(daemon.requests[0]) == {
        "resource": "io",
        "by": "unit",
        "victim": "b.service",
        "top": "3",
        "from": "1764000000.000000",
        "to": "1764000060.500000",
    }


def test_by_itself_it_asks_for_the_daemons_own_window(daemon: Server) -> None:
    address = daemon.url.removeprefix("http://")
    done = linnix(LINNIX_LISTEN_ADDR=address, LINNIX_API_TOKEN="secret")
    assert done.returncode == 0, done.stderr
    assert asked(daemon.requests[0]) == {"resource": "cpu", "top": "10"}
    assert daemon.requests[0].headers["authorization"] == "Bearer secret"
    assert "\x1b" not in done.stdout


def test_json_is_the_daemons_answer(daemon: Server) -> None:
    assert json.loads(linnix("--host", daemon.url, "--json").stdout) == SAMPLE


def test_since_counts_back_from_now(daemon: Server) -> None:
    before = time.time()
    linnix("--host", daemon.url, "--since", "5m")
    assert before - 301 < float(asked(daemon.requests[0])["from"]) < time.time() - 299


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--since", "soon"], 2, "'soon' is no duration like 90s, 5m or 1h"),
        (["--from", "yesterday"], 2, "neither unix seconds nor a time"),
        (["--watch", "--from", "1"], 2, "--watch looks at what happens now"),
        (["--since", "5m", "--from", "1"], 2, "either --from or --since"),
        (["--resource", "net"], 2, "net"),
        (["--host", "ftp://x"], 2, "is not an address like"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str], code: int, words: str) -> None:
    done = linnix(*arguments)
    assert (done.returncode, words in " ".join(done.stderr.replace("│", " ").split())) == (code, True), done.stderr


def test_no_daemon_is_exit_code_3_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = linnix("--host", f"127.0.0.1:{port}")
    assert (done.returncode, done.stderr.splitlines()) == (
        3,
        [
            f"error: no daemon answers at http://127.0.0.1:{port}: connection refused",
            "Start it with: sudo cognitod, or linnix up; another address: --host URL",
        ],
    )


def test_the_daemons_refusal_is_told_in_its_words() -> None:
    server = Server({"/blame": reply(404, b'{"error":"victim=\'x\': no such unit"}')})
    done = linnix("--host", server.url)
    server.close()
    assert (done.returncode, done.stderr) == (1, "error: victim='x': no such unit\n")


def test_a_stranger_is_not_taken_for_the_daemon() -> None:
    server = Server({"/blame": json_reply([1, 2])})
    done = linnix("--host", server.url)
    server.close()
    assert (done.returncode, "is no cognitod" in done.stderr) == (3, True)


def test_watching_goes_on_until_it_is_interrupted(daemon: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "linnix.cli.main", "blame", "--host", daemon.url, "--watch", "--interval", "0.5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=10)
    assert (process.returncode, complaint) == (130, "")
    assert all("waited" in line for line in seen)
    assert len(daemon.requests) >= 3
