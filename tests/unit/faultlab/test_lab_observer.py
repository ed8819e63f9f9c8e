"""The daemon as a client sees it: events until we leave, and a leaving that needs nothing of the daemon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from linnix.cognitod import config
from linnix.cognitod.detect.rules import Sources, defaults
from linnix.cognitod.rulebook import sources
from linnix.faultlab.errors import NoDaemonError
from linnix.faultlab.observer import Observer, as_shipped, running


def test_frames_come_with_their_names_until_we_leave_a_silent_daemon(url: str) -> None:
    frames: list[tuple[str, str]] = []
    observer = Observer(url)
    with observer.events("/stream", lambda name, data: frames.append((name, data))) as events:
        deadline = time.monotonic() + 30
        while len(frames) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    observer.close()

    assert frames == [("", '{"pid": 1, "ppid": 0}'), ("tag", '{"pid": 2}'), ("", '{"pid": 3, "ppid": 0}')]
    assert (events.problem, events.running) == ("", False)


def test_an_answer_is_bytes_and_a_missing_one_has_a_reason(url: str) -> None:
    observer = Observer(url)
    assert observer.get("/facts") == (200, b'{"processes":[], "findings":[]}')
    assert observer.get("/none")[0] == 404
    observer.close()
    gone = Observer("http://127.0.0.1:1")
    status, reason = gone.get("/facts")
    gone.close()
    assert (status, reason.startswith(b"ConnectError")) == (0, True)


def test_a_daemon_that_is_not_there_is_told() -> None:
    with pytest.raises(NoDaemonError, match=r"does not answer$"), running("http://127.0.0.1:1", time.sleep):
        pass


def test_a_daemon_of_our_own_is_as_it_was_shipped_whatever_is_set_up_here(tmp_path: Path) -> None:
    here = {"PATH": "/bin", "LINNIX_BLAME": "off", "LINNIX_CONFIG": "/etc/mine.toml", "LINNIX_PROBES_OFF": "futex"}

    told = as_shipped(here, tmp_path, 3001, 9465)

    assert told == {
        "PATH": "/bin",
        "LINNIX_CONFIG": str(tmp_path / "linnix.toml"),
        "LINNIX_LISTEN_ADDR": "127.0.0.1:3001",
        "LINNIX_METRICS_LISTEN_ADDR": "127.0.0.1:9465",
        "LINNIX_DATA_DIR": str(tmp_path),
    }
    read, warnings = config.load(None, told)
    assert warnings == []
    # Not even the overrides that a host has for its own daemon.
    assert sources(read) == Sources(None, tmp_path / "rules.d")
    assert [*sources(read).load().rules] == [*defaults()]
