"""`linnix doctor`: what is missing costs sight or costs everything, and each line says how to mend it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from linnix.cli.doctor import Check, _cgroup2, _pressure


def doctor(*arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "linnix.cli.main", "doctor", "--json", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def elsewhere() -> dict[str, str]:
    api, metrics, model = free_ports(3)
    return {
        "LINNIX_LISTEN_ADDR": f"127.0.0.1:{api}",
        "LINNIX_METRICS_LISTEN_ADDR": f"127.0.0.1:{metrics}",
        "LLAMA_PORT": str(model),
    }


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in report["checks"]}


def test_without_ebpf_the_host_is_usable_and_the_loss_is_told(tmp_path: Path) -> None:
    code, report = doctor(LINNIX_BPF="off", LINNIX_DATA_DIR=str(tmp_path), **elsewhere())
    switch = next(check for check in report["checks"] if check["name"] == "switch")

    assert (code, report["usable"], switch["verdict"], switch["mend"]) == (0, True, "warn", "unset LINNIX_BPF")


def test_a_stranger_on_the_port_fails_and_is_named(tmp_path: Path) -> None:
    settings = elsewhere()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        settings["LINNIX_LISTEN_ADDR"] = f"127.0.0.1:{stranger.getsockname()[1]}"
        code, report = doctor(LINNIX_DATA_DIR=str(tmp_path), **settings)

    failed = [check["detail"] for check in report["checks"] if check["verdict"] == "fail"]
    assert (code, len(failed)) == (1, 1)
    assert f"(pid {os.getpid()})" in failed[0]


def test_a_data_directory_that_cannot_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    code, report = doctor(LINNIX_DATA_DIR=str(tmp_path / "file" / "linnix"), **elsewhere())

    assert (code, verdicts(report)["disk"]) == (1, "fail")


def test_a_named_model_that_is_missing_is_told_by_its_name(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.gguf")

    code, report = doctor(LINNIX_MODEL=gone, LINNIX_DATA_DIR=str(tmp_path), **elsewhere())

    model = next(check for check in report["checks"] if check["name"] == "model")
    assert (0, "warn", f"cannot open model file {gone}: the rules explain without one") == (
        code,
        model["verdict"],
        model["detail"],
    )


def test_every_check_that_is_not_ok_says_how_to_mend_it(tmp_path: Path) -> None:
    _code, report = doctor(LINNIX_BPF="off", LINNIX_DATA_DIR=str(tmp_path), **elsewhere())

    assert [check for check in report["checks"] if check["verdict"] != "ok" and not check["mend"]] == []


def test_pressure_is_missing_where_one_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    for name in ("cpu", "memory"):
        (tmp_path / "pressure" / name).write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")

    [check] = _pressure(tmp_path)

    assert (check.verdict, check.detail) == ("warn", "no pressure stall information for io: who waits stays unknown")


def test_cgroup2_counts_with_its_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\ncgroup2 {tmp_path} cgroup2 rw 0 0\n")

    assert [Check("cgroup2", "ok", f"{tmp_path}: cpuset cpu io memory pids")] == list(_cgroup2(mounts))


def test_no_cgroup2_is_a_warning(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("proc /proc proc rw 0 0\n")

    assert [check.verdict for check in _cgroup2(mounts)] == ["warn"]
