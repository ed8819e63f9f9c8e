"""`linnix eval` as a process: rules and a model at an endpoint, on a run on paper."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from linnix.insight.asking.question import COMPLETIONS
from support.far_end import completion, serving
from support.recordings import EPOCH, storm

SPAWNER = (300, 100_300_000_000)


def evaluate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnix.cli.main", "eval", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A storm of forks from the tenth second on."""
    folder = tmp_path / "runs" / "storm-1"
    folder.mkdir(parents=True)
    ran = {
        "name": "spawner", "role": "command", "as": "spawner", "cgroup": "/x", "pid": SPAWNER[0],
        "start_ns": SPAWNER[1], "started": EPOCH + 10, "started_monotonic_ns": 1, "stopped": EPOCH + 30,
        "status": None, "processes": [SPAWNER],
    }  # fmt: skip
    truth = {
        "version": 1, "scenario": "storm", "seed": 1, "class": "fork_storm", "culprit": "spawner", "part": "validation",
        "intensity": {"value": 1.0, "unit": "x"}, "clocks": {"unix": 0.0, "monotonic_ns": 0, "boottime_ns": 0},
        "phases": {"injection": {"start": EPOCH + 10, "stop": EPOCH + 30}}, "commands": [ran],
    }  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "meta.json").write_text("{}")
    bodies = storm({"cron": [1] * 30, "spawner": [0] * 10 + [400] * 20}, runs=False)
    lines = [
        f'{{"asked":1.0,"answered":1.1,"phase":"{"injection" if at >= 10 else "warm_up"}","status":200,'
        f'"facts":{body.decode()}}}'
        for at, body in enumerate(bodies)
    ]
    (folder / "facts.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "runs"


def test_the_rules_alone_are_a_table_and_a_document(runs: Path) -> None:
    done = evaluate("--cases", runs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 moments\n\n| | rules |\n")
    assert "| culprit named first, of faults | 100.0 % |" in done.stdout
    document = json.loads(evaluate("--cases", runs, "--json", "--moments", "1").stdout)
    assert document["cases"] == 2
    assert document["scores"]["rules"]["hit"] == {"value": 1.0, "count": 1, "low": None, "high": None}


def test_a_model_is_compared_with_the_rules_and_its_answers_are_kept(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    with serving({COMPLETIONS: completion("no idea")}) as model:
        done = evaluate("--cases", runs, "--ab", "rules", model.url, "--predictions", file)
        assert done.returncode == 0, done.stderr
        asked = len(model.requests)
        assert evaluate("--cases", runs, "--ab", "rules", model.url, "--predictions", file).stdout == done.stdout
        assert (asked, len(model.requests)) == (6, 6)  # each of three moments twice, and never again
    assert "explanations that are the model's | – | 0.0 % |" in done.stdout
    assert "B retains 100.0 % of A's quality" in done.stdout
    assert len(file.read_text().splitlines()) == 6


def test_an_endpoint_is_asked_for_the_model_behind_the_mark_and_with_the_key_of_the_environment(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with serving({COMPLETIONS: completion("no idea")}) as model:
        done = evaluate("--cases", runs, "--limit", "1", "--grammar", "gbnf", "--model", f"{model.url}#large")
        request = model.requests[0]
    assert done.stdout.splitlines()[2] == f"| | {model.url}#large (gbnf) |"
    assert (request.json["model"], request.headers["authorization"]) == ("large", "Bearer secret")
    assert "grammar" in request.json


def test_examples_are_the_texts_as_they_were_shown(runs: Path) -> None:
    done = evaluate("--cases", runs, "--examples")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.split("\n\n", 2)[2].splitlines()
    assert shown[0] == "**fork_storm**, storm-1@20, `source: rules`, rules"
    assert shown[2].startswith("> spawner (pid 300) ")
    assert shown[4] == "**normal**, storm-1@9, `source: rules`, rules"
    told = json.loads(evaluate("--cases", runs, "--examples", "--json").stdout)["examples"]
    assert [(each["class"], each["case"]) for each in told] == [("fork_storm", "storm-1@20"), ("normal", "storm-1@9")]
    assert f"> {told[0]['text']}" == shown[2]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--cases", "nowhere"], 1, "nowhere: no such file or folder"),
        (["--cases", "{runs}", "--part", "test"], 1, "no run of part 'test'"),
        (["--cases", "{runs}", "--model", "ftp://x"], 2, "is not an address like"),
        (["--cases", "{runs}", "--model", "none.gguf"], 4, "cannot open model file none.gguf"),
        (["--cases", "{runs}", "--grammar", "bnf"], 2, "--grammar is auto, gbnf or lark"),
        ([], 2, "Missing option '--cases'"),
    ],
)
def test_what_cannot_be_done_is_told(runs: Path, arguments: list[str], code: int, message: str) -> None:
    done = evaluate(*(argument.format(runs=runs) for argument in arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert message in " ".join(done.stderr.replace("│", " ").split())
