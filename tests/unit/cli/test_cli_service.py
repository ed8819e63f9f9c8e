"""What answers at an address is ours, or is not; nothing in between is believed."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from linnix.cli._errors import CommandError
from linnix.cli._service import Address, Service, fetch


@contextmanager
def answering(status: int, body: bytes) -> Iterator[Address]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Address("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "health"),
    [
        (200, b'{"status": "ok"}', "ready"),
        (200, b"<html>It works!</html>", "absent"),
        (200, b'["status", "ok"]', "absent"),
        (200, b'{"status": "green"}', "absent"),
        (503, b'{"error": {"message": "Loading model"}}', "starting"),
        (503, b"Service Unavailable", "absent"),
        (404, b'{"error": "Not found"}', "absent"),
    ],
)
def test_health_is_read_from_the_answer_not_from_the_port(status: int, body: bytes, health: str) -> None:
    with answering(status, body) as address:
        assert health == Service("cognitod", ("true",), address, "/healthz").health()


def test_where_nobody_listens_nobody_is_there() -> None:
    with answering(200, b"") as address:
        pass

    assert fetch(address.url) == (0, {})


def test_the_environment_s_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b'{"status": "ok"}') as address:
        assert fetch(address.url) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("text", "address", "url"),
    [
        ("127.0.0.1:3000", Address("127.0.0.1", 3000), "http://127.0.0.1:3000"),
        ("[::1]:3000", Address("::1", 3000), "http://[::1]:3000"),
        ("0.0.0.0:80", Address("0.0.0.0", 80), "http://127.0.0.1:80"),
        ("localhost:3000", Address("localhost", 3000), "http://localhost:3000"),
    ],
)
def test_an_address_is_read_and_becomes_a_url_of_this_machine(text: str, address: Address, url: str) -> None:
    assert (address, url) == (Address.parse(text), Address.parse(text).url)


@pytest.mark.parametrize("text", ["", "3000", ":3000", "localhost:", "localhost:port", "localhost:70000"])
def test_what_is_no_address_is_told_with_an_example(text: str) -> None:
    with pytest.raises(CommandError, match="not an address") as refused:
        Address.parse(text)

    assert refused.value.advice == "Write it as 127.0.0.1:3000"
