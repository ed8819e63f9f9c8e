"""From the parameters of ``signs`` to the detectors that act on them.

Owns the pairing. Refuses parameters of others: those are the engine's. Invariant: every struct of ``signs`` has one.
"""

from __future__ import annotations

from linnix.cognitod.detect import (
    cores,
    crashes,
    full_disks,
    held_up,
    job_loops,
    leaks,
    memory,
    neighbours,
    network,
    signs,
    storage,
    thrash,
)
from linnix.cognitod.detect.bounds import Params
from linnix.cognitod.detect.view import Detector


def by_facts(params: Params) -> Detector:
    """The detector that acts on these parameters. Raises ``TypeError`` where there is none."""
    match params:
        case signs.CpuSpin():
            return cores.Spin(params)
        case signs.CpuSaturation():
            return cores.Saturation(params)
        case signs.NoisyNeighbour():
            return neighbours.Neighbours(params)
        case signs.CgroupThrottle():
            return neighbours.Throttled(params)
        case signs.ShortJobLoop():
            return job_loops.JobLoops(params)
        case signs.CrashLoop():
            return crashes.Crashes(params)
        case signs.MemLeak():
            return leaks.Memory(params)
        case signs.FdLeak():
            return leaks.open_files(params)
        case signs.ThreadLeak():
            return leaks.threads(params)
        case signs.TreeGrowth():
            return leaks.descendants(params)
        case signs.ZombieGrowth():
            return leaks.zombies(params)
        case signs.OomRisk():
            return memory.Risk(params)
        case signs.OomKill():
            return memory.Kill(params)
        case signs.SwapThrash():
            return thrash.Thrash(params)
        case signs.IoSaturation():
            return storage.Saturation(params)
        case signs.FsyncStorm():
            return storage.Syncs(params)
        case signs.DiskFull():
            return full_disks.Full(params)
        case signs.HungTask():
            return held_up.Hung(params)
        case signs.LockContention():
            return held_up.Locks(params)
        case signs.NetFlood():
            return network.Flood(params)
        case _:
            raise TypeError(f"no detector for {type(params).__name__}")
