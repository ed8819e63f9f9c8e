"""One run, from the guards to the renamed folder.

Owns the order of things. Refuses signals and printing: it is given a ``pause`` that raises when somebody wants it to
end, and something to tell progress to. Invariant: however it is left, all that it started has ended, since each thing
is started within the block that ends it. A daemon that fails under a fault is what a run is for: that is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from linnix.faultlab import cgroups, commands, disks, guards, observer, truth
from linnix.faultlab.commands import Prepared, Started
from linnix.faultlab.errors import NoDaemonError, RunFailedError, TooBusyError
from linnix.faultlab.observer import Observer
from linnix.faultlab.place import Place
from linnix.faultlab.plan import Phase, Plan
from linnix.faultlab.recording import FactsLine, Output, Part
from linnix.faultlab.scenario import OBSERVER
from linnix.faultlab.trees import Trees

_LOOK_EVERY_S = 0.25
# So long it waits for the load to fall: a minute's average of a run before it is gone by then.
LOAD_PATIENCE_S = 180.0
_MISSED_TICKS = 5


class Progress(Protocol):
    """What hears of a run."""

    def say(self, event: str, text: str, mood: str = "", **fields: object) -> None:
        """Something happened."""

    def moving(self, text: str, done_s: float, total_s: float) -> None:
        """Time passes; called a few times a second."""


@dataclass(frozen=True)
class Settings:
    """What is the same for all runs. ``pause`` waits, or raises what ends the run."""

    pause: Callable[[float], None]
    progress: Progress
    host: str | None = None
    max_load: float | None = None
    load_patience_s: float = LOAD_PATIENCE_S


class Recorded(NamedTuple):
    """A complete run: where it is, and why the daemon failed, if it did."""

    folder: Path
    failed: str


def clean_up(mount: Path, out: Output, progress: Progress) -> None:
    """End what laboratories left that did not end as they should."""
    for name, count in cgroups.end_remains(mount, disks.thaw_remains):
        progress.say("remains", f"Ended what was left of {name}: {count} processes", "warn", processes=count)
    for what in disks.end_remains(lambda laboratory: cgroups.Laboratory.path_of(mount, laboratory).exists()):
        progress.say("remains", f"Undid what was left of a laboratory: {what}", "warn")
    for folder in out.sweep():
        progress.say("remains", f"Removed {folder}", "warn")


def run(plan: Plan, out: Output, mount: Path, settings: Settings) -> Recorded:
    """Carry out a plan. Raises LabError, and what ``pause`` raises."""
    commands.require(plan.scenario)
    admitted = _admit(plan, out, mount, settings)
    with ExitStack() as stack:
        laboratory = stack.enter_context(cgroups.Laboratory(mount))
        part = stack.enter_context(out.begin(plan, laboratory.id))
        prepared = commands.prepare(plan, part.work)
        place = stack.enter_context(Place(plan, laboratory, part.work, out.path))
        place.set_up(settings.pause)
        watching = stack.enter_context(_observer(laboratory, part, settings))
        going = _Run(plan, part, place, watching, settings, prepared)
        stack.callback(going.end)  # before the daemon, and before the folder goes that they write to
        going.carry_out()
        part.write("truth.json", going.truth(str(mount)))
        part.write("alerts.json", going.alerts())
        daemon = {"url": watching.url, "own": settings.host is None, "status": watching.status()}
        meta = truth.meta(plan, admitted, daemon, going.ticks, going.events_problem, going.failed)
        part.write("meta.json", meta)
        return Recorded(part.complete(), going.failed)


def _admit(plan: Plan, out: Output, mount: Path, settings: Settings) -> guards.Host:
    patience = settings.load_patience_s
    needs = msgspec.structs.replace(plan.scenario.needs, disk_mib=plan.scenario.disk_mib)
    deadline, said = time.monotonic() + patience, False
    while True:
        host = guards.read_host(out.path)
        reasons = guards.refusals(host, needs, settings.max_load)
        if settings.max_load is None and (others := cgroups.living(mount)):
            words = f"another laboratory runs ({others[0]}), and each would record the faults of the other"
            reasons.append(TooBusyError(words, "Wait for its end, or allow it with --max-load"))
        if not reasons:
            return host
        left = deadline - time.monotonic()
        if not reasons[0].passes or left <= 0:
            raise reasons[0]
        if not said:
            said = True
            settings.progress.say("waiting", f"{plan.run}: waiting, {reasons[0]}", "warn", run=plan.run)
        settings.progress.moving(f"{plan.run}: waiting for a quieter host", patience - left, patience)
        settings.pause(min(1.0, left))


def _observer(laboratory: cgroups.Laboratory, part: Part, settings: Settings) -> AbstractContextManager[Observer]:
    if settings.host is not None:
        return observer.running(settings.host, settings.pause)
    return observer.own(laboratory.group(OBSERVER), part.work, settings.pause)


@dataclass
class _Run:
    plan: Plan
    part: Part
    place: Place
    observer: Observer
    settings: Settings
    waiting: list[Prepared]
    started: list[Started] = field(default_factory=list)
    trees: Trees = field(default_factory=Trees)
    ticks: dict[str, int] = field(default_factory=dict)
    events_problem: str = ""
    failed: str = ""  # why the daemon did
    _spans: dict[str, truth.Span] = field(default_factory=dict)
    _missed: int = 0
    _has_findings: bool = True  # until it says that it has none

    def carry_out(self) -> None:
        """Every phase, one after the other, until the daemon fails. Events are followed from the injection on, alerts
        all the time.
        """
        groups = self.place.groups(self.waiting)

        def end() -> None:
            self.place.thaw()
            for group in groups:
                cgroups.kill(group)

        self._clocks = truth.clocks()
        self._began = time.monotonic()
        self._next_tick = 0.0
        with ExitStack() as stack:
            guard = stack.enter_context(guards.Guard(self.place.watch(list(groups)), end))
            followed = [stack.enter_context(self.observer.events("/alerts", self.part.event))]
            for phase in self.plan.phases:
                if phase.stop_s == phase.start_s or self.failed:
                    continue
                words = f"{self.plan.run}: {phase.name}"
                self.settings.progress.say("phase", words, phase=phase.name, run=self.plan.run)
                start = time.time()
                if phase is self.plan.injection:
                    followed.append(stack.enter_context(self.observer.events("/stream", self.part.event)))
                try:
                    self._carry_out(phase, guard, groups)
                except NoDaemonError as error:
                    self.failed = f"{error}. {error.advice}" if error.advice else str(error)
                self._spans[phase.name] = truth.Span(start, time.time())
            guard.check()
            self.end()
        self.events_problem = next((each.problem for each in followed if each.problem), "")

    def _carry_out(self, phase: Phase, guard: guards.Guard, groups: dict[Path, str]) -> None:
        while (now := time.monotonic() - self._began) < phase.stop_s:
            guard.check()
            try:
                self._step(now, phase.name, groups)
            except RunFailedError:
                guard.check()  # what a guard has killed has not failed by itself
                raise
            due = min(self._next_tick, phase.stop_s, now + _LOOK_EVERY_S)
            self.settings.pause(max(due - (time.monotonic() - self._began), 0.0))
        guard.check()
        if phase is self.plan.injection:
            self._end_commands()

    def end(self) -> None:
        """End every command; done twice it does nothing."""
        self._end(self.started)

    def _step(self, now: float, phase: str, groups: dict[Path, str]) -> None:
        while self.waiting and self.waiting[0].launch.start_s <= now:
            self._start(self.waiting.pop(0))
        self.trees.look(groups)
        for each in self.started:
            commands.look(each, self.part.work)
        if now >= self._next_tick:
            # What happened in a second that no tick is of is in no facts: a tick that is a little late must not make
            # the next one later.
            due = self._next_tick + self.plan.scenario.tick_s
            self._next_tick = due if due > now else now + self.plan.scenario.tick_s
            self._tick(phase)
        self.settings.progress.moving(f"{self.plan.run}: {phase}", now, self.plan.scenario.seconds)

    def _start(self, prepared: Prepared) -> None:
        started = self.place.start(prepared)
        self.started.append(started)
        self.trees.add(started)

    def _tick(self, phase: str) -> None:
        asked = time.time()
        status, body = self.observer.get("/facts")
        if status == 200:
            self._missed = 0
            answered = time.time()
            line = FactsLine(asked, answered, phase, status, facts=msgspec.Raw(body), findings=self._findings())
        else:
            self._missed += 1
            line = FactsLine(asked, time.time(), phase, status, error=body.decode(errors="replace"))
        self.part.tick(line)
        self.ticks[phase] = self.ticks.get(phase, 0) + (status == 200)
        if self._missed == _MISSED_TICKS:
            raise NoDaemonError(f"{self.observer.url}/facts: no answer {_MISSED_TICKS} times in a row", line.error)

    def _findings(self) -> msgspec.Raw:
        status, body = self.observer.get("/findings") if self._has_findings else (404, b"")
        self._has_findings = status != 404
        return msgspec.Raw(body if status == 200 else b"null")

    def _end_commands(self) -> None:
        if late := [each.launch.command.name for each in self.waiting if not each.launch.decoy]:
            raise RunFailedError(f"{', '.join(late)}: never started, this host was too slow for the plan")
        self._end([each for each in self.started if not each.prepared.launch.decoy])

    def _end(self, ending: list[Started]) -> None:
        self.place.thaw()
        for group in {each.group for each in ending}:
            cgroups.kill(group)
        for each in ending:
            commands.reap(each)

    def truth(self, mount: str) -> truth.Truth:
        """What happened; only once it is over."""
        self.trees.hear(self.part.events())
        self.trees.read(self.part.facts())
        return truth.of(self.plan, self._clocks, self._spans, self.started, self.trees, mount)

    def alerts(self) -> bytes:
        """The open alerts, as the daemon tells them; of one that does not, ``null``, and it has failed."""
        status, body = self.observer.get("/alerts")
        if status == 200:
            return body
        self.failed = self.failed or f"{self.observer.url}/alerts answers with status {status}"
        return b"null"
