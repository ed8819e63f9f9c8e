"""A process that loops, through the real daemon: named within seconds, alerted once, and told when it is over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_daemon import Daemon, running

pytestmark = pytest.mark.timeout(180)

# A busy host leaves a loop less than a core: it is told by its name, not by how much it gets.
RULES = """
- {name: loop, detector: cpu_pct, threshold: 2, duration: 2, severity: medium, keep_firing: 2,
   scope: {comm: "loop-*"}}
"""
LOOP = "import ctypes; ctypes.CDLL(None).prctl(15, b'loop-\\x1b[31m')\nwhile True: pass"


def wait_for(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What it gives once that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError(f"nothing in {seconds:g} s")


def follow(daemon: Daemon, heard: list[tuple[str, dict[str, Any]]]) -> None:
    name = ""
    with httpx.stream("GET", f"{daemon.url}/alerts", timeout=None) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                heard.append((name, json.loads(line[6:])))


def linnix(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnix.cli.main", "findings", "--host", daemon.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env={**os.environ})


def test_a_loop_is_found_alerted_once_and_over_when_it_is_killed(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    heard: list[tuple[str, dict[str, Any]]] = []
    with running(tmp_path, "--handler", f"rules:{rules}") as daemon:
        assert daemon.get("/findings").json() == []
        assert linnix(daemon).stdout.startswith("Nothing wrong: 1 rule looked at ")
        listener = threading.Thread(target=follow, args=(daemon, heard), daemon=True)
        listener.start()
        loop = subprocess.Popen([sys.executable, "-c", LOOP])
        try:
            (found,) = wait_for(lambda: daemon.get("/findings").json())
            told = linnix(daemon).stdout
            time.sleep(3)  # long enough for a second alert, if there were one
            (alert,) = wait_for(lambda: daemon.get("/alerts", headers={"Accept": "application/json"}).json())
        finally:
            loop.kill()
            loop.wait()
        wait_for(lambda: daemon.get("/findings").json() == [])
        wait_for(lambda: len(heard) == 2)
        (past,) = daemon.get("/timeline").json()
        daemon.stop()
        listener.join(10)

    assert (found["class"], found["process"]["pid"], found["process"]["comm"]) == (
        "cpu_spin",
        loop.pid,
        "loop-\x1b[31m",
    )
    assert f'"loop-␛[31m" (pid {loop.pid}' in told
    assert [(name, each["id"], each["state"], each["pid"]) for name, each in heard] == [
        ("alert", "alert-1", "firing", loop.pid),
        ("resolved", "alert-1", "resolved", loop.pid),
    ]
    assert (alert["id"], alert["state"]) == ("alert-1", "firing")
    assert (past["state"], past["resolved_at"]) == ("resolved", heard[1][1]["resolved_at"])
    lines = (daemon.data / "alerts.ndjson").read_text().splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["firing", "resolved"]
