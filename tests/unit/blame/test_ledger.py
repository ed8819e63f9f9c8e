"""The time axis: segments that do not change, bounds that are real, memory that is bounded."""

from __future__ import annotations

import numpy as np
from blame_make import EPOCH_US, MS, Host, S, pressure, waits
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.blame.ledger import BUCKET_US, BUDGET_BYTES, KEEP_US

SECOND_US = 10**6


def bounds(host: Host) -> list[tuple[int, int]]:
    """Of each segment, in microseconds since the start."""
    return [(each.begin_us - EPOCH_US, each.end_us - EPOCH_US) for each in host.ledger.segments]


def test_readings_of_five_seconds_of_the_clock_on_the_wall_are_one_segment() -> None:
    host = Host(now_ns=1 * S)
    host.attach()
    for _ in range(11):
        host.read(waits(100, 200, 10))
    assert bounds(host) == [(SECOND_US, 5 * SECOND_US), (5 * SECOND_US, 10 * SECOND_US)]
    assert [int(each.amounts["task_ns"].sum()) for each in host.ledger.segments] == [40 * MS, 50 * MS]


def test_a_reading_across_the_end_of_a_bucket_belongs_where_most_of_it_is() -> None:
    host = Host(now_ns=4 * S + S // 2)
    host.attach()
    for _ in range(6):
        host.read(waits(100, 200, 10), after_s=1.25)
    assert bounds(host) == [(4_500_000, 9_500_000)]


def test_the_end_of_an_epoch_ends_a_segment_and_what_lies_between_epochs_is_in_none() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 10))
    host.read(last=True)
    assert not host.ledger.engaged
    host.now_ns += S
    host.attach()
    host.read(waits(100, 200, 1))
    host.ledger.seal()
    assert bounds(host) == [(0, 2 * SECOND_US), (3 * SECOND_US, 4 * SECOND_US)]
    assert [each.epoch for each in host.ledger.segments] == [1, 2]


def test_an_answer_seals_what_it_tells_and_later_readings_are_in_another_segment() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 10))
    told = host.ledger.window(EPOCH_US, EPOCH_US + SECOND_US)
    host.read(waits(100, 200, 10))
    host.ledger.seal()
    assert host.ledger.window(EPOCH_US, EPOCH_US + SECOND_US) == told
    assert bounds(host) == [(0, SECOND_US), (SECOND_US, 2 * SECOND_US)]


def test_a_question_about_another_time_seals_nothing() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 10))
    assert host.ledger.window(EPOCH_US - SECOND_US, EPOCH_US) == []
    assert host.ledger.window(EPOCH_US + SECOND_US + 1, EPOCH_US + 2 * SECOND_US) == []
    assert bounds(host) == []


@given(st.lists(st.integers(-40_000, 40_000), min_size=1, max_size=30))
def test_segments_of_an_epoch_touch_whatever_the_wall_clock_does_meanwhile(steps_us: list[int]) -> None:
    host = Host()
    host.attach()
    for step_us in steps_us:
        host.offset_ns += step_us * 1000
        host.read(waits(100, 200, 1))
    host.ledger.seal()
    found = bounds(host)
    assert [begin for begin, _ in found[1:]] == [end for _, end in found[:-1]]
    assert sum(each.measured_ns for each in host.ledger.segments) == len(steps_us) * S


def test_a_clock_that_is_set_far_back_makes_a_new_past() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 1))
    host.offset_ns -= 3600 * S
    host.read(waits(100, 200, 2))
    host.ledger.seal()
    (only,) = host.ledger.segments
    assert (only.end_us, int(only.amounts["task_ns"].sum())) == (host.now_us, 2 * MS)


def test_pressure_and_amounts_of_a_segment_are_of_the_same_readings() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 1), psi=pressure(5, A=3, B=1))
    host.read(waits(100, 200, 1), psi=pressure(6, A=4))
    host.ledger.seal()
    (only,) = host.ledger.segments
    groups = dict(zip(only.groups.tolist(), only.groups_us.tolist(), strict=True))
    assert (only.host_us, groups, only.groups_complete) == (11_000, {10: 7000, 11: 1000}, True)


def test_an_hour_is_kept_and_what_is_older_is_forgotten_and_known_to_be() -> None:
    host = Host()
    host.attach()
    while host.now_us - EPOCH_US < KEEP_US + 20 * SECOND_US:
        host.read(waits(100, 200, 1), after_s=5)
    host.ledger.seal()
    first = host.ledger.segments[0]
    assert host.now_us - first.begin_us >= 3600 * SECOND_US
    assert host.ledger.forgotten_us == first.begin_us == EPOCH_US + 15 * SECOND_US
    assert len(host.ledger.segments) == KEEP_US // BUCKET_US + 1


def test_an_hour_of_everybody_waiting_for_everybody_stays_within_its_budget() -> None:
    host = Host()
    host.attach()
    amounts = np.random.default_rng(1).integers(1, 10**6, 400)
    rows = [waits(1000 + at % 20, 2000 + at, int(amount)) for at, amount in enumerate(amounts.tolist())]
    for _ in range(KEEP_US // BUCKET_US):
        host.read(*rows, after_s=5)
    host.ledger.seal()
    assert host.ledger.nbytes < 2 * BUDGET_BYTES
    expected = sum(int(row["task_ns"][0]) for row in rows)
    assert {int(each.amounts["task_ns"].sum()) for each in host.ledger.segments} == {expected}


def test_a_reading_whose_epoch_never_began_here_begins_where_it_says() -> None:
    host = Host(now_ns=10 * S)
    host.epoch = 3
    host.read(waits(100, 200, 1), after_s=2)
    host.ledger.seal()
    assert bounds(host) == [(10 * SECOND_US, 12 * SECOND_US)]


def test_names_are_those_of_the_moment_of_the_reading() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 1))
    host.dead |= {100, 200}
    host.read(waits(100, 200, 1))
    host.ledger.seal()
    (only,) = host.ledger.segments
    assert only.parties["comm"].tolist() == [b"alpha", b"beta"]
    assert [host.blame.names.home(number).unit for number in only.parties["home"].tolist()] == [
        "a.service",
        "b.service",
    ]


def test_a_reading_without_pressure_leaves_that_of_the_segment_unknown() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 1), psi=pressure(complete=False))
    host.ledger.seal()
    assert not host.ledger.segments[0].groups_complete
