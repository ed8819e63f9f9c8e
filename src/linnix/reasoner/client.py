"""The daemon as linnix-reasoner sees it: its routes, its token, its refusals.

Owns every request to cognitod and the exact words for one that fails. Refuses any other source of process data: the
local /proc would be the wrong machine as soon as ``--host`` names another. Invariant: what a method returns has the
shape it promises; anything else is a ``ReasonerError`` with the address in it.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from http.client import HTTPResponse
from typing import Any, NoReturn

import msgspec

from linnix.insight import facts as wire
from linnix.insight.asking import sse
from linnix.insight.asking.errors import FarEndError
from linnix.insight.asking.transport import Client, Url
from linnix.insight.render import clean
from linnix.reasoner.errors import Exit, ReasonerError

#: A daemon on the same host answers in milliseconds; one under siege or far away gets this long.
TIMEOUT_S = 5.0

#: The daemon comments every 10 s on a quiet stream: three missed ones mean that nobody is there any more.
STREAM_SILENCE_S = 35.0


class Daemon:
    """One cognitod. ``token`` is sent as a bearer token where there is one."""

    def __init__(self, url: Url, token: str | None, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = Client(url, timeout_s)

    def close(self) -> None:
        """Close the connection. A stream of ``follow`` closes itself."""
        self._client.close()

    def system(self) -> dict[str, Any]:
        """The body of ``/system``."""
        return self._object("/system")

    def status(self) -> dict[str, Any]:
        """The body of ``/status``."""
        return self._object("/status")

    def insights(self, timeout_s: float) -> dict[str, Any]:
        """The body of ``/insights``, which the daemon may take its time over."""
        return self._object("/insights", timeout_s)

    def facts(self) -> wire.Facts:
        """``/facts``. A daemon of another version can have another shape: that is said, not guessed around."""
        body = self._get("/facts")
        try:
            facts = wire.decode(body)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise ReasonerError(
                f"Cannot read /facts from {self.url.origin}: {clean(str(error))}. "
                "Are cognitod and linnix-reasoner of the same version?"
            ) from None
        if facts.version != wire.VERSION:
            raise ReasonerError(
                f"Cannot read /facts from {self.url.origin}: its version is {facts.version}, "
                f"this linnix-reasoner reads {wire.VERSION}. Install the same version of both."
            )
        return facts

    def processes(self) -> list[dict[str, Any]]:
        """The body of ``/processes``."""
        return self._list("/processes")

    def alerts(self) -> list[dict[str, Any]]:
        """The open alerts, oldest first as the daemon gives them."""
        return self._list("/alerts")

    def follow(self, path: str) -> Generator[sse.Event, None, None]:
        """Events of an endless route. Ends only by ``ReasonerError``: the daemon went away, or refused.

        The request is sent by this call, not by the first ``next``: what happens from now on is in the stream.
        Close the generator to leave earlier.
        """
        client = Client(self.url, STREAM_SILENCE_S)
        try:
            answer = self._open(client, path, "text/event-stream")
        except ReasonerError:
            client.close()
            raise
        kind = answer.headers.get_content_type()
        if kind != "text/event-stream":
            client.close()
            raise ReasonerError(
                f"Failed to follow {path} from {self.url.origin}: got {clean(kind)} instead of an event stream. "
                "Is that a cognitod?",
                Exit.NO_DAEMON,
            )
        return self._events(client, answer, path)

    def _events(self, client: Client, answer: HTTPResponse, path: str) -> Generator[sse.Event, None, None]:
        reason = "the daemon closed the stream"
        try:
            yield from sse.events(client.chunks(answer))
        except FarEndError as trouble:
            reason = trouble.reason
        finally:
            client.close()
        raise ReasonerError(f"The daemon at {self.url.origin} went away during {path}: {reason}.", Exit.NO_DAEMON)

    def _object(self, path: str, timeout_s: float | None = None) -> dict[str, Any]:
        found = self._json(path, timeout_s)
        return found if isinstance(found, dict) else self._not_ours(path)

    def _list(self, path: str) -> list[dict[str, Any]]:
        found = self._json(path)
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
        return self._not_ours(path)

    def _json(self, path: str, timeout_s: float | None = None) -> Any:
        body = self._get(path, timeout_s)
        try:
            return json.loads(body)
        except ValueError:
            return self._not_ours(path)

    def _get(self, path: str, timeout_s: float | None = None) -> bytes:
        client = self._client if timeout_s is None else Client(self.url, timeout_s)
        try:
            return client.read(self._open(client, path, "application/json"))
        except FarEndError as trouble:
            self._unreachable(path, trouble)
        finally:
            if client is not self._client:
                client.close()

    def _open(self, client: Client, path: str, accept: str) -> HTTPResponse:
        try:
            answer = client.open("GET", path, {"Accept": accept, **self._headers})
        except FarEndError as trouble:
            self._unreachable(path, trouble)
        if answer.status != 200:
            self._refused(client, answer, path)
        return answer

    def _unreachable(self, path: str, trouble: FarEndError) -> NoReturn:
        advice = ". Start it with: sudo cognitod" if trouble.reason == "connection refused" else ""
        message = f"Failed to fetch {path} from {self.url.origin}: {trouble.reason}{advice}"
        raise ReasonerError(message, Exit.NO_DAEMON)

    def _refused(self, client: Client, answer: HTTPResponse, path: str) -> NoReturn:
        what = f"Failed to fetch {path} from {self.url.origin}: HTTP {answer.status}"
        if answer.status == 401:
            raise ReasonerError(
                f"{what}: the daemon wants a token. Set LINNIX_API_TOKEN to the one it was started with "
                "(its own LINNIX_API_TOKEN, or auth_token under [api] in its configuration)."
            )
        try:
            body = client.read(answer)[:400]
        except FarEndError:
            body = b""
        raise ReasonerError(f"{what}{_said(body)}", Exit.USAGE if answer.status == 400 else Exit.FAILED)

    def _not_ours(self, path: str) -> NoReturn:
        raise ReasonerError(
            f"Failed to fetch {path} from {self.url.origin}: the answer is not cognitod's. "
            "Does another program serve that port? Name the daemon's address with --host.",
            Exit.NO_DAEMON,
        )


def _said(body: bytes) -> str:
    """What an error body says, as the tail of a message: cognitod sends ``{"error": …}`` or plain text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        text = parsed["error"]
    if not text or text.startswith("<"):  # nothing, or a web page
        return ""
    return f": {clean(text)[:200]}"
