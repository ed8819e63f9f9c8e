"""Numbers by pid, in memory that is there only where it is needed."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from linnix.cognitod.pids import PID_LIMIT, Pids


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_every_pid_there_can_be_has_a_number_and_tidying_keeps_those_that_are_told_of() -> None:
    pids = Pids()
    kept = np.array([1, 70_000, 70_001, PID_LIMIT], np.uint32)
    pids.numbers[kept] = [5, 6, 7, 8]

    pids.tidy(kept)

    assert pids.numbers[kept].tolist() == [5, 6, 7, 8]
    assert int(np.count_nonzero(pids.numbers)) == 4


def test_pages_that_nobody_needs_any_more_are_given_back() -> None:
    pids = Pids()
    before = resident_bytes()
    pids.numbers[:] = 1
    full = resident_bytes()
    pids.numbers[:] = 0
    pids.tidy(np.array([300], np.uint32))

    assert full - before > 12_000_000
    assert resident_bytes() - before < 2_000_000


def test_without_anybody_all_of_it_is_given_back() -> None:
    pids = Pids()
    pids.numbers[9] = 0
    pids.tidy(np.zeros(0, np.uint32))

    assert int(pids.numbers[9]) == 0
