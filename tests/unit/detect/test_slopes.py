"""Growth that goes on is told from a step, a ramp that has ended, and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from linnix.cognitod.detect.slopes import Growth, steady

S = 1_000_000_000
SECONDS = [second * S for second in range(13)]


def test_a_straight_line() -> None:
    assert steady(SECONDS, [100 + 4 * n for n in range(13)]) == Growth(grown=48.0, per_s=4.0, span_s=12.0, rising=1.0)


@pytest.mark.parametrize("points", [61, 64, 601, 3601])
def test_many_points_are_thinned_and_tell_the_same(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[int] = []
    indices = np.triu_indices

    def counted(count: int, k: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        pairs.append(count)
        return indices(count, k)

    monkeypatch.setattr(np, "triu_indices", counted)
    told = steady([n * S for n in range(points)], [100 + 4 * n for n in range(points)])
    assert told == Growth(grown=4.0 * (points - 1), per_s=4.0, span_s=points - 1.0, rising=1.0)
    assert pairs == [min(points, 64)]


def test_what_leaks_in_portions_is_level_in_between() -> None:
    growth = steady(SECONDS, [20 * (n // 3) for n in range(13)])
    assert growth is not None
    assert (growth.grown, growth.per_s) == (80.0, pytest.approx(6.67, abs=0.1))


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("level", [70] * 13),
        ("a step", [10] * 6 + [90] * 7),
        ("a ramp that has ended", [0, 20, 40, 60, 80, 90, 90, 90, 90, 90, 90, 90, 90]),
        ("a saw", [10, 20, 30, 40, 10, 20, 30, 40, 10, 20, 30, 40, 50]),
        ("it falls", list(range(100, 87, -1))),
        ("too little of it", [0, 10, 20, 30]),
    ],
)
def test_what_is_not_steady(what: str, values: list[float]) -> None:
    assert steady(SECONDS[: len(values)], values) is None, what


def test_noise_around_a_level_is_hardly_ever_growth() -> None:
    noise = np.random.default_rng(7).normal(100, 10, (2000, 13))
    assert sum(steady(SECONDS, row.tolist()) is not None for row in noise) <= 2
