"""A fork bomb of an unprivileged user, under the real daemon: it stays up and small, and sees everybody else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from linnix.cognitod.kernel import preflight
from workloads.build import compile_c

FLOODER = 65_534
OTHERS = 211
MIB = 1 << 20

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        os.geteuid() != 0 or any(not c.ok for c in preflight.checks(os.environ)),
        reason="eBPF cannot be used here, or no other user: see linnix doctor",
    ),
]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a running cognitod, and itself."""
    port = free_port()
    env = os.environ | {
        "LINNIX_LISTEN_ADDR": f"127.0.0.1:{port}",
        "LINNIX_METRICS_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
        "LINNIX_DATA_DIR": str(tmp_path / "data"),
    }
    process = subprocess.Popen([str(Path(sys.executable).with_name("cognitod"))], env=env, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    deadline_s = time.monotonic() + 30
    try:
        while True:
            assert time.monotonic() < deadline_s, "cognitod did not answer within 30 s"
            try:
                if httpx.get(url + "/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url, process
    finally:
        process.terminate()
        process.wait(10)


def status(url: str) -> Any:
    return httpx.get(url + "/status", timeout=10).json()


def test_a_fork_bomb_neither_blinds_nor_fells_the_daemon(
    daemon: tuple[str, subprocess.Popen[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    url, process = daemon
    folder = tmp_path_factory.mktemp("bomb")
    for path in (folder, *folder.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    bomb = compile_c("bomb", folder)
    while (before := status(url))["fork_books"] is None:
        time.sleep(0.2)
    flooder = subprocess.Popen([bomb, "40", "4"], user=FLOODER, group=FLOODER, extra_groups=[], start_new_session=True)
    try:
        time.sleep(1)
        for _ in range(OTHERS):
            subprocess.run(["/bin/true"], check=True)
        during = status(url)
        assert flooder.wait(30) == 0
    finally:
        if flooder.poll() is None:
            os.killpg(flooder.pid, signal.SIGKILL)
            flooder.wait()
    time.sleep(1.5)
    after = status(url)

    assert process.poll() is None
    assert max(during["rss_bytes"], after["rss_bytes"]) - before["rss_bytes"] < 40 * MIB
    lost = after["coverage"]["lost"]
    # whoever lost something is the flooder: nothing of what others did is missing
    assert {name: lost[name] for name in lost if name.startswith("ring_")} == {
        name: 0 for name in lost if name.startswith("ring_")
    }
    assert {flooder["uid"] for flooder in after["flooders"]} <= {FLOODER}
    assert after["fork_books"]["forks"] - before["fork_books"]["forks"] > 1000 + OTHERS
    assert after["fork_books"]["unexplained"] == before["fork_books"]["unexplained"] == 0
