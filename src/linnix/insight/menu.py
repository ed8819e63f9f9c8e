"""What a model is offered: a few admissible answers, laid out slot by slot.

Owns how many alternatives there are. Refuses to judge truth: ``judge``, ``catalogue`` and ``actions`` have. Invariant:
every path through a menu is an answer that ``verify`` accepts, and the first path is the rules' own.
"""

from __future__ import annotations

from dataclasses import dataclass

from linnix.insight import actions, catalogue
from linnix.insight.facts import Facts
from linnix.insight.judge import candidates
from linnix.insight.scope import Scope

MAX_CHOICES, MAX_WHAT, MAX_OPTIONS = 3, 2, 3


@dataclass(frozen=True, slots=True)
class Part:
    """One place of an answer: choose one of ``options``, or none where ``optional``."""

    slot: str
    options: tuple[str, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One class and process, and what may be said and recommended then. ``acts`` is empty in a short answer."""

    cls: str
    process: str  # an id, or "none"
    why: tuple[Part, ...]
    acts: tuple[Part, ...]


def _choice(scope: Scope, short: bool) -> Choice:
    why = []
    for slot in catalogue.SLOTS[:1] if short else catalogue.SLOTS:
        held = catalogue.admissible(scope, slot)[: MAX_WHAT if slot == "what" else MAX_OPTIONS]
        if held:
            why.append(Part(slot, tuple(c.id for c in held), catalogue.is_optional(scope, slot)))
    acts = []
    for step in () if short else actions.STEPS:
        allowed = actions.admissible(scope, step)[:MAX_OPTIONS]
        if allowed:
            acts.append(Part(step, tuple(a.id for a in allowed), actions.is_optional(scope, step)))
    return Choice(scope.cls, scope.process.id if scope.process else "none", tuple(why), tuple(acts))


def build(facts: Facts, short: bool = False) -> tuple[Choice, ...]:
    """The menu for these facts. A short one offers each class once, with its first culprit."""
    scopes = candidates(facts)
    if short:
        first: dict[str, Scope] = {}
        for scope in scopes:
            first.setdefault(scope.cls, scope)
        scopes = tuple(first.values())
    return tuple(_choice(scope, short) for scope in scopes[:MAX_CHOICES])


def first(choice: Choice) -> str:
    """The rules' own answer within ``choice``, in the answer format."""
    lines = [f"cls={choice.cls} proc={choice.process}", "why=" + ",".join(p.options[0] for p in choice.why)]
    if choice.acts:
        lines.append("act=" + ",".join(p.options[0] for p in choice.acts))
    return "\n".join(lines)
