"""Runs that could harm are refused with the number that was seen and the number that is needed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from linnix.faultlab import guards
from linnix.faultlab.errors import RunFailedError
from linnix.faultlab.guards import Host
from linnix.faultlab.scenario import Needs

QUIET = Host(mem_available_mib=8000, disk_free_mib=8000, load=0.1, cores=2)


def test_a_quiet_host_with_room_is_fit() -> None:
    assert guards.refusals(QUIET, Needs()) == []


def test_each_refusal_says_both_numbers() -> None:
    found = guards.refusals(Host(600, 300, 3.5, 2), Needs(memory_mib=200, disk_mib=100))

    assert [(str(error), error.passes) for error in found] == [
        ("600 MiB of memory are available, this run needs 712 MiB (its 200 and a reserve of 512)", False),
        ("300 MiB of disk are free, this run needs 612 MiB (its 100 and a reserve of 512)", False),
        ("the load average is 3.50, this run needs 3.00 or less", True),
    ]


def test_a_load_that_was_allowed_is_no_reason() -> None:
    assert guards.refusals(Host(8000, 8000, 3.5, 2), Needs(), max_load=4) == []


def test_what_this_host_has_is_read(tmp_path: Path) -> None:
    found = guards.read_host(tmp_path)

    assert (found.mem_available_mib > 0, found.disk_free_mib > 0, found.cores > 0) == (True, True, True)


def test_a_run_that_writes_too_much_is_ended(tmp_path: Path) -> None:
    watch = guards.Watch(Needs(disk_mib=1), [], tmp_path, tmp_path, lambda _: 10_000)
    watch.look()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"1" * (3 << 20))

    with pytest.raises(RunFailedError, match=r"^3 MiB written, this run may have 1 \(needs\.disk_mib\)$"):
        watch.look()


def test_a_disk_that_somebody_else_fills_ends_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"^255 MiB of disk are left, 256 must be$"):
        guards.Watch(Needs(), [], tmp_path, tmp_path, lambda _: 255).look()


class Looking:
    """Is content a few times, and then not; ``ended`` tells who was asked to end the run."""

    def __init__(self, error: Exception, times: int = 2) -> None:
        self.error, self.left = error, times
        self.ended = threading.Event()

    def look(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RunFailedError("600 MiB resident, this run may have 512"), "600 MiB resident, this run may have 512"),
        (OSError(5, "Input/output error", "/x"), "the guards cannot look: [Errno 5] Input/output error: '/x'"),
    ],
)
def test_guards_end_a_run_while_nobody_asks_them(error: Exception, said: str) -> None:
    looking = Looking(error)
    with guards.Guard(looking, looking.ended.set) as guard:
        guard.check()
        assert looking.ended.wait(20)  # nothing was asked of it meanwhile
        with pytest.raises(RunFailedError) as told:
            guard.check()

    assert (str(told.value), looking.left) == (said, -1)


def test_guards_that_are_content_end_nothing_and_leave_with_the_block() -> None:
    looking = Looking(RunFailedError("no"), times=10_000)
    with guards.Guard(looking, looking.ended.set) as guard:
        time.sleep(0.6)
        guard.check()

    assert (0 < 10_000 - looking.left < 10, looking.ended.is_set()) == (True, False)
    assert "guard" not in [each.name for each in threading.enumerate()]
