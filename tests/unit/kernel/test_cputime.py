"""User and system time share out what was really used."""

import numpy as np

from linnix.cognitod.kernel.cputime import split


def of(cpu_ns: int, utime_ns: int, stime_ns: int) -> tuple[int, int]:
    user, system = split(*(np.array([value], np.uint64) for value in (cpu_ns, utime_ns, stime_ns)))
    return int(user[0]), int(system[0])


def test_the_ticks_give_the_proportion_and_the_run_time_the_amount() -> None:
    assert of(9_000_003, 4_000_000, 8_000_000) == (3_000_001, 6_000_002)


def test_without_a_tick_all_is_user_time() -> None:
    assert of(777_777, 0, 0) == (777_777, 0)


def test_one_kind_of_tick_takes_all() -> None:
    assert (of(5, 0, 4_000_000), of(5, 4_000_000, 0)) == ((0, 5), (5, 0))


def test_more_ticks_than_time_are_cut_down_to_it() -> None:
    assert of(1_000_000, 4_000_000, 4_000_000) == (500_000, 500_000)


def test_a_hundred_days_do_not_overflow() -> None:
    user, system = of(100 * 86_400 * 10**9, 3 * 10**15, 10**15)

    assert user + system == 100 * 86_400 * 10**9
    assert abs(system - 25 * 86_400 * 10**9) < 10_000
