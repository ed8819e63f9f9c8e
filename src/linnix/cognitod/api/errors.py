"""The one shape of an error on the wire: ``{"error": "what failed, on which input, what to do"}``.

Owns ``RequestError``, the JSON response class, and the handlers that turn every failure into that shape. Refuses to
decide when something is an error: handlers raise. Invariant: no response of the API carries a traceback, and every
JSON body says that it is not to be sniffed as anything else.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

log = logging.getLogger(__name__)

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Json(Response):
    """A JSON body made by msgspec: compact, fields in the order of the struct."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(content, status_code, {**HEADERS, **(headers or {})})

    def render(self, content: Any) -> bytes:
        """``content`` is anything msgspec encodes, or bytes that are JSON already."""
        return content if isinstance(content, bytes) else msgspec.json.encode(content)


class RequestError(Exception):
    """A request that cannot be answered: HTTP status and a sentence for whoever sent it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_request(parameter: str, value: str, wanted: str) -> RequestError:
    """400 that names the parameter, what came in it and what would have been understood."""
    return RequestError(400, f"{parameter}={value!r}: expected {wanted}")


async def on_request_error(_request: Request, exc: Exception) -> Response:
    """Answer a ``RequestError``."""
    assert isinstance(exc, RequestError)
    return Json({"error": exc.message}, exc.status)


async def on_http(request: Request, exc: Exception) -> Response:
    """Answer what the router itself refuses: no such path, wrong method."""
    assert isinstance(exc, HTTPException)
    message = {
        404: f"no such path: {request.url.path}; GET / lists them",
        405: f"{request.method} is not served on {request.url.path}",
    }.get(exc.status_code, exc.detail)
    return Json({"error": message}, exc.status_code, dict(exc.headers or {}))


async def on_crash(request: Request, exc: Exception) -> Response:
    """A fault of ours: logged with its traceback here, told to the client without one."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=exc)
    return Json({"error": "internal error; the daemon's log has the details"}, 500)


HANDLERS: dict[Any, Any] = {RequestError: on_request_error, HTTPException: on_http, Exception: on_crash}
