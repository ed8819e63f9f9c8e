"""A scenario: one fault, or one look-alike of a fault, as a file describes it.

Owns the fields, their defaults, and what a scenario must hold beyond its shape. Refuses files and lines: ``loading``
knows those, and is told here which field is meant by its path (``commands[0].as``). Invariants: a scenario of class
``normal`` has no culprit and every other has exactly one, of its commands; nothing that the daemon can see of a
scenario (names, groups) says which class it is; no scenario may use more than two cores, 4 GiB or 2 GiB of disk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import combinations

import msgspec

from linnix.insight.classes import CLASSES

MAX_MEMORY_MIB = 4096
MAX_DISK_MIB = 2048
MAX_CPUS = 2
MAX_PROCESSES = 4000
MAX_PHASE_S = 3600.0
COMM_BYTES = 15
INTERPRETERS = ("python3", "sh")
OBSERVER = "observer"  # the group of the daemon that a run starts
# A group called `cpu.stat` cannot be made: the kernel has a file of that name.
KERNEL_FILES = tuple(
    f"{controller}."
    for controller in ("cgroup", "cpu", "cpuset", "memory", "io", "pids", "hugetlb", "rdma", "misc", "irq", "dmem")
)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# A model that reads the answer in a name has learned nothing. Parts of words, so that `forker` and `my_leak` are found.
GIVEAWAYS = (
    *("stress", "leak", "fork", "bomb", "storm", "spin", "burn", "hog", "flood", "thrash", "zombie", "oom", "faulty"),
    *("inject", "noisy", "neighb", "throttle", "runaway", "crash", "saturat", "fsync", "hung", "contention", "linnix"),
    *("culprit", "decoy", "victim", "offender", "innocent", "chaos", "fdleak", "disk_full"),
)


class Intensity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"low": "from", "high": "to"}):
    """What a seed draws from, evenly; ``whole`` rounds to an integer."""

    low: float
    high: float
    unit: str
    whole: bool = False


class Needs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run may use at most. It is not begun where so much is not free, and ended where it uses more."""

    memory_mib: int = 512
    disk_mib: int = 64
    processes: int = 200


class Command(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"shown_as": "as", "interpreter": "with"}
):
    """One thing to run: a program with its arguments, or a script of a few lines."""

    name: str  # within the file; the host never sees it
    argv: tuple[str, ...] = ()
    script: str = ""
    interpreter: str = "sh"
    shown_as: str = ""  # comm and argv[0]; default: as the program is called
    cgroup: str = ""  # default: one of its own, called as the command is shown
    cpus: tuple[int, ...] = (0, 1)  # the first and the second CPU that the laboratory may use
    nice: int = 0
    start_s: float = 0.0  # after the phase begins in which it runs

    @property
    def comm(self) -> str:
        """The name it goes by on the host."""
        called = self.shown_as or (self.interpreter if self.script else self.argv[0].rpartition("/")[2])
        return called.encode()[:COMM_BYTES].decode(errors="replace")

    @property
    def group(self) -> str:
        """The name of its control group."""
        return self.cgroup or re.sub(r"[^A-Za-z0-9_.-]", "-", self.comm).strip("-.") or "app"


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"cls": "class"}):
    """One file. ``commands`` run while the fault is on, ``decoys`` from the start of the warm-up to the very end."""

    name: str
    cls: str
    description: str
    commands: tuple[Command, ...]
    intensity: Intensity
    culprit: str | None = None
    decoys: tuple[Command, ...] = ()
    warm_up_s: float = 30.0
    injection_s: float = 90.0
    recovery_s: float = 30.0
    tick_s: float = 2.0
    needs: Needs = Needs()
    seeds: tuple[int, ...] = (1, 2, 3)

    @property
    def seconds(self) -> float:
        """How long a run takes, without the daemon's start."""
        return self.warm_up_s + self.injection_s + self.recovery_s


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
    yield from _times(scenario)
    yield from _intensity(scenario.intensity)
    for field, most in (("memory_mib", MAX_MEMORY_MIB), ("disk_mib", MAX_DISK_MIB), ("processes", MAX_PROCESSES)):
        if not 0 < getattr(scenario.needs, field) <= most:
            yield f"needs.{field}", f"{getattr(scenario.needs, field)} is not between 1 and {most}"
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
            yield path, f"command {command.name!r} needs either argv or script"
            continue
        if command.interpreter not in INTERPRETERS:
            yield f"{path}.with", f"unknown interpreter {command.interpreter!r}"
        if command.argv and not command.argv[0]:
            yield f"{path}.argv", "the program has no name"
        if "/" in command.shown_as or "\0" in command.shown_as or command.shown_as in (".", ".."):
            yield f"{path}.as", "a name cannot be a path"
        elif (long := len(command.shown_as.encode())) > COMM_BYTES:
            yield f"{path}.as", f"the kernel keeps {COMM_BYTES} bytes of a name; this has {long}"
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", command.group):
            yield f"{path}.cgroup", f"{command.group!r}: use letters, digits and . _ -"
        elif command.group == OBSERVER or command.group.startswith(KERNEL_FILES):
            yield f"{path}.cgroup", f"{command.group!r} is taken: by the daemon's group, or by the kernel for its files"
        if not command.cpus or not set(command.cpus) <= set(range(MAX_CPUS)):
            yield f"{path}.cpus", f"a laboratory has {MAX_CPUS} CPUs, which a scenario calls 0 and 1"
        if not -20 <= command.nice <= 19:
            yield f"{path}.nice", f"{command.nice} is not between -20 and 19"
        for field, shown in (("as", command.comm), ("cgroup", command.group)):
            if told := next((word for word in GIVEAWAYS if word in shown.lower()), None):
                yield f"{path}.{field}", f"{shown!r} gives the answer away ({told!r}): use a name as real programs have"
    for (path, command), (_, other) in combinations(list(_each(scenario))[::-1], 2):
        if command.name == other.name:
            yield f"{path}.name", f"there are two commands called {command.name!r}"
    ending = {command.group for command in scenario.commands}
    for at, decoy in enumerate(scenario.decoys):
        # Commands end when the fault does, by their control group: what shares it would end with them.
        if decoy.group in ending:
            yield f"decoys[{at}]", f"decoy {decoy.name!r} shares the control group {decoy.group!r} with a command"


def _each(scenario: Scenario) -> Iterator[tuple[str, Command]]:
    for field, commands in (("commands", scenario.commands), ("decoys", scenario.decoys)):
        for at, command in enumerate(commands):
            yield f"{field}[{at}]", command
