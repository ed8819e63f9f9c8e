"""A running daemon says where processes live and keeps their secrets to itself, with eBPF and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_daemon import Daemon, running

from linnix.cognitod.host.cgroup import find_mount

pytestmark = pytest.mark.timeout(120)

ID = "0123456789abcdef" * 4
UID = "5f6d1b2c-9a3e-4c1d-8e7f-0a1b2c3d4e5f"
HOSTILE = 'a\x1b[2J"b.service'


@pytest.fixture
def group() -> Iterator[Path]:
    """A pod's container in the hierarchy, with a group of a hostile name in it."""
    mount = find_mount()
    if mount is None:
        pytest.skip("cgroup2 is not mounted")
    top = mount / f"linnix-e2e-{os.getpid()}"
    inner = top / f"kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope" / HOSTILE
    try:
        inner.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"no group can be made in {mount}: {error}")
    yield inner
    for folder, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()


def told(daemon: Daemon, wanted: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.get("/processes", params={"filter": wanted}).json()
    return found


@pytest.mark.parametrize("bpf", ["on", "off"])
def test_a_process_is_found_where_it_lives_and_remembered_there(tmp_path: Path, group: Path, bpf: str) -> None:
    mount = find_mount()
    assert mount is not None
    path = "/" + str(group.relative_to(mount))
    with running(tmp_path, LINNIX_BPF=bpf) as daemon:
        script = f"import time; open({str(group / 'cgroup.procs')!r}, 'w').write('0'); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", script])
        try:
            for _ in range(100):
                if found := told(daemon, f"cgroup={path}"):
                    break
                time.sleep(0.1)
            assert [(each["pid"], each["cgroup"], each["unit"], each["container"]) for each in found] == [
                (child.pid, path, HOSTILE, {"id": ID, "runtime": "containerd", "name": None})
            ]
        finally:
            child.kill()
            child.wait()
        for _ in range(100):
            if told(daemon, f"container={ID[:12]}")[0]["state"] == "exited":
                break
            time.sleep(0.1)
        group.rmdir()
        assert [each["pid"] for each in told(daemon, f"unit={HOSTILE}")] == [child.pid]


@pytest.mark.parametrize("bpf", ["on", "off"])
def test_a_secret_is_nowhere(tmp_path: Path, bpf: str) -> None:
    secret = "QXZJ" * 6
    before = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", f"--password={secret}"])
    try:
        with running(tmp_path, "--handler", f"jsonl:{tmp_path / 'events'}", LINNIX_BPF=bpf) as daemon:
            after = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)", "--token", secret])
            after.wait()
            time.sleep(2.5)
            answers = [daemon.get(path).text for path in ("/processes", "/context", "/facts", "/timeline")]
            assert f"{before.pid}" in answers[0]
            assert "--password=***" in answers[0]
            kept = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    finally:
        before.kill()
        before.wait()

    assert [text for text in answers + kept if secret in text] == []
    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert ["--token", "***"] in [line["argv"][-2:] for line in lines if line.get("argv")]
