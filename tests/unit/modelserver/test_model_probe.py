import json
from collections.abc import Callable
from typing import Any

import pytest

from linnix.modelserver.probe import CANARY_WORD, Endpoint, ProbeError, enforced_grammars, is_healthy, served_name
from support.far_end import Handler, Request, json_reply, reply, serving

CHAT = "/v1/chat/completions"


def answering(text: Callable[[dict[str, Any]], str]) -> Handler:
    def handler(request: Request, connection: Any) -> None:
        content = text(request.json)
        json_reply({"choices": [{"message": {"role": "assistant", "content": content}}]})(request, connection)

    return handler


def test_a_server_that_obeys_both_grammars_is_said_to() -> None:
    with serving({CHAT: answering(lambda _: CANARY_WORD)}) as server:
        assert enforced_grammars(Endpoint(server.port)) == ("GBNF", "Lark")


def test_a_server_that_may_lack_llguidance_is_never_sent_lark_which_would_end_it() -> None:
    with serving({CHAT: answering(lambda _: CANARY_WORD)}) as server:
        assert enforced_grammars(Endpoint(server.port), llguidance=False) == ("GBNF",)
        assert not any("%llguidance" in request.json["grammar"] for request in server.requests)


def test_a_grammar_that_is_answered_with_free_text_and_status_200_is_not_enforced() -> None:
    def only_gbnf(body: dict[str, Any]) -> str:
        return CANARY_WORD if body["grammar"].startswith("root") else "Hello! How can I help you today?"

    with serving({CHAT: answering(only_gbnf)}) as server:
        assert enforced_grammars(Endpoint(server.port)) == ("GBNF",)


@pytest.mark.parametrize(
    "handler",
    [
        reply(400, b'{"error":{"message":"failed to parse grammar"}}'),
        json_reply({"choices": []}),
        reply(200, b"<html>"),
    ],
    ids=["refused", "no choice", "not JSON"],
)
def test_what_is_not_an_answer_enforces_nothing(handler: Handler) -> None:
    with serving({CHAT: handler}) as server:
        assert enforced_grammars(Endpoint(server.port)) == ()


@pytest.mark.parametrize(
    ("handler", "healthy"),
    [
        (json_reply({"status": "ok"}), True),
        (reply(503, b'{"error":{"message":"Loading model"}}'), False),
        (json_reply(["ok"]), False),
        (reply(200, b"<html>ok</html>", "text/html"), False),
    ],
    ids=["ok", "loading", "a list", "html"],
)
def test_health_is_a_200_that_says_ok(handler: Handler, healthy: bool) -> None:
    with serving({"/health": handler}) as server:
        assert is_healthy(Endpoint(server.port)) is healthy


def test_the_key_is_sent_and_a_refusal_told_with_its_status() -> None:
    with serving({"/v1/models": reply(401, b'{"error":{"message":"Invalid API Key"}}')}) as server:
        with pytest.raises(ProbeError, match="HTTP 401: Invalid API Key") as error:
            served_name(Endpoint(server.port, "k"))
        assert error.value.status == 401
        assert server.requests[0].headers["authorization"] == "Bearer k"


def test_the_name_is_the_first_models_id() -> None:
    with serving({"/v1/models": json_reply({"data": [{"id": "tiny"}, {"id": "other"}]})}) as server:
        assert served_name(Endpoint(server.port)) == "tiny"
    with serving({"/v1/models": json_reply({"data": []})}) as server, pytest.raises(ProbeError, match="does not list"):
        served_name(Endpoint(server.port))


def test_a_stream_yields_each_event_and_ends() -> None:
    body = b"".join(b"data: " + json.dumps({"n": n}).encode() + b"\n\n" for n in range(3)) + b"data: [DONE]\n\n"
    with serving({CHAT: reply(200, body, "text/event-stream")}) as server:
        assert list(Endpoint(server.port).stream(CHAT, {})) == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert server.requests[0].json == {"stream": True}
