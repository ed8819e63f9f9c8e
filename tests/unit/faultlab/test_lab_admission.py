"""A run waits for a load that is too high, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_make import mount, small_plan

from linnix.faultlab import cgroups, guards, runner
from linnix.faultlab.errors import RefusedError, TooBusyError
from linnix.faultlab.guards import Host
from linnix.faultlab.recording import Output

BUSY, FULL, QUIET = Host(8000, 8000, 9.0, 2), Host(8000, 10, 9.0, 2), Host(8000, 8000, 0.1, 2)


class Enough(Exception):  # noqa: N818 - the test has seen what it wants to see
    pass


class Quiet:
    """A progress that nobody hears."""

    def say(self, event: str, text: str, mood: str = "", **fields: object) -> None:
        pass

    def moving(self, text: str, done_s: float, total_s: float) -> None:
        pass


def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host, patience_s: float, pauses: int) -> None:
    left = iter(range(pauses))

    def pause(_seconds: float) -> None:
        if next(left, None) is None:
            raise Enough

    monkeypatch.setattr(guards, "read_host", lambda _out: host)
    settings = runner.Settings(pause, Quiet(), load_patience_s=patience_s)
    with Output(tmp_path / "out") as out:
        runner.run(small_plan(tmp_path), out, mount(), settings)


def test_a_load_that_stays_is_refused_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooBusyError, match=r"^the load average is 9\.00, this run needs 3\.00 or less$"):
        attempt(tmp_path, monkeypatch, BUSY, 0.05, 10**9)


def test_a_wait_can_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Enough):
        attempt(tmp_path, monkeypatch, BUSY, 3600, 3)


def test_another_laboratory_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = r"^another laboratory runs \(app-[0-9a-f]{8}\.slice\), and each would record the faults of the other$"
    with cgroups.Laboratory(mount()), pytest.raises(TooBusyError, match=told):
        attempt(tmp_path, monkeypatch, QUIET, 0.05, 10**9)


def test_a_disk_that_is_full_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError, match=r"^10 MiB of disk are free, this run needs 576 MiB"):
        attempt(tmp_path, monkeypatch, FULL, 3600, 0)
