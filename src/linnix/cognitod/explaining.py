"""Explanations that the daemon keeps: of now, for whoever asks for it, and of grave alerts.

Owns when a model is asked. Refuses to ask on a request: whoever asks gets what is there, the rules' text at least.
Invariants: one question at a time; none about now more often than every ``EVERY_S`` seconds, nor unless somebody asked
lately, nor while the host is short of CPU; an alert waits for none of these. What is kept has passed its check, and is
shown only while the same is wrong. Facts go to no other host while the daemon is offline.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from linnix.cognitod.config import Reasoner
from linnix.cognitod.model import Alert
from linnix.insight import rules_text
from linnix.insight.answer import Insight
from linnix.insight.catalogue.causes import UNEASY_PCT
from linnix.insight.facts import Facts, Finding

if TYPE_CHECKING:  # an HTTP client is loaded when it is needed, which on many hosts is never
    from linnix.insight.asking.question import Endpoint
    from linnix.insight.asking.session import Outcome

log = logging.getLogger(__name__)

EVERY_S = 15.0
#: Figures of an explanation age: after so long it is made anew, if somebody asks.
KEEP_S = 60.0
#: Until it is, it is shown for so long; then the rules' text of now is better.
SHOW_S = 120.0
#: From here on others need the CPU more than an explanation that nobody waits for: percent, PSI and of all cores.
BUSY_PSI_PCT, BUSY_CPU_PCT = 20.0, 85.0
#: How often it is looked whether that is over, and for how long.
AGAIN_S, GIVE_UP_S = 2.0, 60.0
#: Alerts graver than this are explained; of more than so many at once the oldest are not.
ABOVE = "medium"
MAX_WAITING = 16

#: What is wrong: class, severity and process of each finding that is worth an alarm, and whether something waits for
#: memory or storage though no rule objects, since nobody says then that all is well.
Key = tuple[tuple[str, str, int | None, int | None], ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """An explanation, what it is of, and since when it is there (monotonic seconds). None: the model had none, so the
    rules speak, of the facts of now.
    """

    insight: Insight | None
    key: Key
    at: float
    timestamp: float  # of its facts, unix seconds


class Explaining:
    """What there is to say about this host."""

    def __init__(
        self,
        facts: Callable[[], Facts],
        config: Reasoner,
        *,
        offline: bool,
        attach: Callable[[str, Insight], None],
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        on_shown: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``attach`` is given the id of an alert and its explanation; ``on_outcome`` hears of every question,
        ``on_shown`` whether somebody who asked got what was ``kept`` or the ``rules``' text.
        """
        self._facts = facts
        self._config = config
        self._offline = offline
        self._attach = attach
        self._on_outcome = on_outcome
        self._on_shown = on_shown
        self._kept: Kept | None = None
        self._wanted = False
        self._asked_at = -EVERY_S
        self._alerts: deque[Alert] = deque(maxlen=MAX_WAITING)
        self._woken = asyncio.Event()

    def now(self) -> tuple[Insight, float]:
        """The explanation of now, and of when its facts are (unix seconds). ``LookupError`` before the first sample."""
        facts = self._facts()
        kept, age_s = self._kept, self._age_s(facts)
        if age_s > KEEP_S and self._endpoint is not None:
            self._wanted = True
            self._woken.set()
        if kept is not None and kept.insight is not None and age_s <= SHOW_S:
            self._on_shown("kept")
            return kept.insight, kept.timestamp
        self._on_shown("rules")
        return rules_text.explain(facts), facts.timestamp

    def on_alert(self, alert: Alert) -> None:
        """Explain it in the background, if it is grave and begins."""
        if alert.state == "firing" and alert.finding.severity not in ("info", "low", ABOVE):
            self._alerts.append(alert)
            self._woken.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                while self._alerts:
                    await self._explain_alert(self._alerts.popleft())
                if self._wanted:
                    self._wanted = False
                    await self._explain_now()
            except Exception:  # what is seen and found must go on being told
                log.exception("an explanation could not be made")
                if self._alerts:
                    self._woken.set()

    def _age_s(self, facts: Facts) -> float:
        """Of what is kept; infinite where that is of something else."""
        kept = self._kept
        return math.inf if kept is None or kept.key != key_of(facts) else time.monotonic() - kept.at

    @cached_property
    def _endpoint(self) -> Endpoint | None:
        """Whom to ask, None for nobody."""
        from linnix.insight.asking.errors import AddressError
        from linnix.insight.asking.question import Endpoint, parse_endpoint

        config = self._config
        if not config.enabled or not config.endpoint:
            return None
        try:
            url = parse_endpoint(config.endpoint, "reasoner.endpoint")
        except AddressError as error:
            log.warning("no model is asked: %s", error)
            return None
        if self._offline and not url.on_loopback:
            return None
        return Endpoint(url, config.model, config.api_key)

    async def _explain_alert(self, alert: Alert) -> None:
        facts = first(self._facts(), alert)
        if facts is None:
            return  # it is over, and an explanation of something else would be none
        insight = await self._ask(facts)
        if not is_about(insight, alert):  # the model may see another cause in it: then the rules speak of this one
            insight = rules_text.explain(facts)
        if is_about(insight, alert):
            self._attach(alert.id, insight)

    async def _explain_now(self) -> None:
        gives_up = time.monotonic() + GIVE_UP_S
        while not self._alerts:
            facts = self._facts()
            if self._age_s(facts) <= KEEP_S:  # it was asked for once more while it was being made
                return
            if time.monotonic() - self._asked_at >= EVERY_S and not busy(facts):
                insight = await self._ask(facts)
                said = insight if insight.source == "model" else None
                self._kept = Kept(said, key_of(facts), time.monotonic(), facts.timestamp)
                return
            if time.monotonic() > gives_up:
                return
            await asyncio.sleep(AGAIN_S)
        self._wanted = True  # an alert comes first
        self._woken.set()

    async def _ask(self, facts: Facts) -> Insight:
        """The model's explanation, or the rules' where there is none."""
        endpoint = self._endpoint
        if endpoint is None:
            return rules_text.explain(facts)
        from linnix.insight.asking.session import Session

        self._asked_at = time.monotonic()
        session = Session(facts, endpoint, timeout_s=self._config.timeout_ms / 1000)
        try:
            outcome = await asyncio.to_thread(session.run)
        finally:
            session.close()
        self._on_outcome(outcome)
        return outcome.insight


def key_of(facts: Facts) -> Key:
    """What is wrong, so that it can be told whether it is still the same."""
    processes = {process.id: process for process in facts.processes}

    def of(finding: Finding) -> tuple[str, str, int | None, int | None]:
        who = processes.get(finding.process or "")
        return finding.cls, finding.severity, who.pid if who else None, who.start_ns if who else None

    psi = facts.pressure
    waits = (("memory", psi.memory_some_pct, UNEASY_PCT), ("storage", psi.io_some_pct, 2 * UNEASY_PCT))
    uneasy = tuple((name, "", None, None) for name, value, least in waits if (value or 0.0) >= least)
    return tuple(of(finding) for finding in facts.findings if finding.severity != "info") or uneasy


def busy(facts: Facts) -> bool:
    """Whether others need the CPU that a model would take."""
    return (facts.pressure.cpu_some_pct or 0.0) >= BUSY_PSI_PCT or facts.host.cpu_pct >= BUSY_CPU_PCT


def first(facts: Facts, alert: Alert) -> Facts | None:
    """The same facts with what the alert is about as the first of their findings; None where it no longer is one."""
    who = alert.finding.pid, alert.finding.start_ns
    processes = {process.id: (process.pid, process.start_ns) for process in facts.processes}

    def other(finding: Finding) -> bool:
        return finding.cls != alert.finding.cls or processes.get(finding.process or "", (None, None)) != who

    if all(other(finding) for finding in facts.findings):
        return None
    return msgspec.structs.replace(facts, findings=tuple(sorted(facts.findings, key=other)))


def is_about(insight: Insight, alert: Alert) -> bool:
    """Whether it explains this alert and nothing else."""
    who = insight.primary_process
    return insight.cls == alert.finding.cls and (who.pid if who else None) == alert.finding.pid
