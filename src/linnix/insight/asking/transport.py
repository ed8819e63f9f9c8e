"""HTTP to one far end, and what its failures are called.

Owns addresses, connections and the translation of socket and protocol errors into ``FarEndError``. Refuses redirects,
proxies and cookies: a request goes to the address the user named and nowhere else, so that neither a token nor the
facts of a host can be led astray. Invariant: every error of the far end leaves this module as ``FarEndError``.

The standard library's client, not httpx: importing httpx alone costs a tenth of a second of CPU, twice that when the
cores are taken by others, and this command promises its first text within half a second there.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from linnix import __version__
from linnix.insight.asking.errors import AddressError, FarEndError

#: A body larger than this is not what we asked for.
MAX_BODY_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Url:
    """An address taken apart. ``path`` includes the query and always starts with a slash."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and port as one writes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.origin + self.path

    @property
    def on_loopback(self) -> bool:
        """Whether a request stays on this machine. A name other than localhost counts as not: names can move."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_url(text: str, option: str) -> Url:
    """An address as a user writes it, ``http://`` optional. Raises ``AddressError`` naming ``option``."""
    written = text.strip()
    try:
        parts = urlsplit(written if "://" in written else f"http://{written}")
        port = parts.port
    except ValueError as error:
        raise AddressError(f"{option}: {text!r} is not an address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not written.isprintable() or " " in written:
        raise AddressError(f"{option}: {text!r} is not an address like http://127.0.0.1:3000")
    if parts.username or parts.password:
        raise AddressError(f"{option}: no user or password in an address; use the token or key option")
    path = parts.path or "/"
    return Url(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or (443 if parts.scheme == "https" else 80),
        path=f"{path}?{parts.query}" if parts.query else path,
    )


class Client:
    """Requests to one origin over one connection that is kept while the far end keeps it."""

    def __init__(self, url: Url, timeout_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s
        if url.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.host, url.port, timeout=timeout_s
            )
        else:
            self._connection = http.client.HTTPConnection(url.host, url.port, timeout=timeout_s)
        # http.client hands the socket over to an answer that ends the connection, and forgets it.
        self._socket: socket.socket | None = None
        self._answer: http.client.HTTPResponse | None = None

    def open(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> http.client.HTTPResponse:
        """Send one request and return the answer's head. Raises ``FarEndError`` when no answer comes."""
        with translated(self.timeout_s):
            self._connection.request(method, path, body, {"User-Agent": f"linnix/{__version__}", **headers})
            self._socket = self._connection.sock
            self._answer = self._connection.getresponse()
            return self._answer

    def read(self, answer: http.client.HTTPResponse) -> bytes:
        """The whole body. Raises ``FarEndError`` when it breaks off or is beyond all measure."""
        with translated(self.timeout_s):
            body = answer.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise FarEndError(f"an answer of more than {MAX_BODY_BYTES >> 20} MB")
        if answer.length:  # http.client only notices by itself when asked for everything
            raise FarEndError("connection broke off")
        return body

    def chunks(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        """The body as it arrives, until the far end closes it. Raises ``FarEndError`` when it breaks."""
        while True:
            with translated(self.timeout_s):
                chunk = answer.read1(1 << 16)
            if not chunk:
                return
            yield chunk

    def interrupt(self) -> None:
        """Make whatever another thread reads here end at once; that thread then closes."""
        if self._socket is not None:
            with suppress(OSError):  # the far end was faster
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection and the answer that may still hold it. Only for the thread that reads."""
        self.interrupt()
        if self._answer is not None:
            self._answer.close()
        self._connection.close()


@contextmanager
def translated(timeout_s: float) -> Iterator[None]:
    """Turn what sockets and ``http.client`` raise into ``FarEndError`` with a phrase a user understands."""
    try:
        yield
    except ConnectionRefusedError:
        raise FarEndError("connection refused") from None
    except TimeoutError:
        raise FarEndError(f"no answer within {timeout_s:g} s") from None
    except socket.gaierror:
        raise FarEndError("no such host") from None
    except http.client.RemoteDisconnected:
        raise FarEndError("connection closed without an answer") from None
    except (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead):
        raise FarEndError("connection broke off") from None
    except http.client.HTTPException:
        raise FarEndError("the answer is not HTTP") from None
    except OSError as error:  # unreachable network, TLS and the like: the system's own words
        raise FarEndError((error.strerror or str(error) or type(error).__name__).lower()) from None
    except (ValueError, AttributeError):  # http.client on a connection that another thread closed
        raise FarEndError("connection closed") from None
