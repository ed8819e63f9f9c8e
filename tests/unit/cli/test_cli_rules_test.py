"""`linnix rules test` as a process: what rules would have found in recorded runs, and how right they were."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linnix.insight.facts import encode
from support.recordings import EPOCH, facts, process, storm

RULES = """\
- name: storm
  detector: forks_per_sec
  threshold: 60
  duration: 3
  severity: high
- {name: hog, detector: cpu_pct, threshold: 80, duration: 0, severity: low}
- {name: leak, detector: rss_growth, threshold: 64, window_seconds: 10}
- {name: quick, detector: short_job_flood, threshold: 9, window_seconds: 5, max_exec_duration_ms: 200}
"""
STORM = {"cron": [1] * 30, "spawner": [0] * 10 + [100] * 10 + [0] * 10}
#: Pids that recordings on paper give: 200 the first parent, 300 the second; they began then.
CRON, SPAWNER = (200, 100_200_000_000), (300, 100_300_000_000)


def try_out(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnix.cli.main", "rules", "test", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def record(folder: Path, bodies: list[bytes], cls: str, culprits: dict[str, tuple[int, int]]) -> None:
    """A run with the injection from its tenth second on; the first culprit is the one, others are faults beside it."""
    folder.mkdir(parents=True)
    name, *also = [*culprits, None][: max(len(culprits), 1)]
    truth = {
        "class": cls,
        "culprit": name,
        "also": [{"class": cls, "culprit": each} for each in also],
        "phases": {"injection": {"start": EPOCH + 10, "stop": EPOCH + 20}},
        "commands": [{"name": each, "processes": [who]} for each, who in culprits.items()],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    lines = ['{"asked":1.0,"answered":1.1,"phase":"warm-up","status":503,"error":"not yet"}']
    for body in bodies:
        lines.append(f'{{"asked":1.0,"answered":1.1,"phase":"injection","status":200,"facts":{body.decode()}}}')
    (folder / "facts.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The same storm three times: it is the fault, it is somebody else's, nothing is wrong; and one unfinished run."""
    runs = tmp_path / "runs"
    record(runs / "loop-1", storm(STORM, runs=False), "fork_storm", {"loop": SPAWNER})
    record(runs / "loop-2", storm(STORM, runs=False), "cpu_spin", {"spin": CRON})
    record(runs / "quiet-1", storm(STORM, runs=False), "normal", {})
    record(runs / "loop-3.part", [], "fork_storm", {})
    return runs


def test_a_table_says_where_rules_fired_and_how_right_they_were(rules: Path, runs: Path) -> None:
    done = try_out(rules, "--runs", runs)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "RULE   SEVERITY  RUNS  TICKS  HITS  OTHERS  NORMAL  AFTER  WHOM",
        "storm  high      3     57     1     1       1       1.0 s  spawner (300)",
        "hog    low       0     0      0     0       0       -      -",
        "leak   info      0     0      0     0       0       -      -",
        "quick  info      0     0      0     0       0       -      -",
        "",
        "3 runs, 1 of them normal, 90 ticks",
        "Hits: runs in which a process of the fault was named; others: only somebody else was; after: median seconds",
        "Never fired: hog, leak",
        "Fired where nothing was wrong: storm (high) in quiet-1",
        "Not decided by recordings: quick: short_job_flood: facts count lives below 1000 ms, not below 200 ms",
    ]


def test_programs_get_every_run(rules: Path, runs: Path) -> None:
    told = json.loads(try_out(rules, "--runs", runs, "--json").stdout)

    assert (told["valid"], told["files"], told["problems"]) == (True, [str(rules)], [])
    assert told["runs"] == [
        {"run": "loop-1", "class": "fork_storm", "ticks": 30},
        {"run": "loop-2", "class": "cpu_spin", "ticks": 30},
        {"run": "quiet-1", "class": "normal", "ticks": 30},
    ]
    assert (told["never_fired"], told["fired_in_normal"]) == (["hog", "leak"], ["storm"])
    storm_, *_ = told["rules"]
    fired = storm_.pop("fired")
    assert storm_ == {
        "name": "storm",
        "detector": "forks_per_sec",
        "severity": "high",
        "undecided": None,
        "ticks": 57,
        "hits": 1,
        "others": 1,
        "normal": ["quiet-1"],
        "median_hit_s": 1.0,
    }
    assert fired[0] == {
        "run": "loop-1",
        "class": "fork_storm",
        "ticks": 19,
        "first_s": 1.0,
        "hit_s": 1.0,
        "whom": [{"pid": 300, "start_ns": SPAWNER[1], "comm": "spawner", "ticks": 19, "culprit": True}],
    }
    assert [(each["hit_s"], each["whom"][0]["culprit"]) for each in fired[1:]] == [(None, False), (None, False)]


def test_of_two_faults_either_is_a_hit(rules: Path, tmp_path: Path) -> None:
    record(tmp_path / "both", storm(STORM, runs=False), "mem_leak", {"leak": CRON, "loop": SPAWNER})
    told = json.loads(try_out(rules, "--runs", tmp_path, "--json").stdout)

    assert (told["rules"][0]["hits"], told["rules"][0]["others"]) == (1, 0)


def test_who_is_named_before_the_fault_is_on_is_a_hit_only_if_he_is_named_still(rules: Path, tmp_path: Path) -> None:
    busy = [encode(facts(at, (process(1, 300, "early", cpu_pct=99.0 * (at < 5)),))) for at in range(30)]
    record(tmp_path / "early", busy, "cpu_spin", {"spin": SPAWNER})
    told = json.loads(try_out(rules, "--runs", tmp_path, "--json").stdout)

    hog = told["rules"][1]
    assert (hog["ticks"], hog["fired"][0]["first_s"], hog["fired"][0]["hit_s"]) == (15, -10.0, 0.0)


def test_rules_that_are_wrong_are_told_as_check_tells_them(rules: Path, runs: Path) -> None:
    rules.write_text(RULES.replace("threshold: 60", "treshold: 60"))
    check = [sys.executable, "-m", "linnix.cli.main", "rules", "check", str(rules)]
    expected = subprocess.run(check, capture_output=True, text=True, check=False).stdout

    plain, as_json = try_out(rules, "--runs", runs), try_out(rules, "--runs", runs, "--json")

    assert (plain.returncode, plain.stderr, plain.stdout) == (1, "", expected)
    assert (as_json.returncode, json.loads(as_json.stdout)["valid"]) == (1, False)


def test_without_a_file_the_rules_in_use_are_tried(tmp_path: Path, runs: Path) -> None:
    (tmp_path / "linnix.toml").write_text(f'[rules]\ndir = "{tmp_path}/none"\n')
    done = try_out("--runs", runs, "--config", tmp_path / "linnix.toml")

    assert (done.returncode, done.stderr) == (0, "")
    assert "3 runs, 1 of them normal, 90 ticks" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "truth.json").write_text("{}"), "loop-1: not a run that can be judged: Object missing"),
        (lambda run: (run / "facts.jsonl").unlink(), "loop-1/facts.jsonl: "),
        (lambda run: (run / "facts.jsonl").write_text("{"), "loop-1: not a run that can be judged: Input data was"),
    ],
)
def test_a_run_that_cannot_be_read_is_a_failure_and_no_traceback(
    rules: Path, runs: Path, spoil: Any, said: str
) -> None:
    spoil(runs / "loop-1")
    done = try_out(rules, "--runs", runs)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and said in done.stderr


def test_a_folder_without_runs_is_a_failure_and_no_folder_a_usage_error(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    none, missing = try_out(rules, "--runs", tmp_path / "empty"), try_out(rules)

    assert (none.returncode, none.stderr.partition(" (")[0]) == (1, f"error: {tmp_path}/empty: no run")
    assert missing.returncode == 2


def test_hostile_names_are_cleaned(rules: Path, tmp_path: Path) -> None:
    hostile = "\x1b[2Jx\n\u202ey"
    bodies = [encode(facts(at, (process(1, 300, hostile, cpu_pct=99.0),))) for at in range(3)]
    record(tmp_path / "run", bodies, "normal", {})
    done = try_out(rules, "--runs", tmp_path)

    assert done.returncode == 0
    assert [char for char in done.stdout if not char.isprintable() and char != "\n"] == []
