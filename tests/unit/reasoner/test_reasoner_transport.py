"""Addresses, and the words for what goes wrong between here and there."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnix.insight.asking import sse
from linnix.insight.asking.errors import AddressError, FarEndError
from linnix.insight.asking.question import parse_endpoint
from linnix.insight.asking.transport import Client, Url, parse_url
from support.far_end import hang_up, reply, serving


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:3000", Url("http", "127.0.0.1", 3000, "/")),
        ("127.0.0.1:3000", Url("http", "127.0.0.1", 3000, "/")),
        ("https://example.org", Url("https", "example.org", 443, "/")),
        ("http://[::1]:8090/v1?x=1", Url("http", "::1", 8090, "/v1?x=1")),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, url: Url) -> None:
    assert parse_url(text, "--host") == url


@pytest.mark.parametrize(
    "text", ["", "http://", "ftp://host", "http://host:port", "http://host:99999", "http://a b", "http://a\nb"]
)
def test_what_is_no_address_is_a_usage_error_that_names_the_option(text: str) -> None:
    with pytest.raises(AddressError, match="--host"):
        parse_url(text, "--host")


def test_a_password_in_an_address_is_refused_without_being_repeated() -> None:
    with pytest.raises(AddressError) as caught:
        parse_url("http://me:hunter2@host", "--host")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("http://localhost:8090", "http://localhost:8090/v1/chat/completions"),
        ("http://localhost:8090/v1/", "http://localhost:8090/v1/chat/completions"),
        (
            "https://x.example/openai/chat/completions?api-version=1",
            "https://x.example:443/openai/chat/completions?api-version=1",
        ),
    ],
)
def test_an_endpoint_without_its_path_gets_the_usual_one(written: str, asked: str) -> None:
    assert str(parse_endpoint(written, "--endpoint")) == asked


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("http://localhost", True),
        ("http://127.9.9.9", True),
        ("http://[::1]", True),
        ("http://10.0.0.1", False),
        ("http://0.0.0.0", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.nip.io", False),
    ],
)
def test_only_loopback_literals_and_localhost_count_as_this_host(address: str, local: bool) -> None:
    assert parse_url(address, "--endpoint").on_loopback is local


def failure_of(url: str) -> str:
    client = Client(parse_url(url, "--host"), timeout_s=0.5)
    with pytest.raises(FarEndError) as caught:
        client.read(client.open("GET", "/", {}))
    client.close()
    return caught.value.reason


def test_each_way_to_fail_has_its_own_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert failure_of(f"http://127.0.0.1:{port}") == "no answer within 0.5 s"
    assert failure_of(f"http://127.0.0.1:{port}") == "connection refused"
    assert failure_of("http://no-such-host.invalid") == "no such host"
    with serving({"/": hang_up}) as server:
        assert failure_of(server.url) == "connection closed without an answer"
    with serving({"/": lambda _request, connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")}) as server:
        assert failure_of(server.url) == "the answer is not HTTP"

    def cut_short(_request: object, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_RDWR)

    with serving({"/": cut_short}) as server:
        assert failure_of(server.url) == "connection broke off"


def test_a_redirect_is_an_answer_and_never_followed() -> None:
    with (
        serving({"/": reply(200, b"elsewhere")}) as elsewhere,
        serving({"/": reply(302, b"", Location=elsewhere.url)}) as server,
    ):
        client = Client(parse_url(server.url, "--host"), timeout_s=5)
        assert client.open("GET", "/", {"Authorization": "Bearer secret"}).status == 302
        client.close()
        assert elsewhere.requests == []


EVENT = st.tuples(
    st.sampled_from(["message", "alert", "tag"]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
)


@given(st.lists(EVENT), st.integers(1, 9))
def test_events_are_the_same_however_the_bytes_are_cut(written: list[tuple[str, str]], size: int) -> None:
    stream = "".join(f": keep-alive\n\nevent: {name}\r\ndata: {data}\n\n" for name, data in written).encode()
    cut = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert list(sse.events(cut)) == [sse.Event(name, data) for name, data in written]


def test_half_an_event_is_none() -> None:
    assert list(sse.events([b"data: whole\n\ndata: half\n"])) == [sse.Event("message", "whole")]


def test_a_line_without_end_is_no_event_stream() -> None:
    with pytest.raises(FarEndError, match="not an event stream"):
        list(sse.events(b"x" * (1 << 20) for _ in range(9)))
