"""The sentences an explanation may be made of: one table, each with the condition under which it is true.

Owns the table and which of it may be said in a place. Invariant: every place but the last two has a clause that holds
for any facts, so that an answer can always be completed. Order within a place is the rules' order of preference.
"""

from __future__ import annotations

from linnix.insight.catalogue import causes, context, effects, innocents, proofs
from linnix.insight.catalogue.clause import BIRTHS, BUSY_PCT, CPU, LEAKS, MEMORY, STORAGE, Clause, Predicate, always
from linnix.insight.scope import Scope

__all__ = [
    "BIRTHS",
    "BUSY_PCT",
    "CLAUSES",
    "CPU",
    "LEAKS",
    "MEMORY",
    "SLOTS",
    "STORAGE",
    "Clause",
    "Predicate",
    "always",
]

#: Places, in the order of the answer.
SLOTS = ("cause", "proof", "effect", "innocent", "context", "doubt")
OPTIONAL = frozenset(["context", "doubt"])

_SHELVES = (causes.SHELF, proofs.SHELF, effects.SHELF, innocents.SHELF, context.CONTEXT, context.DOUBT)
_MUST = causes.MUST | proofs.MUST | effects.MUST | context.MUST

_GENERIC = causes.GENERIC | effects.GENERIC

CLAUSES: dict[str, Clause] = {clause.id: clause for shelf in _SHELVES for clause in shelf.clauses}
assert len(CLAUSES) == sum(len(shelf.clauses) for shelf in _SHELVES), "two clauses of one id"


def admissible(scope: Scope, slot: str) -> tuple[Clause, ...]:
    """The clauses that hold in ``slot``, best first. One that must be said stands alone."""
    held = tuple(c for c in CLAUSES.values() if c.slot == slot and c.holds(scope))
    must = tuple(c for c in held if c.id in _MUST)
    return must or tuple(c for c in held if c.id not in _GENERIC) or held


def is_optional(scope: Scope, slot: str) -> bool:
    """Whether an answer may leave ``slot`` out although something could be said there."""
    return slot in OPTIONAL and not any(c.id in _MUST for c in admissible(scope, slot))
