"""The daemon as a client sees it: events until we leave, and a leaving that needs nothing of the daemon."""

from __future__ import annotations

import time

import pytest

from linnix.faultlab.errors import NoDaemonError
from linnix.faultlab.observer import Observer, running


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
