"""A run with a daemon that fails, or does not answer: what is recorded of it, and who looks after it meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lab_make import small_plan

from linnix.faultlab import dataset, guards, truth
from linnix.faultlab.errors import RunFailedError
from linnix.faultlab.plan import Phase, Plan
from linnix.faultlab.recording import Output, Part
from linnix.faultlab.runner import Settings, _Run

HOST = guards.Host(mem_available_mib=1, disk_free_mib=1, load=0.0, cores=2)
FACTS = (200, b'{"processes":[]}')
GONE = (0, b"ConnectError: refused")


class Quiet:
    """Progress that nobody sees."""

    def say(self, *_: object, **__: object) -> None:
        pass

    def moving(self, *_: object) -> None:
        pass


class Daemon:
    """Answers as it is told; ``asked`` are the paths."""

    url = "http://daemon"

    def __init__(self, answer: Callable[[str, int], tuple[int, bytes]]) -> None:
        self.asked: list[str] = []
        self._answer = answer

    def get(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        return self._answer(path, self.asked.count(path))

    @contextmanager
    def events(self, *_: object) -> Iterator[Any]:
        class Problem:
            problem = ""

        yield Problem()


class Nowhere:
    """A place without groups, in which ``look`` looks."""

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        self._look = look
        self.thawed = threading.Event()

    def groups(self, _: object) -> dict[Path, str]:
        return {}

    def watch(self, _: object) -> Nowhere:
        return self

    def look(self) -> None:
        self._look()

    def thaw(self) -> None:
        self.thawed.set()


def quick(tmp_path: Path, tick_s: float = 0.05) -> Plan:
    """The small plan in less than two seconds, with nothing to start."""
    plan = small_plan(tmp_path)
    phases = (Phase("warm_up", 0.0, 0.2), Phase("injection", 0.2, 1.5), Phase("recovery", 1.5, 1.6))
    return msgspec.structs.replace(plan, phases=phases, scenario=msgspec.structs.replace(plan.scenario, tick_s=tick_s))


def going(plan: Plan, part: Part, daemon: Daemon, place: Nowhere) -> _Run:
    return _Run(plan, part, place, daemon, Settings(time.sleep, Quiet()), [])  # type: ignore[arg-type]


def record(plan: Plan, folder: Path, daemon: Daemon) -> _Run:
    """As ``runner.run`` does it."""
    with Output(folder) as out, out.begin(plan, "01234567") as part:
        run = going(plan, part, daemon, Nowhere())
        run.carry_out()
        part.write("truth.json", run.truth(""))
        part.write("alerts.json", run.alerts())
        part.write("meta.json", truth.meta(plan, HOST, {}, run.ticks, run.events_problem, run.failed))
        part.complete()
    return run


def test_a_daemon_that_fails_under_the_fault_is_recorded_as_that(tmp_path: Path) -> None:
    plan = quick(tmp_path)
    run = record(plan, tmp_path / "out", Daemon(lambda path, at: FACTS if path == "/facts" and at <= 10 else GONE))

    [found] = dataset.read(tmp_path / "out")
    why = "http://daemon/facts: no answer 5 times in a row. ConnectError: refused"
    assert (found.name, found.failed, run.failed) == ("small-1", why, why)
    assert [line.status for line in found.lines()] == [200] * 10 + [0] * 5
    assert list(found.truth.phases) == ["warm_up", "injection"]  # it ended there
    assert found.truth.phases["injection"].stop - found.truth.phases["injection"].start < 1.3
    assert found.read("alerts.json") == b"null"
    assert sum(json.loads(found.read("meta.json"))["ticks"].values()) == 10
    with Output(tmp_path / "out") as out:
        assert out.is_complete(plan)  # and is not tried until it goes well


def test_a_daemon_that_has_no_answer_at_the_end_has_failed(tmp_path: Path) -> None:
    run = record(quick(tmp_path), tmp_path / "out", Daemon(lambda path, _: FACTS if path == "/facts" else (500, b"")))

    assert run.failed == "http://daemon/alerts answers with status 500"
    assert next(dataset.read(tmp_path / "out")).failed == run.failed


def test_a_daemon_that_answers_has_not_failed(tmp_path: Path) -> None:
    run = record(
        quick(tmp_path), tmp_path / "out", Daemon(lambda path, _: (200, b"[]") if path == "/alerts" else FACTS)
    )

    assert (run.failed, next(dataset.read(tmp_path / "out")).failed) == ("", "")


def test_guards_look_while_the_daemon_does_not_answer(tmp_path: Path) -> None:
    ended = threading.Event()

    def hang(_path: str, _at: int) -> tuple[int, bytes]:
        assert place.thawed.wait(20), "the guard has ended nothing"
        ended.set()
        return GONE

    def too_much() -> None:
        raise RunFailedError("600 MiB resident")

    place = Nowhere(too_much)
    plan = quick(tmp_path)
    with (
        Output(tmp_path / "out") as out,
        out.begin(plan, "01234567") as part,
        pytest.raises(RunFailedError, match=r"^600 MiB resident$"),
    ):
        going(plan, part, Daemon(hang), place).carry_out()

    assert ended.is_set()


def test_a_late_tick_does_not_make_the_next_one_late(tmp_path: Path) -> None:
    with Output(tmp_path / "out") as out, out.begin(plan := quick(tmp_path, 1.0), "01234567") as part:
        run = going(plan, part, daemon := Daemon(lambda *_: FACTS), Nowhere())
        run._next_tick = 0.0
        asked = []
        for now in (0.0, 0.9, 1.3, 1.9, 2.0, 9.5, 9.6, 10.4, 10.5):
            run._step(now, "injection", {})
            asked.append(daemon.asked.count("/facts"))

    assert asked == [1, 1, 2, 2, 3, 4, 4, 4, 5]
