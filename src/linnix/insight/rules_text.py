"""The explanation that needs no model: the rules' own choice from the same catalogue.

Owns nothing but the choice of the first of everything. Refuses to word: its answer goes through the same check as a
model's. Invariant: there is one for any Facts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from linnix.insight import menu
from linnix.insight.answer import Insight, Rejection
from linnix.insight.facts import Facts
from linnix.insight.scope import Scope
from linnix.insight.verify import verify


def explain(
    facts: Facts, short: bool = False, note: str | None = None, scopes: Sequence[Scope] | None = None
) -> Insight:
    """The rules' text, with ``note`` saying why it is not a model's, where that is so; of ``scopes``, if given."""
    answer = menu.first(menu.build(facts, short, scopes))
    checked = verify(answer, facts, short, source="rules", scopes=scopes)
    if isinstance(checked, Rejection):
        raise AssertionError(f"the rules' own answer {answer!r} fails its check: {checked.reason}")
    return msgspec.structs.replace(checked, note=note) if note else checked
