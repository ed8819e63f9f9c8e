"""The vectorised table against the one that is obviously right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from cognitod_make import SECOND, batch, event, process
from hypothesis import given, settings
from hypothesis import strategies as st
from table_oracle import FIELDS, Oracle, fields

from linnix.cognitod.events import EVENT, PROCESS, Kind
from linnix.cognitod.processes import Table

PIDS = range(2, 5)  # so few that they come back all the time


@dataclass
class Kernel:
    """Forks, execs and exits as they can really happen, some of them lost on the way."""

    now_ns: int = SECOND
    # pid → start, ppid, start of that
    living: dict[int, tuple[int, int, int]] = field(default_factory=lambda: {1: (1, 0, 0)})
    told: list[np.ndarray] = field(default_factory=list)

    def tell(self, kind: Kind, pid: int, lost: bool, **more: int) -> None:
        start_ns, ppid, parent_start_ns = self.living[pid]
        if not lost:
            comm = b"n%d" % (self.now_ns % 7)
            self.told.append(
                event(
                    kind,
                    pid,
                    self.now_ns,
                    start_ns=start_ns,
                    ppid=ppid,
                    parent_start_ns=parent_start_ns,
                    comm=comm,
                    **more,
                )
            )

    def step(self, what: int, which: int, passed_ns: int, lost: bool) -> None:
        self.now_ns += passed_ns
        pid = sorted(self.living)[which % len(self.living)]
        free = [candidate for candidate in PIDS if candidate not in self.living]
        if what == Kind.FORK and free:
            child = free[which % len(free)]
            self.living[child] = (self.now_ns, pid, self.living[pid][0])
            self.tell(Kind.FORK, child, lost)
        elif what == Kind.EXEC:
            self.tell(Kind.EXEC, pid, lost)
        elif what == Kind.EXIT and pid != 1:
            self.tell(Kind.EXIT, pid, lost, exit_code=which % 2)
            del self.living[pid]
            for orphan, (start_ns, ppid, _) in self.living.items():
                if ppid == pid:
                    self.living[orphan] = (start_ns, 1, 1)

    def sample(self) -> np.ndarray:
        rows = [process(pid, start, ppid=ppid, comm=b"s") for pid, (start, ppid, _) in sorted(self.living.items())]
        return np.concatenate(rows) if rows else np.zeros(0, PROCESS)


def steps(lost: list[bool]) -> st.SearchStrategy[tuple[int, int, int, bool]]:
    kinds = [int(Kind.FORK), int(Kind.FORK), int(Kind.EXEC), int(Kind.EXIT), int(Kind.EXIT)]
    return st.tuples(
        st.sampled_from(kinds), st.integers(0, 5), st.sampled_from([1, SECOND // 3, 2 * SECOND]), st.sampled_from(lost)
    )


def programs(step: st.SearchStrategy, *others: str) -> st.SearchStrategy[list]:
    return st.lists(st.one_of(*[step] * 6, *map(st.just, others)), min_size=20, max_size=80)


FLUSH, SAMPLE = "flush", "sample"


def play(program: list, after: Callable[[Table, Oracle], None]) -> None:
    kernel, table, oracle = Kernel(), Table(), Oracle()
    for order in [*program, FLUSH]:
        if order == FLUSH:
            events = np.concatenate(kernel.told) if kernel.told else np.zeros(0, EVENT)
            kernel.told.clear()
            table.update(batch(events))
            oracle.update(events)
            after(table, oracle)
        elif order == SAMPLE:
            kernel.now_ns += 1
            rows = kernel.sample()
            table.sample(rows, kernel.now_ns, 1 << 30)
            oracle.sample(rows, kernel.now_ns)
            after(table, oracle)
        else:
            kernel.step(*order)


def agree(table: Table, oracle: Oracle) -> None:
    assert [dict(zip(FIELDS, row, strict=True)) for row in fields(table.rows())] == [
        dict(zip(FIELDS, row, strict=True)) for row in oracle.rows()
    ]
    totals = table.totals
    assert {name: getattr(totals, name) for name in oracle.counts} == oracle.counts


@settings(max_examples=100, deadline=None)
@given(programs(steps([False]), FLUSH))
def test_a_batch_does_what_its_events_do_one_by_one_however_often_pids_come_back(program: list) -> None:
    play(program, agree)


@settings(max_examples=150, deadline=None)
@given(programs(steps([False, True]), FLUSH, SAMPLE, SAMPLE))
def test_lost_events_are_made_good_by_later_events_and_samples_as_one_by_one(program: list) -> None:
    play(program, agree)
