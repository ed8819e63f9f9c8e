"""What children ran, counted from the process table of one second after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from detect_world import MS, S

from linnix.cognitod.detect.jobs import MAX_JOBS, MAX_NAMES, Tally, Told, told
from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.events import Kind
from linnix.cognitod.handles import Index
from linnix.cognitod.model import ROW, SEEDED
from linnix.insight.facts import Job

NOTHING = {"id": "", "parent": ""}


@dataclass
class Host:
    """A table on paper; ``second`` lets one pass and tells its jobs by pid of their parent."""

    now_ns: int = 1000 * S
    tally: Tally = field(default_factory=Tally)
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def process(self, pid: int, comm: str, ppid: int = 1, line: str = "", **columns: Any) -> dict[str, Any]:
        """It is there."""
        row = {
            "pid": pid,
            "comm": comm.encode(),
            "ppid": ppid,
            "start_ns": pid * 1000,
            "parent_start_ns": ppid * 1000,
            "alive": True,
            "state": b"S",
            "first_ns": self.now_ns,
            "last_kind": SEEDED,
            "slot": len(self.rows),
        } | columns
        self.rows.append(row)
        self.lines.append(line)
        return row

    def child(self, ppid: int, comm: str, line: str = "", *, lived_ms: float = 5.0, **columns: Any) -> dict[str, Any]:
        """It was started by this process, ran the line if there is one, and has ended now."""
        pid = 10_000 + len(self.rows)
        born_ns = self.now_ns - round(lived_ms * MS)
        ran = {"exec_ns": born_ns + 1} if line else {}
        ended = {"alive": False, "state": b"X", "exit_ns": self.now_ns, "last_kind": Kind.EXIT}
        return self.process(pid, comm, ppid, line, first_ns=born_ns, **(ran | ended | columns))

    def second(self) -> list[tuple[int, Job]]:
        """The jobs since the second before, in their order."""
        taken = self.take()
        return [(self.rows[place]["pid"], job) for place, job in taken.groups]

    def take(self) -> Told:
        """The same as the tally gives it."""
        table = np.zeros(len(self.rows), ROW)
        for at, row in enumerate(self.rows):
            for name, value in row.items():
                table[name][at] = value
        self.now_ns += S
        return self.tally.take(Moment.of(table), self.started_with)

    def started_with(self, slots: Index) -> list[list[str]]:
        """What the table says of these slots."""
        return [self.lines[slot].split() for slot in slots.tolist()]


def test_a_child_that_fails_is_told_with_its_command_line_and_status_once() -> None:
    host = Host()
    host.process(300, "svcrun")
    host.child(300, "payments", "payments --conf x", exit_code=3, lived_ms=30)

    assert host.second() == [
        (
            300,
            Job(
                **NOTHING,
                comm="payments",
                command="payments --conf x",
                ended=1,
                failed=1,
                short=1,
                execs=1,
                same=1,
                same_ended=1,
                code=3,
                median_ms=30.0,
            ),
        )
    ]
    assert host.second() == []


def test_the_line_that_failed_most_is_told_with_how_often_it_went_well() -> None:
    host = Host()
    host.process(300, "sh")
    for line, code in [("curl a", 7), ("curl b", 7), ("curl a", 7), ("curl a", 0), ("curl b", 28)]:
        host.child(300, "curl", line, exit_code=code)

    ((_, job),) = host.second()
    assert (job.command, job.ended, job.failed, job.same, job.same_ended, job.code) == ("curl a", 5, 4, 2, 3, 7)


def test_a_signal_is_a_negative_status_and_whoever_ran_nothing_has_no_command() -> None:
    host = Host()
    host.process(300, "prefork")
    host.child(300, "prefork", exit_signal=0x80 | 11, lived_ms=2500)

    ((_, job),) = host.second()
    assert job == Job(**NOTHING, comm="prefork", ended=1, failed=1, same=1, same_ended=1, code=-11, median_ms=2500.0)


def test_a_program_that_still_runs_was_run_in_one_second_and_ends_in_another() -> None:
    host = Host()
    host.process(300, "make")
    compiler = host.process(400, "cc1", 300, "cc1 a.c", exec_ns=host.now_ns)
    ((_, job),) = host.second()
    assert job == Job(**NOTHING, comm="cc1", command="cc1 a.c", execs=1)

    compiler |= {"alive": False, "exit_ns": host.now_ns, "last_kind": Kind.EXIT}
    host.now_ns += S
    ((_, job),) = host.second()
    assert job == Job(**NOTHING, comm="cc1", command="cc1 a.c", ended=1, median_ms=1000.0)


def test_what_a_subshell_ran_is_its_shells_and_is_no_line_that_fails_again_and_again() -> None:
    host = Host()
    host.process(300, "poll")
    for _ in range(3):
        subshell = host.child(300, "poll", forks=2)
        host.child(subshell["pid"], "date", "date +%s")
        host.child(subshell["pid"], "test", "test -f x", exit_code=2)

    assert [(pid, job.comm, job.ended, job.failed, job.command, job.same) for pid, job in host.second()] == [
        (300, "test", 3, 3, "test -f x", 0),
        (300, "date", 3, 0, "date +%s", 0),
        (300, "poll", 3, 0, "", 0),
    ]


def test_what_a_driver_ran_that_is_gone_is_told_of_who_lives_above_it() -> None:
    host = Host()
    host.process(300, "make")
    driver = host.child(300, "gcc", "gcc a.c", lived_ms=60, forks=2)
    host.child(driver["pid"], "cc1", "cc1 a.c", lived_ms=40)

    assert [(pid, job.comm, job.below) for pid, job in host.second()] == [(300, "gcc", False), (300, "cc1", True)]


def test_who_has_lived_for_a_while_is_the_parent_though_it_is_gone() -> None:
    host = Host()
    host.process(300, "bash")
    suite = host.child(300, "suite", "suite", lived_ms=9000, forks=2)
    host.child(suite["pid"], "case", "case 1")

    assert [(pid, job.comm, job.below) for pid, job in host.second()] == [
        (300, "suite", False),
        (suite["pid"], "case", False),
    ]


def test_failures_come_first_then_whoever_ended_most_and_a_parent_has_five_names() -> None:
    host = Host()
    host.process(300, "busy")
    host.process(301, "other")
    for number in range(8):
        for _ in range(20 - number):
            host.child(300, f"job-{number}", "job")
    host.child(301, "sed", "sed x", exit_code=1)

    assert [(pid, job.comm) for pid, job in host.second()] == [
        (301, "sed"),
        *((300, f"job-{number}") for number in range(MAX_NAMES)),
    ]


def test_parents_above_the_floor_are_to_be_named_who_fails_most_first() -> None:
    host = Host()
    for pid in (300, 301, 302, 303):
        host.process(pid, "p")
    for _ in range(9):
        host.child(300, "true", "true")
    for _ in range(2):
        host.child(301, "false", "false", exit_code=1)
    host.child(302, "false", "false", exit_code=1)
    for _ in range(4):
        host.child(303, "true", "true")

    assert host.take().parents == (1, 0)


def test_only_jobs_of_parents_that_facts_name_are_told_and_at_most_forty() -> None:
    host = Host()
    for pid in range(300, 320):
        host.process(pid, "p")
        for number in range(3):
            host.child(pid, f"job-{number}", "job")
    taken = host.take()

    assert told(taken, {4: "P1"}) == tuple(
        msgspec.structs.replace(job, id=f"J{number}", parent="P1")
        for number, job in enumerate([job for place, job in taken.groups if place == 4], 1)
    )
    assert len(told(taken, {place: f"P{place}" for place in range(len(host.rows))})) == MAX_JOBS


def test_of_a_long_line_the_middle_is_left_out_so_that_its_end_tells_it_from_others() -> None:
    host = Host()
    host.process(300, "suite")
    host.child(300, "python", f"python -m tool {'x' * 200} --case 17")

    ((_, job),) = host.second()
    assert job.command == f"python -m tool {'x' * 64}…{'x' * 30} --case 17"
    assert len(job.command) == 120


def test_children_of_nobody_and_of_kernel_threads_are_not_told() -> None:
    host = Host()
    host.process(2, "kthreadd", 0, kthread=True)
    host.child(2, "modprobe", "modprobe x", exit_code=1)
    host.child(777, "orphan", "orphan", exit_code=1)

    assert host.take() == Told()
