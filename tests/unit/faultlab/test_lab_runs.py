"""The command from start to end, with a daemon that says little: what is recorded, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_make import mount, text

from linnix.faultlab import cgroups, proc
from linnix.faultlab.recording import read_events, read_facts

#: The culprit has a child of another session, so that nothing but its control group has both.
CULPRIT = ("as: renderd\n    argv: [sleep,", 'as: renderd\n    argv: [sh, -c, "setsid sleep 60 & wait",')
QUICK = (("warm_up_s: 2", "warm_up_s: 0.5"), ("injection_s: 4", "injection_s: 2"), ("recovery_s: 2", "recovery_s: 0.5"))


@pytest.fixture
def begin(tmp_path: Path, url: str) -> Iterator[Any]:
    """Start `linnix faultlab run` with a changed scenario; killed at the end."""
    mount()
    begun: list[subprocess.Popen[str]] = []

    def start(*changes: tuple[str, str], flags: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        (tmp_path / "small.yaml").write_text(text(*changes))
        arguments = [str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out"), "--host", url, "--seed", "1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "linnix.cli.main", "faultlab", "run", *arguments, "--max-load", "9999", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()
    list(cgroups.end_remains(mount()))


def injected(process: subprocess.Popen[str]) -> list[proc.Seen]:
    """The processes of a run in which the fault is on, the child of the culprit included."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for group in mount().glob("app.slice/app-*.slice"):
            seen = [each for each in map(proc.read, cgroups.pids(group)) if each is not None]
            if sorted(each.comm for each in seen) == ["maild", "renderd", "sleep"] and _is_below(seen, process.pid):
                return seen
        time.sleep(0.02)
    raise AssertionError("the fault does not begin")


def _is_below(seen: list[proc.Seen], pid: int) -> bool:
    return any(each.ppid == pid for each in seen)


def gone(seen: list[proc.Seen]) -> bool:
    """Whether none of them lives any more."""
    found = [proc.read(each.pid) for each in seen]
    return all(
        now is None or now.state in "ZX" or now.start_ns != each.start_ns for each, now in zip(seen, found, strict=True)
    )


def test_a_run_records_the_truth_beside_what_the_daemon_said(begin: Any, tmp_path: Path) -> None:
    done = begin(*QUICK, CULPRIT, flags=("--json",))
    seen = injected(done)
    said, errors = done.communicate()

    assert (done.returncode, errors) == (0, "")
    assert [json.loads(line)["event"] for line in said.splitlines()] == ["phase", "phase", "phase", "done"]
    folder = tmp_path / "out" / "small-1"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["planned.json", "small-1"]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("alerts.json", "events.jsonl", "facts.jsonl", "meta.json", "truth.json"),
    ]
    truth = json.loads((folder / "truth.json").read_text())
    pids = {each.comm: [each.pid, each.start_ns] for each in seen}
    other, worker = truth["commands"]
    assert (other["name"], other["role"], other["processes"]) == ("other", "decoy", [pids["maild"]])
    assert (worker["name"], worker["role"]) == ("worker", "command")
    assert worker["processes"] == [pids["renderd"], pids["sleep"]]
    assert [worker["pid"], worker["start_ns"]] == pids["renderd"]
    assert (truth["class"], truth["culprit"], list(truth["phases"])) == (
        "cpu_spin",
        "worker",
        ["warm_up", "injection", "recovery"],
    )
    phase = truth["phases"]["injection"]
    assert phase["start"] <= worker["started"] < worker["stopped"] <= phase["stop"] <= other["stopped"]
    assert {(line.status, bytes(line.facts)) for line in read_facts(folder)} == {
        (200, b'{"processes":[], "findings":[]}')
    }
    assert [line.event for line in read_events(folder)] == ["alert", "", "tag", ""]
    assert (folder / "alerts.json").read_bytes() == b'[{"rule":"none"}]'
    assert gone(seen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_with_130_and_leaves_nothing(begin: Any, tmp_path: Path, number: int) -> None:
    process = begin(("injection_s: 4", "injection_s: 120"), CULPRIT)
    seen = injected(process)

    process.send_signal(number)
    _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors.splitlines()[-1]) == (130, "Interrupted: all that was started has been ended")
    assert gone(seen)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["planned.json", "small-1.part"]


def test_the_next_start_ends_what_a_killed_one_left(begin: Any, tmp_path: Path) -> None:
    killed = begin(("injection_s: 4", "injection_s: 120"), CULPRIT)
    seen = injected(killed)
    group = next(path for path in mount().glob("app.slice/app-*.slice") if seen[0].pid in cgroups.pids(path))
    killed.kill()
    killed.communicate()
    assert not gone(seen)  # the child of another session lives on

    following = begin(*QUICK, CULPRIT)
    _, errors = following.communicate(timeout=90)

    assert following.returncode == 0, errors
    assert f"Ended what was left of {group.name}" in errors
    assert (gone(seen), group.exists()) == (True, False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["planned.json", "small-1"]


def test_a_command_that_fails_makes_no_recording(begin: Any, tmp_path: Path) -> None:
    process = begin(
        *QUICK, ("as: renderd\n    argv: [sleep,", 'as: renderd\n    argv: [sh, -c, "echo no >&2; exit 3",')
    )
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "small-1: command 'worker' ended with status 3 after" in errors
    assert " s. no (1 of 1)" in errors
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["planned.json", "small-1.part"]


def test_a_command_is_told_nothing_of_our_environment(begin: Any, tmp_path: Path) -> None:
    os.environ["LINNIX_TEST_SECRET"] = "hunter2"
    try:
        process = begin(("injection_s: 4", "injection_s: 120"), CULPRIT)
        seen = injected(process)
    finally:
        del os.environ["LINNIX_TEST_SECRET"]
    told = {line.partition(b"=")[0] for line in _environ(next(each for each in seen if each.comm == "maild").pid)}

    assert told == {b"PATH", b"LANG", b"HOME", b"TMPDIR", b"WORK", b"INTENSITY", b"SEED"}


def _environ(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().strip(b"\0").split(b"\0")
