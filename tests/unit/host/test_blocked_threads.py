"""Who is stuck: asleep at two looks without having run in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linnix.cognitod.events import BLOCKED, Array, ProbeState
from linnix.cognitod.host.blocked import LOOK_NS, MAX_STACKS, Blocked, ProcFinder, Stuck


class Told:
    """A finder that finds what it is told."""

    def __init__(self, works: bool = True) -> None:
        self.rows: list[tuple[int, int, int, int, int, bytes]] = []
        self.works = works
        self.closed = 0

    def open(self) -> bool:
        return self.works

    def find(self) -> Array:
        return np.array(self.rows, BLOCKED)

    def refresh(self) -> None:
        pass

    @property
    def state(self) -> ProbeState:
        return ProbeState(name="blocked", what="", state="on" if self.works else "failed")

    def close(self) -> None:
        self.closed += 1


def row(pid: int, tid: int, switches: int) -> tuple[int, int, int, int, int, bytes]:
    return (1000 + pid, switches, 7, pid, tid, b"worker")


def stack(proc: Path, pid: int, tid: int) -> None:
    place = proc / str(pid) / "task" / str(tid)
    place.mkdir(parents=True)
    (place / "stack").write_text("[<0>] io_schedule+0x12/0x40\n[<0>] folio_wait_bit+0x80/0x120\n")
    (place / "wchan").write_text("folio_wait_bit")


def test_only_who_has_not_run_since_the_last_look_is_stuck_and_since_then(tmp_path: Path) -> None:
    finder = Told()
    blocked = Blocked(finder, proc=tmp_path)
    blocked.open()
    stack(tmp_path, 40, 41)
    finder.rows = [row(40, 41, 5), row(50, 50, 8)]
    first = blocked.collect(LOOK_NS)
    finder.rows = [row(40, 41, 5), row(50, 50, 9)]
    second = blocked.collect(2 * LOOK_NS)
    finder.rows = [row(40, 41, 5)]
    third = blocked.collect(3 * LOOK_NS)
    finder.rows = []
    fourth = blocked.collect(4 * LOOK_NS)

    frames = ("io_schedule+0x12/0x40", "folio_wait_bit+0x80/0x120")
    stuck = Stuck(40, 41, 1040, b"worker", 7, LOOK_NS, "folio_wait_bit", frames)
    assert [reading.stuck for reading in (first, second, third, fourth) if reading] == [(), (stuck,), (stuck,), ()]


def test_a_thread_id_that_was_used_anew_is_another_thread(tmp_path: Path) -> None:
    finder = Told()
    blocked = Blocked(finder, proc=tmp_path)
    finder.rows = [row(40, 40, 5)]
    blocked.collect(LOOK_NS)
    finder.rows = [(9999, 5, 7, 40, 40, b"worker")]
    reading = blocked.collect(2 * LOOK_NS)

    assert reading is not None
    assert reading.stuck == ()


def test_the_longest_stuck_are_told_and_all_are_counted(tmp_path: Path) -> None:
    finder = Told()
    blocked = Blocked(finder, proc=tmp_path)
    finder.rows = [row(200, 200, 1)]
    blocked.collect(LOOK_NS)
    finder.rows += [row(pid, pid, 1) for pid in range(100, 100 + MAX_STACKS)]
    blocked.collect(2 * LOOK_NS)
    reading = blocked.collect(3 * LOOK_NS)

    assert reading is not None
    assert reading.total == MAX_STACKS + 1
    assert [one.pid for one in reading.stuck] == [200, *range(100, 100 + MAX_STACKS - 1)]
    assert reading.stuck[0].stack == ()  # its files are gone: it is told without


def test_the_first_finder_that_works_is_used_and_all_are_closed(tmp_path: Path) -> None:
    broken, spare = Told(works=False), Told()
    blocked = Blocked(broken, spare, proc=tmp_path)
    blocked.open()
    assert [state.state for state in blocked.states()] == ["on"]
    blocked.close()
    assert (broken.closed, spare.closed) == (1, 1)


def test_proc_tells_of_leaders_in_state_d_whatever_they_are_called(tmp_path: Path) -> None:
    rest = " ".join(["1"] * 18 + ["4200"] + ["0"] * 10)
    for pid, state, comm in ((31, "D", "a) S (b"), (32, "S", "idle"), (33, "D", "gone")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({comm}) {state} {rest}")
    (tmp_path / "31" / "status").write_text("voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t30\n")
    (tmp_path / "self").mkdir()

    found = ProcFinder(tmp_path).find()
    assert [tuple(one) for one in found] == [(42_000_000_000, 42, 0, 31, 31, b"a) S (b")]
