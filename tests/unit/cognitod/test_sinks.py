from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from linnix.cognitod.model import Alert, Finding
from linnix.cognitod.sinks import LineFile, alert_sink

FINDING = Finding(
    rule="storm",
    cls="fork_storm",
    severity="high",
    message="many forks",
    key="k",
    ts_ns=1,
    timestamp=5.0,
    pid=7,
    comm="x",
)


def test_lines_are_appended_in_a_directory_made_when_it_is_needed(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "a/b/alerts.ndjson")
    file.append(b"1\n")
    file.append(b"2\n")

    assert (tmp_path / "a/b/alerts.ndjson").read_bytes() == b"1\n2\n"


def test_a_file_that_was_rotated_away_is_made_anew(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "f")
    file.append(b"1\n")
    (tmp_path / "f").rename(tmp_path / "f.1")
    file.append(b"2\n")

    assert (tmp_path / "f").read_bytes() == b"2\n"


def test_a_full_disk_is_said_once_counted_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = LineFile(Path("/dev/full"))
    for _ in range(3):
        file.append(b"x\n")

    assert [record.getMessage() for record in caplog.records] == [
        "cannot write /dev/full: No space left on device; going on without it"
    ]
    assert file.failed == 3


def test_a_disk_that_has_room_again_is_said_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "f"
    path.mkdir()
    file = LineFile(path)
    file.append(b"x\n")
    path.rmdir()
    file.append(b"y\n")

    assert caplog.records[-1].getMessage() == f"{path} can be written again; 1 writes were lost"
    assert path.read_bytes() == b"y\n"


def test_an_alert_is_a_line_in_the_file_and_one_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alert_sink(LineFile(tmp_path / "f"))(Alert(id="alert-1", finding=FINDING, timestamp=5.0, host="h"))

    told = json.loads((tmp_path / "f").read_bytes())
    assert (told["id"], told["rule"], told["severity"], told["pid"], told["host"]) == (
        "alert-1",
        "storm",
        "high",
        7,
        "h",
    )
    assert [record.getMessage() for record in caplog.records] == ["alert-1 storm (high): many forks"]
