"""Findings on the wire: the fields of ``/findings``. Refuses values, as all of ``wire``."""

from __future__ import annotations

import msgspec


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A process, by what tells it from all others and by where it lives."""

    pid: int
    start_ns: int
    comm: str | None
    unit: str | None
    cgroup: str | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One number that a rule judged by."""

    id: str  # E1 …, unique over the whole answer
    fact: str
    value: float
    unit: str
    threshold: float | None  # what the first number was held against; null of the others


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, a cause or a symptom."""

    id: str
    class_: str = msgspec.field(name="class")
    severity: str  # info low medium high
    score: float
    process: Party | None  # null: the host as a whole
    resource: str | None
    since: float  # unix seconds
    victims: list[Party]
    evidence: list[Evidence]
    explains: list[str]  # ids
    rule: str
    message: str
    labels: dict[str, str]
    runbook: str | None
