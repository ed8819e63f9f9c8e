"""Causes as findings of ``insight.facts``.

Owns their short ids and how many are told. Refuses to order them: they come ranked. Invariant: every id that is
referred to exists, in these findings or among the processes that ``ids`` names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linnix.cognitod.detect.causes import Cause
from linnix.cognitod.detect.scene import identity
from linnix.cognitod.senses import Identity
from linnix.insight import facts as wire

MAX_FINDINGS = 16


def findings(causes: Sequence[Cause], known: wire.Facts) -> tuple[wire.Finding, ...]:
    """The first of them, ``F1`` being the most likely cause; processes by the ids that they have in these facts."""
    ids = {identity(process): process.id for process in known.processes}
    chosen = causes[:MAX_FINDINGS]
    numbers = {cause.key: f"F{number}" for number, cause in enumerate(chosen, 1)}
    return tuple(_finding(cause, ids, numbers) for cause in chosen)


def _finding(cause: Cause, ids: Mapping[Identity, str], numbers: Mapping[str, str]) -> wire.Finding:
    return wire.Finding(
        id=numbers[cause.key],
        cls=cause.cls,
        severity=cause.severity,
        rule=cause.rule,
        process=None if cause.who is None else ids.get(cause.who),
        since=cause.since,
        message=cause.finding.message,
        evidence=dict(cause.finding.evidence),
        resource=cause.resource,
        score=cause.score,
        victims=tuple(ids[victim] for victim in cause.victims if victim in ids),
        explains=tuple(numbers[key] for key in cause.explains if key in numbers),
    )
