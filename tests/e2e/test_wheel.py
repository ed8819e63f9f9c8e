"""The wheel carries all it needs, and its commands run from an environment that has never seen the checkout."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import linnix
from support.packaging import REPOSITORY, build_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def empty_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it; its dependencies are read from ours, to download nothing.

    That the wheel names its dependencies rightly is proven in tests/vm, where they are installed from its metadata.
    """
    where = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(where)], check=True)
    python = where / "bin/python"
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # A path that a .pth adds has its own .pth files left unread: our editable checkout does not come along.
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--ignore-installed", str(wheel)], check=True)
    return where / "bin"


def run(command: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LINNIX_BPF_PATH")}
    return subprocess.run(
        [str(command), *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False
    )


def test_it_carries_an_object_for_every_bpf_program(wheel: Path) -> None:
    programs = {path.with_suffix(".o").name for path in (REPOSITORY / "src/linnix/cognitod/bpf").glob("*.bpf.c")}
    objects = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".o")}

    assert programs == objects
    assert programs


def test_it_carries_the_default_rules_the_types_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    wanted = ["linnix/cognitod/detect/default.yaml", "linnix/py.typed", "licenses/LICENSE"]

    assert [suffix for suffix in wanted if not any(name.endswith(suffix) for name in names)] == []


def test_its_package_is_the_installed_one_and_not_the_checkout(empty_environment: Path) -> None:
    done = run(empty_environment / "python", "-c", "import linnix; print(linnix.__file__)")

    assert Path(done.stdout.strip()).is_relative_to(empty_environment.parent)


@pytest.mark.parametrize("command", ["cognitod", "linnix", "linnix-reasoner"])
def test_every_command_tells_its_version(empty_environment: Path, command: str) -> None:
    done = run(empty_environment / command, "--version")

    assert (0, f"{command} {linnix.__version__}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_the_daemon_accepts_its_shipped_configuration(empty_environment: Path) -> None:
    done = run(empty_environment / "cognitod", "--check-config", "--config", str(REPOSITORY / "configs/linnix.toml"))

    assert done.returncode == 0, done.stderr


@pytest.mark.kernel
def test_the_objects_of_the_wheel_attach_to_this_kernel(empty_environment: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("eBPF needs root")
    done = run(empty_environment / "cognitod", "--dry-run")

    assert done.returncode == 0, done.stderr
