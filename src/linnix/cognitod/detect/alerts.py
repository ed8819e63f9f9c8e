"""The gate between causes and alerts.

Owns which alerts are open, cooldowns and alert ids. Refuses to judge: whatever is ranked as a cause passes. Invariants:
of one cause and culprit at most one alert is open; the cooldown is kept per rule and culprit, so that one culprit never
silences another, and no open alert silences whoever becomes graver; what is a symptom, or not worth an alert, raises
none, and what has turned out to be a symptom has none any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from linnix.cognitod.detect.causes import Cause
from linnix.cognitod.detect.rules import DEFAULT_COOLDOWN_S, Rule
from linnix.cognitod.detect.view import NS
from linnix.cognitod.model import Alert, Finding
from linnix.insight.classes import SEVERITIES

#: Offenders remembered. Beyond it those whose cooldown ends first are forgotten, and may be reported early.
MAX_KEYS = 8192
#: Pressure is an average of ten seconds, and findings stay open for ten more: for so long the symptoms of what is over
#: are no news.
AFTERMATH_NS = 30 * NS
#: What names nobody is mostly a symptom, and often found before its cause: so long it waits for one.
PATIENCE_NS = 5 * NS


@dataclass(slots=True)
class _Open:
    alert: Alert
    told: set[str]  # keys of all findings that ever told of it
    symptoms: set[str] = field(default_factory=set)  # likewise, of what it explains
    accounted_ns: int | None = None  # since when another open alert accounts for it


class Alerts:
    """Numbers the alerts of one run of the daemon, from ``alert-1``."""

    def __init__(self, rules: Iterable[Rule], host: str) -> None:
        self._cooldown_ns = {rule.name: round(rule.cooldown_s * NS) for rule in rules}
        self._host = host
        self._until: dict[str, int] = {}  # by key of a finding
        self._open: dict[str, _Open] = {}  # by key of the cause
        self._nameless: dict[str, int] = {}  # since when there is a cause that names nobody
        self._count = 0

    def use(self, rules: Iterable[Rule]) -> None:
        """Go by these rules from now on. What was told stays told: nobody is reported again for a reload."""
        self._cooldown_ns = {rule.name: round(rule.cooldown_s * NS) for rule in rules}

    def observe(self, causes: Sequence[Cause], found: Collection[str], now_ns: int) -> list[Alert]:
        """Alerts that change now: those that end, ``resolved``, and then those that begin, ``firing``.

        ``causes``: all that is wrong now. ``found``: keys of the findings that were renewed in this step; what is open
        only because it was so a while ago begins no alert.
        """
        still = set(self._named([cause for cause in causes if cause.severity != "info"]))
        ended = self._close([key for key in self._open if key not in still], now_ns)
        self._nameless = {cause.key: self._nameless.get(cause.key, now_ns) for cause in causes if cause.who is None}
        begun = [cause for cause in causes if self._begins(cause, found, now_ns)]
        # What was told until now as something milder, or of a class that says less.
        ended += self._close(self._named(begun), now_ns)
        began = [self._begin(cause, now_ns) for cause in begun]
        self._renew(causes)
        # What was told before its cause could be found: whoever is alarmed by that need not be by this.
        ended += self._hand_over(causes, now_ns)
        return ended + began

    def _begins(self, cause: Cause, found: Collection[str], now_ns: int) -> bool:
        """Whether this is news: no open alert tells of it, or it has become graver than that says."""
        if not cause.alarming or not any(key in found for key in cause.told):
            return False
        if now_ns - self._nameless.get(cause.key, -PATIENCE_NS) < PATIENCE_NS:
            return False
        telling = self._telling(cause)
        if any(_grave(open_.alert.finding.severity) >= _grave(cause.severity) for open_ in telling):
            return False
        return bool(telling) or now_ns >= self._until.get(cause.finding.key, now_ns)

    def _telling(self, cause: Cause) -> list[_Open]:
        """Open alerts of this cause, whoever spoke for it then, or of one that its finding was part of."""
        return [
            open_ for key, open_ in self._open.items() if _same(key, open_, cause) or cause.finding.key in open_.told
        ]

    def _begin(self, cause: Cause, now_ns: int) -> Alert:
        cooldown_ns = self._cooldown_ns.get(cause.rule, round(DEFAULT_COOLDOWN_S * NS))
        self._hush(cause.finding.key, now_ns, now_ns + cooldown_ns)
        self._count += 1
        alert = Alert(
            id=f"alert-{self._count}",
            finding=cause.finding,
            timestamp=_unix(cause.finding, now_ns),
            host=self._host,
        )
        self._open[cause.key] = _Open(alert, set(cause.told))
        return alert

    def _close(self, keys: Iterable[str], now_ns: int) -> list[Alert]:
        ended = []
        for key in keys:
            open_ = self._open.pop(key)
            for symptom in open_.symptoms:
                self._hush(symptom, now_ns, max(now_ns + AFTERMATH_NS, self._until.get(symptom, 0)))
            resolved_at = _unix(open_.alert.finding, now_ns)
            ended.append(replace(open_.alert, state="resolved", resolved_at=resolved_at))
        return ended

    def _named(self, causes: Sequence[Cause]) -> list[str]:
        """Keys of the open alerts that are about any of these, as they are or as they were."""
        names = {key for cause in causes for key in (cause.key, *cause.told)}
        return [key for key, open_ in self._open.items() if key in names or open_.told & names]

    def _hand_over(self, causes: Sequence[Cause], now_ns: int) -> list[Alert]:
        """End what has for a while been only about symptoms of what another open alert is about. Should that end first,
        no cooldown keeps it from being told again.
        """
        by_key = {cause.key: cause for cause in causes}
        over = []
        for key, open_ in self._open.items():
            about = [cause for cause in causes if _same(key, open_, cause)]
            above = {name for cause in about for name in _explainers(cause, by_key)}
            accounted = about and all(cause.explained_by for cause in about) and above & (self._open.keys() - {key})
            if not accounted:
                open_.accounted_ns = None
            elif open_.accounted_ns is None:
                open_.accounted_ns = now_ns
            elif now_ns - open_.accounted_ns >= PATIENCE_NS:
                over.append(key)
        for key in over:
            self._hush(self._open[key].alert.finding.key, now_ns, now_ns + AFTERMATH_NS)
        return self._close(over, now_ns)

    def _renew(self, causes: Sequence[Cause]) -> None:
        """Remember by which findings open alerts are told, and what else they explain."""
        by_key = {cause.key: cause for cause in causes}
        for key, open_ in self._open.items():
            for cause in [cause for cause in causes if _same(key, open_, cause)]:
                open_.told.update(cause.told)
                open_.symptoms.update(told for symptom in _symptoms(cause, by_key) for told in symptom.told)

    def _hush(self, key: str, now_ns: int, until_ns: int) -> None:
        """Let a finding raise no alert until then."""
        if len(self._until) >= MAX_KEYS:
            self._until = {key: until for key, until in self._until.items() if until > now_ns}
        while len(self._until) >= MAX_KEYS:
            del self._until[min(self._until, key=self._until.__getitem__)]
        self._until[key] = until_ns


def _same(key: str, open_: _Open, cause: Cause) -> bool:
    """Whether this is the cause that the alert is about. Of several processes that do the same, another may speak for
    it now: then it has another key, but is told by the same findings.
    """
    return key == cause.key or (cause.cls == open_.alert.finding.cls and not open_.told.isdisjoint(cause.told))


def _explainers(cause: Cause, by_key: Mapping[str, Cause]) -> Iterator[str]:
    """Keys of what explains it, of what explains that, and so on."""
    while cause.explained_by is not None:
        cause = by_key[cause.explained_by]
        yield cause.key


def _symptoms(cause: Cause, by_key: Mapping[str, Cause]) -> Iterator[Cause]:
    """What it explains, what that explains, and so on."""
    for key in cause.explains:
        yield by_key[key]
        yield from _symptoms(by_key[key], by_key)


def _unix(finding: Finding, now_ns: int) -> float:
    return round(finding.timestamp + (now_ns - finding.ts_ns) / NS, 3)


def _grave(severity: str) -> int:
    return SEVERITIES.index(severity)
