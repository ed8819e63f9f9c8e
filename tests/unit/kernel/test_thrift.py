"""A probe at every event rests as long as keeps it within its budget, and no longer."""

from __future__ import annotations

import numpy as np
import pytest

from linnix.cognitod.kernel.thrift import BUDGET, MAX_REST_NS, Thrift

S = 10**9
COST_NS = 100


@pytest.mark.parametrize(
    ("grown", "expected_s"),
    [
        ([0, 0], 0),
        ([100_000, 200_000], 0),  # the busiest CPU spends 20 ms of 2 s: the budget to the point
        ([100_000, 400_000], 2),
        ([1_600_000, 3], 14),
        ([10**9, 0], MAX_REST_NS / S),
    ],
)
def test_rest_and_window_together_keep_the_busiest_cpu_within_the_budget(grown: list[int], expected_s: float) -> None:
    thrift = Thrift(COST_NS)
    first = np.array([10**6, 7], np.uint64)
    assert thrift.rest_ns(first, 2 * S) == 0  # what came before the first window is not of it
    rest_ns = thrift.rest_ns(first + np.array(grown, np.uint64), 2 * S)

    assert rest_ns == expected_s * S
    if 0 < rest_ns < MAX_REST_NS:
        assert max(grown) * COST_NS / (2 * S + rest_ns) == pytest.approx(BUDGET)


def test_places_that_were_given_back_are_no_events() -> None:
    thrift = Thrift(COST_NS)
    thrift.rest_ns(np.array([10**9], np.uint64), S)
    assert thrift.rest_ns(np.array([10], np.uint64), S) == 0
