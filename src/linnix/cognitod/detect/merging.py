"""One fault that several rules told of becomes one fault.

Owns which classes are words for the same thing, and which of them says most. Refuses to relate faults of different
processes, but within a tree: that is ``symptoms``. Invariant: every finding is in exactly one fault, and no two
faults have the same key.

A loop around a command is seen as a fork storm, as a flood of short jobs and as a full CPU. The process is the same;
of these classes the one that says most about what to do wins, and the gravest severity stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from linnix.cognitod.detect.scene import Scene
from linnix.cognitod.model import Finding
from linnix.cognitod.senses import Identity
from linnix.insight.classes import SEVERITIES

#: What says most comes first.
SPECIFIC = (
    "oom_kill",
    "zombie_pileup",
    "crash_loop",
    "runaway_tree",
    "short_job_flood",
    "fork_storm",
    "disk_full",
    "fsync_storm",
    "thread_leak",
    "fd_leak",
    "lock_contention",
    "cgroup_throttle",
    "net_flood",
    "swap_thrash",
    "mem_leak",
    "io_saturation",
    "noisy_neighbour",
    "cpu_saturation",
    "cpu_spin",
    "oom_risk",
    "hung_task",
    "unknown",
    "normal",
)

_CPU = ("cpu_saturation", "cpu_spin")
_BIRTHS = ("runaway_tree", "short_job_flood", "fork_storm")
#: What else may be said of the process or tree of a fault of this class, and be the same fault. ``unknown`` always is.
COVERS: dict[str, tuple[str, ...]] = {
    "oom_kill": ("mem_leak", "oom_risk", "swap_thrash"),
    "zombie_pileup": ("crash_loop", *_BIRTHS, *_CPU),
    "crash_loop": (*_BIRTHS, *_CPU),
    "runaway_tree": (*_BIRTHS, *_CPU),
    "short_job_flood": (*_BIRTHS, *_CPU),
    "fork_storm": (*_BIRTHS, *_CPU),
    "disk_full": ("io_saturation",),
    "fsync_storm": ("io_saturation",),
    "thread_leak": ("mem_leak", *_CPU),
    "fd_leak": ("mem_leak",),
    "lock_contention": _CPU,
    "cgroup_throttle": _CPU,
    "net_flood": _CPU,
    "swap_thrash": ("io_saturation", "oom_risk"),
    "oom_risk": ("mem_leak",),
    "noisy_neighbour": _CPU,
    "cpu_saturation": ("cpu_spin", "noisy_neighbour"),
    "cpu_spin": ("noisy_neighbour",),
}

#: In the evidence of a risk: it is the limit of a control group that is nearly used up.
OF_LIMIT = "cgroup_memory_pct"
#: From so many living descendants on a tree grows; below, its children die as fast as they come.
_LIVING = 10
#: A flood of programs: where fewer of the forks than this run one, it is the forks.
_EXECS_PER_FORK = 0.5
#: A tree that takes this share of all cores fills them.
_FILLS = 0.85


@dataclass(frozen=True)
class Fault:
    """What is wrong with one process, one tree, or the host as a whole: the finding that says most first."""

    told: tuple[Finding, ...]

    @property
    def finding(self) -> Finding:
        """The finding that speaks for all of them."""
        return self.told[0]

    @cached_property
    def cls(self) -> str:
        """Its class."""
        return self.finding.cls

    @cached_property
    def who(self) -> Identity | None:
        """The culprit, None where it is the host as a whole."""
        return _who(self.finding)

    @cached_property
    def key(self) -> str:
        """Class and culprit: the same as long as the fault is."""
        who = self.who
        return f"{self.cls}:host" if who is None else f"{self.cls}:{who[0]}:{who[1]}"

    @cached_property
    def severity(self) -> str:
        """The gravest that was told."""
        return max((finding.severity for finding in self.told), key=SEVERITIES.index)

    @property
    def since(self) -> float:
        """When the first of it was seen, unix seconds."""
        return min(finding.timestamp for finding in self.told)


def merge(findings: Sequence[Finding], scene: Scene) -> list[Fault]:
    """The faults that these findings tell of, those with the most specific class first."""
    faults: list[list[Finding]] = []
    for finding in sorted(findings, key=lambda finding: _order(finding, scene)):
        same = next((fault for fault in faults if _same(fault[0], finding, scene)), None)
        if same is None:
            faults.append([finding])
        else:
            same.append(finding)
    return [Fault(tuple(fault)) for fault in faults]


def _order(finding: Finding, scene: Scene) -> tuple[float, int, int, int, str]:
    """What says most, then the gravest, then the lowest of a tree: what is above it may be a wrapper."""
    who = _who(finding)
    depth = 0 if who is None else scene.depth(who)
    return _place(finding, scene), -SEVERITIES.index(finding.severity), -depth, finding.ts_ns, finding.key


def _place(finding: Finding, scene: Scene) -> float:
    """How little its class says; some say less than usual unless the facts bear them out."""
    if finding.cls == "oom_risk" and OF_LIMIT in finding.evidence:
        # What grows in a group that is at its limit will be killed there, be it a leak or not.
        return SPECIFIC.index("mem_leak") - 0.5
    for cls, after, borne_out in _UNLESS:
        if finding.cls == cls and not borne_out(finding, scene):
            return SPECIFIC.index(after) + 0.5
    return SPECIFIC.index(finding.cls)


def _grows(finding: Finding, scene: Scene) -> bool:
    process = scene.process(_who(finding))
    return process is None or process.descendants >= _LIVING


def _runs_programs(_finding: Finding, scene: Scene) -> bool:
    if scene.known is None:
        return True
    activity = scene.known.activity
    return activity.execs_per_s >= _EXECS_PER_FORK * activity.forks_per_s


def _holds_up_others(finding: Finding, scene: Scene) -> bool:
    """Whether processes elsewhere were measured to wait for it, while it does not fill all cores: then whose
    neighbour it is says more than how busy it is.
    """
    who = _who(finding)
    process = scene.process(who)
    if scene.known is None or who is None or process is None:
        return True
    if max(process.cpu_pct, process.subtree_cpu_pct) >= _FILLS * 100 * scene.known.host.cores:
        return False
    return any(not scene.same_cgroup(victim, who) for victim, pair in scene.waits(who) if pair.resource == "cpu")


#: A class that comes after another one unless the facts bear it out.
_UNLESS: tuple[tuple[str, str, Callable[[Finding, Scene], bool]], ...] = (
    ("runaway_tree", "fork_storm", _grows),
    ("short_job_flood", "fork_storm", _runs_programs),
    ("noisy_neighbour", "cpu_spin", _holds_up_others),
)


def _same(first: Finding, finding: Finding, scene: Scene) -> bool:
    """Whether this finding is of the fault that the first one speaks for."""
    one, other = _who(first), _who(finding)
    if first.cls != finding.cls and finding.cls != "unknown" and finding.cls not in COVERS.get(first.cls, ()):
        return False
    if one is None or other is None:
        return one == other and first.cls == finding.cls
    if first.cls == finding.cls and scene.siblings(one, other):
        return True
    return scene.akin(one, other) and (first.cls == finding.cls or one == other or scene.alike(one, other))


def _who(finding: Finding) -> Identity | None:
    if finding.pid is None or finding.start_ns is None:
        return None
    return finding.pid, finding.start_ns
