"""Virtual machines for tests: what is laid over Debian's tree, and what is run there."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.packaging import REPOSITORY, build_wheel

# What Debian 12's Python 3.11 can load; pip does not derive the older of these from the newer.
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
INSTALL = """
cd /opt/linnix
/usr/bin/python3 -m venv .venv
.venv/bin/pip install --quiet --no-index --find-links /opt/wheels linnix
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


def lay_out(root: Path, *scripts: str, more: tuple[str, ...] = ()) -> Path:
    """The files of a machine that are ours: of the checkout what the units need, wheels to install from, scripts.

    ``more``: requirements whose wheels are wanted without their dependencies.
    """
    wheels = root / "opt/wheels"
    wheels.mkdir(parents=True)
    wheel = build_wheel(wheels)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(wheels)]
    target = ["--python-version=3.11", "--implementation=cp", *(f"--platform={name}" for name in PLATFORMS)]
    subprocess.run([*command, *target, str(wheel)], check=True)
    for requirement in more:
        subprocess.run([*command, "--no-deps", requirement], check=True)
    checkout = root / "opt/linnix"
    shutil.copytree(REPOSITORY / "deploy/systemd", checkout / "deploy/systemd")
    shutil.copy2(REPOSITORY / "serve_distilled_model.sh", checkout)
    (root / "root").mkdir(mode=0o700)
    for script in scripts:
        shutil.copy2(Path(__file__).with_name(script), root / "root" / script)
    return root


def run(overlay: Path, prepare: str, script: str, *, kernel: str = "bookworm", seconds: int = 800) -> dict[str, Any]:
    """What ``script`` says it has seen in Debian 12 under the kernel of a Debian release; ``log`` is all it printed."""
    done = subprocess.run(
        [
            *("setpriv", "--pdeathsig", "TERM"),  # it must not outlive a killed pytest
            *(str(REPOSITORY / "scripts/vm.sh"), "--kernel", kernel, "--seconds", str(seconds)),
            *("--overlay", str(overlay), "--prepare", prepare),
            f"/opt/linnix/.venv/bin/python /root/{script}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["seen"]
    return {**found, "log": done.stdout}
