"""`linnix faultlab`: what it prints and how it ends, as far as nothing is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lab_make import SMALL, text


def faultlab(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnix.cli.main", "faultlab", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(SMALL)
    (tmp_path / "b.yaml").write_text(text(("name: small", "name: other"), ("unit: percent", "units: percent")))
    return tmp_path


def test_check_tells_every_wrong_file_with_its_line(folder: Path) -> None:
    done = faultlab("check", folder)

    told = f"{folder}/b.yaml:5: intensity.units: unknown field, did you mean 'unit'?\n1 of 2 files are good\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, told, "")


def test_check_without_a_place_checks_what_came_with_linnix() -> None:
    done = faultlab("check")

    assert (done.returncode, done.stdout.split(" of ")[1]) == (0, "20 files are good\n")


def test_check_answers_in_json(folder: Path) -> None:
    (folder / "b.yaml").unlink()

    answer = json.loads(faultlab("check", folder, "--json").stdout)

    assert (answer["ok"], answer["errors"], answer["scenarios"][0]["name"]) == (True, [], "small")


def test_list_has_a_line_for_each(folder: Path) -> None:
    (folder / "b.yaml").unlink()

    lines = faultlab("list", folder).stdout.splitlines()

    assert [line.split() for line in lines] == [
        ["NAME", "CLASS", "CULPRIT", "INTENSITY", "SECONDS", "NEEDS", "SEEDS"],
        [
            "small",
            "cpu_spin",
            "renderd",
            "10",
            "to",
            "20",
            "percent",
            "8",
            *["512", "MiB,", "64", "MiB", "of", "disk", "1", "2"],
        ],
    ]


def test_nothing_runs_where_one_file_of_a_folder_is_wrong(folder: Path) -> None:
    done = faultlab("run", folder, "--out", folder / "out")

    assert (done.returncode, (folder / "out").exists()) == (1, False)
    assert done.stderr.startswith(f"error: {folder}/b.yaml:5: ")


def test_a_run_without_a_place_to_write_to_is_a_usage_error(folder: Path) -> None:
    assert faultlab("run", folder / "a.yaml").returncode == 2


def test_a_dry_run_prints_the_plans_and_does_nothing(folder: Path) -> None:
    done = faultlab("run", folder / "a.yaml", "--dry-run", "--seed", "5", "--out", folder / "out")

    plans = json.loads(done.stdout)
    assert ([(each["scenario"]["name"], each["seed"]) for each in plans], (folder / "out").exists()) == (
        [("small", 5)],
        False,
    )
