"""Lives of processes told from little: the connector's messages, or the differences between two scans.

Owns what is known of the living, so that an event can be told in full when its process may be gone already. Refuses to
guess: CPU time and peak memory at an exit are 0, and so is the exit status of what only vanished. Invariant: all events
of a process carry one start time, although the connector does not tell it and ``/proc`` knows it to the tick only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linnix.cognitod.events import BOOK_KINDS, EVENT, EXEC_TEXT, Array, Batch, Kind
from linnix.cognitod.host.netlink import Message, What
from linnix.cognitod.host.scan import TICK_NS, Scanner, read_text

#: Two start times of one pid that are nearer than this are the same process.
_SAME_NS = 2 * TICK_NS


@dataclass(slots=True)
class Life:
    """A process believed to be alive."""

    start_ns: int
    parent: int
    uid: int = 0
    gid: int = 0
    cgroup_id: int = 0
    comm: bytes = b""
    kthread: bool = False
    leader_gone: bool = False
    from_scan: bool = False  # its fork was inferred, so a message about it is late

    def learn(self, row: np.void) -> None:
        """Take over what a row of dtype PROCESS says, but for the start time."""
        self.parent, self.uid, self.gid = int(row["ppid"]), int(row["uid"]), int(row["gid"])
        self.cgroup_id, self.comm, self.kthread = int(row["cgroup_id"]), bytes(row["comm"]), bool(row["kthread"])

    def is_(self, start_ns: int) -> bool:
        """True if a process with this start time is this one."""
        return abs(self.start_ns - start_ns) <= _SAME_NS


class Lives:
    """Turns what is heard and seen into events. One thread uses it."""

    def __init__(self, scanner: Scanner, proc: Path) -> None:
        self._scanner, self._proc = scanner, proc
        self._alive: dict[int, Life] = {}
        self._events: list[tuple[int | bytes, ...]] = []
        self._texts: list[np.void] = []
        self.produced = dict.fromkeys(BOOK_KINDS, 0)
        self.threads = 0

    def take(self) -> Batch:
        """The events since the last time, and the texts of their execs."""
        batch = Batch(np.array(self._events, EVENT), np.array(self._texts, EXEC_TEXT))
        self._events, self._texts = [], []
        return batch

    def seed(self, rows: Array) -> None:
        """Begin with those that are there; they were not born before our eyes."""
        for row in rows:
            self._meet(row)

    def hear(self, messages: Iterable[Message]) -> None:
        """The connector's messages, in order."""
        offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        for message in messages:
            match message.what:
                case What.FORK:
                    self._hear_fork(message, message.ts_ns + offset_ns)
                case What.EXEC:
                    self._hear_exec(message, message.ts_ns + offset_ns)
                case What.EXIT:
                    self._hear_exit(message)

    def _hear_fork(self, message: Message, start_ns: int) -> None:
        if message.pid != message.tgid:
            self.threads += 1
            return
        known = self._alive.get(message.pid)
        if known is not None and known.is_(start_ns):
            if known.from_scan:
                return
            life = known
        else:
            life = Life(start_ns // TICK_NS * TICK_NS, message.parent)
            parent = self._alive.get(message.parent)
            if parent is not None:
                life.uid, life.gid, life.cgroup_id, life.comm = parent.uid, parent.gid, parent.cgroup_id, parent.comm
            self._alive[message.pid] = life
        self._tell(Kind.FORK, message.ts_ns, message.pid, life, cpu=message.cpu)

    def _hear_exec(self, message: Message, now_ns: int) -> None:
        life = self._alive.get(message.tgid) or self._alive.setdefault(message.tgid, Life(now_ns, 0))
        life.leader_gone = False
        self._tell_exec(message.tgid, life, message.ts_ns, message.cpu)

    def _hear_exit(self, message: Message) -> None:
        life = self._alive.get(message.tgid)
        if life is None or not (message.pid == message.tgid or life.leader_gone):
            return
        # A leader may exit before its threads; then each of their exits is asked whether it was the last.
        found = self._scanner.read(message.tgid)
        if found is not None and life.is_(found.stat.start_ns) and found.stat.threads > 1:
            life.leader_gone = True
            return
        del self._alive[message.tgid]
        self._tell(Kind.EXIT, message.ts_ns, message.tgid, life, cpu=message.cpu, status=message.status)

    def compare(self, rows: Array, ts_ns: int) -> None:
        """Tell what must have happened since the last scan: who is new, who is gone, who runs something else."""
        seen = {int(row["pid"]): row for row in rows}
        for pid, life in list(self._alive.items()):
            row = seen.get(pid)
            if row is None or not life.is_(int(row["start_ns"])):
                del self._alive[pid]
                self._tell(Kind.EXIT, ts_ns, pid, life)
        for pid, row in seen.items():
            known = self._alive.get(pid)
            life = known or self._meet(row)
            if known is None:
                life.from_scan = True
                self._tell(Kind.FORK, ts_ns, pid, life)
            before = known or self._alive.get(life.parent)
            if not life.kthread and (before is None or before.comm != bytes(row["comm"])):
                self._tell_exec(pid, life, ts_ns, 0)

    def settle(self, rows: Array) -> None:
        """Learn from a scan, and give its rows the start times that events carried."""
        for row in rows:
            life = self._alive.get(int(row["pid"]))
            if life is not None and life.is_(int(row["start_ns"])):
                life.learn(row)
                row["start_ns"] = life.start_ns

    def _meet(self, row: np.void) -> Life:
        life = self._alive[int(row["pid"])] = Life(int(row["start_ns"]), int(row["ppid"]))
        life.learn(row)
        return life

    def _tell_exec(self, pid: int, life: Life, ts_ns: int, cpu: int) -> None:
        found = self._scanner.read(pid)
        seq = 0
        if found is not None and life.is_(found.stat.start_ns):
            life.parent, life.comm = found.stat.ppid, found.stat.comm
            life.uid, life.gid, life.cgroup_id = found.uid, found.gid, found.cgroup_id
            self._texts.append(read_text(self._proc, pid, life.start_ns, ts_ns))
            self.produced["exec_text"] += 1
            seq = ts_ns
        self._tell(Kind.EXEC, ts_ns, pid, life, cpu=cpu, text_seq=seq)

    def _tell(
        self, kind: Kind, ts_ns: int, pid: int, life: Life, *, cpu: int = 0, status: int = 0, text_seq: int = 0
    ) -> None:
        parent = self._alive.get(life.parent)
        self.produced[BOOK_KINDS[kind]] += 1
        parent_start_ns = parent.start_ns if parent else 0
        code, signal = status >> 8 & 0xFF, status & 0xFF
        when = (ts_ns, life.start_ns, parent_start_ns, life.cgroup_id, text_seq, 0, 0)
        who = (pid, life.parent, life.uid, life.gid)
        self._events.append((*when, *who, kind, cpu, code, signal, life.comm))
