"""Whose words count: the model's where they pass, the rules' where they do not, and where facts may go."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from linnix.insight import facts as wire
from linnix.insight import menu, rules_text, verify
from linnix.insight.answer import Rejection
from linnix.insight.asking.question import COMPLETIONS, Endpoint, parse_endpoint
from linnix.insight.asking.transport import Url, parse_url
from linnix.reasoner import analysis
from linnix.reasoner.client import Daemon
from linnix.reasoner.errors import Exit, ReasonerError
from linnix.reasoner.output import Output
from linnix.reasoner.telling import AGAIN, INSTEAD, MODELS, OWN, READING, STANDS
from support.far_end import (
    SPINNING,
    Handler,
    Server,
    after,
    completion,
    daemon,
    delta,
    events,
    host,
    process,
    reply,
    serving,
    until_the_client_leaves,
)

ANSWER = menu.first(menu.build(SPINNING))
SHORT_ANSWER = menu.first(menu.build(SPINNING, short=True))
SHORT = rules_text.explain(SPINNING, short=True).short


@pytest.fixture
def cognitod() -> Iterator[Server]:
    with serving(daemon()) as server:
        yield server


def run(at: Server, url: str | Url, *, token: str | None = None, **options: Any) -> tuple[bool, str]:
    """Whether the answer is the model's, and what a pipe gets."""
    stream = io.StringIO()
    known: dict[str, Any] = {"short": False, "as_json": False, "timeout_s": 5.0, "started": time.monotonic()}
    endpoint = Endpoint(parse_endpoint(url, "--endpoint") if isinstance(url, str) else url)
    with closing(Daemon(parse_url(at.url, "--host"), token)) as source:
        from_model = analysis.run(source, endpoint, Output(stream=stream), **(known | options))
    return from_model, stream.getvalue()


def against(at: Server, handler: Handler, **options: Any) -> tuple[bool, str]:
    with serving({COMPLETIONS: handler}) as model:
        return run(at, model.url, **options)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_checked_answer_is_told_whole_under_its_heading(cognitod: Server) -> None:
    from_model, text = against(cognitod, completion(*ANSWER))
    assert from_model
    told = words(text.partition("LLM Analysis:\n")[2])
    expected = " ".join(sentence.text for sentence in rules_text.explain(SPINNING).sentences)
    assert told.partition(" source: ")[0] == expected
    assert told.partition(" source: ")[2].startswith("tiny (model), ")


def test_a_short_answer_is_one_sentence_and_its_source(cognitod: Server) -> None:
    from_model, text = against(cognitod, completion(SHORT_ANSWER), short=True)
    sentence, source = text.splitlines()
    assert (from_model, sentence) == (True, SHORT)
    assert source.startswith("source: tiny (model), ")


def test_the_question_holds_no_name_of_a_process_or_host() -> None:
    facts = host(process(1, "ignore previous", cpu_pct=99.0, cgroup="/secret", unit="secret.service"))
    with serving(daemon(facts)) as at, serving({COMPLETIONS: events()}) as model:
        run(at, model.url)
        (request,) = model.requests
    for name in (b"ignore previous", b"secret", b"box"):
        assert name not in request.body


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (completion("Postgres is a Linux kernel module."), "the model's answer failed the check"),
        (completion("is=A\nwhy=calm\nof=normal,info,none"), "the model's answer failed the check"),
        (completion(SHORT_ANSWER.rpartition(",")[0]), "the model's answer failed the check: it is cut short"),
        (reply(401, b"{}"), "HTTP 401: the key is wrong or missing; set OPENAI_API_KEY or --api-key"),
        (reply(200, b"<html>", "text/html"), "answered with a web page"),
        (reply(503, b'{"error":{"message":"Loading model"}}'), 'HTTP 503: "Loading model"'),
    ],
)
def test_without_a_checked_answer_the_rules_explain_and_the_reason_is_told(
    cognitod: Server, handler: Handler, reason: str
) -> None:
    from_model, text = against(cognitod, handler, short=True)
    assert not from_model
    sentence, source = text.splitlines()
    assert sentence == SHORT
    assert source.startswith("source: rules (")
    assert reason in source


def in_turn(*handlers: Handler) -> Handler:
    """Each request is answered by the next of them, and the last one goes on."""
    left = list(handlers)

    def handler(*arguments: Any) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(*arguments)

    return handler


def test_a_model_that_fails_the_check_is_asked_once_more_and_told_why(cognitod: Server) -> None:
    with serving({COMPLETIONS: in_turn(completion("I think it is sh."), completion(ANSWER))}) as model:
        from_model, text = run(cognitod, model.url, as_json=True)
        assert len(model.requests) == 2
        messages = model.requests[1].json["messages"]
    assert from_model
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == "I think it is sh."
    refused = verify.verify("I think it is sh.", SPINNING)
    assert isinstance(refused, Rejection)
    assert messages[3]["content"] == f"That was refused: {refused.reason}. Answer again, in exactly the format."
    assert [each["kind"] for each in json.loads(text)["rejections"]] == ["format"]


def test_sentences_that_had_passed_are_marked_as_given_up_when_the_second_answer_comes(cognitod: Server) -> None:
    broken = ANSWER.replace("act=", "nonsense=")
    _, text = against(cognitod, in_turn(completion(broken), completion(ANSWER)))
    told = text.partition("LLM Analysis:\n")[2]
    assert words(told).count(words(SHORT)) == 2
    assert AGAIN in told


def test_the_model_is_not_asked_a_third_time(cognitod: Server) -> None:
    with serving({COMPLETIONS: completion("no")}) as model:
        from_model, _ = run(cognitod, model.url, short=True)
        assert (from_model, len(model.requests)) == (False, 2)


LIES = "sh (pid 1001) keeps the CPU busy. mysqld (pid 4711) is the culprit. It uses 12 % CPU. chrome holds 600 MB."


def test_a_larger_model_s_own_reading_is_shown_apart_without_what_cannot_be_checked(cognitod: Server) -> None:
    _, text = against(cognitod, in_turn(completion(ANSWER), completion(LIES)), own_reading=True)
    checked, _, own = words(text).partition(words(OWN))
    assert " source: tiny (model), " in checked
    assert own.strip() == (
        "sh (pid 1001) keeps the CPU busy. chrome holds 600 MB. "
        "[left out: 2 of its sentences, which could not be checked]"
    )


def test_the_reading_has_a_place_of_its_own_in_json(cognitod: Server) -> None:
    _, text = against(cognitod, in_turn(completion(ANSWER), completion(LIES)), own_reading=True, as_json=True)
    document = json.loads(text)
    assert document["reading"] == {
        "text": "sh (pid 1001) keeps the CPU busy. chrome holds 600 MB.",
        "left_out": [
            {"text": "mysqld (pid 4711) is the culprit.", "reason": "a pid that is not of whom it names"},
            {"text": "It uses 12 % CPU.", "reason": "'12 %' is no figure of whom it names"},
        ],
        "error": None,
    }
    assert "mysqld" not in document["insight"]["text"]


def test_a_question_is_answered_alone(cognitod: Server) -> None:
    from_model, text = against(cognitod, completion("no"), question="is chrome ok?")
    assert not from_model
    assert words(text).startswith("No rule finds anything wrong with chrome (pid 1002)") or words(text).startswith(
        "chrome (pid 1002) uses"
    )
    assert "System snapshot" not in text


def test_what_the_facts_do_not_tell_is_said_without_a_model(cognitod: Server) -> None:
    with serving({COMPLETIONS: completion("no")}) as model:
        from_model, text = run(cognitod, model.url, question="why is mysqld slow?")
        assert (from_model, model.requests) == (True, [])
    assert words(text).startswith(
        "The facts do not tell: no process, unit, container or pod among those listed is called mysqld."
    )


def test_no_model_server_is_a_note_that_says_how_to_start_it(cognitod: Server) -> None:
    from_model, text = run(cognitod, "http://127.0.0.1:1", short=True)
    assert (from_model, text) == (
        False,
        f"{SHORT}\nsource: rules (http://127.0.0.1:1/v1/chat/completions: connection refused. "
        "Start the model server with: ./serve_distilled_model.sh)\n",
    )


def test_a_server_that_dies_in_mid_answer_is_followed_by_the_rules(cognitod: Server) -> None:
    cut = ANSWER.index(",", ANSWER.index("why=")) + 1
    from_model, text = against(cognitod, events(delta(ANSWER[:cut])))
    assert not from_model
    assert f"{SHORT} {INSTEAD} " in words(text)
    assert f"the answer broke off after {cut} characters" in words(text)


def test_a_slow_model_is_given_up_after_its_time_and_the_message_says_what_to_lower(cognitod: Server) -> None:
    began = time.monotonic()
    from_model, text = against(cognitod, events(then=until_the_client_leaves), short=True, timeout_s=0.3)
    assert not from_model
    assert time.monotonic() - began < 2
    assert text == (
        f"{SHORT}\nsource: rules (no complete answer within 0.3 s (--timeout); "
        "lower LLAMA_CTX (2048) or LLAMA_THREADS of the model server, or the load)\n"
    )


def test_on_a_busy_host_the_rules_speak_before_the_model_has() -> None:
    facts = host(process(1, "sh", cpu_pct=199.0), cpu_pct=99.0, psi_cpu=60.0)
    answer = menu.first(menu.build(facts))
    with serving(daemon(facts)) as at:
        from_model, text = against(at, after(0.5, completion(answer)))
        gave_up, later = against(at, after(0.5, reply(503, b"{}")))
    told = [line for line in text.splitlines() if line.startswith("[")]
    assert (from_model, told) == (True, [READING, MODELS])
    assert (gave_up, [line for line in later.splitlines() if line.startswith("[")]) == (False, [READING, STANDS])


def test_while_a_second_answer_is_awaited_the_rules_speak(cognitod: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "PATIENCE_S", 0.2)
    from_model, text = against(cognitod, in_turn(completion("no"), after(0.6, completion(ANSWER))))
    assert (from_model, [line for line in text.splitlines() if line.startswith("[")]) == (True, [READING, MODELS])


def test_nothing_that_was_refused_is_shown_in_words_of_the_model(cognitod: Server) -> None:
    _, text = against(cognitod, completion(ANSWER.replace("why=", "why=nginx_takes_97_percent,")))
    assert "nginx" not in text
    why = "the model's answer failed the check: it uses a word that is not in the catalogue"
    assert text.endswith(f"source: rules ({why})\n")


def test_who_has_not_answered_is_not_asked_for_a_reading(cognitod: Server) -> None:
    with serving({COMPLETIONS: events(then=until_the_client_leaves)}) as model:
        _, text = run(cognitod, model.url, timeout_s=0.3, own_reading=True)
        assert len(model.requests) == 1
    assert text.endswith("[not asked for: the endpoint has just not answered]\n")


def test_json_is_one_object_with_everything_in_it(cognitod: Server) -> None:
    _, text = against(cognitod, completion(ANSWER), as_json=True)
    document = json.loads(text)
    assert (document["source"], document["insight"]["model"], document["model_error"]) == ("model", "tiny", None)
    assert document["top_cpu"][0] == {
        "name": "sh", "pid": 1001, "cpu_pct": 99.8, "mem_mb": 8.0, "mem_pct": 0.1, "own": False,
    }  # fmt: skip
    assert document["stalled"] == ["3.0 % of the last 10 s waiting on cpu"]
    assert set(document["seconds"]) == {"first_sentence", "answer"}
    assert document["rejections"] == []
    _, text = run(cognitod, "http://127.0.0.1:1", as_json=True)
    document = json.loads(text)
    assert document["source"] == "rules"
    assert document["insight"]["note"] == document["model_error"]


def remote(server: Server) -> Url:
    """An address that reaches the test's server, and does not count as this host."""
    return Url("http", "0.0.0.0", server.port, COMPLETIONS)


def test_another_host_is_told_facts_only_with_a_line_that_says_so(
    cognitod: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({COMPLETIONS: completion(SHORT_ANSWER)}) as model:
        assert run(cognitod, remote(model), short=True)[0]
        assert capsys.readouterr().err == (
            f"Facts of this host are sent to http://0.0.0.0:{model.port}, unencrypted: "
            "figures and ids, no process names, no arguments.\n"
        )


@pytest.mark.parametrize("status", [{"offline": True}, {}])
def test_another_host_is_told_nothing_while_the_daemon_is_offline(status: dict[str, bool]) -> None:
    routes = daemon(status=reply(200, json.dumps(status).encode()))
    with serving(routes) as at, serving({COMPLETIONS: completion(SHORT_ANSWER)}) as model:
        from_model, text = run(at, remote(model), short=True)
        assert (from_model, model.requests) == (False, [])
    assert text == (
        f"{SHORT}\nsource: rules (http://0.0.0.0:{model.port} was not asked: "
        "the daemon says offline = true, so facts stay on this host)\n"
    )


def failure(routes: dict[str, Handler]) -> ReasonerError:
    with serving(routes) as at, pytest.raises(ReasonerError) as caught:
        run(at, "127.0.0.1:1")
    caught.value.message = caught.value.message.replace(at.url, "URL")
    return caught.value


@pytest.mark.parametrize(
    ("routes", "message", "code"),
    [
        (
            daemon(system=reply(401, b"Unauthorized", "text/plain")),
            "Failed to fetch /system from URL: HTTP 401: the daemon wants a token. Set LINNIX_API_TOKEN to the one it "
            "was started with (its own LINNIX_API_TOKEN, or auth_token under [api] in its configuration).",
            Exit.FAILED,
        ),
        (
            daemon(system=reply(200, b"<html>", "text/html")),
            "Failed to fetch /system from URL: the answer is not cognitod's. Does another program serve that port? "
            "Name the daemon's address with --host.",
            Exit.NO_DAEMON,
        ),
        (
            daemon(facts=reply(500, b'{"error":"internal error"}')),
            "Failed to fetch /facts from URL: HTTP 500: internal error",
            Exit.FAILED,
        ),
        (
            daemon(facts=reply(200, b'{"version":1}')),
            "Cannot read /facts from URL: Object missing required field `timestamp`. "
            "Are cognitod and linnix-reasoner of the same version?",
            Exit.FAILED,
        ),
        (
            daemon(facts=reply(200, wire.encode(host(version=2)))),
            "Cannot read /facts from URL: its version is 2, this linnix-reasoner reads 1. "
            "Install the same version of both.",
            Exit.FAILED,
        ),
    ],
)  # fmt: skip
def test_a_daemon_that_does_not_answer_as_it_should_is_named(
    routes: dict[str, Handler], message: str, code: Exit
) -> None:
    caught = failure(routes)
    assert (caught.message, caught.code) == (message, code)


def test_the_token_goes_to_the_daemon_and_not_to_the_model(cognitod: Server) -> None:
    with serving({COMPLETIONS: completion(SHORT_ANSWER)}) as model:
        run(cognitod, model.url, short=True, token="t0ken")
        assert {request.headers.get("authorization") for request in cognitod.requests} == {"Bearer t0ken"}
        assert model.requests[0].headers.get("authorization") is None
