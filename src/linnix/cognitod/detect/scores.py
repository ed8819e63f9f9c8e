"""How likely a fault is a cause, and worth looking at first: a number between 0 and 1.

Owns the formula and its constants. Refuses what was not measured: names, history and taste play no part. Invariant:
the same fault and the same facts give the same number.

    score = severity x confidence x impact,   and of a symptom a quarter of that

``docs/findings.md`` explains it with an example.
"""

from __future__ import annotations

import math

from linnix.cognitod.detect.merging import Fault
from linnix.cognitod.detect.past import moves
from linnix.cognitod.detect.scene import Scene
from linnix.cognitod.senses import Identity
from linnix.insight.facts import Facts, Process

SEVERITY = {"info": 0.25, "low": 0.5, "medium": 0.75, "high": 1.0}
#: Confidence where the evidence just reaches its threshold; it is 1 where it is so many times as far.
AT_THRESHOLD, SURE_AT = 0.7, 4.0
#: What no number vouches for.
WITHOUT_THRESHOLD = 0.85
#: Nobody is named, or nobody can be stopped any more.
NAMELESS = 0.6
#: Somebody is held to make others wait, but nobody was measured to wait for him.
INFERRED = 0.9
#: Impact of a fault that takes nothing; it is 1 for one that takes all.
TAKES_NOTHING = 0.7
#: Of a symptom, and at most this part of its cause's score.
SYMPTOM, BELOW_CAUSE = 0.25, 0.9

#: What a class is about, of ``insight.facts.Finding.resource``.
RESOURCE = {
    "cpu_spin": "cpu",
    "cpu_saturation": "cpu",
    "noisy_neighbour": "cpu",
    "cgroup_throttle": "cpu",
    "fork_storm": "processes",
    "short_job_flood": "processes",
    "runaway_tree": "processes",
    "crash_loop": "processes",
    "zombie_pileup": "processes",
    "thread_leak": "processes",
    "mem_leak": "memory",
    "oom_risk": "memory",
    "oom_kill": "memory",
    "swap_thrash": "memory",
    "io_saturation": "io",
    "fsync_storm": "io",
    "hung_task": "io",
    "disk_full": "disk",
    "fd_leak": "files",
    "lock_contention": "locks",
    "net_flood": "network",
}
#: What others wait for when a fault is about this.
_STALLS = {"cpu": "cpu", "processes": "cpu", "memory": "memory", "io": "io", "disk": "io"}
#: Classes whose culprit is told by who waits; without a measured pair he is a guess.
_BY_WAITING = ("noisy_neighbour", "io_saturation", "swap_thrash", "disk_full")


def score(fault: Fault, scene: Scene) -> float:
    """Of the fault by itself, whatever explains it."""
    return SEVERITY[fault.severity] * _confidence(fault, scene) * _impact(fault, scene)


def victims(fault: Fault, scene: Scene) -> tuple[Identity, ...]:
    """Who was measured to wait for it, or was killed for it; those who waited longest first."""
    if fault.who is None:
        return ()
    stalls: dict[Identity, float] = {}
    wanted = _STALLS.get(RESOURCE.get(fault.cls, ""))
    for victim, pair in scene.waits(fault.who):
        if pair.resource == wanted and not scene.descends(victim, fault.who):
            stalls[victim] = stalls.get(victim, 0.0) + max(pair.stall_ms, pair.task_ms)
    if fault.cls == "oom_kill":
        for kill in scene.known.oom_kills if scene.known else ():
            killed = scene.identified(kill.process)
            if killed and killed != fault.who and scene.identified(kill.largest) == fault.who:
                stalls.setdefault(killed, math.inf)
    return tuple(sorted(stalls, key=lambda victim: (-stalls[victim], victim)))


def _confidence(fault: Fault, scene: Scene) -> float:
    confidence = _beyond(fault)
    if fault.who is None or scene.gone(fault.who):
        return confidence * NAMELESS
    if fault.cls in _BY_WAITING and not victims(fault, scene):
        return confidence * INFERRED
    return confidence


def _beyond(fault: Fault) -> float:
    """How far the first number of the evidence is from its threshold. It is the one that made the rule fire, so it is
    on the side on which it is a fault to be: below it for what is left, else above.
    """
    evidence = fault.finding.evidence
    value, threshold = next(iter(evidence.values()), 0.0), evidence.get("threshold")
    if threshold is None:
        return WITHOUT_THRESHOLD
    if min(value, threshold) <= 0:
        return 1.0 if value != threshold else AT_THRESHOLD
    far = abs(math.log(value / threshold)) / math.log(SURE_AT)
    return AT_THRESHOLD + (1 - AT_THRESHOLD) * min(far, 1.0)


def _impact(fault: Fault, scene: Scene) -> float:
    process = scene.process(fault.who)
    if scene.known is None or process is None or fault.who is None:
        return TAKES_NOTHING
    wanted = _STALLS.get(RESOURCE.get(fault.cls, ""))
    waited = max((pair.share for _, pair in scene.waits(fault.who) if pair.resource == wanted), default=0.0)
    held = _held(process, RESOURCE.get(fault.cls, ""), scene.known)
    return TAKES_NOTHING + (1 - TAKES_NOTHING) * min(max(waited, held, 0.0), 1.0)


def _held(process: Process, resource: str, known: Facts) -> float:
    """Its share of what there is; of disk and network, of what the processes that are told of move."""
    match resource:
        case "cpu" | "locks":
            return max(process.cpu_pct, process.subtree_cpu_pct) / (100.0 * known.host.cores)
        case "processes":
            return max(process.descendants, process.threads) / max(known.processes_total, 1)
        case "memory":
            return process.rss_bytes / max(known.host.mem_total_bytes, 1)
        case "io" | "disk":
            return moves(process) / max(sum(map(moves, known.processes)), 1.0)
        case "network":
            return (process.tx_bytes_per_s or 0.0) / max(sum(p.tx_bytes_per_s or 0.0 for p in known.processes), 1.0)
        case _:
            return 0.0
