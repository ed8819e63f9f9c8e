"""Which waits for memory are for a limit of the waiter's own."""

import numpy as np

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.blame_memory import OWN_LIMIT_NS, OwnLimits
from linnix.cognitod.kernel.pairs import PART
from linnix.cognitod.kernel.stalls import COMPACTION, OWN_LIMIT, RECLAIM, REFAULT

NOW_NS = 10**12


def waits(*causes: tuple[int, int]) -> Array:
    parts = np.zeros(len(causes), PART)
    parts["pid"], parts["cause"] = np.array(causes).T if causes else ((), ())
    return parts


def test_freeing_pages_of_its_own_cgroup_is_for_its_own_limit_and_freeing_those_of_the_host_is_not() -> None:
    parts = waits((5, OWN_LIMIT), (5, RECLAIM), (5, COMPACTION))

    assert OwnLimits().find(parts, True, NOW_NS).tolist() == [True, False, False]


def test_waiting_for_an_evicted_page_is_for_its_own_limit_where_the_same_process_was_at_its_limit() -> None:
    parts = waits((5, OWN_LIMIT), (5, REFAULT), (6, REFAULT))

    assert OwnLimits().find(parts, False, NOW_NS).tolist() == [True, True, False]


def test_a_limit_is_remembered_for_a_while_and_no_longer() -> None:
    limits = OwnLimits()
    limits.find(waits((5, OWN_LIMIT)), False, NOW_NS)

    assert limits.find(waits((5, REFAULT)), False, NOW_NS + OWN_LIMIT_NS - 1).tolist() == [True]
    assert limits.find(waits((5, REFAULT)), False, NOW_NS + OWN_LIMIT_NS).tolist() == [False]


def test_while_the_host_frees_pages_nobody_knows_for_whom_a_page_was_evicted() -> None:
    limits = OwnLimits()
    parts = waits((5, OWN_LIMIT), (5, REFAULT))

    assert limits.find(parts, True, NOW_NS).tolist() == [True, False]
    assert limits.find(parts, False, NOW_NS + OWN_LIMIT_NS).tolist() == [True, True]


def test_without_waits_there_is_nothing_to_find() -> None:
    assert OwnLimits().find(waits(), False, NOW_NS).tolist() == []
