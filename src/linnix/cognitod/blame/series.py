"""The two families of the original that say who makes whom wait, as counters that never step back.

Owns the series of CPU blame between pods, and the bound on their number. Refuses to measure. Invariant: at most
``MAX_SERIES`` a family are shown; beyond that the lowest go, and one that comes back goes on where it was, as long as
it is among the last ``MAX_SERIES`` that went.

A "pod" on a host without any is a systemd unit, or a cgroup where there is no unit, in the namespace ``host``. Inferred
amounts are not in these counters, nor what a pod does to itself.
"""

from __future__ import annotations

from collections.abc import Callable

from linnix.cognitod.blame import query
from linnix.cognitod.blame.ledger import Segment
from linnix.cognitod.blame.levels import UNKNOWN_NAME, Name
from linnix.cognitod.model import Home

MAX_SERIES = 4096
#: Namespace of what is no pod.
HOST = "host"


class Family:
    """Counters by labels, the smallest making room for new ones."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self.values: dict[tuple[str, ...], float] = {}
        self.evicted = 0
        self._carried: dict[tuple[str, ...], float] = {}
        self._max_series = max_series

    def add(self, labels: tuple[str, ...], amount: float) -> None:
        """Count; a series that was evicted resumes."""
        if labels not in self.values:
            self.values[labels] = self._carried.pop(labels, 0.0)
        self.values[labels] += amount

    def trim(self) -> None:
        """Back to the bound: the lowest go, and are remembered."""
        excess = len(self.values) - self._max_series
        if excess <= 0:
            return
        for labels in sorted(self.values, key=lambda each: self.values[each])[:excess]:
            self._carried[labels] = self.values.pop(labels)
            self.evicted += 1
        while len(self._carried) > self._max_series:
            del self._carried[next(iter(self._carried))]


def pod_of(name: Name) -> tuple[str, str] | None:
    """Namespace and pod of a name at level ``pod``, in the words of the original; None for what has no name."""
    if not isinstance(name, str) or name.startswith("("):
        return None
    namespace, slash, pod = name.partition("/")
    return (namespace, pod) if slash and namespace else (HOST, name)


class Series:
    """What pods waited, and what others made them wait; fed with every sealed segment."""

    def __init__(self) -> None:
        self.pressure_us = Family()  # victim_namespace, victim_pod
        self.induced_s = Family()  # offender_pod, offender_namespace, victim_pod, victim_namespace
        self.totals: dict[str, dict[str, float]] = {}  # by resource, since start

    @property
    def evicted(self) -> int:
        """Series that made room, of both families."""
        return self.pressure_us.evicted + self.induced_s.evicted

    def add(self, resource: str, segment: Segment, home_of: Callable[[int], Home]) -> None:
        """Count one segment."""
        totals = self.totals.setdefault(
            resource, dict.fromkeys(("measured_ns", "waited_ns", "attributed_ns", "lost_ns"), 0.0)
        )
        for name in totals:
            totals[name] += getattr(segment, name)
        if resource != "cpu":
            return
        told = query.answer([segment], home_of, by="pod", scope=None, from_us=segment.begin_us, to_us=segment.end_us)
        for victim, waited_us in told.victims.items():
            if waited_us and victim != UNKNOWN_NAME and (pod := pod_of(victim)):
                self.pressure_us.add(pod, waited_us)
        for pair in told.pairs:
            victim_pod, offender_pod = pod_of(pair.victim), pod_of(pair.offender)
            if pair.kind == query.MEASURED and victim_pod and offender_pod and pair.stall_ns:
                labels = (offender_pod[1], offender_pod[0], victim_pod[1], victim_pod[0])
                self.induced_s.add(labels, pair.stall_ns / 10**9)
        self.pressure_us.trim()
        self.induced_s.trim()
