"""The ticks of a run as they are judged: what was found at each, and whose process a finding is about.

Owns the reading of a run's facts and the match of processes with commands. Refuses verdicts: ``grade`` has those. A
finding above severity ``info`` is an alarm. Invariant: a process is (pid, start_ns), and names decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from linnix.faultlab import proc
from linnix.faultlab.errors import LabError
from linnix.faultlab.recording import FactsLine
from linnix.faultlab.truth import Truth
from linnix.insight import facts as insight
from linnix.insight.facts import Facts, Finding

#: From bodies of ``/facts`` in their order to each with the findings that hold then, the likeliest cause first.
Judge = Callable[[Iterable[bytes]], Iterator[tuple[Facts, tuple[Finding, ...]]]]
#: A start that the daemon never told is known as /proc rounds it down.
Identity = tuple[int, int]
#: A command of the scenario, else the process itself; None: nobody.
Owner = str | Identity | None


class Tick(NamedTuple):
    """An answer of ``/facts``, and what holds then."""

    line: FactsLine
    facts: Facts
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> list[Finding]:
        """What is worth an alarm, in its order."""
        return [finding for finding in self.findings if finding.severity != "info"]

    def comm(self, finding: Finding) -> str | None:
        """The name of the process that a finding is about; None: of nobody."""
        return next((each.comm for each in self.facts.processes if each.id == finding.process), None)


def recorded(bodies: Iterable[bytes]) -> Iterator[tuple[Facts, tuple[Finding, ...]]]:
    """The judge that takes the findings as the daemon told them when they were recorded."""
    for body in bodies:
        facts = insight.decode(body)
        yield facts, facts.findings


def read(run: str, lines: Iterable[FactsLine], judge: Judge) -> list[Tick]:
    """Those of a run that were answered. Raises LabError for what is no recording."""
    answered = [line for line in lines if line.status == 200]
    try:
        judged = list(judge(bytes(line.facts) for line in answered))
    except msgspec.MsgspecError as error:
        raise LabError(f"{run}/facts.jsonl: {error}") from error
    return [Tick(line, facts, findings) for line, (facts, findings) in zip(answered, judged, strict=True)]


def identity(pid: int, start_ns: int) -> Identity:
    """A process by what is known of it for certain."""
    return pid, start_ns // proc.TICK_NS


class Owners:
    """Whose each process is."""

    def __init__(self, truth: Truth) -> None:
        self.by_process = {identity(*one): command.name for command in truth.commands for one in command.processes}

    def of(self, tick: Tick, finding: Finding) -> Owner:
        """Whom a finding is about."""
        process = next((each for each in tick.facts.processes if each.id == finding.process), None)
        if process is None:
            return None
        key = identity(process.pid, process.start_ns)
        return self.by_process.get(key, key)

    def of_first(self, tick: Tick) -> Owner:
        """Whom its first alarm is about."""
        return self.of(tick, tick.alarms[0])

    def among(self, tick: Tick, name: str) -> bool:
        """Whether its facts tell of a process of that command."""
        return any(
            self.by_process.get(identity(each.pid, each.start_ns)) == name and each.state not in ("X", "Z")
            for each in tick.facts.processes
        )
