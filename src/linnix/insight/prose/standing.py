"""Ranks and directions: whether who is said to be first, or to grow, is so by the facts.

Owns in what a rank may be claimed, and whither what goes. Refuses claims about several, or in several things at once.
Invariant: a direction is one that code has computed, or that a rule has found; a rank is held against every process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from linnix.insight.facts import Facts, Filesystem, Process
from linnix.insight.fields import moves
from linnix.insight.prose.claims import RefusedError
from linnix.insight.prose.clauses import Subject, Whom
from linnix.insight.prose.topics import GROWS, Tags

#: In what a rank may be claimed: of what every process has an amount.
_AMOUNT: dict[Tags, Callable[[Process], float]] = {
    frozenset(["cpu"]): lambda p: p.cpu_pct,
    frozenset(["memory"]): lambda p: float(p.rss_bytes),
    frozenset(["threads"]): lambda p: float(p.threads),
    frozenset(["disk"]): moves,
    frozenset(["read", "disk"]): lambda p: p.read_bytes_per_s or 0.0,
    frozenset(["write", "disk"]): lambda p: p.write_bytes_per_s or 0.0,
    frozenset(["send"]): lambda p: p.tx_bytes_per_s or 0.0,
    frozenset(["send", "network"]): lambda p: p.tx_bytes_per_s or 0.0,
    frozenset(["receive"]): lambda p: p.rx_bytes_per_s or 0.0,
    frozenset(["receive", "network"]): lambda p: p.rx_bytes_per_s or 0.0,
}
#: The trends of the host, by what must be said.
_TRENDS: dict[str, Tags] = {
    "cpu_pct": frozenset(["cpu"]),
    "mem_pct": frozenset(["memory"]),
    "psi_cpu": frozenset(["wait", "cpu"]),
    "psi_memory": frozenset(["wait", "memory"]),
    "psi_io": frozenset(["wait", "disk"]),
}


def check_rank(subjects: Sequence[Subject], about: Tags, text: str, facts: Facts) -> None:
    """Raises ``RefusedError`` for a rank that nobody has, or of which it is not clear who has it in what."""
    amount, subject = _AMOUNT.get(about - {"busy"}), subjects[0]
    if len(subjects) != 1 or not isinstance(subject, Process) or amount is None:
        raise RefusedError("a rank of whom, or in what, is not clear")
    amounts = [amount(process) for process in facts.processes]
    mine = amount(subject)
    if mine <= 0 or mine < max(amounts, default=0.0):
        raise RefusedError("a rank that it does not have")
    if re.search(r"\bmost of\b", text, re.IGNORECASE) and mine <= sum(amounts) / 2:
        raise RefusedError("a share that it does not have")


def check_direction(subjects: Sequence[Subject], about: Tags, direction: str, facts: Facts) -> None:
    """Raises ``RefusedError`` for a direction that the facts do not tell of the one whom the sentence is about."""
    known = list(_directions(subjects[0], facts)) if len(subjects) == 1 else []
    if (about - {"busy", "change", "lasts"}, direction) not in known:
        raise RefusedError(f"{direction} is not what the facts tell of it")


def _directions(subject: Subject, facts: Facts) -> Iterator[tuple[Tags, str]]:
    """What goes where, of one."""
    if isinstance(subject, Process):
        if subject.rss_delta_bytes:
            yield frozenset(["memory"]), "rising" if subject.rss_delta_bytes > 0 else "falling"
        for finding in facts.findings:
            if finding.process == subject.id and finding.cls in GROWS:
                yield frozenset([GROWS[finding.cls]]), "rising"
    elif isinstance(subject, Filesystem):
        if subject.fill_bytes_per_s:
            direction = "rising" if subject.fill_bytes_per_s > 0 else "falling"
            yield from ((about, direction) for about in (frozenset[str](), frozenset(["space"])))
    elif subject is Whom.HOST:
        for trend in facts.trends:
            if trend.process is None and trend.metric in _TRENDS:
                yield _TRENDS[trend.metric], trend.direction
