"""How sure a model was of its cause, by the probabilities of the labels that it could have written.

Owns the finding of the token that decides, and what comes of the model's preference and of the rules' weights: their
product, as a prior and a likelihood have it. Refuses what a model says of itself. Invariant: the result is a
probability among the labels on offer, or None where the server did not tell enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from linnix.insight.asking.question import Token

#: What stands before the label in an answer.
_BEFORE = "is="


def of_choice(tokens: Sequence[Token], labels: Mapping[str, float]) -> float | None:
    """The probability of the label that was chosen among ``labels``, each one letter with its weight.

    A label that is not among the alternatives told is given the least probability that was.
    """
    written = ""
    for token in tokens:
        at = (written + token.text).find(_BEFORE)
        end = at + len(_BEFORE)
        if at >= 0 and len(written) <= end < len(written) + len(token.text):
            return _among(token, token.text[: end - len(written)], (written + token.text)[end], labels)
        written += token.text
    return None


def _among(token: Token, prefix: str, chosen: str, labels: Mapping[str, float]) -> float | None:
    if chosen not in labels or not token.instead:
        return None
    least = min(token.instead.values())
    weights = {}
    for label, weight in labels.items():
        told = [value for text, value in token.instead.items() if text.startswith(prefix + label)]
        weights[label] = weight * math.exp(max(told, default=least))
    if not any(text.startswith(prefix + chosen) for text in token.instead):
        return None
    return weights[chosen] / sum(weights.values())
