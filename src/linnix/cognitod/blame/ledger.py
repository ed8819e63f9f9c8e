"""What was measured, for an hour: segments of at most five seconds, each with its pairs and the pressure meanwhile.

Owns the time axis of one resource, in microseconds of unix time, and the bound on memory. Refuses questions: ``query``
answers them from segments. Invariants: a segment never changes once it is sealed; its amounts and its pressure are of
exactly its interval; sums survive the bound (``fold``). A segment ends where its bucket of five seconds ends, where an
epoch ends, and where somebody was given an answer that ends there, so that the same question later has the same answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod import records
from linnix.cognitod.blame.fold import NO_ROWS, fold, parties
from linnix.cognitod.blame.meter import BlameReading
from linnix.cognitod.model import Rows

BUCKET_US = 5_000_000
KEEP_US = 3_900_000_000
#: Rows of a level kept as they are in a segment: at first, and when this many bytes are taken.
ROOM, MIN_ROOM = 128, 20
BUDGET_BYTES = 2 << 20

#: One amount. Victim and offender are places in the segment's parties.
AMOUNT = np.dtype(
    [("task_ns", "<u8"), ("stall_ns", "<u8"), ("victim", "<u2"), ("offender", "<u2"), ("level", "u1"), ("kind", "u1")]
)

#: Name of a process and number of its home (``names.Names``), by pid, start_ns and cgroup; pid 0: the group itself.
Name = tuple[bytes, int]
NameOf = Callable[[int, int, int], Name]

#: Children forked and short-lived children of the last ten seconds, by namespace and pod.
Churn = dict[tuple[str, str], tuple[int, int]]

#: Readings of one epoch are taken to touch if the wall's clock says that they miss each other by less than this.
SLACK_US = 100_000
#: A clock set back by more than this makes the past unreadable: it is forgotten.
MAX_BACK_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """An interval in which a meter was attached from begin to end."""

    id: int  # from 1, rising with time
    epoch: int
    begin_us: int
    end_us: int
    measured_ns: int  # by the clock that is never set; begin and end are by the wall's
    amounts: Rows  # dtype AMOUNT
    parties: Rows  # dtype PARTY
    host_us: int
    groups: NDArray[np.uint64]  # cgroups that waited, and how long
    groups_us: NDArray[np.uint64]
    groups_complete: bool
    waited_ns: int
    attributed_ns: int
    lost_ns: int
    churn: Churn

    @property
    def nbytes(self) -> int:
        """What it holds in memory, about."""
        return (
            600
            + 200 * len(self.churn)
            + self.amounts.nbytes
            + self.parties.nbytes
            + self.groups.nbytes
            + self.groups_us.nbytes
        )


@dataclass(slots=True)
class Growing:
    """A segment to be. Who gets to see it changes nothing in it."""

    epoch: int
    bucket: int
    begin_us: int
    end_us: int
    measured_ns: int = 0
    rows: Rows = field(default_factory=lambda: NO_ROWS)
    names: dict[tuple[int, int, int], Name] = field(default_factory=dict)
    host_us: int = 0
    groups: dict[int, int] = field(default_factory=dict)
    groups_complete: bool = True
    waited_ns: int = 0
    attributed_ns: int = 0
    lost_ns: int = 0


class Ledger:
    """The past of one resource. One thread uses it. ``on_seal`` is told of every segment."""

    def __init__(
        self,
        resource: str,
        name_of: NameOf,
        on_seal: Callable[[Segment], None] = lambda _: None,
        churn_of: Callable[[], Churn] = dict,
        *,
        budget_bytes: int = BUDGET_BYTES,
        keep_us: int = KEEP_US,
    ) -> None:
        self.resource = resource
        self.engaged = False
        self.horizon_us = 0  # end of the last reading: what an engaged meter tells later began no earlier
        self.forgotten_us = 0  # segments that ended before this are no longer kept
        self.nbytes = 0
        self.segments: deque[Segment] = deque()
        self._name_of = name_of
        self._on_seal = on_seal
        self._churn_of = churn_of
        self._budget_bytes = budget_bytes
        self._keep_us = keep_us
        self.growing: Growing | None = None
        self._sealed = 0

    @property
    def last_id(self) -> int:
        """Of the last sealed segment, 0 for none."""
        return self._sealed

    def record(self, reading: BlameReading) -> None:
        """Take in a reading; it may seal the open segment."""
        end_us = (reading.end_ns + reading.wall_offset_ns) // 1000
        begin_us = end_us - (reading.end_ns - reading.begin_ns) // 1000
        if end_us < self.horizon_us - MAX_BACK_US:
            self._forget_all()
        if abs(begin_us - self.horizon_us) < SLACK_US:  # the clock is slewed all the time
            begin_us = self.horizon_us
        begin_us = max(begin_us, self.horizon_us)
        end_us = max(end_us, begin_us)
        self.engaged = not reading.last
        self.horizon_us = end_us
        bucket = (begin_us + end_us) // 2 // BUCKET_US
        if self.growing and (self.growing.bucket, self.growing.epoch) != (bucket, reading.epoch):
            self.seal()
        if reading.stall is not None:
            self.growing = self.growing or Growing(reading.epoch, bucket, begin_us, end_us)
            self._add(self.growing, reading, end_us)
        if reading.last:
            self.seal()

    def _add(self, to: Growing, reading: BlameReading, end_us: int) -> None:
        assert reading.stall is not None
        to.end_us = end_us
        to.measured_ns += reading.end_ns - reading.begin_ns
        to.rows = fold(records.join([to.rows, reading.stall.pairs]), 2 * ROOM)
        everybody, _, _ = parties(to.rows)
        for who in everybody[["pid", "start_ns", "cgroup"]].tolist():
            if who not in to.names:
                to.names[who] = self._name_of(*who)
        to.waited_ns += reading.stall.waited_ns
        to.attributed_ns += reading.stall.attributed_ns
        to.lost_ns += reading.stall.lost_ns
        if reading.waited is None:
            to.groups_complete = False
            return
        to.host_us += reading.waited.host_us
        to.groups_complete &= reading.waited.complete
        for group, waited_us in zip(reading.waited.groups.tolist(), reading.waited.groups_us.tolist(), strict=True):
            to.groups[group] = to.groups.get(group, 0) + waited_us

    def seal(self) -> None:
        """End the open segment here, if there is one."""
        made, self.growing = self.growing, None
        if made is None:
            return
        room = int(ROOM * (1 - self.nbytes / self._budget_bytes))
        rows = fold(made.rows, max(room, MIN_ROOM))
        everybody, victims, offenders = parties(rows)
        names = [
            made.names.get(who) or self._name_of(*who) for who in everybody[["pid", "start_ns", "cgroup"]].tolist()
        ]
        everybody["comm"] = [comm for comm, _ in names]
        everybody["home"] = [home for _, home in names]
        amounts = np.zeros(len(rows), AMOUNT)
        amounts["victim"], amounts["offender"] = victims, offenders
        for name in ("task_ns", "stall_ns", "level", "kind"):
            amounts[name] = rows[name]
        self._sealed += 1
        segment = Segment(
            id=self._sealed,
            epoch=made.epoch,
            begin_us=made.begin_us,
            end_us=made.end_us,
            measured_ns=made.measured_ns,
            amounts=amounts,
            parties=everybody,
            host_us=made.host_us,
            groups=np.fromiter(made.groups.keys(), np.uint64),
            groups_us=np.fromiter(made.groups.values(), np.uint64),
            groups_complete=made.groups_complete,
            waited_ns=made.waited_ns,
            attributed_ns=made.attributed_ns,
            lost_ns=made.lost_ns,
            churn=self._churn_of(),
        )
        self.segments.append(segment)
        self.nbytes += segment.nbytes
        self._on_seal(segment)
        while self.segments[0].end_us < segment.end_us - self._keep_us:
            gone = self.segments.popleft()
            self.nbytes -= gone.nbytes
            self.forgotten_us = gone.end_us

    def window(self, from_us: int, to_us: int) -> list[Segment]:
        """Every segment that has some of its time between these, oldest first.

        One that is open is sealed, also if it only touches them: it would grow into an answer that was given.
        """
        if self.growing is not None and self.growing.begin_us < to_us and self.growing.end_us >= from_us:
            self.seal()
        return [each for each in self.segments if each.begin_us < to_us and each.end_us > from_us]

    def _forget_all(self) -> None:
        self.growing = None
        self.segments.clear()
        self.nbytes = self.horizon_us = self.forgotten_us = 0
