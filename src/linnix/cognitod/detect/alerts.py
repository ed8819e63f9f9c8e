"""The gate between findings and alerts.

Owns cooldowns and alert ids. Refuses to judge: whatever is found passes, but not twice within its rule's cooldown.
Invariant: the cooldown is kept per rule and offender, so that one offender never silences another.
"""

from __future__ import annotations

from collections.abc import Iterable

from linnix.cognitod.detect.rules import DEFAULT_COOLDOWN_S, Rule
from linnix.cognitod.detect.view import NS
from linnix.cognitod.model import Alert, Finding

#: Offenders remembered. Beyond it those whose cooldown ends first are forgotten, and may be reported early.
MAX_KEYS = 8192


class Alerts:
    """Numbers the alerts of one run of the daemon, from ``alert-1``."""

    def __init__(self, rules: Iterable[Rule], host: str) -> None:
        self._cooldown_ns = {rule.name: round(rule.cooldown_s * NS) for rule in rules}
        self._host = host
        self._until: dict[str, int] = {}
        self._count = 0

    def use(self, rules: Iterable[Rule]) -> None:
        """Go by these rules from now on. What was told stays told: nobody is reported again for a reload."""
        self._cooldown_ns = {rule.name: round(rule.cooldown_s * NS) for rule in rules}

    def admit(self, finding: Finding, now_ns: int) -> Alert | None:
        """The alert of this finding; None within the cooldown of the last one of the same rule and offender."""
        until = self._until.get(finding.key)
        if until is not None and now_ns < until:
            return None
        self._forget(now_ns)
        cooldown_ns = self._cooldown_ns.get(finding.rule, round(DEFAULT_COOLDOWN_S * NS))
        self._until[finding.key] = now_ns + cooldown_ns
        self._count += 1
        timestamp = round(finding.timestamp + (now_ns - finding.ts_ns) / NS, 3)
        return Alert(id=f"alert-{self._count}", finding=finding, timestamp=timestamp, host=self._host)

    def _forget(self, now_ns: int) -> None:
        if len(self._until) < MAX_KEYS:
            return
        self._until = {key: until for key, until in self._until.items() if until > now_ns}
        while len(self._until) >= MAX_KEYS:
            del self._until[min(self._until, key=self._until.__getitem__)]
