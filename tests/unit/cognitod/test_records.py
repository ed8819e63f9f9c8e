"""Records moved whole come out as numpy's own expressions have them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod import records
from linnix.cognitod.events import Array

RECORD = np.dtype([("number", "<u4"), ("name", "S5"), ("share", "<f8")])


def some(numbers: list[int]) -> Array:
    made = np.zeros(len(numbers), RECORD)
    made["number"], made["name"], made["share"] = numbers, b"name", 0.5
    return made


numbers = st.lists(st.integers(0, 99), max_size=9)


@given(st.lists(numbers, min_size=1, max_size=4))
def test_joined(parts: list[list[int]]) -> None:
    whole = records.join([some(part) for part in parts])

    assert whole.tolist() == np.concatenate([some(part) for part in parts]).tolist()
    assert whole.dtype == RECORD


@given(numbers, st.data())
def test_wiped_filled_and_chosen(values: list[int], pick: st.DataObject) -> None:
    mask = np.array(pick.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), np.bool_)
    at = np.flatnonzero(mask)
    expected, got = some(values), some(values)
    assert records.chosen(got, mask).tolist() == expected[mask].tolist()
    assert records.chosen(got, slice(1, 3)).tolist() == expected[1:3].tolist()

    records.fill(got, at, some([77]))
    expected[mask] = some([77])[0]
    assert got.tolist() == expected.tolist()

    records.wipe(got, at)
    expected[mask] = np.zeros(1, RECORD)[0]
    assert got.tolist() == expected.tolist()


def test_grown() -> None:
    assert records.grown(some([1, 2]), 3).tolist() == [*some([1, 2]).tolist(), (0, b"", 0.0)]
