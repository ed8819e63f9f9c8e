"""What a run will do, before it does anything: a pure function of scenario and seed.

Owns every choice that is drawn. Refuses to look at the host: what depends on it (pids, paths, which CPUs) is no part of
a plan. Invariant: equal scenarios and seeds give equal plans, on every machine and in every version of Python.
"""

from __future__ import annotations

import hashlib

import msgspec

from linnix.faultlab.loading import Loaded
from linnix.faultlab.scenario import Command, Intensity, Scenario


class Phase(msgspec.Struct, frozen=True):
    """A part of a run, in seconds since its beginning."""

    name: str
    start_s: float
    stop_s: float


class Launch(msgspec.Struct, frozen=True):
    """A command, and when it starts and is ended, in seconds since the beginning of the run."""

    command: Command  # with the one name that was drawn
    decoy: bool
    start_s: float
    stop_s: float


class Plan(msgspec.Struct, frozen=True):
    """One run."""

    scenario: Scenario
    digest: str  # SHA-256 of the scenario's file
    seed: int
    intensity: float
    phases: tuple[Phase, ...]
    launches: tuple[Launch, ...]  # by when they start

    @property
    def run(self) -> str:
        """What its folder is called."""
        return f"{self.scenario.name}-{self.seed}"

    @property
    def injection(self) -> Phase:
        """The phase in which the fault is on."""
        return self.phases[1]

    @property
    def environment(self) -> dict[str, str]:
        """What every command is told."""
        value = str(int(self.intensity)) if self.scenario.intensity.whole else f"{self.intensity:.6g}"
        return {"INTENSITY": value, "SEED": str(self.seed)}


def plan(loaded: Loaded, seed: int) -> Plan:
    """The run of a scenario with a seed."""
    scenario = loaded.scenario
    begin, end = scenario.warm_up_s, scenario.warm_up_s + scenario.injection_s
    total = scenario.seconds
    launches = [
        *(Launch(named(decoy, scenario.name, seed), True, decoy.start_s, total) for decoy in scenario.decoys),
        *(
            Launch(named(command, scenario.name, seed), False, begin + command.start_s, end)
            for command in scenario.commands
        ),
    ]
    return Plan(
        scenario=scenario,
        digest=loaded.digest,
        seed=seed,
        intensity=draw(scenario.intensity, scenario.name, seed),
        phases=(Phase("warm_up", 0.0, begin), Phase("injection", begin, end), Phase("recovery", end, total)),
        launches=tuple(sorted(launches, key=lambda launch: launch.start_s)),
    )


def plans(loaded: list[Loaded], seeds: tuple[int, ...] = ()) -> list[Plan]:
    """All runs of some scenarios, seed by seed, so that a collection that is cut short has some of each."""
    wanted = [(each, seed) for each in loaded for seed in seeds or each.scenario.seeds]
    rank = {id(each): at for at, each in enumerate(loaded)}
    ordered = sorted(wanted, key=lambda pair: ((seeds or pair[0].scenario.seeds).index(pair[1]), rank[id(pair[0])]))
    return [plan(each, seed) for each, seed in ordered]


def draw(intensity: Intensity, name: str, seed: int) -> float:
    """A number of the range, evenly; whole numbers include both ends."""
    low, high = intensity.low, intensity.high
    if intensity.whole:
        return float(int(low) + _number(name, str(seed)) % (int(high) - int(low) + 1))
    return round(low + (high - low) * (_number(name, str(seed)) % 10**6) / (10**6 - 1), 6)


def named(command: Command, scenario: str, seed: int) -> Command:
    """The command with one of its names, where it has several."""
    if isinstance(command.shown_as, str):
        return command
    drawn = command.shown_as[_number(scenario, str(seed), command.name) % len(command.shown_as)]
    return msgspec.structs.replace(command, shown_as=drawn)


def _number(*parts: str) -> int:
    # A digest rather than `random`: its sequences are promised for no version of Python but the one that runs.
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
