"""A scenario: one fault, or one look-alike of a fault, as a file describes it.

Owns the fields, their defaults, and the limits that hold for all. Refuses judgement: ``checks`` says what a scenario
must hold beyond its shape. Invariant: no scenario may use more than two cores, 4 GiB or 2 GiB of disk.
"""

from __future__ import annotations

import re

import msgspec

MAX_MEMORY_MIB = 4096
MAX_DISK_MIB = 2048
MAX_CPUS = 2
MAX_PROCESSES = 4000
MAX_PHASE_S = 3600.0
MIN_FILESYSTEM_MIB = 16
MIN_SWAP_MIB = 16
MIN_LIMIT_MIB = 8
COMM_BYTES = 15
INTERPRETERS = ("python3", "sh")
# The group of the daemon that a run starts, called as its unit is; no command may have `linnix` in a name.
OBSERVER = "linnix-cognitod.service"
UNITS = (".service", ".scope", ".slice")
PARTS = ("train", "validation", "test")
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
    shown_as: str | tuple[str, ...] = ""  # comm and argv[0]; of several, the seed draws one; default: the program's
    cgroup: str = ""  # default: one of its own, called as the command is shown
    cpus: tuple[int, ...] = (0, 1)  # the first and the second CPU that the laboratory may use
    nice: int = 0
    start_s: float = 0.0  # after the phase begins in which it runs
    cpu_quota_pct: float | None = None  # of one core, for all of its control group
    memory_limit_mib: int | None = None  # for all of its control group

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it may go by on the host; one, once a plan has drawn it."""
        called = self.shown_as or (self.interpreter if self.script else self.argv[0].rpartition("/")[2])
        each = (called,) if isinstance(called, str) else called
        return tuple(name.encode()[:COMM_BYTES].decode(errors="replace") for name in each)

    @property
    def comm(self) -> str:
        """The name it goes by on the host; of several, the first."""
        return self.names[0]

    @property
    def groups(self) -> tuple[str, ...]:
        """The names that its control group may have."""
        called = (self.cgroup,) if self.cgroup else self.names
        plain = (re.sub(r"[^A-Za-z0-9_.-]", "-", name).strip("-.") or "app" for name in called)
        return tuple(name if name.endswith(UNITS) else f"{name}.service" for name in plain)

    @property
    def group(self) -> str:
        """The name of its control group; of several, the first."""
        return self.groups[0]


class Also(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"cls": "class"}):
    """A fault that is on at the same time as that of the scenario."""

    cls: str
    culprit: str


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"cls": "class"}):
    """One file. ``commands`` run while the fault is on, ``decoys`` from the start of the warm-up to the very end."""

    name: str
    cls: str
    description: str
    commands: tuple[Command, ...]
    intensity: Intensity
    culprit: str | None = None
    decoys: tuple[Command, ...] = ()
    also: tuple[Also, ...] = ()
    part: str = "train"  # of the collection: train, validation or test
    programs: tuple[str, ...] = ()  # what really does the work of the fault
    requires: tuple[str, ...] = ()  # programs on PATH, or program:debian-package
    setup: str = ""  # for sh, before the warm-up
    filesystem_mib: int = 0  # of an ext4 of its own, told as $DISK
    swap_mib: int = 0  # of swap for the time of the run
    warm_up_s: float = 10.0
    injection_s: float = 28.0
    recovery_s: float = 7.0
    tick_s: float = 1.0
    needs: Needs = Needs()
    seeds: tuple[int, ...] = (1, 2, 3)

    @property
    def seconds(self) -> float:
        """How long a run takes, without the daemon's start."""
        return self.warm_up_s + self.injection_s + self.recovery_s

    @property
    def disk_mib(self) -> int:
        """What it may take of the disk at most: what commands write, its file system and its swap."""
        return self.needs.disk_mib + self.filesystem_mib + self.swap_mib

    @property
    def culprits(self) -> tuple[str, ...]:
        """The names of the culprit and of those of the faults beside; none where nothing is wrong."""
        first = (self.culprit,) if self.culprit is not None else ()
        return (*first, *(other.culprit for other in self.also))
