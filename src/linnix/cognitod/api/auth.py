"""Who may ask: the Host header and the bearer token.

Owns both checks as ASGI middleware. Refuses sessions, roles and CORS: no header here ever lets a page of another
origin read an answer. Invariant: with a token set, no route of the wrapped application runs without it.

The Host check is what stops DNS rebinding: a web page that points its own name at 127.0.0.1 is a request with a
strange Host, whereas an address literal can only have come from someone who typed it.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from linnix.cognitod.api.errors import Json

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def host_of(authority: str) -> str:
    """The host part of ``host[:port]`` or ``[v6][:port]``, lower case, without brackets."""
    authority = authority.strip().lower()
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    if authority.count(":") > 1:  # an IPv6 literal in a configuration file, where brackets are optional
        return authority
    return authority.partition(":")[0].rstrip(".")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """127/8, ::1 and ``localhost``; any other name counts as public."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


class HostCheck:
    """400 for a request whose Host is none of ours.

    ``listen_addr`` is ``host:port`` as bound. Bound to every address, any address literal is one of ours.
    """

    def __init__(self, app: ASGIApp, *, listen_addr: str, names: Iterable[str] = ()) -> None:
        self.app = app
        bound = host_of(listen_addr)
        address = _address(bound)
        self.any_literal = address is not None and address.is_unspecified
        self.names = LOOPBACK_NAMES | {bound} | {host_of(name) for name in names}

    def allows(self, authority: str) -> bool:
        """Whether ``authority`` (a Host header) names this daemon."""
        host = host_of(authority)
        if host in self.names:
            return True
        address = _address(host)
        return address is not None and (self.any_literal or address.is_loopback)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for us."""
        if scope["type"] == "http":
            hosts = Headers(scope=scope).getlist("host")
            if len(hosts) != 1 or not self.allows(hosts[0]):
                given = ", ".join(hosts) or "none"
                message = f"Host {given!r} is not a name of this daemon; add it to api.allowed_hosts to serve it"
                await Json({"error": message}, 400)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class TokenCheck:
    """401 for a request without exactly ``Authorization: Bearer <token>``."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self.app = app
        self.expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what shows the token."""
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(given) != 1 or not hmac.compare_digest(given[0], self.expected):
                refusal = PlainTextResponse("Unauthorized", 401, {"WWW-Authenticate": 'Bearer realm="linnix"'})
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)
