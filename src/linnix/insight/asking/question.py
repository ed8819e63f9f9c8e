"""One question to an OpenAI-compatible endpoint, answered piece by piece against a clock.

Owns the endpoint's address, the request, the reading of whatever comes back, and the words for what goes wrong.
Refuses to judge the answer: pieces go to ``insight.verify``. Invariant: whatever the far end does (refuse, redirect,
hang, drip, send a web page, die in mid-answer), the reader gets text, an ``End`` or a ``FarEndError``, in time.

The request runs in a thread, so that the clock belongs to the reader: a socket's timeout starts anew with every byte,
and a name that does not resolve has none at all.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from linnix.insight.asking import sse
from linnix.insight.asking.errors import FarEndError
from linnix.insight.asking.transport import Client, Url, parse_url
from linnix.insight.render import clean

DEFAULT_ENDPOINT = "http://127.0.0.1:8090/v1/chat/completions"
DEFAULT_MODEL = "linnix-3b-distilled"
COMPLETIONS = "/v1/chat/completions"

#: What might have stood in place of a token: so many are asked for, which is as many as OpenAI's own service tells.
ALTERNATIVES = 20
#: An answer in our format is a few hundred characters; one beyond this has left it for good.
MAX_ANSWER_CHARS = 16_384
#: What a model may be called.
_MODEL = re.compile(r"[\w./:@+-]{1,120}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is asked, under which name, with which key."""

    url: Url
    model: str = DEFAULT_MODEL
    key: str | None = None

    @property
    def large(self) -> bool:
        """Whether it is somebody else's model, by its name or its place: such are larger than ours, and told more."""
        return self.model != DEFAULT_MODEL or not self.url.on_loopback


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the answer, and the natural logarithms of the probabilities of what might have stood in its place."""

    text: str
    instead: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class End:
    """The answer is complete. ``model`` is the name the server gives itself; ``timings`` llama.cpp's own figures, or
    how many tokens another one has counted; ``tokens`` are told by servers that know them.
    """

    model: str
    timings: Mapping[str, float]
    tokens: tuple[Token, ...] = ()


Piece = str | End | FarEndError


def parse_endpoint(text: str, option: str) -> Url:
    """The address of the chat completions: a bare host, or one that stops at ``/v1``, gets the rest of the path."""
    url = parse_url(text, option)
    path, _, query = url.path.partition("?")
    path = path.rstrip("/")
    if path in ("", "/v1"):
        path = COMPLETIONS
    return Url(url.scheme, url.host, url.port, f"{path}?{query}" if query else path)


class Question:
    """A question in flight. ``next`` gives the pieces; ``close`` gives up, which makes llama.cpp stop computing."""

    def __init__(
        self,
        endpoint: Endpoint,
        messages: Sequence[Mapping[str, str]],
        grammar: str | None,
        max_tokens: int,
        timeout_s: float,
        bias: Sequence[tuple[str, float]] = (),
    ) -> None:
        """``bias``: texts of tokens, and what is added to the logarithms of their probabilities."""
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self.asked = time.monotonic()
        self._messages = list(messages)
        self._grammar = grammar
        self._max_tokens = max_tokens
        self._bias = tuple(bias)
        self._pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        self._client: Client | None = None
        self._chars = 0
        threading.Thread(target=self._run, name="question", daemon=True).start()

    @property
    def deadline(self) -> float:
        """When the answer must be complete, on the monotonic clock."""
        return self.asked + self.timeout_s

    def next(self, until: float) -> Piece | None:
        """The next piece, or None if none has come by ``until`` (monotonic clock, seconds)."""
        try:
            return self._pieces.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None

    def close(self) -> None:
        """Break the connection off; whoever waits for a piece is told so. Pieces on their way are forgotten."""
        self._pieces.put(FarEndError("the question was given up"))
        if self._client is not None:
            self._client.interrupt()

    def _run(self) -> None:
        try:
            for piece in self._answer():
                self._pieces.put(piece)
        except FarEndError as trouble:
            self._pieces.put(self._broke_off(trouble))
        finally:
            if self._client is not None:
                self._client.close()

    def _broke_off(self, trouble: FarEndError) -> FarEndError:
        if self._chars == 0 or trouble.status is not None:
            return trouble
        return FarEndError(
            f"the answer broke off after {self._chars} characters ({trouble.reason}); did the server die?"
        )

    def _answer(self) -> Iterator[str | End]:
        refusal: FarEndError | None = None
        for body in self._bodies():
            client, answer = self._post(body)
            if answer.status not in (400, 422):
                break
            refusal = refusal or _trouble(client, answer)
        else:
            assert refusal is not None  # there is a body at least
            raise refusal
        if answer.status != 200:
            raise _trouble(client, answer)
        kind = answer.headers.get_content_type()
        if kind == "text/event-stream":
            yield from self._streamed(client, answer)
        elif kind == "application/json":
            yield from self._whole(client.read(answer))
        else:
            raise _foreign(kind)

    def _bodies(self) -> Iterator[bytes]:
        """The request, and what is tried where a server does not know all of it: it may know no grammars, or none of
        our sampling options.
        """
        plain: dict[str, Any] = {"model": self.endpoint.model, "messages": self._messages, "stream": True}
        usual = plain | {"temperature": 0, "max_tokens": self._max_tokens, "cache_prompt": True}
        if self._grammar is not None:
            usual["grammar"] = self._grammar
        full = usual | {"logprobs": True, "top_logprobs": ALTERNATIVES, "stream_options": {"include_usage": True}}
        if self._bias:
            full["logit_bias"] = [[text, weight] for text, weight in self._bias]
        for body in (full, usual, plain):
            yield json.dumps(body).encode()

    def _post(self, body: bytes) -> tuple[Client, HTTPResponse]:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self.endpoint.key:
            headers["Authorization"] = f"Bearer {self.endpoint.key}"
        if self._client is not None:
            self._client.close()
        self._client = client = Client(self.endpoint.url, self.timeout_s)
        return client, client.open("POST", self.endpoint.url.path, headers, body)

    def _streamed(self, client: Client, answer: HTTPResponse) -> Iterator[str | End]:
        model = self.endpoint.model
        timings: dict[str, float] = {}
        usage: dict[str, float] = {}
        finished = False
        tokens: list[Token] = []
        for data in _until_done(sse.events(client.chunks(answer))):
            if data is None:
                finished = True
                break
            chunk = _parsed(data)
            model = _name(chunk, model)
            timings |= _timings(chunk)
            usage |= _usage(chunk)
            for choice in _choices(chunk):
                text = _text(choice.get("delta"))
                tokens += _tokens(choice)
                if text:
                    yield self._counted(text)
                finished = finished or isinstance(choice.get("finish_reason"), str)
        if not finished:
            raise FarEndError("the stream ended without its end mark")
        yield End(model, timings or usage, tuple(tokens))

    def _whole(self, body: bytes) -> Iterator[str | End]:
        """A server that does not stream answers in one piece."""
        reply = _parsed(body.decode("utf-8", "replace"))
        choices = _choices(reply)
        if not choices:
            raise FarEndError("the answer holds no choices; is this a chat completions endpoint?")
        yield self._counted(_text(choices[0].get("message")))
        counted = _timings(reply) or _usage(reply)
        yield End(_name(reply, self.endpoint.model), counted, tuple(_tokens(choices[0])))

    def _counted(self, text: str) -> str:
        self._chars += len(text)
        if self._chars > MAX_ANSWER_CHARS:
            raise FarEndError(f"an answer of more than {MAX_ANSWER_CHARS} characters", status=200)
        return text


def _until_done(events: Iterable[sse.Event]) -> Iterator[str | None]:
    """The data of each event, then None at ``[DONE]``."""
    for event in events:
        if event.data.strip() == "[DONE]":
            yield None
            return
        yield event.data


def _parsed(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except ValueError:
        raise FarEndError("the answer is not JSON; is this a chat completions endpoint?", status=200) from None
    if not isinstance(chunk, dict):
        raise FarEndError("the answer is not a chat completion", status=200)
    if "error" in chunk:
        raise FarEndError(f"the server reports: {_complaint(chunk['error'])}", status=200)
    return chunk


def _choices(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    return _dicts(chunk.get("choices"))


def _text(message: object) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _tokens(choice: dict[str, Any]) -> list[Token]:
    told = choice.get("logprobs")
    content = told.get("content") if isinstance(told, dict) else None
    return [Token(_token(each), _instead(each)) for each in _dicts(content)]


def _instead(token: dict[str, Any]) -> dict[str, float]:
    found = {}
    for each in _dicts(token.get("top_logprobs")):
        logprob = each.get("logprob")
        if isinstance(logprob, int | float):
            found[_token(each)] = float(logprob)
    return found


def _token(told: dict[str, Any]) -> str:
    text = told.get("token")
    return text if isinstance(text, str) else ""


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _name(chunk: dict[str, Any], otherwise: str) -> str:
    """What the server calls its model, where that is a name and no sentence."""
    name = chunk.get("model")
    return name if isinstance(name, str) and _MODEL.fullmatch(name) else otherwise


def _timings(chunk: dict[str, Any]) -> dict[str, float]:
    """llama.cpp's own figures."""
    timings = chunk.get("timings")
    if not isinstance(timings, dict):
        return {}
    return {str(key): float(value) for key, value in timings.items() if isinstance(value, int | float)}


def _usage(chunk: dict[str, Any]) -> dict[str, float]:
    """What tokens another server has counted, by the names of llama.cpp."""
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        return {}
    details = usage.get("prompt_tokens_details")
    cached = _count(details, "cached_tokens")
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return {"prompt_n": max(read - cached, 0.0), "cache_n": cached, "predicted_n": written}


def _count(of: object, name: str) -> float:
    value = of.get(name) if isinstance(of, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _complaint(error: object) -> str:
    """In quotes: they are the words of the far end, of which nothing was checked."""
    message = error.get("message") if isinstance(error, dict) else error
    return '"' + clean(str(message))[:200].replace('"', "'") + '"'


def _foreign(kind: str) -> FarEndError:
    what = "a web page" if kind in ("text/html", "application/xhtml+xml") else clean(kind)
    reason = f"answered with {what}, not with a chat completion; the path should end in {COMPLETIONS}"
    return FarEndError(reason, status=200)


def _trouble(client: Client, answer: HTTPResponse) -> FarEndError:
    """What an HTTP status other than 200 means for the user."""
    status = answer.status
    if status in (401, 403):
        return FarEndError(f"HTTP {status}: the key is wrong or missing; set OPENAI_API_KEY or --api-key", status)
    if 300 <= status < 400:
        target = clean(answer.headers.get("Location") or "nowhere")[:200]
        return FarEndError(
            f"HTTP {status}: redirects to {target}; redirects are not followed, name that address", status
        )
    if answer.headers.get_content_type() == "text/html":
        return FarEndError(f"HTTP {status} with a web page; the path should end in {COMPLETIONS}", status)
    try:
        body = client.read(answer)
    except FarEndError:
        body = b""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    said = f": {_complaint(parsed['error'])}" if isinstance(parsed, dict) and "error" in parsed else ""
    advice = "; the path should end in " + COMPLETIONS if status in (404, 405) else ""
    return FarEndError(f"HTTP {status}{said}{advice}", status)
