"""Blame as the rest of the daemon sees it: what was measured of each resource, and who may be asked about it.

Owns one ledger a resource and the names that they hold. Refuses HTTP and files: names are looked up through what the
daemon hands in, at the moment of each reading, because processes die. Invariant: everything here happens on the event
loop's thread, but for ``states`` of the engagements.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.blame.engage import Engagement
from linnix.cognitod.blame.ledger import Churn, Ledger, Segment
from linnix.cognitod.blame.levels import label
from linnix.cognitod.blame.meter import BlameReading
from linnix.cognitod.blame.names import UNKNOWN, Names
from linnix.cognitod.blame.series import Series, pod_of
from linnix.cognitod.model import RESOURCES, Home

#: Name of a process (pid, start_ns), empty where it is not known any more.
CommOf = Callable[[int, int], bytes]
#: Where somebody lives: pid, start_ns and cgroup id; pid 0 is the group itself.
HomeOf = Callable[[int, int, int], Home]
#: Everybody who forked lately: home, children forked, short-lived children, over the last ten seconds.
Forkers = Callable[[], Iterable[tuple[Home, int, int]]]

#: Pods whose forks are kept with a segment.
MAX_CHURN = 32


class Blame:
    """All of it. ``absent`` says why a resource has no engagement."""

    def __init__(
        self,
        engagements: Sequence[Engagement] = (),
        *,
        absent: Mapping[str, str] = MappingProxyType({}),
        comm_of: CommOf = lambda _pid, _start_ns: b"",
        home_of: HomeOf = lambda _pid, _start_ns, _cgroup: UNKNOWN,
        forkers: Forkers = tuple,
    ) -> None:
        self.engagements = {each.resource: each for each in engagements}
        self.run = secrets.token_hex(4)  # of this daemon: what another one kept is not here
        self.names = Names(self._numbers_in_use)
        self.series = Series()
        self._absent = absent
        self._comm_of = comm_of
        self._home_of = home_of
        self._forkers = forkers
        self.ledgers = {resource: self._ledger(resource) for resource in RESOURCES}

    def _ledger(self, resource: str) -> Ledger:
        def on_seal(segment: Segment) -> None:
            self.series.add(resource, segment, self.names.home)

        return Ledger(resource, self._name, on_seal, self._churn if resource == "cpu" else dict)

    def _churn(self) -> Churn:
        churn: Churn = {}
        for home, forks, short_jobs in self._forkers():
            if (pod := pod_of(label("pod", home))) is not None:
                before = churn.get(pod, (0, 0))
                churn[pod] = before[0] + forks, before[1] + short_jobs
        return dict(sorted(churn.items(), key=lambda each: each[1], reverse=True)[:MAX_CHURN])

    def _name(self, pid: int, start_ns: int, cgroup: int) -> tuple[bytes, int]:
        comm = self._comm_of(pid, start_ns) if start_ns else b""
        return comm, self.names.number(self._home_of(pid, start_ns, cgroup)) if cgroup or start_ns else 0

    def on_reading(self, reading: BlameReading) -> None:
        """Take in what an engagement told."""
        self.ledgers[reading.resource].record(reading)

    def reason(self, resource: str) -> str | None:
        """Why nothing is measured of a resource now; None while it is, or will be when the host waits."""
        engagement = self.engagements.get(resource)
        if engagement is None:
            return self._absent.get(resource, "not measured here")
        return engagement.reason or None

    def homes(self) -> Iterable[Home]:
        """Every home that somebody lived in whom the ledgers name."""
        return self.names.homes()

    def _numbers_in_use(self) -> set[int]:
        used: list[NDArray[np.uint32]] = [
            each.parties["home"] for ledger in self.ledgers.values() for each in ledger.segments
        ]
        return set(np.concatenate(used).tolist()) if used else set()
