"""Who belongs to a command: by birth and by control group, to the nanosecond where the daemon told it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import cast

from linnix.faultlab.commands import Prepared, Started
from linnix.faultlab.plan import Launch
from linnix.faultlab.scenario import Command
from linnix.faultlab.trees import Trees


class _Process:
    pid = 10


def started(name: str = "worker", start_ns: int = 20_000_000) -> Started:
    prepared = Prepared(Launch(Command(name=name, argv=("x",)), False, 0, 1), "x", ("x",))
    return Started(prepared, cast("subprocess.Popen[bytes]", _Process()), Path("/none"), start_ns, 0.0, 0)


def frame(kind: str, pid: int, ppid: int, start_ns: int) -> bytes:
    return json.dumps({"event_type_name": kind, "pid": pid, "ppid": ppid, "start_ns": start_ns, "comm": "x"}).encode()


def test_births_in_the_tree_are_of_the_command_and_others_are_not() -> None:
    trees = Trees()
    trees.add(started())

    trees.hear(
        [
            frame("fork", 10, 1, 20_000_123),  # the command itself, exactly
            frame("fork", 11, 10, 30_000_001),
            frame("fork", 12, 11, 40_000_002),  # a grandchild
            frame("fork", 13, 1, 50_000_003),  # somebody else's
            frame("exit", 11, 10, 30_000_001),
            frame("fork", 11, 13, 60_000_004),  # the pid came back, in another tree
            frame("fork", 14, 11, 70_000_005),
        ]
    )

    assert trees.processes() == {"worker": [(10, 20_000_123), (11, 30_000_001), (12, 40_000_002)]}
    assert trees.start_ns("worker") == 20_000_123


def test_who_was_there_before_events_has_the_start_that_facts_tell() -> None:
    trees = Trees()
    trees.add(started())

    trees.read([b'{"processes":[{"pid":10,"start_ns":20000456},{"pid":99,"start_ns":1}]}'])

    assert trees.processes() == {"worker": [(10, 20_000_456)]}


def test_without_a_word_of_the_daemon_the_start_is_that_of_proc() -> None:
    trees = Trees()
    trees.add(started())

    assert trees.processes() == {"worker": [(10, 20_000_000)]}
