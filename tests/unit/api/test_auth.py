"""Host header and bearer token, on the smallest application."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from linnix.cognitod.api.auth import HostCheck, TokenCheck, host_of, is_loopback

INSIDE = PlainTextResponse("inside")


def get(app: ASGIApp, headers: dict[str, str] | list[tuple[str, str]]) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost:3000", "localhost"),
        ("LocalHost.", "localhost"),
        ("127.0.0.1:3000", "127.0.0.1"),
        ("[::1]:3000", "::1"),
        ("::1", "::1"),
        ("0.0.0.0:9464", "0.0.0.0"),
        ("", ""),
    ],
)
def test_the_host_is_what_stands_before_the_port(authority: str, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    ("listen", "names", "host", "status"),
    [
        ("127.0.0.1:3000", (), "localhost:3000", 200),
        ("127.0.0.1:3000", (), "127.0.0.1:3000", 200),
        ("127.0.0.1:3000", (), "127.9.9.9", 200),
        ("127.0.0.1:3000", (), "[::1]:3000", 200),
        ("127.0.0.1:3000", (), "evil.example", 400),
        ("127.0.0.1:3000", (), "127.0.0.1.evil.example", 400),
        ("127.0.0.1:3000", (), "localhost.evil.example:3000", 400),
        ("127.0.0.1:3000", (), "10.0.0.5:3000", 400),
        ("10.0.0.5:3000", (), "10.0.0.5:3000", 200),
        ("10.0.0.5:3000", (), "10.0.0.6:3000", 400),
        ("0.0.0.0:3000", (), "10.0.0.6:3000", 200),
        ("[::]:3000", (), "[2001:db8::1]:3000", 200),
        ("0.0.0.0:3000", (), "evil.example:3000", 400),
        ("0.0.0.0:3000", ("Host.Example",), "host.example:3000", 200),
    ],
)
def test_a_host_is_served_only_under_its_own_names(listen: str, names: tuple[str, ...], host: str, status: int) -> None:
    assert get(HostCheck(INSIDE, listen_addr=listen, names=names), {"Host": host}).status_code == status


def test_a_refused_host_is_named_in_the_error() -> None:
    answer = get(HostCheck(INSIDE, listen_addr="127.0.0.1:3000"), {"Host": "evil.example"})
    assert answer.json() == {
        "error": "Host 'evil.example' is not a name of this daemon; add it to api.allowed_hosts to serve it"
    }


def test_two_host_headers_are_refused() -> None:
    answer = get(HostCheck(INSIDE, listen_addr="127.0.0.1:3000"), [("Host", "localhost"), ("Host", "localhost")])
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer secre",
        "Bearer secret2",
        "bearer secret",
        "Bearer  secret",
        "Basic secret",
        "secret",
    ],
)
def test_anything_but_the_exact_token_is_unauthorized(header: str | None) -> None:
    answer = get(TokenCheck(INSIDE, token="secret"), {} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.text) == (401, "Unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="linnix"'
    assert "access-control-allow-origin" not in answer.headers


def test_the_exact_token_is_let_in() -> None:
    assert get(TokenCheck(INSIDE, token="secret"), {"Authorization": "Bearer secret"}).text == "inside"


def test_two_authorization_headers_are_refused() -> None:
    headers = [("Authorization", "Bearer secret"), ("Authorization", "Bearer secret")]
    assert get(TokenCheck(INSIDE, token="secret"), headers).status_code == 401


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback_is_what_the_kernel_routes_to_itself(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
