"""What becomes of findings: ranked causes, and alerts that begin and end.

Owns the causes of now, the alerts that are remembered, and what was found by no rule, as a kill for memory. Refuses to
detect (the engine does) and to rank (``detect.causes`` does). Invariant: whatever is told as an alert was a cause that
nothing else explains, and its end is told as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from linnix.cognitod.detect import Alerts, Engine, causes
from linnix.cognitod.detect.causes import Cause
from linnix.cognitod.detect.rules import Rule
from linnix.cognitod.model import Alert, Finding, Home
from linnix.cognitod.senses import Identity
from linnix.insight.answer import Insight
from linnix.insight.facts import Facts

#: The facts of one sample, with these among their processes.
Tell = Callable[[Sequence[Identity]], Facts]

MAX_ALERTS = 1000
#: For how long a kill is a finding: it is over at once, but what led to it mostly is not.
KEEP_NS = 60 * 10**9
MAX_NOTED = 64


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at when nothing was found, or something."""

    rules: int
    detectors: int  # of different kinds
    processes: int
    judged_at: float | None = None  # unix seconds; None until the first sample


class Judging:
    """Rules at work, what they say is wrong, and who was told."""

    def __init__(self, engine: Engine, gate: Alerts, home_of: Callable[[int, int], Home]) -> None:
        self.engine = engine
        self.causes: tuple[Cause, ...] = ()
        self.alerts_total = 0
        self.checked = self._checked(0, None)
        self._gate = gate
        self._home_of = home_of
        self._alerts: dict[str, Alert] = {}  # by id, the oldest first
        self._noted: list[Finding] = []
        self._kept: dict[str, tuple[Finding, int]] = {}  # with the time until which
        self._around: tuple[Tell, list[Identity], Facts] | None = None
        self._fresh: set[str] = set()  # keys of those that were not weighed yet

    @property
    def alerts(self) -> list[Alert]:
        """The last ``MAX_ALERTS``, the oldest first, each in its state of now."""
        return list(self._alerts.values())

    @property
    def open_alerts(self) -> list[Alert]:
        """Those that are not over."""
        return [alert for alert in self._alerts.values() if alert.state == "firing"]

    def use(self, rules: Sequence[Rule]) -> None:
        """Go by these rules from now on, and keep what is known of those that stay the same."""
        self.engine.use(rules)
        self._gate.use(rules)

    def note(self, finding: Finding, off: Collection[str] = ()) -> None:
        """Take in what somebody else than a rule found, to be judged with the next sample. Where a rule looks for the
        same class it speaks alone: it knows who is behind it. ``off``: classes of rules that somebody switched off, and
        who does so wants to hear nothing of them.
        """
        if finding.cls in off or any(rule.params.cls == finding.cls for rule in self.engine.rules):
            return
        self._noted = [*self._noted, finding][-MAX_NOTED:]

    def open_findings(self, now_ns: int) -> list[Finding]:
        """All that holds now."""
        kept = [finding for finding, until_ns in self._kept.values() if until_ns > now_ns]
        return [*self.engine.open_findings(now_ns), *kept]

    def weigh(self, found: Sequence[Finding], known: Facts | None, tell: Tell | None, now_ns: int) -> list[Alert]:
        """Rank what holds after a step of the engine that found ``found``. Returns alerts that began or ended.

        ``known`` are the facts of the last sample; ``tell`` gives the same with culprits among their processes.
        """
        findings = self.open_findings(now_ns)
        self.causes = causes.rank(findings, self._known(findings, known, tell))
        fresh, self._fresh = self._fresh | {finding.key for finding in found}, set()
        changed = self._gate.observe(self.causes, fresh, now_ns)
        return [self.remember(alert) for alert in changed]

    def sampled(self, timestamp: float, processes: int, now_ns: int) -> None:
        """There is a new sample, of so many processes: what was noted since the last one is weighed with it."""
        self.checked = self._checked(processes, timestamp)
        self._kept = {key: (finding, until) for key, (finding, until) in self._kept.items() if until > now_ns}
        self._kept |= {finding.key: (finding, now_ns + KEEP_NS) for finding in self._noted}
        self._fresh |= {finding.key for finding in self._noted}
        self._noted = []

    def remember(self, alert: Alert) -> Alert:
        """Keep an alert, or its end; the same, with where its culprit lives."""
        before = self._alerts.get(alert.id)
        if before is not None:
            alert = replace(alert, home=before.home, explanation=before.explanation)
        else:
            self.alerts_total += 1
            if alert.finding.pid is not None and alert.finding.start_ns is not None:
                alert = replace(alert, home=self._home_of(alert.finding.pid, alert.finding.start_ns))
        self._alerts[alert.id] = alert
        _drop_oldest(self._alerts, MAX_ALERTS)
        return alert

    def explain(self, alert_id: str, explanation: Insight) -> None:
        """Keep an explanation with its alert, if that is still remembered."""
        alert = self._alerts.get(alert_id)
        if alert is not None:
            self._alerts[alert_id] = replace(alert, explanation=explanation)

    def _known(self, findings: Sequence[Finding], known: Facts | None, tell: Tell | None) -> Facts | None:
        """Facts that name every culprit, gathered again only where those of the sample do not: that costs more than
        ranking.
        """
        if not findings or known is None or tell is None:
            self._around = None
            return None
        culprits = sorted({(f.pid, f.start_ns) for f in findings if f.pid is not None and f.start_ns is not None})
        named = {(process.pid, process.start_ns) for process in known.processes}
        if named.issuperset(culprits):
            return known
        if self._around is None or self._around[:2] != (tell, culprits):
            self._around = tell, culprits, tell(culprits)
        return self._around[2]

    def _checked(self, processes: int, judged_at: float | None) -> Checked:
        rules = self.engine.rules
        return Checked(len(rules), len({type(rule.params) for rule in rules}), processes, judged_at)


def _drop_oldest(alerts: dict[str, Alert], limit: int) -> None:
    """The oldest that are over go first; an open one is not forgotten while there are others."""
    while len(alerts) > limit:
        over: Collection[str] = [key for key, alert in alerts.items() if alert.state != "firing"]
        del alerts[next(iter(over or alerts))]
