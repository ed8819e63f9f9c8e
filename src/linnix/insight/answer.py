"""What an explanation is once it has been checked: the values that the reasoner prints and the API serves.

Owns the public JSON of an insight. Refuses to make one: ``verify`` and ``rules_text`` do. Invariant: ``verified`` is
true only where every clause, process and action has passed its predicate over the facts.
"""

from __future__ import annotations

import msgspec


class Sentence(msgspec.Struct, frozen=True):
    """One clause of the catalogue, filled in. ``slot`` is its place in the answer, ``action`` for a recommendation."""

    clause: str
    slot: str
    text: str


class Evidence(msgspec.Struct, frozen=True):
    """A figure: ``ref`` names it in Facts (``P1.cpu_pct``, ``S.psi_cpu``), ``value`` is not rounded. ``cited``: not
    merely shown by a sentence, but what the choice of the cause was founded on.
    """

    ref: str
    value: float | str
    cited: bool = False


class Culprit(msgspec.Struct, frozen=True):
    """The process whose stopping ends the trouble; for ``normal`` the busiest. ``comm`` is raw: clean it to show."""

    id: str
    pid: int
    comm: str


class Recommendation(msgspec.Struct, frozen=True):
    """An action of the allow-list. ``risk``: none of one that only looks, low where it can be taken back, medium where
    something may fail or wait, high where something ends; from medium on it is ``destructive``, and its text says so.
    """

    id: str
    text: str
    command: str | None = None
    destructive: bool = False
    risk: str = "none"


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """A checked explanation. ``confidence`` is the probability that the model gave to its cause among those offered,
    None where it did not tell; no model states its own. ``choices``: how many causes were offered.
    """

    source: str  # "model" or "rules"
    model: str | None = None
    cls: str = msgspec.field(name="class")
    severity: str
    confidence: float | None = None
    primary_process: Culprit | None = None
    sentences: tuple[Sentence, ...]
    text: str
    short: str
    evidence: tuple[Evidence, ...] = ()
    actions: tuple[Recommendation, ...] = ()
    verified: bool = True
    note: str | None = None
    choices: int = 1


#: Kinds of rejections, and what is said of an answer that has one: never in the words of that answer.
REJECTIONS = {
    "format": "it is not in the format",
    "too_long": "it is too long",
    "cut_short": "it is cut short",
    "unknown": "it uses a word that is not in the catalogue",
    "evidence": "it cites what was not offered",
    "cause": "it chooses a cause that was not offered",
    "clause": "it says something that does not hold here",
    "action": "it recommends what does not fit here",
}


class Rejection(msgspec.Struct, frozen=True):
    """Why an answer was not accepted. ``reason`` is for the model's second try and for ``--json``: it may quote the
    answer, cleaned, and so is no text for a reader. ``kind`` is of ``REJECTIONS``.
    """

    reason: str
    kind: str = "format"

    @property
    def told(self) -> str:
        """The reason for a reader, who is shown nothing of what was refused."""
        return REJECTIONS[self.kind]


def encode(insight: Insight) -> bytes:
    """The public JSON."""
    return msgspec.json.encode(insight)
