"""Who is who at one moment, as far as ranking causes needs it.

Owns how processes of ``insight.facts.Facts`` hang together: descent, likeness, and who was measured to wait for whom.
Refuses to judge. Invariant: what the facts do not tell is "no": nobody is related, alike or waiting by default.
"""

from __future__ import annotations

from collections.abc import Iterator

from linnix.cognitod.senses import Identity
from linnix.insight.facts import Blame, Facts, OomKill, Process

#: init and kthreadd start everything: to descend from them says nothing.
_STARTS_ALL = (0, 1, 2)
#: States of proc(5) in which a process has ended.
_ENDED = ("X", "Z")
#: Facts name a few dozen processes; a chain of parents that is longer than that is a mistake.
_MAX_DEPTH = 64


class Scene:
    """The processes of some facts; empty where there are none yet."""

    def __init__(self, known: Facts | None) -> None:
        self.known = known
        processes = () if known is None else known.processes
        self._by_pid = {process.pid: process for process in processes}
        self._by_identity = {identity(process): process for process in processes}
        self._by_id = {process.id: process for process in processes}
        # Asked again and again for the same few processes.
        self._lines: dict[Identity, tuple[Identity, ...]] = {}
        self._waits: dict[Identity, list[tuple[Identity, Blame]]] = {}
        self._measured = list(self._pairs())

    def process(self, who: Identity | None) -> Process | None:
        """What is known of this process."""
        return None if who is None else self._by_identity.get(who)

    def identified(self, id: str | None) -> Identity | None:
        """Who is meant by an id of these facts."""
        process = self._by_id.get(id or "")
        return None if process is None else identity(process)

    def parent(self, who: Identity) -> Identity | None:
        """Its parent, unless that is unknown or the parent of everything. A later process with that pid is nobody's."""
        process = self._by_identity.get(who)
        if process is None or process.ppid in _STARTS_ALL:
            return None
        above = self._by_pid.get(process.ppid)
        return identity(above) if above is not None and above.start_ns <= process.start_ns else None

    def descends(self, who: Identity, above: Identity) -> bool:
        """Whether ``above`` is this process or one of its ancestors."""
        return who == above or above in self._line(who)

    def depth(self, who: Identity) -> int:
        """How many of its ancestors are known."""
        return len(self._line(who))

    def gone(self, who: Identity) -> bool:
        """Whether it is known to have exited."""
        process = self._by_identity.get(who)
        return process is not None and process.state in _ENDED

    def akin(self, one: Identity, other: Identity) -> bool:
        """Whether one of them is the other or descends from it."""
        return self.descends(one, other) or self.descends(other, one)

    def alike(self, one: Identity, other: Identity) -> bool:
        """Whether they have the same name or live in the same control group."""
        here, there = self.process(one), self.process(other)
        if here is None or there is None:
            return False
        return here.comm == there.comm or (here.cgroup is not None and here.cgroup == there.cgroup)

    def siblings(self, one: Identity, other: Identity) -> bool:
        """Whether they have the same name and the same parent."""
        here, there, parent = self.process(one), self.process(other), self.parent(one)
        return (
            here is not None
            and there is not None
            and here.comm == there.comm
            and parent is not None
            and parent == self.parent(other)
        )

    def same_cgroup(self, one: Identity, other: Identity) -> bool:
        """Whether both are known to live in the same control group."""
        here, there = self.process(one), self.process(other)
        return here is not None and there is not None and here.cgroup is not None and here.cgroup == there.cgroup

    def waits(self, offender: Identity) -> list[tuple[Identity, Blame]]:
        """Who was measured to wait for this process or its descendants, and how much."""
        if offender not in self._waits:
            self._waits[offender] = [
                (victim, pair) for victim, other, pair in self._measured if self.descends(other, offender)
            ]
        return self._waits[offender]

    def _line(self, who: Identity) -> tuple[Identity, ...]:
        """Its ancestors, the parent first."""
        if who not in self._lines:
            line: list[Identity] = []
            at = self.parent(who)
            while at is not None and len(line) < _MAX_DEPTH:
                line.append(at)
                at = self.parent(at)
            self._lines[who] = tuple(line)
        return self._lines[who]

    def _pairs(self) -> Iterator[tuple[Identity, Identity, Blame]]:
        for pair in self.known.blame if self.known else ():
            victim, offender = self.identified(pair.victim), self.identified(pair.offender)
            if pair.kind == "measured" and victim and offender and victim != offender:
                yield victim, offender, pair

    def kill(self, victim: Identity | None) -> OomKill | None:
        """The latest kill for memory that hit this process."""
        found = None
        for kill in self.known.oom_kills if self.known else ():
            if victim is not None and kill.pid == victim[0] and self.identified(kill.process) in (None, victim):
                found = kill if found is None or kill.age_s < found.age_s else found
        return found


def identity(process: Process) -> Identity:
    """How a process is told from a later one with the same pid."""
    return process.pid, process.start_ns
