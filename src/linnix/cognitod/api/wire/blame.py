"""Blame on the wire: ``/blame`` and ``/attribution``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class BlameProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A victim or an offender, by process. ``pid`` 0 is nobody, null several that were too small to keep apart."""

    pid: int | None
    start_ns: int
    comm: str
    cgroup: str | None
    unit: str | None


class BlamePair(msgspec.Struct, frozen=True, kw_only=True):
    """How long one waited because of the other."""

    victim: BlameProcess | str
    offender: BlameProcess | str
    task_ms: float  # summed over the waiting threads
    stall_ms: float  # as PSI counts
    share: float  # of the victim's stall, 0 to 1
    kind: str  # measured inferred own_quota own_threads


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /blame``."""

    resource: str
    from_: float = msgspec.field(name="from")
    to: float
    pairs: list[BlamePair]
    attributed_ms: float
    psi_total_ms: float | None
    coverage: float
    permalink: str
    by: str
    victim: str | None
    pairs_total: int
    inferred_ms: float
    host_psi_ms: float
    waited_ms: float
    lost_ms: float
    engaged_s: float
    epochs: int
    engaged: bool
    reason: str | None


class AttributionVictim(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked about."""

    pod: str
    namespace: str


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one offender did to the victim in one stall event."""

    offender_pod: str
    offender_namespace: str
    stall_us: int  # the victim's, of the whole event
    attributed_stall_us: int | None
    blame_score: float
    timestamp: int
    cpu_share: float
    fork_count: int
    short_job_count: int
    event_id: str | None
    reason: str | UnsetType = UNSET


class Attributions(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /attribution``."""

    victim: AttributionVictim
    window_minutes: int
    from_: int = msgspec.field(name="from")
    to: int
    permalink: str
    attributions: list[Attribution]
