"""A run's folder is whole or not there; what is whole is not run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from lab_make import SMALL, mount, small_plan, text

from linnix.faultlab import cgroups
from linnix.faultlab.errors import RefusedError
from linnix.faultlab.recording import EventLine, FactsLine, Output, read_events, read_facts

ODD = b'{"b": 1.0,  "a":[ ] , "text":"\\u0000\\n\xe2\x80\xa8"}'


def test_a_run_is_there_once_it_is_complete(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    with Output(tmp_path / "out") as out:
        with out.begin(plan, "01234567") as part:
            part.tick(FactsLine(1.5, 1.75, "warm_up", 200, facts=msgspec.Raw(ODD)))
            part.tick(FactsLine(2.5, 2.75, "warm_up", 0, error="no answer"))
            part.event("", '{"pid":1, "x":2}')
            part.event("tag", '{"pid":3}')
            assert (list(part.facts()), list(part.events())) == ([ODD], [b'{"pid":1, "x":2}'])
            part.write("meta.json", {"digest": plan.digest})
            before = out.is_complete(plan)
            folder = part.complete()

        assert (before, out.is_complete(plan)) == (False, True)

    assert sorted(path.name for path in folder.parent.iterdir()) == ["small-1"]
    ticks, events = list(read_facts(folder)), list(read_events(folder))
    assert [(line.asked, line.phase, line.status, line.error) for line in ticks] == [
        (1.5, "warm_up", 200, ""),
        (2.5, "warm_up", 0, "no answer"),
    ]
    assert bytes(ticks[0].facts) == ODD  # byte for byte
    assert [(line.event, bytes(line.data)) for line in events] == [("", b'{"pid":1, "x":2}'), ("tag", b'{"pid":3}')]
    assert isinstance(events[0], EventLine)


def test_what_was_not_finished_is_not_complete_and_gives_way(tmp_path: Path) -> None:
    plan = small_plan(tmp_path)
    with Output(tmp_path / "out") as out:
        with pytest.raises(RuntimeError), out.begin(plan, "01234567") as part:
            part.write("truth.json", {})
            raise RuntimeError
        assert (out.is_complete(plan), part.work.exists()) == (False, False)

        with out.begin(plan, "01234567"):
            assert not (tmp_path / "out" / "small-1.part" / "truth.json").exists()


def test_a_run_of_another_version_is_neither_skipped_nor_replaced(tmp_path: Path) -> None:
    old, new = small_plan(tmp_path), small_plan(tmp_path, source=SMALL + "# changed\n")
    with Output(tmp_path / "out") as out:
        with out.begin(old, "01234567") as part:
            part.write("meta.json", {"digest": old.digest})
            part.complete()

        with pytest.raises(RefusedError, match=r"recorded with another version of small$"):
            out.is_complete(new)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out" / "small-1").mkdir(parents=True)

    with Output(tmp_path / "out") as out, pytest.raises(RefusedError, match="not a run of a laboratory"):
        out.is_complete(small_plan(tmp_path))


def test_two_laboratories_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with Output(tmp_path), pytest.raises(RefusedError, match=r"another laboratory writes there$"), Output(tmp_path):
        pass
    with Output(tmp_path):  # the first one is gone
        pass


def test_what_commands_of_a_killed_laboratory_wrote_goes_and_nothing_else(tmp_path: Path) -> None:
    for name in (".app-01234567", ".app-mine", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / ".app-01234567" / "file").write_text("x")

    with Output(tmp_path) as out:
        assert out.sweep() == [tmp_path / ".app-01234567"]

    assert sorted(path.name for path in tmp_path.iterdir()) == [".app-mine", "notes"]


def test_the_command_skips_what_is_complete(tmp_path: Path) -> None:
    mount()
    plan = small_plan(tmp_path)
    with Output(tmp_path / "out") as out, out.begin(plan, "01234567") as part:
        part.write("meta.json", {"digest": plan.digest})
        part.complete()
    command = ["faultlab", "run", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out"), "--seed", "1"]

    done = subprocess.run(
        [sys.executable, "-m", "linnix.cli.main", *command], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "small-1: is complete (1 of 1)\n")


def test_a_program_that_is_not_here_fails_its_run_and_leaves_nothing(tmp_path: Path) -> None:
    where = mount()
    groups = set(where.glob("app.slice/*"))
    source = text(("as: renderd\n    argv: [sleep,", "as: renderd\n    argv: [no-such-program,"))
    small_plan(tmp_path, source=source)
    command = ["faultlab", "run", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out"), "--seed", "1"]

    done = subprocess.run(
        [sys.executable, "-m", "linnix.cli.main", *command, "--max-load", "999"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "small-1: skipped, no-such-program: not on PATH. Install it, or leave this scenario out (1 of 1)",
        "Not on this host: no-such-program",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["planned.json", "small-1.part"]
    left = {path.name for path in set(where.glob("app.slice/app-*.slice")) - groups}
    assert left - set(cgroups.living(where)) == set()  # of laboratories that others run here, there may be new ones


def linnix(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnix.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
