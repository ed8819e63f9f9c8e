"""What a scenario must hold beyond its shape, and a collection of them beyond each.

Owns the rules and their words. Refuses files and lines: ``loading`` knows those, and is told here which field is meant
by its path (``commands[0].as``). Invariants: a scenario of class ``normal`` has no culprit and every other has one of
its commands; nothing that the daemon can see of a scenario (names, groups) says which class it is; what the culprits of
part ``test`` are called, and what they run, stands in no other part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from linnix.faultlab.scenario import (
    COMM_BYTES,
    GIVEAWAYS,
    INTERPRETERS,
    MAX_CPUS,
    MAX_DISK_MIB,
    MAX_MEMORY_MIB,
    MAX_PHASE_S,
    MAX_PROCESSES,
    MIN_FILESYSTEM_MIB,
    MIN_LIMIT_MIB,
    MIN_SWAP_MIB,
    PARTS,
    Command,
    Intensity,
    Scenario,
)
from linnix.insight.classes import CLASSES

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
# Debian policy 5.6.1
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def problems(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """What is wrong beyond the shape: (path of the field, what)."""
    if not _NAME.fullmatch(scenario.name):
        yield "name", f"{scenario.name!r}: use lower case letters, digits and single hyphens"
    if scenario.cls not in CLASSES:
        yield "class", f"unknown class {scenario.cls!r}"
    elif scenario.cls == "unknown":
        yield "class", "a laboratory knows what it injects: 'unknown' is no label"
    if not scenario.description.strip():
        yield "description", "say what happens, in a sentence"
    yield from _culprit(scenario)
    yield from _also(scenario)
    yield from _collected(scenario)
    yield from _times(scenario)
    yield from _intensity(scenario.intensity)
    for field, most in (("memory_mib", MAX_MEMORY_MIB), ("disk_mib", MAX_DISK_MIB), ("processes", MAX_PROCESSES)):
        if not 0 < getattr(scenario.needs, field) <= most:
            yield f"needs.{field}", f"{getattr(scenario.needs, field)} is not between 1 and {most}"
    for field, least in (("filesystem_mib", MIN_FILESYSTEM_MIB), ("swap_mib", MIN_SWAP_MIB)):
        if (value := getattr(scenario, field)) and not least <= value <= MAX_DISK_MIB:
            yield field, f"{value} is not between {least} and {MAX_DISK_MIB}"
    if scenario.disk_mib > MAX_DISK_MIB:
        words = f"{scenario.disk_mib} MiB with 'filesystem_mib' and 'swap_mib'"
        yield "needs.disk_mib", f"{words}, a scenario has {MAX_DISK_MIB} MiB of disk"
    if not scenario.seeds or len(set(scenario.seeds)) != len(scenario.seeds) or min(scenario.seeds) < 0:
        yield "seeds", "name at least one seed, each once, none negative"
    yield from _commands(scenario)


def _intensity(intensity: Intensity) -> Iterator[tuple[str, str]]:
    for field, value in (("from", intensity.low), ("to", intensity.high)):
        if not math.isfinite(value):
            yield f"intensity.{field}", f"{value:g} is no number to draw"
            return
        if intensity.whole and value != int(value):
            yield f"intensity.{field}", f"{value:g} is not whole"
    if intensity.low > intensity.high:
        yield "intensity.from", f"{intensity.low:g} is above 'to' ({intensity.high:g})"


def _culprit(scenario: Scenario) -> Iterator[tuple[str, str]]:
    names = [command.name for command in scenario.commands]
    if not names:
        yield "commands", "at least one command must run while the fault is on"
    if scenario.cls == "normal":
        if scenario.culprit is not None:
            yield "culprit", "nothing is wrong in class 'normal', so nobody is the culprit"
    elif scenario.culprit is None:
        yield "class", f"class {scenario.cls!r} needs a culprit: the command whose end would end the fault"
    elif scenario.culprit not in names:
        yield "culprit", f"{scenario.culprit!r} is none of the commands ({', '.join(names)})"


def _also(scenario: Scenario) -> Iterator[tuple[str, str]]:
    names = [command.name for command in scenario.commands]
    taken = [scenario.culprit]
    for at, other in enumerate(scenario.also):
        if scenario.cls == "normal":
            yield "also", "nothing is wrong in class 'normal', so there are no further faults"
        elif other.cls not in CLASSES:
            yield f"also[{at}].class", f"unknown class {other.cls!r}"
        elif other.cls in ("unknown", "normal"):
            yield f"also[{at}].class", f"{other.cls!r} is no fault"
        elif other.culprit not in names:
            yield f"also[{at}].culprit", f"{other.culprit!r} is none of the commands ({', '.join(names)})"
        elif other.culprit in taken:
            yield f"also[{at}].culprit", f"{other.culprit!r} is the culprit of another fault: two faults are of two"
        taken.append(other.culprit)


def _collected(scenario: Scenario) -> Iterator[tuple[str, str]]:
    if scenario.part not in PARTS:
        yield "part", f"unknown part {scenario.part!r}"
    for at, program in enumerate(scenario.programs):
        if not program.strip() or program != program.lower():
            yield f"programs[{at}]", f"{program!r}: lower case, and not empty"
    for at, required in enumerate(scenario.requires):
        program, colon, package = required.partition(":")
        if not _PROGRAM.fullmatch(program) or (colon and not _PACKAGE.fullmatch(package)):
            yield f"requires[{at}]", f"{required!r}: name a program on PATH, or program:debian-package"
    if scenario.setup and not scenario.setup.strip():
        yield "setup", "there is nothing in it for sh to do"


def _times(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for field, least in (("warm_up_s", 0.0), ("injection_s", 1.0), ("recovery_s", 0.0), ("tick_s", 0.5)):
        value = getattr(scenario, field)
        if not least <= value <= MAX_PHASE_S:
            yield field, f"{value:g} is not between {least:g} and {MAX_PHASE_S:g}"
    for path, command in _each(scenario):
        last = scenario.injection_s if path.startswith("commands") else scenario.seconds
        if not 0 <= command.start_s < last:
            yield f"{path}.start_s", f"{command.start_s:g} is not between 0 and the {last:g} s for which it may run"


def _commands(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for path, command in _each(scenario):
        if not _NAME.fullmatch(command.name):
            yield f"{path}.name", f"{command.name!r}: use lower case letters, digits and single hyphens"
        if bool(command.argv) == bool(command.script.strip()):
            yield path, f"command {command.name!r} needs argv or script" + (", not both" if command.argv else "")
            continue
        if command.interpreter not in INTERPRETERS:
            yield f"{path}.with", f"unknown interpreter {command.interpreter!r}"
        if command.argv and not command.argv[0]:
            yield f"{path}.argv", "the program has no name"
        yield from _names(path, command)
        if not command.cpus or not set(command.cpus) <= set(range(MAX_CPUS)):
            yield f"{path}.cpus", f"a laboratory has {MAX_CPUS} CPUs, which a scenario calls 0 and 1"
        if not -20 <= command.nice <= 19:
            yield f"{path}.nice", f"{command.nice} is not between -20 and 19"
        if command.cpu_quota_pct is not None and not 1 <= command.cpu_quota_pct <= 100 * MAX_CPUS:
            yield f"{path}.cpu_quota_pct", f"{command.cpu_quota_pct:g} is not between 1 and {100 * MAX_CPUS}"
        if command.memory_limit_mib is not None and not MIN_LIMIT_MIB <= command.memory_limit_mib <= MAX_MEMORY_MIB:
            words = f"is not between {MIN_LIMIT_MIB} and {MAX_MEMORY_MIB}"
            yield f"{path}.memory_limit_mib", f"{command.memory_limit_mib} {words}"
    for (path, command), (_, other) in combinations(list(_each(scenario))[::-1], 2):
        if command.name == other.name:
            yield f"{path}.name", f"there are two commands called {command.name!r}"
        for field in ("cpu_quota_pct", "memory_limit_mib"):
            limits = {getattr(command, field), getattr(other, field)} - {None}
            if len(limits) == 2 and set(command.groups) & set(other.groups):
                yield f"{path}.{field}", f"{other.name!r} has another for the same control group {command.group!r}"
    ending = {group for command in scenario.commands for group in command.groups}
    for at, decoy in enumerate(scenario.decoys):
        # Commands end when the fault does, by their control group: what shares it would end with them.
        if shared := next((group for group in decoy.groups if group in ending), None):
            yield f"decoys[{at}]", f"decoy {decoy.name!r} shares the control group {shared!r} with a command"


def _names(path: str, command: Command) -> Iterator[tuple[str, str]]:
    shown = (command.shown_as,) if isinstance(command.shown_as, str) else command.shown_as
    if not shown or len(set(shown)) != len(shown) or (len(shown) > 1 and "" in shown):
        yield f"{path}.as", "a list holds at least one name, each once, none empty"
        return
    for name in shown:
        if "/" in name or "\0" in name or name in (".", ".."):
            yield f"{path}.as", "a name cannot be a path"
        elif (long := len(name.encode())) > COMM_BYTES:
            yield f"{path}.as", f"the kernel keeps {COMM_BYTES} bytes of a name; this has {long}"
    if command.cgroup and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", command.cgroup):
        yield f"{path}.cgroup", f"{command.cgroup!r}: use letters, digits and . _ -"
    for field, seen in (("as", command.names), ("cgroup", command.groups)):
        for name in seen:
            if told := next((word for word in GIVEAWAYS if word in name.lower()), None):
                yield f"{path}.{field}", f"{name!r} gives the answer away ({told!r}): use a name as real programs have"


def _each(scenario: Scenario) -> Iterator[tuple[str, Command]]:
    for field, commands in (("commands", scenario.commands), ("decoys", scenario.decoys)):
        for at, command in enumerate(commands):
            yield f"{field}[{at}]", command


def clashes(scenarios: Sequence[Scenario]) -> Iterator[tuple[int, str, str]]:
    """What of part ``test`` stands in another part, too: (which scenario, path of the field, what).

    Those are the names of its culprits (of class ``normal``, of its commands) and its ``programs``. Decoys may repeat.
    """
    names: dict[str, Scenario] = {}
    programs: dict[str, Scenario] = {}
    for other in scenarios:
        if other.part != "test":
            for _, command in _each(other):
                names.update(dict.fromkeys(command.names, other))
            programs.update(dict.fromkeys(other.programs, other))
    for which, scenario in enumerate(scenarios):
        if scenario.part != "test":
            continue
        for path, command in _each(scenario):
            judged = command.name in scenario.culprits or scenario.cls == "normal"
            for name in command.names if judged and path.startswith("commands") else ():
                if (other_one := names.get(name)) is not None:
                    yield which, f"{path}.as", _clash(name, other_one)
        for at, program in enumerate(scenario.programs):
            if (other_one := programs.get(program)) is not None:
                yield which, f"programs[{at}]", _clash(program, other_one)


def _clash(what: str, other: Scenario) -> str:
    return f"part 'test' has {what!r} to itself, but {other.name!r} of part {other.part!r} has it, too"
