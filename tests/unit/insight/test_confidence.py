"""How sure a model was, from the probabilities of the labels."""

from __future__ import annotations

import math

import pytest

from linnix.insight.asking.confidence import of_choice
from linnix.insight.asking.question import Token


def told(text: str, **instead: float) -> Token:
    return Token(text, {key.replace("_", "="): math.log(value) for key, value in instead.items()})


@pytest.mark.parametrize(
    "tokens",
    [
        [told("ev"), told("="), told("a"), told("\nis"), told("="), told("B", A=0.1, B=0.3, is_=0.4), told(",")],
        [told("is", x=0.9), told("=B", _A=0.1, _B=0.3, _Z=0.5), told(",cpu")],
        [told("is=B,", is_A=0.1, is_B=0.3)],
    ],
)
def test_the_probability_is_that_among_the_labels_on_offer(tokens: list[Token]) -> None:
    assert of_choice(tokens, {"A": 0.5, "B": 0.5}) == pytest.approx(0.75)
    assert of_choice(tokens, {"A": 0.9, "B": 0.1}) == pytest.approx(0.03 / (0.03 + 0.09))


def test_a_label_that_is_not_told_counts_as_the_least_that_was() -> None:
    assert of_choice([told("is="), told("A", A=0.8, q=0.1)], {"A": 0.5, "B": 0.5}) == pytest.approx(0.8 / 0.9)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [told("is="), Token("A", {})],  # a server that tells no probabilities
        [told("is="), told("B", A=0.9, C=0.1)],  # forced by a grammar, and not among the likeliest
        [told("is="), told("X", X=1.0)],
        [told("why="), told("A", A=1.0)],
    ],
)
def test_where_the_server_did_not_tell_enough_there_is_none(tokens: list[Token]) -> None:
    assert of_choice(tokens, {"A": 0.5, "B": 0.5}) is None
