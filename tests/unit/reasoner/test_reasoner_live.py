"""The daemon's own words: its insight, its alerts, its events."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from linnix.insight.asking.transport import parse_url
from linnix.reasoner import live
from linnix.reasoner.client import Daemon
from linnix.reasoner.errors import Exit, ReasonerError
from linnix.reasoner.output import Output
from support.far_end import Handler, Request, daemon, events, json_reply, reply, serving


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are shown in the reader's zone: here that of the tests."""
    monkeypatch.setattr("time.localtime", __import__("time").gmtime)


def follow(
    routes: dict[str, Handler], show: Callable[[Daemon, Output], None]
) -> tuple[str, ReasonerError | None, list[Request]]:
    stream = io.StringIO()
    ended = None
    with serving(routes) as at:
        try:
            with closing(Daemon(parse_url(at.url, "--host"), None)) as source:
                show(source, Output(stream=stream))
        except ReasonerError as error:
            error.message = error.message.replace(at.url, "URL")
            ended = error
        return stream.getvalue(), ended, at.requests


def streamed(
    *frames: str, tag: str | None = None, raw: bool = False, **routes: Handler
) -> tuple[str, ReasonerError | None]:
    shown, ended, _ = follow(
        daemon(stream=events(*frames), **routes), lambda source, output: live.stream(source, output, tag=tag, raw=raw)
    )
    return shown, ended


def frame(kind: str, **changes: Any) -> str:
    values = {
        "pid": 42, "ppid": 1, "comm": "sh", "event_type_name": kind, "ts_ns": 2 * 10**9, "tags": [],
    } | changes  # fmt: skip
    name = "event: tag\n" if kind == "tag" else ""
    return f"{name}data: {json.dumps(values)}\n\n"


def test_events_are_one_line_each_with_what_they_are_about() -> None:
    shown, ended = streamed(
        frame("fork"),
        frame("exec", argv=["/bin/sh", "-c", "make"], tags=["high_cpu", "own"]),
        frame("exit", exit_code=127, exit_signal=0),
        frame("exit", exit_code=0, exit_signal=0x80 | 11),
        frame("tag", tags=["high_cpu"], tags_gained=["high_cpu"], tags_lost=["mem_growth"], cpu_percent=99.84),
    )
    assert shown.splitlines() == [
        "Events as they happen; Ctrl-C ends.",
        "08:53:21.000  fork  sh                    42  parent 1",
        "08:53:21.000  exec  sh                    42  parent 1         /bin/sh -c make  [high_cpu own]",
        "08:53:21.000  exit  sh                    42  parent 1         code 127",
        "08:53:21.000  exit  sh                    42  parent 1         killed by signal 11, core dumped",
        "08:53:21.000  tag   sh                    42  parent 1         +high_cpu -mem_growth  99.8 % cpu  [high_cpu]",
    ]
    assert ended is not None
    assert (ended.message, ended.code) == (
        "The daemon at URL went away during /stream: the daemon closed the stream.", Exit.NO_DAEMON
    )  # fmt: skip


def test_a_hostile_name_or_argument_cannot_reach_the_terminal() -> None:
    shown, _ = streamed(frame("exec", comm="\x1b]0;x\x07", argv=["\x1b[2J", "a\nb"], tags=["\x9b1m"]))
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert len(shown.splitlines()) == 2


def test_a_filter_lists_first_who_has_the_tag_already() -> None:
    now = [
        {"pid": 7, "comm": "idle", "cpu_pct": 0.0, "rss_bytes": 10**6, "proc_state": "S", "tags": []},
        {"pid": 8, "comm": "sh", "cpu_pct": 81.0, "rss_bytes": 2 * 10**6, "proc_state": "R", "tags": ["high_cpu"]},
        {"pid": 9, "comm": "xz", "cpu_pct": 99.0, "rss_bytes": 10**8, "proc_state": "R", "tags": ["high_cpu"]},
        {"pid": 6, "comm": "gone", "cpu_pct": 99.0, "rss_bytes": 0, "proc_state": "X", "tags": ["high_cpu"]},
    ]
    shown, _, requests = follow(
        daemon(stream=events(), processes=json_reply(now)),
        lambda source, output: live.stream(source, output, tag="high_cpu", raw=False),
    )
    assert shown.splitlines() == [
        "high_cpu now: 2 processes; Ctrl-C ends.",
        "  xz                     9    99.0 % cpu     100.0 MB  [high_cpu]",
        "  sh                     8    81.0 % cpu       2.0 MB  [high_cpu]",
    ]
    assert [request.path for request in requests] == ["/stream?tag=high_cpu", "/facts", "/processes"]


def test_an_unknown_tag_is_a_usage_error_in_the_daemons_words() -> None:
    refusal = reply(400, b'{"error":"tag=\'hihg\': expected high_cpu"}')
    _, ended, _ = follow(
        daemon(stream=refusal), lambda source, output: live.stream(source, output, tag="hihg", raw=True)
    )
    assert ended is not None
    assert ended.code == Exit.USAGE
    assert ended.message == "Failed to fetch /stream?tag=hihg from URL: HTTP 400: tag='hihg': expected high_cpu"


def test_what_was_lost_is_said_where_it_is_missing() -> None:
    shown, _ = streamed(frame("fork"), 'event: lost\ndata: {"lost":5}\n\n', frame("fork"))
    assert shown.splitlines()[2] == "-- 5 events lost here: this reader was slower than they came --"


def test_raw_frames_are_the_daemons_json_in_ascii() -> None:
    data = '{"pid":1,"comm":"caf\xe9\x9b\U0001f600","argv":["a\\tb"]}'
    shown, _ = streamed(f"data: {data}\n\n", 'event: lost\ndata: {"lost":5}\n\n', raw=True)
    first, second = shown.splitlines()
    assert first.isascii()
    assert json.loads(first) == json.loads(data)
    assert second == '{"lost":5}'


def test_what_is_no_event_ends_the_stream_with_a_message() -> None:
    _, ended = streamed("data: hello\n\n")
    assert ended is not None
    assert ended.message == "The stream holds what is not an event of cognitod: hello"


def test_a_web_page_is_no_stream() -> None:
    _, ended, _ = follow(
        daemon(stream=reply(200, b"<html>", "text/html")),
        lambda source, output: live.stream(source, output, tag=None, raw=True),
    )
    assert ended is not None
    assert (ended.message, ended.code) == (
        "Failed to follow /stream from URL: got text/html instead of an event stream. Is that a cognitod?",
        Exit.NO_DAEMON,
    )


def alert(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "rule": "fork_storm", "severity": "High", "message": "900 forks a second", "host": "box",
        "id": f"alert-{number}", "timestamp": 1_760_000_000 + number, "pid": 42, "comm": "ba sh",
    } | changes  # fmt: skip


def alerts_from(known: list[dict[str, Any]], *news: dict[str, Any], as_json: bool = False) -> str:
    names = {"resolved": "resolved"}
    stream = events(
        *(f"event: {names.get(item.get('state', ''), 'alert')}\ndata: {json.dumps(item)}\n\n" for item in news)
    )

    def handler(request: Request, connection: Any) -> None:
        wants_stream = request.headers["accept"] == "text/event-stream"
        (stream if wants_stream else json_reply(known))(request, connection)

    shown, ended, _ = follow(
        daemon(alerts=handler), lambda source, output: live.alerts(source, output, as_json=as_json)
    )
    assert ended is not None
    assert ended.code == Exit.NO_DAEMON
    return shown


def test_open_alerts_come_first_then_new_ones_and_none_twice() -> None:
    shown = alerts_from([alert(2), alert(1)], alert(2), alert(3, severity="Low", comm=None))
    assert shown.splitlines() == [
        '2025-10-09 08:53:21  high    fork_storm: 900 forks a second ["ba sh", pid 42]',
        '2025-10-09 08:53:22  high    fork_storm: 900 forks a second ["ba sh", pid 42]',
        "2025-10-09 08:53:23  low     fork_storm: 900 forks a second",
    ]


def test_the_end_of_an_alert_is_told_with_how_long_it_lasted() -> None:
    over = alert(1, state="resolved", resolved_at=1_760_000_035)
    assert alerts_from([alert(1)], over).splitlines()[1] == (
        '2025-10-09 08:53:55  over    fork_storm ["ba sh", pid 42], after 34 s'
    )
    assert [json.loads(line).get("state") for line in alerts_from([alert(1)], over, as_json=True).splitlines()] == [
        None,
        "resolved",
    ]


def test_no_open_alert_is_said_and_json_stays_json() -> None:
    assert alerts_from([]) == "No open alerts. Waiting for new ones; Ctrl-C ends.\n"
    assert [json.loads(line)["id"] for line in alerts_from([alert(1)], alert(2), as_json=True).splitlines()] == [
        "alert-1",
        "alert-2",
    ]


INSIGHT = {
    "summary": "sh (pid 42) keeps a core busy.",
    "metrics": {"cpu_percent": "53.0", "mem_percent": "25.0", "load_avg": ["1.10", "0.60", "0.30"]},
    "top_cpu": [{"pid": 42, "comm": "sh", "cpu_percent": "99.8"}],
    "top_memory": [{"pid": 7, "comm": "chrome", "mem_percent": "7.5"}],
    "alerts": [{"comm": "sh", "reason": "High CPU usage", "pid": 42}],
    "source": "rules",
}


def test_an_insight_is_summary_figures_rankings_and_risks() -> None:
    shown, ended, _ = follow(
        daemon(insights=json_reply(INSIGHT)),
        lambda source, output: live.insights(source, output, as_json=False, timeout_s=5),
    )
    assert ended is None
    assert shown.splitlines() == [
        "Insights:",
        "sh (pid 42) keeps a core busy.",
        "  CPU 53.0 %  memory 25.0 %  load 1.10  0.60  0.30",
        "",
        "Top CPU",
        "  sh                       42    99.8 %",
        "",
        "Top memory",
        "  chrome                    7     7.5 %",
        "",
        "Risks",
        "  sh (pid 42): High CPU usage",
        "source: rules, of the daemon",
    ]


def test_an_insight_as_json_is_the_daemons() -> None:
    shown, _, _ = follow(
        daemon(insights=json_reply(INSIGHT)),
        lambda source, output: live.insights(source, output, as_json=True, timeout_s=5),
    )
    assert json.loads(shown) == INSIGHT
