"""Runs that could harm are refused with the number that was seen and the number that is needed."""

from __future__ import annotations

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
