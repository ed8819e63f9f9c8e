"""A question to an endpoint: every way in which the far end can answer, or not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence

import pytest

from linnix.insight.asking.errors import FarEndError
from linnix.insight.asking.question import COMPLETIONS, End, Endpoint, Question, parse_endpoint
from support.far_end import (
    Handler,
    Request,
    completion,
    delta,
    ended,
    events,
    hang_up,
    json_reply,
    reply,
    serving,
    until_the_client_leaves,
)

MESSAGES = [{"role": "user", "content": "S cpu=3"}]


def ask(
    handler: Handler, *, key: str | None = None, timeout_s: float = 5.0, bias: Sequence[tuple[str, float]] = ()
) -> tuple[list[object], list[Request]]:
    """Everything a question yields, FarEndError as its reason; and what the server was sent."""
    with serving({COMPLETIONS: handler}) as server:
        endpoint = Endpoint(parse_endpoint(server.url, "--endpoint"), "tiny", key)
        question = Question(endpoint, MESSAGES, 'root ::= "x"', 72, timeout_s, bias)
        pieces: list[object] = []
        while (piece := question.next(question.deadline)) is not None:
            pieces.append(piece.reason if isinstance(piece, FarEndError) else piece)
            if not isinstance(piece, str):
                break
        question.close()
        return pieces, server.requests


def test_a_streamed_answer_arrives_in_pieces_with_the_servers_name_and_timings() -> None:
    pieces, (request,) = ask(completion("cls=", "normal"))
    assert pieces == ["cls=", "normal", End("tiny", {"predicted_per_second": 80.0, "predicted_n": 30.0})]
    assert request.json == {
        "model": "tiny", "messages": MESSAGES, "stream": True, "temperature": 0, "max_tokens": 72,
        "cache_prompt": True, "grammar": 'root ::= "x"', "logprobs": True, "top_logprobs": 20,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert "authorization" not in request.headers


def test_a_key_is_sent_as_a_bearer_token() -> None:
    _, (request,) = ask(completion("x"), key="sk-1")
    assert request.headers["authorization"] == "Bearer sk-1"


def test_a_server_that_does_not_stream_is_understood() -> None:
    whole = {"model": "big", "choices": [{"message": {"role": "assistant", "content": "cls=normal"}}]}
    assert ask(json_reply(whole))[0] == ["cls=normal", End("big", {})]


def test_tokens_that_another_server_has_counted_are_told_by_the_names_of_llama_cpp() -> None:
    usage = {"prompt_tokens": 400, "completion_tokens": 31, "prompt_tokens_details": {"cached_tokens": 300}}
    counted = json.dumps({"choices": [], "usage": usage, "model": "gpt"})
    pieces, _ = ask(events(delta("x"), f"data: {counted}\n\n", "data: [DONE]\n\n"))
    assert pieces == ["x", End("gpt", {"prompt_n": 100.0, "cache_n": 300.0, "predicted_n": 31.0})]


@pytest.mark.parametrize("name", ["nginx takes 97 % of the CPU", "a\nb", "x" * 121, ""])
def test_a_model_s_name_that_is_none_is_not_taken_over(name: str) -> None:
    pieces, _ = ask(events(delta("x", name), "data: [DONE]\n\n"))
    assert pieces[-1] == End("tiny", {})


def test_a_server_that_knows_no_grammar_is_asked_again_without() -> None:
    def picky(request: Request, connection: socket.socket) -> None:
        refusal = reply(400, b'{"error":{"message":"unknown field: grammar"}}')
        (refusal if "grammar" in request.json else completion("yes"))(request, connection)

    pieces, requests = ask(picky)
    assert pieces[0] == "yes"
    assert [set(request.json) for request in requests][2] == {"model", "messages", "stream"}


def test_a_server_that_knows_no_biases_is_asked_again_with_its_grammar() -> None:
    def picky(request: Request, connection: socket.socket) -> None:
        refusal = reply(400, b'{"error":{"message":"logit_bias must be an object"}}')
        (refusal if "logit_bias" in request.json else completion("yes"))(request, connection)

    pieces, requests = ask(picky, bias=[("A", -0.1), ("B", -3.0)])
    assert pieces[0] == "yes"
    assert requests[0].json["logit_bias"] == [["A", -0.1], ["B", -3.0]]
    assert requests[1].json["grammar"] == 'root ::= "x"'
    assert len(requests) == 2


SERVER_SAYS = '{"error":{"message":"context\\u001b[31m too long"}}'


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (reply(400, SERVER_SAYS.encode()), 'HTTP 400: "context␛[31m too long"'),
        (reply(401, b"{}"), "HTTP 401: the key is wrong or missing; set OPENAI_API_KEY or --api-key"),
        (reply(403, b"{}"), "HTTP 403: the key is wrong or missing; set OPENAI_API_KEY or --api-key"),
        (reply(404, b"{}"), "HTTP 404; the path should end in /v1/chat/completions"),
        (reply(404, b"<html>", "text/html"), "HTTP 404 with a web page; the path should end in /v1/chat/completions"),
        (reply(503, b'{"error":{"message":"Loading model"}}'), 'HTTP 503: "Loading model"'),
        (reply(500, b"oops", "text/plain"), "HTTP 500"),
        (
            reply(307, b"", Location="https://elsewhere.example/"),
            "HTTP 307: redirects to https://elsewhere.example/; redirects are not followed, name that address",
        ),
        (
            reply(200, b"<html>hello</html>", "text/html"),
            "answered with a web page, not with a chat completion; the path should end in /v1/chat/completions",
        ),
        (reply(200, b"not json"), "the answer is not JSON; is this a chat completions endpoint?"),
        (reply(200, b"[1]"), "the answer is not a chat completion"),
        (reply(200, b"{}"), "the answer holds no choices; is this a chat completions endpoint?"),
        (events('data: {"error": {"message": "slot died"}}\n\n'), 'the server reports: "slot died"'),
        (events(), "the stream ended without its end mark"),
        (hang_up, "connection closed without an answer"),
    ],
)  # fmt: skip
def test_whatever_is_not_an_answer_is_said_in_one_line(handler: Handler, reason: str) -> None:
    assert ask(handler)[0] == [reason]


def test_a_server_that_dies_in_mid_answer_is_said_to_have_done_so() -> None:
    pieces, _ = ask(events(delta("cls=normal "), delta("proc")))
    assert pieces == [
        "cls=normal ",
        "proc",
        "the answer broke off after 15 characters (the stream ended without its end mark); did the server die?",
    ]


def test_a_server_that_never_stops_is_stopped() -> None:
    pieces, _ = ask(events(*[delta("x" * 9000)] * 3, ended()))
    assert pieces[-1] == "an answer of more than 16384 characters"


def test_a_server_that_drips_does_not_hold_the_deadline_off() -> None:
    began = time.monotonic()
    pieces, _ = ask(events(delta("c"), then=until_the_client_leaves), timeout_s=0.3)
    assert pieces == ["c"]
    assert time.monotonic() - began < 2


def test_odd_json_in_a_chunk_does_no_harm() -> None:
    odd = [{"choices": None}, {"choices": ["x"]}, {"choices": [{"delta": {"content": 5}}], "timings": [1], "model": 7}]
    pieces, _ = ask(events(*(f"data: {json.dumps(chunk)}\n\n" for chunk in odd), ended()))
    assert pieces == [End("tiny", {"predicted_per_second": 80.0, "predicted_n": 30.0})]
