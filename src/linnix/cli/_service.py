"""The two services that `linnix up` and `linnix run` look after: how each is started, where it answers, what it says.

Owns their addresses. Refuses to take a stranger for one of ours: a port that answers with anything but the expected
JSON is not healthy, whatever its status code.
"""

import http.client
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from linnix.cli._errors import CommandError
from linnix.cli._ports import obstacle

Health = Literal["ready", "starting", "absent"]
_PROBE_TIMEOUT_S = 1.0
_PROBE_LIMIT_BYTES = 65536


@dataclass(frozen=True)
class Address:
    """A host and a port, as in `127.0.0.1:3000`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `host:port`, `[::1]:port`."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise CommandError(f"not an address: {text!r}", "Write it as 127.0.0.1:3000")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        """As it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its URL, from this machine: a wildcard address is asked on loopback."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{Address(loopback, self.port)}"


@dataclass(frozen=True)
class Service:
    """One of the two: its name, what it does in two words, its command, and the addresses it listens on."""

    name: str
    command: tuple[str, ...]
    address: Address
    health_path: str
    others: tuple[Address, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def health(self) -> Health:
        """What answers at its address now."""
        status, body = fetch(self.address.url + self.health_path)
        if status == 200 and body.get("status") == "ok":
            return "ready"
        # llama.cpp's server says 503 {"error": {"message": "Loading model"}} until it can answer.
        return "starting" if status == 503 and "error" in body else "absent"

    def obstacles(self) -> dict[Address, str]:
        """For each of its addresses, why it could not listen there now; empty where it could."""
        return {address: obstacle(address.host, address.port) for address in (self.address, *self.others)}

    def refuse_if_taken(self, option: str) -> None:
        """Raise the error that says what is in the way, and names who holds our port."""
        for address, reason in self.obstacles().items():
            if reason:
                advice = f"Stop that process, or choose another port with {option}"
                raise CommandError(f"{self.name} cannot listen on {address}: {reason}", advice)


def fetch(url: str) -> tuple[int, dict[str, Any]]:
    """GET a small JSON object from a local service: (status, object); (0, {}) where nobody or a stranger answers."""
    request = urllib.request.Request(url)
    if token := os.environ.get("LINNIX_API_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    # No proxy from the environment: these are addresses of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PROBE_TIMEOUT_S) as response:
            status, raw = response.status, response.read(_PROBE_LIMIT_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            status, raw = error.code, error.read(_PROBE_LIMIT_BYTES)
    except (OSError, http.client.HTTPException):
        return 0, {}
    try:
        body = json.loads(raw)
    except ValueError:
        return 0, {}
    return (status, body) if isinstance(body, dict) else (0, {})


def program(name: str, module: str) -> tuple[str, ...]:
    """How to start one of our commands: the script beside this Python, else on PATH, else the module itself."""
    beside = Path(sys.executable).with_name(name)
    if os.access(beside, os.X_OK):
        return (str(beside),)
    found = shutil.which(name)
    return (found,) if found else (sys.executable, "-m", module)


def daemon(address: Address, metrics: Address, config: Path | None) -> Service:
    """`cognitod`, told its addresses through the environment (which wins over its configuration file)."""
    arguments = ("--config", str(config)) if config else ()
    return Service(
        name="cognitod",
        command=(*program("cognitod", "linnix.cognitod"), *arguments),
        address=address,
        health_path="/healthz",
        others=(metrics,),
        environment={"LINNIX_LISTEN_ADDR": str(address), "LINNIX_METRICS_LISTEN_ADDR": str(metrics)},
    )


def model_server(port: int, model: Path | None) -> Service:
    """The model server; it binds to loopback only."""
    arguments = ("--model", str(model)) if model else ()
    return Service(
        name="model server",
        command=(*program("linnix", "linnix.cli.main"), "model", "serve", *arguments),
        address=Address("127.0.0.1", port),
        health_path="/health",
        environment={"LLAMA_PORT": str(port)},
    )
