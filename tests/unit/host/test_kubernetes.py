"""The API server's word on pods: asked in the background, taken where it helps, never waited for."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from linnix.cognitod.host import kubernetes
from linnix.cognitod.host.containers import Place
from linnix.cognitod.host.kubernetes import Access, ApiServer, parse
from linnix.cognitod.host.names import Container, Names, Pod
from linnix.cognitod.model import Home

ID, INIT = "0123456789abcdef" * 4, "fedcba9876543210" * 4
UID = "5f6d1b2c-9a3e-4c1d-8e7f-0a1b2c3d4e5f"


def pod(name: str = "front-5d9f7c-x2x4k", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": UID, **metadata},
        "status": {
            "containerStatuses": [{"name": "app", "containerID": f"containerd://{ID}"}, {"name": "waiting"}],
            "initContainerStatuses": [{"name": "prepare", "containerID": f"cri-o://{INIT}"}],
        },
    }


def listing(*pods: dict[str, Any]) -> bytes:
    return json.dumps({"kind": "PodList", "items": list(pods)}).encode()


def test_containers_of_every_kind_are_named() -> None:
    assert parse(listing(pod()))[0] == {
        ID: Container(name="app", runtime="containerd", pod_uid=UID),
        INIT: Container(name="prepare", runtime="cri-o", pod_uid=UID),
    }


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, (None, None, "medium", None)),
        (
            {
                "ownerReferences": [{"kind": "ReplicaSet", "name": "front-5d9f7c", "controller": True}],
                "labels": {"pod-template-hash": "5d9f7c", "linnix.dev/priority": "High", "linnix.dev/slo-tier": "gold"},
            },
            ("Deployment", "front", "high", "gold"),
        ),
        ({"ownerReferences": [{"kind": "ReplicaSet", "name": "front"}]}, ("ReplicaSet", "front", "medium", None)),
        (
            {"ownerReferences": [{"kind": "X", "name": "x"}, {"kind": "Job", "name": "j", "controller": True}]},
            ("Job", "j", "medium", None),
        ),
        ({"labels": {"linnix.dev/priority": "urgent"}}, (None, None, "medium", None)),
    ],
)
def test_owner_and_labels_are_told(metadata: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    told = parse(listing(pod(**metadata)))[1][UID]

    assert (told.owner_kind, told.owner_name, told.priority, told.slo_tier) == expected


def test_a_pod_from_a_file_is_known_by_the_hash_that_its_cgroup_has() -> None:
    digest = "3c5f0c1e2b7a4d6f8e9a0b1c2d3e4f50"

    assert list(parse(listing(pod(annotations={"kubernetes.io/config.hash": digest})))[1]) == [digest]


def test_what_is_no_list_of_pods_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        parse(b'{"kind": "Status", "message": "forbidden"}')


def test_what_the_api_server_knows_is_kept_when_the_node_tells_less() -> None:
    names = Names()
    full = Pod(namespace="shop", name="front", owner_kind="Deployment", owner_name="front", priority="high")
    names.learn({}, {UID: full})
    names.learn({}, {UID: Pod(namespace="shop", name="front")})

    assert names.tell("/x", None, Place(pod_uid=UID)) == Home(
        cgroup="/x", namespace="shop", pod="front", owner_kind="Deployment", owner_name="front", priority="high"
    )
    assert names.version == 1


@dataclass
class FarEnd:
    """A server in the place of the API server."""

    status: int = 200
    body: bytes = b""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    end = FarEnd(body=listing(pod()))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            end.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(end.status)
            self.send_header("Content-Length", str(len(end.body)))
            self.end_headers()
            self.wfile.write(end.body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        end.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield end
        server.shutdown()
        thread.join()


def until(condition: Any) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_it_asks_for_this_node_with_the_token_of_now(far_end: FarEnd, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    server = ApiServer(Access(url=far_end.url, node="node/1", token_file=token), interval_s=0.02)
    server.start()
    try:
        until(lambda: far_end.asked)
        token.write_text("second\n")
        until(lambda: len({bearer for _, bearer in far_end.asked}) == 2)
    finally:
        server.stop()

    assert far_end.asked[0] == ("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode%2F1", "Bearer first")
    assert far_end.asked[-1][1] == "Bearer second"


def test_an_answer_is_taken_once(far_end: FarEnd) -> None:
    server = ApiServer(Access(url=far_end.url, node="n"), interval_s=60)
    server.start()
    until(lambda: server.states()[0].state == "on")
    server.stop()

    assert list(server.take()[1]) == [UID]
    assert server.take() == ({}, {})


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, b"{}", "answered 403 Forbidden"),
        (302, b"", "answered 302 Found"),
        (200, b"<html>", "not a list of pods: "),
    ],
)
def test_why_there_is_no_answer_is_told(far_end: FarEnd, status: int, body: bytes, reason: str) -> None:
    far_end.status, far_end.body = status, body
    server = ApiServer(Access(url=far_end.url, node="n"), interval_s=60)
    server.start()
    until(lambda: server.states()[0].reason.startswith(reason))
    server.stop()

    assert (server.states()[0].state, server.take()) == ("failed", ({}, {}))


def test_a_server_that_never_answers_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = ApiServer(Access(url=f"http://127.0.0.1:{silent.getsockname()[1]}", node="n"), interval_s=60)
        server.start()
        assert server.take() == ({}, {})
        until(lambda: server.states()[0].reason == "timed out")
        server.stop()
