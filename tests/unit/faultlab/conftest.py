"""Makes the helpers beside the tests importable, and a daemon that says what little a laboratory asks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

BODIES = {
    "/healthz": b'{"status":"ok"}',
    "/facts": b'{"processes":[], "findings":[]}',
    "/alerts": b'[{"rule":"none"}]',
    "/status": b'{"version":"0"}',
}
FRAMES = (
    b': keep-alive\n\ndata: {"pid": 1, "ppid": 0}\n\nevent: tag\ndata: {"pid": 2}\n\ndata: {"pid": 3, "ppid": 0}\n\n'
)


ALERTS = b': keep-alive\n\nevent: alert\ndata: {"rule": "none"}\n\n'


class _Handler(BaseHTTPRequestHandler):
    """Of the streams a few frames, and then nothing for ever."""

    def do_GET(self) -> None:
        streams = {"/stream": FRAMES, "/alerts": b"" if "json" in self.headers["Accept"] else ALERTS}
        if frames := streams.get(self.path):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(frames)
            self.wfile.flush()
            self.rfile.read(1)  # until the client leaves
        elif self.path in BODIES:
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODIES[self.path])))
            self.end_headers()
            self.wfile.write(BODIES[self.path])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a small daemon."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()
