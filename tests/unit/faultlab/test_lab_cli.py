"""`linnix faultlab`: what it prints and how it ends, as far as nothing is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lab_make import SMALL, text
from lab_recorded import run, write

from linnix.faultlab import loading


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

    assert (done.returncode, done.stdout.split(" of ")[1]) == (
        0,
        f"{len(loading.files(loading.COLLECTION))} files are good\n",
    )


def test_check_takes_several_places_and_tells_what_this_host_lacks(folder: Path) -> None:
    other = folder / "b.yaml"
    requires = "requires: [tar, no-such-program:no-such-package]\nseeds"
    other.write_text(text(("name: small", "name: other"), ("renderd", "renderer"), ("seeds", requires)))

    done = faultlab("check", folder / "a.yaml", other, folder)

    lacks = "would be skipped here: no-such-program: not on PATH. Debian has it in: no-such-package"
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 of 2 files are good\n", f"{other}: {lacks}\n")
    answer = json.loads(faultlab("check", folder, "--json").stdout)
    assert (answer["ok"], answer["missing"]) == (True, {str(other): {"no-such-program": "no-such-package"}})


def test_check_answers_in_json(folder: Path) -> None:
    (folder / "b.yaml").unlink()

    answer = json.loads(faultlab("check", folder, "--json").stdout)

    assert (answer["ok"], answer["errors"], answer["scenarios"][0]["name"]) == (True, [], "small")


def test_check_tells_what_is_wrong_only_beside_other_files(folder: Path) -> None:
    (folder / "b.yaml").write_text(text(("name: small", "name: other"), ("seeds", "part: test\nseeds")))

    done = faultlab("check", folder)

    has_it = "but 'small' of part 'train' has it, too"
    told = f"{folder}/b.yaml:8: commands[0].as: part 'test' has 'renderd' to itself, {has_it}\n"
    assert (done.returncode, done.stdout) == (1, told + "2 of 2 files are good, but not beside each other\n")


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


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A hit, a look-alike that was taken for a fault, and a run of the test part."""
    for each in (
        run([("cpu_spin", "renderd")], name="a-1"),
        run([("mem_leak", "cron")], cls="normal", name="b-1"),
        run([("cpu_spin", "renderd")], name="held-1", part="test"),
    ):
        write(each, tmp_path / "runs")
    return tmp_path / "runs"


def test_grade_says_how_often_it_was_right_and_lists_every_miss(runs: Path) -> None:
    lines = faultlab("grade", runs, "--part", "train").stdout.splitlines()

    assert [" ".join(line.split()) for line in lines[:5]] == [
        "Runs planned: not known; recorded: 2; graded: 2",
        "",
        "2 runs of 2 scenarios",
        "measure value 95 % interval of",
        "culprit named first, one fault 100.0 % 20.7 to 100.0 % w 1 runs",
    ]
    assert [line.split(maxsplit=5) for line in lines if line.startswith("b-1")] == [
        [
            *("b-1", "normal", "nobody", "mem_leak", "cron"),
            "mem_leak of cron (rule rule_mem_leak) from 0.5 s on, in 1 of 2 ticks",
        ]
    ]


def test_grade_answers_in_json_and_in_markdown(runs: Path) -> None:
    answer = json.loads(faultlab("grade", runs, "--json").stdout)

    assert [(each["run"], each["hit"]) for each in answer["runs"]] == [("a-1", True), ("b-1", False), ("held-1", True)]
    assert answer["score"]["hit"] == {
        "value": 1.0,
        "count": 2,
        "low": pytest.approx(0.342380, abs=1e-6),
        "high": 1.0,
        "interval": "wilson",
    }
    assert answer["coverage"] == {"planned": None, "recorded": 3, "graded": 3, "failed": [], "absent": []}
    assert faultlab("grade", runs, "--markdown", "--json").returncode == 2
    assert faultlab("grade", runs, "--rules", "x.yaml").returncode == 2


def test_a_document_is_the_same_every_time_and_says_what_was_judged(runs: Path) -> None:
    first, again = (faultlab("grade", runs, "--markdown", "--rejudge").stdout for _ in range(2))

    assert first == again
    assert first.startswith(
        "The fault laboratory's recordings, all parts, its recorded facts judged again with the default rules "
        "(`linnix faultlab grade --markdown`).\n\n- Runs planned: not known; recorded: 3; graded: 3\n\nIntervals are"
    )
    assert [line for line in first.splitlines() if line.startswith("#")] == [
        "### 3 runs of 3 scenarios",
        "### By class",
        "### What each class was taken for",
        "### Missed: 2",
    ]


def test_grade_names_the_runs_that_were_planned_and_are_not_there(runs: Path, tmp_path: Path) -> None:
    (runs / "planned.json").write_text('{"a-1": "train", "a-2": "train", "b-1": "train", "held-2": "test"}')
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "small.yaml").write_text(SMALL)

    def told(*arguments: str | Path) -> dict[str, object]:
        return dict(json.loads(faultlab("grade", runs, "--json", *arguments).stdout)["coverage"])

    assert told() == {"planned": 4, "recorded": 3, "graded": 3, "failed": [], "absent": ["a-2", "held-2"]}
    assert told("--part", "train") == {"planned": 3, "recorded": 2, "graded": 2, "failed": [], "absent": ["a-2"]}
    assert told("--planned", tmp_path / "scenarios")["absent"] == ["small-1", "small-2"]
    faultlab("pack", runs, "--out", tmp_path / "set")
    assert json.loads((tmp_path / "set" / "planned.json").read_text()) == {
        "a-1": "train",
        "a-2": "train",
        "b-1": "train",
        "held-2": "test",
    }
    packed = json.loads(faultlab("grade", tmp_path / "set" / "train.tar.xz", "--json").stdout)
    assert packed["coverage"]["absent"] == ["a-2"]


def test_what_was_recorded_can_be_judged_by_other_rules(tmp_path: Path) -> None:
    pytest.importorskip("linnix.cognitod.detect.replay")
    write(run(*([[("mem_leak", "cron")]] * 5), warm_up=(), cpu={"renderd": 95.0}), tmp_path / "runs")
    rule = "- {name: busy, detector: cpu_pct, threshold: 90, duration: 2, severity: medium}\n"
    (tmp_path / "rules.yaml").write_text(rule)

    done = faultlab("grade", tmp_path / "runs", "--rejudge", "--rules", tmp_path / "rules.yaml", "--json")

    [graded] = json.loads(done.stdout)["runs"]
    told = {"class": "cpu_spin", "process": "renderd", "command": "worker", "rule": "busy"}
    assert (graded["said"], graded["hit"], graded["first_hit_s"] - graded["delay_s"]) == (told, True, 2.0)


def test_what_is_packed_is_graded_where_it_lies_and_the_test_part_with_a_reason(runs: Path, tmp_path: Path) -> None:
    packed = faultlab("pack", runs, "--out", tmp_path / "set")
    assert [line.split()[1].rpartition("/")[2] for line in packed.stdout.splitlines()] == [
        "test.tar.xz",
        "train.tar.xz",
    ]

    refused = faultlab("grade", tmp_path / "set", "--part", "test")
    graded = faultlab("grade", tmp_path / "set", "--part", "test", "--why", "to see", "--json")

    assert (refused.returncode, refused.stderr.splitlines()[1]) == (1, "Say why it must be: --why TEXT")
    assert [each["run"] for each in json.loads(graded.stdout)["runs"]] == ["held-1"]
    done = faultlab("unpack", tmp_path / "set" / "train.tar.xz", "--out", tmp_path / "again")
    assert done.stdout == f"2 runs from {tmp_path}/set/train.tar.xz\n"
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["a-1", "b-1"]


def test_scenarios_from_elsewhere_are_good_and_graded_as_their_page_says() -> None:
    there = Path(__file__).parents[3] / "datasets" / "elsewhere"

    assert faultlab("check", there).stdout == "2 of 2 files are good\n"
    graded = json.loads(faultlab("grade", there, "--rejudge", "--json").stdout)["runs"]
    assert [(each["run"], each["said"]["class"], each["said"]["command"], each["hit"]) for each in graded] == [
        ("cache-prewarm-1", "mem_leak", "cache", False),
        ("webhook-delivery-1", "fd_leak", "relay", True),
    ]
