"""What a model is offered: a few admissible answers, laid out place by place.

Owns how many alternatives there are. Refuses to judge truth: ``judge``, ``catalogue`` and ``actions`` have. Invariant:
every path through a menu is an answer that ``verify`` accepts, and the first path is the rules' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linnix.insight import actions, catalogue, evidence
from linnix.insight.evidence import Item
from linnix.insight.facts import Facts
from linnix.insight.judge import candidates
from linnix.insight.scope import Scope

MAX_CAUSES, MAX_OPTIONS = 2, 3
LABELS = "ABCD"
#: The weight of a finding without a score, and of what no rule objects to.
_LEAST, _UNLIKELY = 0.05, 0.02


@dataclass(frozen=True, slots=True)
class Part:
    """One place of an answer: choose one of ``options``, or none where ``optional``."""

    slot: str
    options: tuple[str, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One cause, and what may be said and recommended then. ``acts`` is empty in a short answer."""

    label: str  # one letter: one token, whose probability is that of the choice
    cls: str
    severity: str
    process: str  # an id, or "none"
    weight: float  # how likely rules hold it to be, before anybody has looked; of all choices together 1
    why: tuple[Part, ...]
    acts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Menu:
    """Causes to choose from, and figures to cite; none of these in a short one."""

    choices: tuple[Choice, ...]
    evidence: tuple[Item, ...]


def process_id(scope: Scope) -> str:
    """How an answer names the process of a cause."""
    return scope.process.id if scope.process else "none"


def offered(scopes: Sequence[Scope], short: bool) -> Sequence[Scope]:
    """Those of these causes that are on the menu."""
    return ([scope for scope in scopes if scope.alarms] or scopes[:1]) if short else scopes


def build(facts: Facts, short: bool = False, scopes: Sequence[Scope] | None = None) -> Menu:
    """The menu for these facts; ``scopes`` where it is not about all that the facts admit. A short one leaves no choice
    but among what rules have found: a single sentence has no room for what was passed over.
    """
    scopes = offered(candidates(facts) if scopes is None else scopes, short)
    weights = _weights(scopes)
    choices = tuple(
        _choice(label, scope, weight, short) for label, scope, weight in zip(LABELS, scopes, weights, strict=False)
    )
    return Menu(choices, () if short else evidence.listed(facts, scopes))


def first(menu: Menu) -> str:
    """The rules' own answer, in the answer format."""
    choice = menu.choices[0]
    lines = [f"ev={menu.evidence[0].id}"] if menu.evidence else []
    lines.append(f"is={choice.label}")
    lines.append("why=" + ",".join(part.options[0] for part in choice.why))
    if choice.acts:
        lines.append("act=" + ",".join(part.options[0] for part in choice.acts))
    lines.append(f"of={choice.cls},{choice.severity},{choice.process}")
    return "\n".join(lines)


def _weights(scopes: Sequence[Scope]) -> list[float]:
    """By the scores of findings. What rules hold to be no trouble is unlikely to be one."""
    weights = [max(scope.finding.score, _LEAST) if scope.alarms and scope.finding else _UNLIKELY for scope in scopes]
    if scopes and not scopes[0].alarms:
        weights[0] = 1.0
    return [weight / sum(weights) for weight in weights]


def _choice(label: str, scope: Scope, weight: float, short: bool) -> Choice:
    why = []
    for slot in catalogue.SLOTS[:1] if short else catalogue.SLOTS:
        held = catalogue.admissible(scope, slot)[: MAX_CAUSES if slot == "cause" else MAX_OPTIONS]
        if held:
            why.append(Part(slot, tuple(c.id for c in held), catalogue.is_optional(scope, slot)))
    acts = []
    for step in () if short else actions.STEPS:
        allowed = actions.admissible(scope, step)[:MAX_OPTIONS]
        if allowed:
            acts.append(Part(step, tuple(a.id for a in allowed), actions.is_optional(scope, step)))
    return Choice(label, scope.cls, scope.severity, process_id(scope), weight, tuple(why), tuple(acts))
