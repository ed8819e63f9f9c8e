"""Numbers handed out and taken back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.handles import distinct


@given(st.lists(st.integers(-5, 5)))
def test_each_value_once_and_ascending(values: list[int]) -> None:
    assert distinct(np.array(values, np.int64)).tolist() == sorted(set(values))
