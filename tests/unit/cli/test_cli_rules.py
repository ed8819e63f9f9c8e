"""`linnix rules check` as a process: what it prints, for people and for programs, and how it ends."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """\
- name: storm
  detector: fork_burst
  threshold: 30
  window_seconds: 5
  severity: high
- name: hog
  detector: cpu_pct
  threshold: 80
  duration: 5
  for: 5m
  scope: {unit: [a.service, b.service], uid: 70}
  labels: {team: db}
"""
WRONG = GOOD.replace("threshold: 30", "treshold: 30").replace("unit:", "unti:")


def check(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnix.cli.main", "rules", "check", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD)
    return path


def test_rules_that_are_right_are_a_table(path: Path) -> None:
    done = check(path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "NAME   DETECTOR    SEVERITY  FOR    SCOPE\n"
        "storm  fork_burst  high      -      everybody\n"
        "hog    cpu_pct     info      300 s  unit=a.service,b.service uid=70\n"
        f"2 rules from {path}\n"
    )


def test_rules_that_are_wrong_are_all_told_with_file_and_line(path: Path) -> None:
    path.write_text(WRONG)

    done = check(path)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"{path}:3: rule 'storm': treshold: unknown field 'treshold' for fork_burst; did you mean 'threshold'?",
        f"{path}:11: rule 'hog': scope.unti: unknown field; did you mean 'unit'?",
        "2 problems in 1 file",
    ]


def test_programs_get_one_object_either_way(path: Path) -> None:
    good = check(path, "--json")
    told = json.loads(good.stdout)
    path.write_text(WRONG)
    wrong = check(path, "--json")
    problems = json.loads(wrong.stdout)["problems"]

    assert (good.returncode, told["valid"], told["files"], told["problems"]) == (0, True, [str(path)], [])
    assert told["rules"][1] == {
        "name": "hog",
        "detector": "cpu_pct",
        "severity": "info",
        "cooldown": 60.0,
        "for": 300.0,
        "keep_firing_for": 10.0,
        "params": {"threshold": 80.0, "duration": 5.0},
        "scope": {"unit": ["a.service", "b.service"], "uid": [70]},
        "labels": {"team": "db"},
        "runbook": None,
    }
    assert (wrong.returncode, json.loads(wrong.stdout)["valid"]) == (1, False)
    assert problems[0] == {
        "message": "unknown field 'treshold' for fork_burst; did you mean 'threshold'?",
        "rule": "storm",
        "field": "treshold",
        "line": 3,
        "file": str(path),
    }


def test_without_a_file_it_is_what_the_daemon_would_use_here(tmp_path: Path, path: Path) -> None:
    config = tmp_path / "linnix.toml"
    config.write_text(f'[rules]\npath = "{path}"\n')
    (tmp_path / "rules.d").mkdir()
    override = tmp_path / "rules.d" / "10.yaml"
    override.write_text("- {name: storm, severity: low}")

    done = check("--config", config)

    assert done.returncode == 0
    assert re.search(r"^storm +fork_burst +low ", done.stdout, re.MULTILINE)
    assert done.stdout.endswith(f"2 rules from {path}, {override}\n")


def test_without_a_rule_file_it_is_the_rules_that_come_with_linnix(tmp_path: Path) -> None:
    config = tmp_path / "linnix.toml"
    config.write_text(f'[rules]\ndir = "{tmp_path}/none"\n')

    done = check("--config", config)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "33 rules from default.yaml (comes with Linnix)")


def test_a_file_of_rules_d_is_checked_over_the_rules_in_use(tmp_path: Path, path: Path) -> None:
    config = tmp_path / "linnix.toml"
    config.write_text(f'[rules]\npath = "{path}"\n')
    (tmp_path / "rules.d").mkdir()
    override = tmp_path / "rules.d" / "10.yaml"
    override.write_text("- {name: storm, severity: low}")
    elsewhere = tmp_path / "mine.yaml"
    elsewhere.write_text("- {name: strom, severity: low}")

    right, wrong, alone = (
        check("--config", config, override),
        check("--config", config, "--override", elsewhere),
        check("--config", config, elsewhere),
    )

    assert (right.returncode, wrong.returncode, alone.returncode) == (0, 1, 1)
    assert "no rule of this name to override" in wrong.stdout
    assert "did you mean 'storm'?" in wrong.stdout
    assert f"{elsewhere}:1: rule 'strom': detector: missing" in alone.stdout


def test_a_file_that_is_not_there_is_a_failure_and_no_traceback(tmp_path: Path) -> None:
    done = check(tmp_path / "none.yaml")

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"cannot read the rule file {tmp_path}/none.yaml: no such file or directory",
        "1 problem in 1 file",
    ]


def test_a_wrong_configuration_is_told_on_standard_error(tmp_path: Path) -> None:
    config = tmp_path / "linnix.toml"
    config.write_text("[rules]\npaht = 1\n")

    done = check("--config", config)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: rules.paht: unknown key; did you mean rules.path?\n"


@pytest.mark.parametrize("arguments", [("check", "--nope"), ("chekc",), ("check", "-o")])
def test_what_it_does_not_understand_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "linnix.cli.main", "rules", *arguments]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_its_help_teaches(path: Path) -> None:
    said = " ".join(check("--help", COLUMNS="200").stdout.split())

    assert [word for word in ("rules.d", "--override", "--json", "Exit code 0", "Examples:") if word not in said] == []


def test_hostile_names_are_cleaned(path: Path) -> None:
    path.write_text(
        '- {name: "a\\e[2J\\n\\u202e", detector: cpu_pct, threshold: 1, duration: 1, scope: {comm: "\\e[31m*"}}'
    )
    good = check(path)
    path.write_text('- {name: "a\\e[2J", detector: "\\e[31mx"}')
    wrong = check(path)

    assert (good.returncode, wrong.returncode) == (0, 1)
    for said in (good.stdout, wrong.stdout):
        assert [char for char in said if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize(
    ("arguments", "environ", "coloured"), [((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False)]
)
def test_colours_are_for_terminals_that_want_them(
    path: Path, arguments: tuple[str, ...], environ: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "linnix.cli.main", "rules", "check", str(path), *arguments]
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    subprocess.run(command, env={**plain, **environ}, stdout=theirs, stderr=theirs, check=True)
    os.close(theirs)
    said = os.read(ours, 65_536).decode()
    os.close(ours)

    assert ("\x1b[" in said, "\x1b[" in check(path).stdout) == (coloured, False)
