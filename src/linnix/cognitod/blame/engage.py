"""When a meter is attached: while the host waits, and for a while after.

Owns the decision and the bookkeeping around it: attachments, what they took, how long they lasted. Refuses to measure:
the meter does, and ``Watch`` says when. Invariant: in mode ``auto`` a host that does not wait has nothing attached, and
pays one look a second; a meter that cannot be loaded or attached is told once, in its line, and never tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from linnix.cognitod.blame.meter import BlameReading, Meter, Totals, Watch
from linnix.cognitod.events import ProbeState
from linnix.cognitod.handles import distinct
from linnix.cognitod.model import CGROUP_LEVEL

log = logging.getLogger(__name__)

_NEVER_NS = 1 << 63

AUTO, ALWAYS, OFF = "auto", "always", "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to attach. Percent are of time in which something waited (PSI some)."""

    mode: str = AUTO
    threshold_pct: float = 5.0
    hold_ns: int = 30 * 10**9

    @property
    def calm_pct(self) -> float:
        """Below this the host is calm: half the threshold, so that what hovers around it does not flap."""
        return self.threshold_pct / 2


@dataclass(frozen=True, slots=True)
class Stance:
    """Whether to be attached, and since when the host has been calm meanwhile."""

    engaged: bool = False
    calm_since_ns: int | None = None


def step(stance: Stance, policy: Policy, now_ns: int, waited_pct: float) -> Stance:
    """What to do now. Attaches at the threshold; detaches once it was calm for the whole hold without a break."""
    if policy.mode != AUTO:
        return Stance(policy.mode == ALWAYS)
    if not stance.engaged:
        return Stance(waited_pct >= policy.threshold_pct)
    if waited_pct >= policy.calm_pct:
        return Stance(True)
    calm_since_ns = now_ns if stance.calm_since_ns is None else stance.calm_since_ns
    return Stance(now_ns - calm_since_ns < policy.hold_ns, calm_since_ns)


class Engagement:
    """An instrument around a meter. ``refusal`` is what the meter raises when this kernel will not have it."""

    def __init__(
        self,
        meter: Meter,
        watch: Watch,
        totals: Totals,
        policy: Policy,
        *,
        refusal: type[Exception],
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.resource = meter.resource
        self.policy = policy
        self.attachments = 0
        self.attach_ns = 0  # how long the last attachment took
        self.engaged_ns = 0  # of epochs that are over
        self.reason = "blame.mode is off" if policy.mode == OFF else ""
        self._failed = False
        self._meter = meter
        self._watch = watch
        self._totals = totals
        self._refusal = refusal
        self._clock = clock
        self._wall = wall
        self._stance = Stance()
        self._since_ns: int | None = None  # of this epoch; None while not attached
        self._collected_ns = 0

    @property
    def engaged(self) -> bool:
        """Attached now."""
        return self._since_ns is not None

    @property
    def due_ns(self) -> int:
        """The host's waiting is looked at in every sample, as long as anything would come of it."""
        return 0 if self.usable else _NEVER_NS

    @property
    def usable(self) -> bool:
        """It could be attached: neither switched off nor failed."""
        return not self.reason

    def open(self) -> None:
        """Load, so that what this kernel refuses is known from the start."""
        if self.policy.mode == OFF:
            return
        try:
            self._meter.load()
        except self._refusal as error:
            self._give_up(error)

    def collect(self, now_ns: int) -> BlameReading | None:
        """What was waited since the last call; the beginning of an epoch; or None, while nothing is attached."""
        if not self.usable:
            return None
        self._stance = step(self._stance, self.policy, now_ns, self._watch.look(now_ns))
        if self._since_ns is None:
            return self._attach() if self._stance.engaged else None
        reading = self._read(last=not self._stance.engaged)
        if not self._stance.engaged:
            self._detach()
        return reading

    def _attach(self) -> BlameReading | None:
        began_ns = self._clock()
        try:
            self._meter.attach()
        except self._refusal as error:
            self._give_up(error)
            return None
        self._since_ns = self._collected_ns = now_ns = self._clock()
        self._totals.begin()
        self.attach_ns = now_ns - began_ns
        self.attachments += 1
        return BlameReading(
            resource=self.resource,
            epoch=self.attachments,
            begin_ns=now_ns,
            end_ns=now_ns,
            wall_offset_ns=self._wall() - now_ns,
        )

    def _read(self, *, last: bool) -> BlameReading | None:
        now_ns = self._clock()
        stall = self._meter.collect(now_ns)
        if stall is None:
            return None
        at_cgroup_level = stall.pairs["level"] == CGROUP_LEVEL
        waited = self._totals.since(distinct(stall.pairs["victim_cgroup"][at_cgroup_level]))
        begin_ns, self._collected_ns = self._collected_ns, now_ns
        return BlameReading(
            resource=self.resource,
            epoch=self.attachments,
            begin_ns=begin_ns,
            end_ns=now_ns,
            wall_offset_ns=self._wall() - self._clock(),
            stall=stall,
            waited=waited,
            last=last,
        )

    def _detach(self) -> None:
        self._meter.detach()
        if self._since_ns is not None:
            self.engaged_ns += self._clock() - self._since_ns
            self._since_ns = None

    def _give_up(self, error: Exception) -> None:
        self.reason = str(error)
        self._failed = True
        log.warning("blame for %s cannot be measured: %s", self.resource, error)
        self.close()

    def states(self) -> tuple[ProbeState, ...]:
        """Its line in the table of probes."""
        since_ns = self._since_ns
        now_s = (self._clock() - since_ns) / 10**9 if since_ns is not None else 0.0
        state, reason = "on", ""
        if self._failed:
            state, reason = "failed", self.reason
        elif self.reason:
            state, reason = "off", self.reason
        elif since_ns is None:
            state, reason = "idle", f"attaches when the host waits {self.policy.threshold_pct:g} % of the time"
        return (
            replace(
                self._meter.state(),
                state=state,
                reason=reason,
                attach_ms=round(self.attach_ns / 10**6, 3) if self.attachments else None,
                attachments=self.attachments,
                attached_s=round(self.engaged_ns / 10**9 + now_s, 3),
            ),
        )

    def close(self) -> None:
        """Detach and free. Idempotent. What is closed is not opened again."""
        self._detach()
        self._meter.close()
        self._watch.close()
        self.reason = self.reason or "closed; the log says why"
