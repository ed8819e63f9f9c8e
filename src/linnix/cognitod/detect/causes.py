"""From what rules found to what is wrong, the most likely cause first.

Owns the order. Refuses clocks and state: the same findings and facts give the same causes. Invariants: every finding
that is ranked is told by exactly one cause; a symptom stands below what explains it; nobody is named whom no rule
found, however busy; what is not worth an alert (severity ``info``) stands below all that is.

``docs/findings.md`` goes through the steps with an example.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from linnix.cognitod.detect.merging import Fault, merge
from linnix.cognitod.detect.scene import Scene
from linnix.cognitod.detect.scores import BELOW_CAUSE, RESOURCE, SYMPTOM, score, victims
from linnix.cognitod.detect.symptoms import explains
from linnix.cognitod.model import Finding
from linnix.cognitod.senses import Identity
from linnix.insight.classes import SEVERITIES
from linnix.insight.facts import Facts

#: Findings that are ranked, the gravest: each is compared with each, and where there are more, a rule means everybody.
MAX_RANKED = 64
#: Victims told of one cause.
MAX_VICTIMS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is wrong. ``key`` names class and culprit, and stays as long as both do."""

    key: str
    finding: (
        Finding  # what speaks for it: rule, class, culprit, message, evidence; as grave as the gravest of what was told
    )
    resource: str | None  # as insight.facts.Finding has it
    since: float  # unix seconds
    score: float  # 0..1
    victims: tuple[Identity, ...] = ()
    told: tuple[str, ...] = ()  # keys of all findings that tell of it, the speaker's first
    explains: tuple[str, ...] = ()  # keys of causes that are its symptoms
    explained_by: str | None = None

    @property
    def cls(self) -> str:
        """Its class, of ``insight.classes``."""
        return self.finding.cls

    @property
    def severity(self) -> str:
        """``info``, ``low``, ``medium`` or ``high``."""
        return self.finding.severity

    @property
    def rule(self) -> str:
        """The rule that speaks for it."""
        return self.finding.rule

    @property
    def who(self) -> Identity | None:
        """The culprit; None where it is the host as a whole."""
        pid, start_ns = self.finding.pid, self.finding.start_ns
        return None if pid is None or start_ns is None else (pid, start_ns)

    @property
    def alarming(self) -> bool:
        """Whether it is worth an alert: graver than ``info``, and no symptom of something else."""
        return self.severity != "info" and self.explained_by is None


def rank(findings: Sequence[Finding], known: Facts | None) -> tuple[Cause, ...]:
    """What is wrong by these findings. ``known``: the facts of the moment, for who hangs together with whom; without
    them only what is said of the same process is related.
    """
    scene = Scene(known)
    faults = merge(heapq.nsmallest(MAX_RANKED, findings, key=_gravity), scene)
    scores = {fault.key: score(fault, scene) for fault in faults}
    causes = [_cause(fault, scores[fault.key], scene) for fault in faults]
    return tuple(sorted(_explained(faults, causes, scene), key=_order))


def _gravity(finding: Finding) -> tuple[int, bool, int, str]:
    """Gravest first; among equals those that name a process, then the oldest."""
    return -SEVERITIES.index(finding.severity), finding.pid is None, finding.ts_ns, finding.key


def _cause(fault: Fault, own: float, scene: Scene) -> Cause:
    return Cause(
        key=fault.key,
        finding=replace(fault.finding, severity=fault.severity),
        resource=RESOURCE.get(fault.cls),
        since=fault.since,
        score=round(own, 3),
        victims=victims(fault, scene)[:MAX_VICTIMS],
        told=tuple(finding.key for finding in fault.told),
    )


def _explained(faults: Sequence[Fault], causes: Sequence[Cause], scene: Scene) -> list[Cause]:
    """The same, each symptom with its most likely cause, and with less of a score than that."""
    by: dict[str, Cause] = {}
    for symptom, told in zip(faults, causes, strict=True):
        able = [
            cause
            for fault, cause in zip(faults, causes, strict=True)
            if explains(fault, symptom, scene) and told not in _chain(cause, by)
        ]
        if able:
            by[told.key] = min(able, key=_order)
    return [
        replace(
            cause,
            score=round(_lowered(_chain(cause, by)), 3),
            explains=tuple(key for key, explainer in by.items() if explainer.key == cause.key),
            explained_by=by[cause.key].key if cause.key in by else None,
        )
        for cause in causes
    ]


def _chain(cause: Cause, by: Mapping[str, Cause]) -> list[Cause]:
    """A cause, what explains it, and so on."""
    chain = [cause]
    while (above := by.get(chain[-1].key)) is not None:
        chain.append(above)
    return chain


def _lowered(chain: Sequence[Cause]) -> float:
    """The score of the first of a chain: of its own only a part, where something explains it, and below that's."""
    lowered = chain[-1].score
    for symptom in reversed(chain[:-1]):
        lowered = min(SYMPTOM * symptom.score, BELOW_CAUSE * lowered)
    return lowered


def _order(cause: Cause) -> tuple[bool, bool, float, float, int]:
    return (
        cause.severity == "info",
        cause.explained_by is not None,
        -cause.score,
        cause.since,
        cause.finding.pid or 0,
    )
