"""What detectors that read facts can be told: one struct each, all of them ours.

Owns names, types and defaults; what is normal, and where the numbers come from, stands in ``default.yaml``. Refuses
behaviour: ``by_facts`` knows which module acts on which of these. Invariant: none of these fires on facts that do not
tell what it looks at.

Durations and windows are seconds, ``threshold`` has the unit its detector says, CPU is percent of one core.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from linnix.cognitod.detect.bounds import MAX_COUNT, Amount, Count, Params, Percent, Seconds, Seen, Window
from linnix.cognitod.senses import NEARLY_FULL_PCT

#: Of one program so many ends are kept: more failures are never counted.
MAX_ENDS = 256

Programs = Annotated[int, msgspec.Meta(ge=1, le=16)]


class CpuSpin(Params, frozen=True, kw_only=True, tag="cpu_spin"):
    """A process wants at least ``threshold`` percent of a core for ``duration`` seconds, and does nothing else: of
    switches, page faults and KiB to or from disks at most so many in each second of CPU time.
    """

    cls: ClassVar[str] = "cpu_spin"
    threshold: Amount
    duration: Seen
    max_switches_per_s: Amount = 15.0
    max_faults_per_s: Amount = 20.0
    max_io_kib_per_s: Amount = 32.0


class CpuSaturation(Params, frozen=True, kw_only=True, tag="cpu_saturation"):
    """Processes of one tree want at least ``threshold_pct`` percent of all cores for ``duration`` seconds, and nobody
    is the wiser for what they compute: of switches, page faults and KiB to or from disks at most so many in each second
    of CPU time. What works is not told unless the cores are full or others wait in ``min_pressure_pct`` of the time.
    """

    cls: ClassVar[str] = "cpu_saturation"
    threshold_pct: Percent
    duration: Seen
    min_pressure_pct: Percent = 15.0
    max_switches_per_s: Amount = 50.0
    max_faults_per_s: Amount = 2000.0
    max_io_kib_per_s: Amount = 32.0


class NoisyNeighbour(Params, frozen=True, kw_only=True, tag="noisy_neighbour"):
    """A process that uses at most ``victim_pct`` of a core waits ``threshold_pct`` of the time, ``share_pct`` of it
    for one tree of another cgroup that uses at least ``hog_pct``.
    """

    cls: ClassVar[str] = "noisy_neighbour"
    threshold_pct: Percent
    duration: Seconds
    share_pct: Percent = 50.0
    hog_pct: Amount = 60.0
    victim_pct: Amount = 60.0


class CgroupThrottle(Params, frozen=True, kw_only=True, tag="cgroup_throttle"):
    """Processes of a cgroup, not always the same, were held back by its quota in ``threshold_pct`` of the last 10 s,
    for ``duration`` seconds.
    """

    cls: ClassVar[str] = "cgroup_throttle"
    threshold_pct: Percent
    duration: Seconds


class ShortJobLoop(Params, frozen=True, kw_only=True, tag="short_job_loop"):
    """Programs that one living process started and that ended within a second reach ``threshold`` a second over
    ``duration`` seconds; they are ``share_pct`` of all that those below it ran, and at most ``programs`` names make up
    four fifths of them.
    """

    cls: ClassVar[str] = "short_job_flood"
    threshold: Count
    duration: Window
    share_pct: Percent = 50.0
    programs: Programs = 3


class CrashLoop(Params, frozen=True, kw_only=True, tag="crash_loop"):
    """One program of one parent failed ``threshold`` times in ``window_seconds``, over at least ``duration`` seconds,
    in ``failing_pct`` of its ends, and at most ``max_per_s`` times a second.
    """

    cls: ClassVar[str] = "crash_loop"
    threshold: Annotated[int, msgspec.Meta(ge=2, le=MAX_ENDS)]
    duration: Seconds
    window_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 20.0
    failing_pct: Percent = 90.0
    max_per_s: Amount = 10.0


class MemLeak(Params, frozen=True, kw_only=True, tag="mem_leak"):
    """A process's anonymous memory grew steadily for ``duration`` seconds, by ``threshold`` MiB a second and
    ``grown_mib`` in all; with ``exhausts_within_seconds`` only if at that pace available memory lasts no longer.
    """

    cls: ClassVar[str] = "mem_leak"
    threshold: Annotated[float, msgspec.Meta(gt=0)]
    duration: Seen
    grown_mib: Amount = 24.0
    exhausts_within_seconds: Amount = 0.0


class Gauge(Params, frozen=True, kw_only=True):
    """Something that a process has grew steadily for ``duration`` seconds, by ``threshold`` a second and ``grown``."""

    threshold: Annotated[float, msgspec.Meta(gt=0)]
    duration: Seen
    grown: Amount


class FdLeak(Gauge, frozen=True, kw_only=True, tag="fd_leak"):
    """Its open files, ``least`` of them at the end: fewer are what a server opens for its first client."""

    cls: ClassVar[str] = "fd_leak"
    grown: Amount = 30.0
    least: Amount = 64.0


class ThreadLeak(Gauge, frozen=True, kw_only=True, tag="thread_leak"):
    """Its threads."""

    cls: ClassVar[str] = "thread_leak"
    grown: Amount = 12.0


class TreeGrowth(Gauge, frozen=True, kw_only=True, tag="tree_growth"):
    """Its living descendants."""

    cls: ClassVar[str] = "runaway_tree"
    grown: Amount = 12.0


class ZombieGrowth(Gauge, frozen=True, kw_only=True, tag="zombie_growth"):
    """Its dead children that it has not reaped; or there have been more than ``standing`` all the time."""

    cls: ClassVar[str] = "zombie_pileup"
    grown: Amount = 10.0
    standing: Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] = 100


class OomRisk(Params, frozen=True, kw_only=True, tag="oom_risk"):
    """Less than ``threshold_pct`` percent of the host's memory is available, or ``cgroup_pct`` of a memory limit is
    used, or 80 % of one of which the rest lasts no longer than a minute at its pace, for ``duration`` seconds.
    """

    cls: ClassVar[str] = "oom_risk"
    threshold_pct: Percent
    duration: Seconds
    cgroup_pct: Percent = 90.0


class OomKill(Params, frozen=True, kw_only=True, tag="oom_kill"):
    """The kernel killed at least ``threshold`` processes for memory in the last ``window_seconds``, at most 600."""

    cls: ClassVar[str] = "oom_kill"
    threshold: Count
    window_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)]


class SwapThrash(Params, frozen=True, kw_only=True, tag="swap_thrash"):
    """For ``duration`` seconds some tasks waited for memory in ``threshold_pct`` of the time, while ``min_mib_per_s``
    were swapped, reclaimed by those who wanted memory, or read again. At most ``medium`` without such waiting:
    ``both_mib_per_s`` were swapped out and as many in; or so many were read again, and one process had
    ``faults_per_s`` major faults.
    """

    cls: ClassVar[str] = "swap_thrash"
    threshold_pct: Percent
    duration: Seconds
    min_mib_per_s: Amount = 2.0
    both_mib_per_s: Amount = 8.0
    faults_per_s: Amount = 1000.0


class IoSaturation(Params, frozen=True, kw_only=True, tag="io_saturation"):
    """Some tasks waited for storage in ``threshold_pct`` of the time, or a disk was busy in ``busy_pct``, for
    ``duration`` seconds. Not above ``info`` unless others wait for the culprit, or all do in ``full_pct``.
    """

    cls: ClassVar[str] = "io_saturation"
    threshold_pct: Percent
    duration: Seconds
    busy_pct: Percent = 80.0
    full_pct: Percent = 30.0


class FsyncStorm(Params, frozen=True, kw_only=True, tag="fsync_storm"):
    """A process that uses at most ``max_cpu_pct`` was found in fsync or the like in ``threshold_pct`` of the looks, for
    ``duration`` seconds; or processes of one tree and cgroup synced ``syncs_per_s`` times a second for so long, and
    storage was slow or busy.
    """

    cls: ClassVar[str] = "fsync_storm"
    threshold_pct: Percent
    duration: Seconds
    max_cpu_pct: Amount = 60.0
    syncs_per_s: Amount = 50.0


class DiskFull(Params, frozen=True, kw_only=True, tag="disk_full"):
    """A file system is used to ``threshold_pct``, of bytes or inodes; or to ``filling_from_pct`` and full within
    ``full_within_seconds`` at the pace it fills. Facts tell of none that is used to less and fills slowly.
    """

    cls: ClassVar[str] = "disk_full"
    threshold_pct: Annotated[float, msgspec.Meta(ge=NEARLY_FULL_PCT, le=100)]
    full_within_seconds: Amount
    filling_from_pct: Percent = 80.0


class HungTask(Params, frozen=True, kw_only=True, tag="hung_task"):
    """A thread has been in uninterruptible sleep for ``threshold`` seconds without a break."""

    cls: ClassVar[str] = "hung_task"
    threshold: Seconds


class LockContention(Params, frozen=True, kw_only=True, tag="lock_contention"):
    """Threads waited for one lock in ``threshold_pct`` of the looks for ``duration`` seconds, ``waiters`` at once."""

    cls: ClassVar[str] = "lock_contention"
    threshold_pct: Percent
    duration: Seconds
    waiters: Count = 3


class NetFlood(Params, frozen=True, kw_only=True, tag="net_flood"):
    """A process sent ``threshold`` MB a second, or ``calls_per_s`` times, or connected ``connects_per_s`` times, over
    ``duration`` seconds: ``times`` as much as any other and as it was sent in answer.
    """

    cls: ClassVar[str] = "net_flood"
    threshold: Annotated[float, msgspec.Meta(gt=0)]
    duration: Seen
    calls_per_s: Amount = 20_000.0
    connects_per_s: Amount = 500.0
    times: Annotated[float, msgspec.Meta(ge=1)] = 4.0


ALL: tuple[type[Params], ...] = (
    CpuSpin,
    CpuSaturation,
    NoisyNeighbour,
    CgroupThrottle,
    ShortJobLoop,
    CrashLoop,
    MemLeak,
    FdLeak,
    ThreadLeak,
    TreeGrowth,
    ZombieGrowth,
    OomRisk,
    OomKill,
    SwapThrash,
    IoSaturation,
    FsyncStorm,
    DiskFull,
    HungTask,
    LockContention,
    NetFlood,
)
