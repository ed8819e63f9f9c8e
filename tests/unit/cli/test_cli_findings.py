"""`linnix findings`: what it asks, what it prints, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from linnix.cli._findings_table import lines, short_lines
from support.far_end import Server, json_reply

NOW = 1_764_000_060.0
CHECKED = {"rules": 13, "detectors": 9, "processes": 1, "judged_at": NOW, "resources": ["cpu"], "blame": []}
DB = {"pid": 80, "start_ns": 1, "comm": "postgres", "unit": "postgresql.service", "cgroup": "/system.slice/p"}
EVIL = {"pid": 300, "start_ns": 1, "comm": "x\x1b[2J\n", "unit": None, "cgroup": "/a\x1b]0;b"}


def finding(**more: Any) -> dict[str, Any]:
    return {
        "id": "f-1",
        "class": "mem_leak",
        "severity": "high",
        "score": 0.7612,
        "process": EVIL,
        "resource": "memory",
        "since": NOW - 25,
        "victims": [DB],
        "evidence": [
            {"id": "E1", "fact": "growth_bytes", "value": 120e6, "unit": "bytes", "threshold": 64e6},
            {"id": "E2", "fact": "exhausted_in_s", "value": 90.0, "unit": "seconds", "threshold": None},
        ],
        "explains": ["f-2"],
        "rule": "leak",
        "message": "pid 300 grew by 114 MiB in 30 s",
        "labels": {},
        "runbook": None,
        **more,
    }


RISK = finding(
    id="f-2", severity="low", score=0.1, process=None, victims=[], evidence=[], explains=[], rule="risk",
    runbook="Read", message="little memory is left", since=NOW - 5, **{"class": "oom_risk"},
)  # fmt: skip
TOLD = [finding(), RISK]


def linnix(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "linnix.cli.main", "findings", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_table_names_the_cause_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert lines(TOLD, CHECKED, 120, colour=False) == [
        "SEVERITY  SCORE  CLASS       FOR  WHO",
        'high       0.76  mem_leak   25 s  "x␛[2J␊" (pid 300, "/a␛]0;b")',
        "    leak: pid 300 grew by 114 MiB in 30 s",
        "    E1 growth_bytes 120 MB (threshold 64.0 MB) · E2 exhausted_in_s 90 s",
        "    explains oom_risk of the host",
        "    made wait: postgres (pid 80, postgresql.service)",
        "low        0.10  oom_risk  5.0 s  the host",
        "    risk: little memory is left",
        "    runbook: Read",
    ]


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("count", 3.0, "3"),
        ("percent of one core", 99.0, "99.0 %"),
        ("per second", 20_000.0, "20,000/s"),
        ("bytes per second", 90e6, "90.0 MB/s"),
        ("MB per second", 90.0, "90.0 MB/s"),
        ("MiB per second", 4.0, "4.2 MB/s"),
        ("milliseconds", 1500.0, "1.5 s"),
        ("pid", 4711.0, "4711"),
    ],
)
def test_numbers_are_written_by_their_units(unit: str, value: float, shown: str) -> None:
    evidence = [{"id": "E1", "fact": "x", "value": value, "unit": unit, "threshold": None}]
    assert f"    E1 x {shown}" in lines([finding(evidence=evidence)], CHECKED, 120, colour=False)


def test_a_narrow_terminal_breaks_lines_between_words() -> None:
    shown = lines(TOLD, CHECKED, 40, colour=False)
    assert all(len(line) <= 40 for line in shown)
    assert "    E1 growth_bytes 120 MB (threshold" in shown


def test_colours_follow_severity_and_are_only_where_they_were_asked_for() -> None:
    assert "\x1b" not in "".join(lines(TOLD, CHECKED, 120, colour=False))
    assert ["\x1b[1;31mhigh" in line for line in lines(TOLD, CHECKED, 120, colour=True)].count(True) == 1


def test_nothing_wrong_says_who_looked_at_what() -> None:
    assert lines([], CHECKED, 120, colour=False) == ["Nothing wrong: 13 rules looked at 1 process."]


def test_a_line_in_a_pipe_is_complete_in_itself() -> None:
    first, _ = short_lines(TOLD, CHECKED, NOW)
    assert first.endswith('high 0.76 mem_leak of "x␛[2J␊" (pid 300, "/a␛]0;b"): pid 300 grew by 114 MiB in 30 s')


def test_json_is_what_the_daemon_said() -> None:
    server = Server({"/findings": json_reply(TOLD)})
    done = linnix("--json", "--host", server.url)
    server.close()
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, TOLD, "")


def test_a_quiet_host_is_told_in_a_sentence() -> None:
    server = Server({"/findings": json_reply([]), "/status": json_reply({"checked": {**CHECKED, "processes": 215}})})
    done = linnix("--host", server.url)
    server.close()
    assert (done.returncode, done.stdout) == (0, "Nothing wrong: 13 rules looked at 215 processes.\n")


def test_without_a_daemon_it_ends_with_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = linnix("--host", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: no daemon answers at http://127.0.0.1:{port}: ")


def test_what_is_no_array_is_no_cognitod() -> None:
    server = Server({"/findings": json_reply({"error": "x"})})
    done = linnix("--host", server.url)
    server.close()
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, f"error: what answers at {server.url} is no cognitod")


def test_watching_goes_on_until_it_is_interrupted() -> None:
    server = Server({"/findings": json_reply(TOLD)})
    arguments = [sys.executable, "-m", "linnix.cli.main", "findings", "--watch", "--interval", "0.5"]
    with subprocess.Popen([*arguments, "--host", server.url], stdout=subprocess.PIPE, text=True) as going:
        assert going.stdout is not None
        seen = [going.stdout.readline() for _ in range(4)]
        going.send_signal(signal.SIGINT)
        assert going.wait(10) == 130
    server.close()
    assert [line.split(" ", 1)[1].split(" ")[0] for line in seen] == ["high", "low", "high", "low"]
