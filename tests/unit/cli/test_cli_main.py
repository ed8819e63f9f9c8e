"""The `linnix` command: what it answers at once, and how it ends."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import linnix


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "linnix.cli.main", *arguments], capture_output=True, text=True, check=False
    )


def test_it_tells_its_version() -> None:
    done = run("--version")

    assert (0, f"linnix {linnix.__version__}\n") == (done.returncode, done.stdout)


def test_its_help_names_every_command() -> None:
    said = run("--help").stdout

    assert [name for name in ("up", "run", "doctor", "model", "rules", "faultlab") if f" {name} " not in said] == []


@pytest.mark.parametrize("command", ["up", "run", "doctor", "model", "rules", "faultlab"])
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")

    assert (done.returncode, "--help" in done.stdout) == (0, True)


def test_a_command_it_does_not_know_is_a_usage_error() -> None:
    assert run("dcotor").returncode == 2


def test_a_configuration_that_is_missing_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    done = run("run", "--config", str(tmp_path / "none.toml"))

    assert (done.returncode, "none.toml" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_standard_output_is_a_failure_told_once(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "linnix.cli.main", "--version"],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")


def test_asking_for_help_imports_nothing_heavy() -> None:
    heavy = ["numpy", "httpx", "starlette", "uvicorn", "gguf", "xllamacpp"]
    program = f"import linnix.cli.main, sys; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_commands_of_the_package_lead_to_functions_that_exist() -> None:
    scripts = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["scripts"]
    points = [EntryPoint(name, value, "console_scripts") for name, value in scripts.items()]

    assert {point.name for point in points if callable(point.load())} == {"cognitod", "linnix", "linnix-reasoner"}
