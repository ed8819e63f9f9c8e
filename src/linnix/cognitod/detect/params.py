"""What each detector can be told: one struct per detector, its fields the keys of the rule file.

Owns names, types and defaults of the original's detectors and of ours like them; those that read facts are in
``signs``. Refuses behaviour: the families (``counts``, ``execs``, ``usage``, ``growth``, ``pressure``) act on these.
Invariant: the original's parameters keep their names, units and meaning; ours are added.

Durations and windows are seconds, ``threshold`` has the unit its detector says.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from linnix.cognitod.detect import signs
from linnix.cognitod.detect.bounds import MAX_COUNT, Amount, Count, Params, Percent, Seconds, Window

__all__ = ["DETECTORS", "MAX_COUNT", "MAX_RUNS", "Params"]

#: Of what a pattern finds so many runs are kept: more a minute are never counted.
MAX_RUNS = 8192


class ForksPerSec(Params, frozen=True, kw_only=True, tag="forks_per_sec"):
    """Forks of the host in the last ``duration`` seconds reach ``threshold`` a second on average, and execs are at most
    ``max_exec_pct`` percent of them (ours: a build runs programs, a fork loop does not).
    """

    cls: ClassVar[str] = "fork_storm"
    threshold: Count
    duration: Window
    max_exec_pct: Percent | None = None


class ForkBurst(Params, frozen=True, kw_only=True, tag="fork_burst"):
    """Forks of the host in the last ``window_seconds`` reach ``threshold``."""

    cls: ClassVar[str] = "fork_storm"
    threshold: Count
    window_seconds: Window


class RunawayTree(Params, frozen=True, kw_only=True, tag="runaway_tree"):
    """Forks by one process and its descendants in the last ``window_seconds`` reach ``threshold``."""

    cls: ClassVar[str] = "runaway_tree"
    threshold: Count
    window_seconds: Window


class ShortJobFlood(Params, frozen=True, kw_only=True, tag="short_job_flood"):
    """Processes that ran a program and exited within ``max_exec_duration_ms`` reach ``threshold`` in the window."""

    cls: ClassVar[str] = "short_job_flood"
    threshold: Count
    window_seconds: Window
    max_exec_duration_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)] = 1000.0


class ExecRate(Params, frozen=True, kw_only=True, tag="exec_rate"):
    """Execs whose comm or filename ``regex`` finds reach ``rate_per_min``, and half of those that ended lived at most
    ``median_lifetime`` seconds.
    """

    cls: ClassVar[str] = "short_job_flood"
    regex: str
    rate_per_min: Annotated[int, msgspec.Meta(ge=1, le=MAX_RUNS)]
    median_lifetime: Seconds


class CpuPct(Params, frozen=True, kw_only=True, tag="cpu_pct"):
    """One process above ``threshold`` percent of a core, without a break, for ``duration`` seconds. Ours."""

    cls: ClassVar[str] = "cpu_spin"
    threshold: Amount
    duration: Seconds


class SubtreeCpuPct(Params, frozen=True, kw_only=True, tag="subtree_cpu_pct"):
    """A process and its descendants together above ``threshold`` percent of a core for ``duration`` seconds."""

    cls: ClassVar[str] = "cpu_spin"
    threshold: Amount
    duration: Seconds


class SystemCpuPct(Params, frozen=True, kw_only=True, tag="system_cpu_pct"):
    """The host above ``threshold_pct`` percent of all cores for ``duration`` seconds. Ours."""

    cls: ClassVar[str] = "cpu_saturation"
    threshold_pct: Percent
    duration: Seconds


class SubtreeRssMb(Params, frozen=True, kw_only=True, tag="subtree_rss_mb"):
    """Resident memory of a process and its descendants above ``threshold`` MiB for ``duration`` seconds."""

    cls: ClassVar[str] = "mem_leak"
    threshold: Amount
    duration: Seconds


class RssGrowth(Params, frozen=True, kw_only=True, tag="rss_growth"):
    """One process's resident memory grew by more than ``threshold`` MiB over ``window_seconds``, steadily; with
    ``exhausts_within_seconds`` only if at that pace available memory lasts no longer. Ours.
    """

    cls: ClassVar[str] = "mem_leak"
    threshold: Annotated[float, msgspec.Meta(gt=0)]
    window_seconds: Annotated[float, msgspec.Meta(ge=6, le=600)]
    exhausts_within_seconds: Amount = 0.0


class ZombieCount(Params, frozen=True, kw_only=True, tag="zombie_count"):
    """More than ``threshold`` dead processes that nobody reaps, for ``duration`` seconds."""

    cls: ClassVar[str] = "zombie_pileup"
    threshold: Annotated[int, msgspec.Meta(ge=0)]
    duration: Seconds


class SystemPsiCpu(Params, frozen=True, kw_only=True, tag="system_psi_cpu"):
    """Some tasks waited for a CPU in more than ``threshold_pct`` of the last 10 s, for ``duration`` seconds."""

    cls: ClassVar[str] = "cpu_saturation"
    threshold_pct: Percent
    duration: Seconds


class SystemPsiMemory(Params, frozen=True, kw_only=True, tag="system_psi_memory"):
    """All tasks waited for memory in more than ``threshold_pct`` of the last 10 s, for ``duration`` seconds."""

    cls: ClassVar[str] = "swap_thrash"
    threshold_pct: Percent
    duration: Seconds


class SystemPsiIo(Params, frozen=True, kw_only=True, tag="system_psi_io"):
    """All tasks waited for storage in more than ``threshold_pct`` of the last 10 s, for ``duration`` seconds."""

    cls: ClassVar[str] = "io_saturation"
    threshold_pct: Percent
    duration: Seconds


class Unusual(Params, frozen=True, kw_only=True, tag="unusual"):
    """A series of the host is at least ``spreads`` spreads above its median here: see ``baseline``. Ours."""

    spreads: Annotated[float, msgspec.Meta(ge=6)] = 6.0


_ALL: tuple[type[Params], ...] = (
    ForksPerSec,
    ForkBurst,
    RunawayTree,
    ShortJobFlood,
    ExecRate,
    CpuPct,
    SubtreeCpuPct,
    SystemCpuPct,
    SubtreeRssMb,
    RssGrowth,
    ZombieCount,
    SystemPsiCpu,
    SystemPsiMemory,
    SystemPsiIo,
    Unusual,
    *signs.ALL,
)

#: Every detector a rule can name.
DETECTORS: dict[str, type[Params]] = {str(params.__struct_config__.tag): params for params in _ALL}
