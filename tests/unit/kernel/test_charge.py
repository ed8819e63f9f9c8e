"""Waiting is charged by what a resource did meanwhile: held to an oracle that steps through time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.kernel.charge import UNKNOWN, Ints, Use, nonidle, psi_weights, union

Interval = tuple[int, int, int, int]  # begin, end, owner, weight

intervals = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([UNKNOWN, 0, 1, 2]), st.integers(1, 5)),
    max_size=12,
)
moments = st.integers(0, 35)


def ints(*values: int) -> Ints:
    return np.array(values, np.int64)


def use_of(*used: Interval) -> Use:
    columns = np.array(used, np.int64).reshape(-1, 4).T
    return Use(*columns)


def charged(use: Use, begin: int, end: int) -> dict[int, float]:
    """What each owner is charged for one wait."""
    at = ints(begin, end)
    progress = use.progress(at)
    shares = (np.diff(use.served(number, at, progress))[0] for number in range(len(use.owners)))
    return {
        owner: round(float(share), 6) for owner, share in zip(use.owners.tolist(), shares, strict=True) if share > 1e-9
    }


def stepped(used: list[Interval], begin: int, end: int) -> dict[int, float]:
    """The same, a nanosecond at a time."""
    total: dict[int, float] = {}
    for now in range(begin, end):
        active = [(owner, weight) for first, last, owner, weight in used if first <= now < last]
        for owner, weight in active:
            total[owner] = total.get(owner, 0.0) + weight / sum(size for _, size in active)
    return {owner: round(share, 6) for owner, share in total.items()}


def test_one_owner_is_charged_the_time_in_which_he_was_served() -> None:
    assert charged(use_of((10, 30, 7, 1)), 0, 25) == {7: 15}


def test_owners_in_flight_together_share_the_time_by_their_requests() -> None:
    use = use_of((0, 12, 1, 1), (0, 12, 2, 1), (0, 12, 2, 1))

    assert charged(use, 0, 12) == {1: 4, 2: 8}


def test_a_weight_counts_as_so_many_requests() -> None:
    assert charged(use_of((0, 12, 1, 1), (0, 12, 2, 3)), 0, 12) == {1: 3, 2: 9}


def test_nobody_is_charged_while_the_resource_is_idle() -> None:
    assert charged(use_of((0, 5, 1, 1), (20, 30, 1, 1)), 5, 20) == {}


def test_a_resource_that_nobody_used_charges_nobody() -> None:
    assert charged(use_of(), 0, 10) == {}


@given(intervals, moments, moments)
def test_charges_are_those_of_an_oracle_that_steps_through_time(used: list[Interval], one: int, other: int) -> None:
    begin, end = sorted((one, other))

    assert charged(use_of(*used), begin, end) == stepped(used, begin, end)


@given(intervals, moments, moments)
def test_charges_sum_to_the_part_of_the_wait_in_which_the_resource_was_busy(
    used: list[Interval], one: int, other: int
) -> None:
    begin, end = sorted((one, other))
    busy = sum(any(first <= now < last for first, last, _, _ in used) for now in range(begin, end))

    assert abs(sum(charged(use_of(*used), begin, end).values()) - busy) < 1e-4


def test_a_union_takes_overlapping_time_from_the_wait_that_began_first() -> None:
    pieces = union(ints(0, 0, 0, 1), ints(0, 5, 12, 3), ints(10, 15, 14, 4))

    assert list(zip(pieces.of.tolist(), pieces.begin.tolist(), pieces.end.tolist(), strict=True)) == [
        (0, 0, 10),
        (1, 10, 15),
        (3, 3, 4),
    ]


def test_the_union_of_nothing_is_nothing() -> None:
    assert len(union(ints(), ints(), ints()).of) == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 20)), max_size=15))
def test_pieces_of_a_union_are_disjoint_and_cover_what_the_intervals_cover(some: list[tuple[int, int, int]]) -> None:
    lane, one, other = np.array(some, np.int64).reshape(-1, 3).T
    begin, end = np.minimum(one, other), np.maximum(one, other)
    pieces = union(lane, begin, end)
    covered = [
        (int(lane[of]), now)
        for of, first, last in zip(pieces.of, pieces.begin, pieces.end, strict=True)
        for now in range(first, last)
    ]
    wanted = {(int(lane[at]), now) for at in range(len(some)) for now in range(begin[at], end[at])}

    assert (set(covered), len(covered)) == (wanted, len(wanted))
    assert all(begin[of] <= first and last <= end[of] for of, first, last in zip(*vars_of(pieces), strict=True))


def vars_of(pieces: object) -> list[list[int]]:
    return [getattr(pieces, name).tolist() for name in ("of", "begin", "end")]


def test_psi_weighs_each_cpu_by_how_long_it_was_not_idle() -> None:
    nonidle_ns, elsewhere_ns = np.array([1e9, 3e9, 5e8]), np.array([0.0, 0.0, 1.5e9])

    assert psi_weights(ints(1, 1, 2), nonidle_ns, elsewhere_ns).tolist() == [0.25, 0.75, 0.25]


def test_a_group_that_never_was_active_weighs_nothing() -> None:
    assert psi_weights(ints(1), np.zeros(1), np.zeros(1)).tolist() == [0.0]


def test_a_cpu_is_not_idle_while_it_waits_runs_the_waiter_or_runs_others() -> None:
    stall, own, others = (
        np.array([10.0, 10, 10, 90, 100]),
        np.array([0.0, 20, 0, 0, 0]),
        np.array([0.0, 0, 50, 50, 100]),
    )

    assert nonidle(stall, own, others, 100).tolist() == [10, 30, 55, 95, 100]
