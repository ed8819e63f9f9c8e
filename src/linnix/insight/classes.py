"""The one table of classes and severities, used by rules, findings, facts, model and documents.

Owns the spelling. Refuses thresholds: those belong to detectors and to the catalogue's predicates.
"""

from __future__ import annotations

CLASSES: dict[str, str] = {
    "cpu_spin": "one thread looping",
    "cpu_saturation": "a process fills the cores",
    "noisy_neighbour": "another cgroup's processes make this one wait",
    "cgroup_throttle": "held back by its own CPU quota",
    "fork_storm": "a process forks without pause",
    "short_job_flood": "many processes live less than a second",
    "runaway_tree": "a process tree grows without end",
    "crash_loop": "a process dies and is started again",
    "mem_leak": "a process's memory grows without end",
    "oom_risk": "memory is nearly used up",
    "oom_kill": "the kernel killed a process for memory",
    "swap_thrash": "swapping or reclaim holds processes up",
    "io_saturation": "storage holds processes up",
    "fsync_storm": "frequent syncs hold processes up",
    "disk_full": "a file system is full or filling",
    "fd_leak": "a process's open files grow without end",
    "thread_leak": "a process's threads grow without end",
    "zombie_pileup": "dead children are not reaped",
    "hung_task": "a process is stuck in the kernel",
    "lock_contention": "threads wait for each other",
    "net_flood": "network traffic out of proportion",
    "normal": "nothing is wrong",
    "unknown": "something is wrong that no class fits",
}

SEVERITIES: tuple[str, ...] = ("info", "low", "medium", "high")
