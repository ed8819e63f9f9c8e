"""The hour of honest work: what it says without some of the programs, and when what it saw counts for nothing."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
ALL = ("gcc", "make", "tar", "xz", "initdb", "postgres", "pgbench", "redis-server", "redis-benchmark")


@pytest.fixture
def honest(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("honest")


def here(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/bin/{name}" if name in names else None)


def test_work_whose_programs_are_missing_is_left_out_with_the_reason(
    honest: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    here(monkeypatch, *(name for name in ALL if name not in ("initdb", "pgbench", "redis-server")))

    work = honest.Work(tmp_path, honest.find_programs())

    assert list(work.kinds) == ["package build", "test suite", "backup"]
    assert capsys.readouterr().err.splitlines() == [
        "left out: pgbench: no initdb, pgbench; on Debian: apt-get install postgresql",
        "left out: redis-benchmark: no redis-server; on Debian: apt-get install redis-server",
    ]
    with work.services():  # nothing to start
        assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_with_less_than_two_kinds_of_work_there_is_no_hour(honest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch)

    with pytest.raises(SystemExit, match=r"^that leaves no two kinds of work that could meet$"):
        honest.find_programs()


@pytest.mark.parametrize(
    ("cpu_pct", "pressure_pct", "unanswered", "code"),
    [
        ([90.0] * 10, [40.0] * 5 + [0.0] * 5, 1, 0),
        ([79.0] * 10, [40.0] * 10, 0, 1),
        ([90.0] * 10, [40.0] * 4 + [30.0] * 6, 0, 1),
        ([90.0] * 10, [40.0] * 10, 2, 1),
    ],
)
def test_only_heavy_work_that_was_watched_says_anything(
    honest: Any, tmp_path: Path, cpu_pct: list[float], pressure_pct: list[float], unanswered: int, code: int
) -> None:
    seen = honest.Seen("", unanswered=unanswered, cpu_pct=cpu_pct, pressure_pct=pressure_pct)

    assert honest.report(honest.Work(tmp_path, {}), seen) == code


def test_the_report_says_which_rule_fired_on_whom(
    honest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {
        "host": {"cpu_pct": 95.0},
        "pressure": {"cpu_some_pct": 50.0},
        "processes": [{"id": "P1", "pid": 7, "comm": "cc1"}],
    }
    finding = {"rule": "cpu_full", "severity": "low", "class": "cpu_saturation", "message": "busy", "evidence": {}}
    seen = honest.Seen("http://daemon")
    monkeypatch.setattr(honest, "get", lambda _url: facts)
    monkeypatch.setattr(
        seen, "_findings", lambda: [finding | {"process": "P1"}, finding | {"process": None, "severity": "info"}]
    )
    for _ in range(2):
        seen.look()

    def gone(_url: str) -> dict[str, Any]:
        raise ConnectionRefusedError

    monkeypatch.setattr(honest, "get", gone)
    seen.look()

    assert honest.report(honest.Work(tmp_path, {}), seen) == 1
    said = capsys.readouterr().out
    assert "low: cpu_saturation by 'cc1 (7)' (rule cpu_full), from second 1, 2 s" in said
    last = json.loads(said.splitlines()[-1])
    assert (last["raised"], last["seconds"], last["unanswered"]) == (
        [{"rule": "cpu_full", "who": "cc1 (7)", "severity": "low"}],
        2,
        1,
    )


def test_what_is_told_to_stop_may_end_what_it_has_started(honest: Any, tmp_path: Path) -> None:
    script = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: open('ended', 'w').close()\n"
    stop = threading.Event()
    began = time.monotonic()
    threading.Timer(0.5, stop.set).start()

    went_well = honest.Work(tmp_path, {})._run([sys.executable, "-c", script], stop, tmp_path)

    assert (went_well, (tmp_path / "ended").exists(), time.monotonic() - began < 20) == (True, True, True)


def test_what_fails_is_not_counted_as_done(honest: Any, tmp_path: Path) -> None:
    work = honest.Work(tmp_path, {})
    stop = threading.Event()

    def fail(_: threading.Event) -> bool:
        failed = work._run(["false"], stop, tmp_path)
        threading.Timer(0.2, stop.set).start()
        return bool(failed)

    work.kinds["backup"] = fail
    work.turn("backup", stop)

    assert (work.done["backup"], work.failed["backup"]) == (0, 1)
