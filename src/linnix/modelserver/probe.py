"""Small HTTP requests to a server on loopback, and the grammar canary.

Owns what Linnix asks of a model server to know that it is up and that it obeys a grammar. Refuses to be a general
client: loopback only, bounded times, JSON only. Invariant: a canary passes only when the answer is a text the model
would never choose by itself; an HTTP 200 proves nothing, since xllamacpp drops a Lark grammar it cannot compile and
answers freely.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from linnix.insight.prompt import SYSTEM

CANARY_WORD = "vq7-linnix-4k"
_GRAMMARS = {"GBNF": f'root ::= "{CANARY_WORD}"', "Lark": f'%llguidance {{}}\nstart: "{CANARY_WORD}"'}
_MAX_BODY_BYTES = 1 << 22


class ProbeError(Exception):
    """The server did not answer, or not as a model server does. ``status`` is of HTTP, 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model server on this host."""

    port: int
    api_key: str | None = None
    host: str = "127.0.0.1"

    def get(self, path: str, timeout_s: float = 2.0) -> Any:
        """GET and decode JSON. Raises :class:`ProbeError`."""
        return self._request("GET", path, None, timeout_s)

    def post(self, path: str, body: dict[str, Any], timeout_s: float = 60.0) -> Any:
        """POST JSON and decode JSON. Raises :class:`ProbeError`."""
        return self._request("POST", path, body, timeout_s)

    def stream(self, path: str, body: dict[str, Any], timeout_s: float = 60.0) -> Iterator[dict[str, Any]]:
        """POST with ``stream`` on and yield the data of each server-sent event. Raises :class:`ProbeError`."""
        with closing(self._connect(timeout_s)) as connection:
            try:
                connection.request("POST", path, json.dumps(body | {"stream": True}), self._headers())
                response = connection.getresponse()
                if response.status != http.client.OK:
                    raise ProbeError(_complaint(response.status, response.read(_MAX_BODY_BYTES)), response.status)
                for line in response:
                    data = line.removeprefix(b"data: ").strip()
                    if line.startswith(b"data: ") and data != b"[DONE]":
                        yield json.loads(data)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise ProbeError(f"{type(error).__name__}: {error}") from error

    def _request(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> Any:
        with closing(self._connect(timeout_s)) as connection:
            try:
                connection.request(method, path, None if body is None else json.dumps(body), self._headers())
                response = connection.getresponse()
                content = response.read(_MAX_BODY_BYTES)
                if response.status != http.client.OK:
                    raise ProbeError(_complaint(response.status, content), response.status)
                return json.loads(content)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise ProbeError(f"{type(error).__name__}: {error}") from error

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def _headers(self) -> dict[str, str]:
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return {"Content-Type": "application/json"} | key


def is_healthy(endpoint: Endpoint, timeout_s: float = 1.0) -> bool:
    """Whether ``/health`` says ok; false while the model is loading."""
    try:
        return bool(endpoint.get("/health", timeout_s).get("status") == "ok")
    except (ProbeError, AttributeError):
        return False


def served_name(endpoint: Endpoint) -> str:
    """The name of the model in ``/v1/models``. Raises :class:`ProbeError`."""
    try:
        return str(endpoint.get("/v1/models")["data"][0]["id"])
    except (KeyError, IndexError, TypeError) as error:
        raise ProbeError("/v1/models does not list a model") from error


def enforced_grammars(endpoint: Endpoint, *, llguidance: bool = True) -> tuple[str, ...]:
    """The grammar languages the server really constrains by: of ``GBNF`` and ``Lark``, those whose canary passed.

    ``llguidance``: the server has it, so that Lark may be tried. One that was built without it does not refuse Lark but
    aborts (common/sampling.cpp of llama.cpp, GGML_ABORT), as most builds of ``llama-server`` do.

    What they cost is what the first user's request is then spared: the evaluation of the system text, which stays in
    the prompt cache (some 230 tokens of 430, 0.5 s), and the token table that the first Lark request builds (0.2 s).
    """
    tried = {name: grammar for name, grammar in _GRAMMARS.items() if llguidance or name != "Lark"}
    return tuple(name for name, grammar in tried.items() if _canary(endpoint, grammar))


def _canary(endpoint: Endpoint, grammar: str) -> bool:
    body = {
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Say hello."}],
        "grammar": grammar,
        "max_tokens": 24,
        "temperature": 0,
        "cache_prompt": True,
    }
    try:
        answer = endpoint.post("/v1/chat/completions", body)
        return bool(answer["choices"][0]["message"]["content"] == CANARY_WORD)
    except (ProbeError, KeyError, IndexError, TypeError):
        return False  # refused (a server without that grammar language) or not an answer: not enforced either way


def _complaint(status: int, content: bytes) -> str:
    try:
        message = json.loads(content)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = content[:200].decode("utf-8", "replace")
    return f"HTTP {status}: {message}"
