"""Which fault accounts for which.

Owns the table of what can follow from what, and the ways in which two faults must hang together for one to be held
for the cause of the other. Refuses scores: where several would do, the caller says which is taken. Invariant: classes
follow from each other in one direction only, so that no fault is its own cause.
"""

from __future__ import annotations

from linnix.cognitod.detect.merging import Fault
from linnix.cognitod.detect.scene import Scene
from linnix.cognitod.senses import Identity

#: What a fault of this class can bring about. A fault of a process besides accounts for the same said of the host.
EXPLAINS: dict[str, tuple[str, ...]] = {
    "mem_leak": ("oom_kill", "oom_risk", "swap_thrash", "io_saturation", "hung_task"),
    "oom_kill": ("oom_risk", "swap_thrash", "io_saturation", "hung_task"),
    "oom_risk": ("swap_thrash", "io_saturation", "hung_task"),
    "swap_thrash": ("io_saturation", "hung_task"),
    "disk_full": ("fsync_storm", "io_saturation", "crash_loop", "hung_task"),
    "fsync_storm": ("io_saturation", "hung_task"),
    "io_saturation": ("hung_task",),
    "zombie_pileup": ("fork_storm", "short_job_flood", "cpu_saturation", "noisy_neighbour", "cpu_spin"),
    "crash_loop": ("short_job_flood", "fork_storm", "zombie_pileup", "cpu_saturation", "noisy_neighbour", "cpu_spin"),
    "runaway_tree": (
        "short_job_flood", "fork_storm", "oom_kill", "oom_risk", "swap_thrash", "cpu_saturation", "noisy_neighbour",
        "cpu_spin",
    ),
    "short_job_flood": ("fork_storm", "cpu_saturation", "noisy_neighbour", "cpu_spin"),
    "fork_storm": ("cpu_saturation", "noisy_neighbour", "cpu_spin"),
    "thread_leak": ("oom_kill", "oom_risk", "swap_thrash", "cpu_saturation", "noisy_neighbour"),
    "fd_leak": ("oom_risk",),
    "lock_contention": ("hung_task", "cpu_saturation", "noisy_neighbour"),
    "cgroup_throttle": ("cpu_saturation",),
    "net_flood": ("cpu_saturation", "noisy_neighbour", "cpu_spin"),
    "cpu_spin": ("cpu_saturation", "noisy_neighbour"),
    "noisy_neighbour": ("cpu_saturation",),
}  # fmt: skip

#: What whoever has such a fault waits for. What loops, starts processes or fails does so whomever it waits for.
WAITS_FOR: dict[str, tuple[str, ...]] = {
    "hung_task": ("io", "memory"),
    "io_saturation": ("io", "memory"),
    "fsync_storm": ("io",),
    "swap_thrash": ("memory",),
    "oom_risk": ("memory",),
    "oom_kill": ("memory",),
    "cpu_saturation": ("cpu",),
    "noisy_neighbour": ("cpu",),
}
#: Who waits for the cause in this share of its stall suffers from it; everybody waits a little for everybody.
MOSTLY = 0.4

#: Two ends of the same connections get files at paces that differ by no more than this.
_ONE_PACE = 0.1
#: Of the files that it would have, had it got them at this pace since it began.
_OF_ALL_ITS_LIFE = 0.7
#: Who began so much later was not there before.
_LATER_NS = 2 * 10**9

#: Classes about the memory of the whole host: whoever is named by them suffers from whoever takes it.
_MEMORY = ("oom_kill", "oom_risk", "swap_thrash")
#: Evidence that is named so is about the limit of a control group: ``memory.OF_CGROUP`` and ``cgroup_memory_pct``.
_OF_CGROUPS = "cgroup"
_TAKES_MEMORY = ("mem_leak", "oom_kill", "oom_risk")


def explains(cause: Fault, symptom: Fault, scene: Scene) -> bool:
    """Whether one accounts for the other. What is not worth an alert accounts for nothing that is."""
    if cause.severity == "info" and symptom.severity != "info":
        return False
    if cause.cls == symptom.cls:
        return (
            _the_same_of_the_host(cause, symptom) or _killed(cause, symptom, scene) or _other_end(cause, symptom, scene)
        )
    return symptom.cls in EXPLAINS.get(cause.cls, ()) and _linked(cause, symptom, scene)


def _the_same_of_the_host(cause: Fault, symptom: Fault) -> bool:
    return cause.who is not None and symptom.who is None


def _killed(cause: Fault, symptom: Fault, scene: Scene) -> bool:
    """Whether the one was killed for the memory that the other took."""
    if cause.cls != "oom_kill" or cause.who is None or symptom.who is None:
        return False
    kill = scene.kill(symptom.who)
    if kill is None or scene.identified(kill.largest) == symptom.who:
        return False
    return cause.who in (scene.identified(kill.largest), scene.identified(kill.parent))


def _other_end(cause: Fault, symptom: Fault, scene: Scene) -> bool:
    """Whether the files that the one gets are connections to those that the other opens: both get more at one pace, and
    the other began later and has done so ever since. Of a server that was started anew its files do not tell that.
    """
    process = scene.process(cause.who)
    if cause.cls != "fd_leak" or process is None or cause.who is None or symptom.who is None:
        return False
    one, other = (fault.finding.evidence.get("open_files_per_s", 0.0) for fault in (cause, symptom))
    at_one_pace = min(one, other) > 0 and abs(one - other) <= _ONE_PACE * other
    all_its_life = (process.open_files or 0) >= _OF_ALL_ITS_LIFE * one * process.age_s
    return at_one_pace and all_its_life and cause.who[1] > symptom.who[1] + _LATER_NS


def _linked(cause: Fault, symptom: Fault, scene: Scene) -> bool:
    """The symptom is of the host, of the same tree, or of someone who was measured to wait mostly for the cause."""
    one, other = cause.who, symptom.who
    if other is None:
        return not (symptom.cls in _MEMORY and _confined(symptom, scene))  # of a control group, but not known which
    if one is None:
        return False
    if scene.akin(one, other) or _waits_mostly(other, one, WAITS_FOR.get(symptom.cls, ()), scene):
        return True
    if cause.cls in _TAKES_MEMORY and symptom.cls in _MEMORY:
        return not _confined(symptom, scene) or scene.same_cgroup(one, other)
    return False


def _waits_mostly(victim: Identity, offender: Identity, resources: tuple[str, ...], scene: Scene) -> bool:
    """Whether that share of what it waits for one of these resources was for the offender and those below it."""
    shares = dict.fromkeys(resources, 0.0)
    for who, pair in scene.waits(offender):
        if who == victim and pair.resource in shares:
            shares[pair.resource] += pair.share
    return any(share >= MOSTLY for share in shares.values())


def _confined(symptom: Fault, scene: Scene) -> bool:
    """Whether what ran out was the memory of a control group, and not the host's: by the evidence, or by what is known
    of a kill that hit who is named.
    """
    if any(fact.startswith(_OF_CGROUPS) for fact in symptom.finding.evidence):
        return True
    kill = scene.kill(symptom.who)
    return kill is not None and kill.limit == "cgroup"
