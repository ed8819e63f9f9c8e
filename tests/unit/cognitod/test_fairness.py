"""A queue that fills up is shared out: a flooder is turned away, everybody else gets in."""

from collections import Counter

import numpy as np

from linnix.cognitod.events import EVENT, Array
from linnix.cognitod.fairness import Fairness, Group

FLOODER, QUIET, THIRD = (7, 1000), (7, 0), (9, 1000)


def batch(*groups: tuple[Group, int]) -> Array:
    """Events of these groups, one after another in turns as long as they last."""
    rows = [(turn, group) for group, count in groups for turn in range(count)]
    rows.sort(key=lambda row: row[0])
    events = np.zeros(len(rows), EVENT)
    for at, (turn, (cgroup_id, uid)) in enumerate(rows):
        events[at]["cgroup_id"], events[at]["uid"], events[at]["ts_ns"] = cgroup_id, uid, turn
    return events


def test_below_a_quarter_everybody_gets_in() -> None:
    assert Fairness(400).admit(batch((FLOODER, 60)), 0, 40) == (None, Counter())


def test_above_it_a_group_gets_in_as_far_as_it_leaves_as_much_room_as_it_takes() -> None:
    may, away = Fairness(400).admit(batch((FLOODER, 300), (QUIET, 11)), 0, 0)

    assert may is not None
    events = batch((FLOODER, 300), (QUIET, 11))[may]
    assert Counter(events["uid"].tolist()) == {1000: 194, 0: 11}  # half of what the quiet one left
    assert events["ts_ns"][events["uid"] == 1000].tolist() == list(range(194))  # its first ones, in order
    assert away == {FLOODER: 106}


def test_who_has_many_waiting_gets_no_more_while_others_do() -> None:
    fairness = Fairness(400)
    fairness.admit(batch((FLOODER, 300)), 0, 0)
    may, away = fairness.admit(batch((FLOODER, 50), (QUIET, 20), (THIRD, 5)), 1, 200)

    assert may is not None
    assert away == {FLOODER: 50}
    assert may.sum() == 25


def test_what_was_delivered_makes_room_again() -> None:
    fairness = Fairness(400)
    fairness.admit(batch((FLOODER, 300)), 0, 0)
    fairness.leave(1)

    assert fairness.admit(batch((FLOODER, 120)), 1, 0) == (None, Counter())


def test_one_user_in_two_cgroups_is_two_groups() -> None:
    _, away = Fairness(40).admit(batch((FLOODER, 30), (THIRD, 3)), 0, 0)

    assert set(away) == {FLOODER}


def test_a_full_queue_takes_nobody() -> None:
    may, away = Fairness(40).admit(batch((QUIET, 3)), 0, 40)

    assert may is not None
    assert (may.sum(), away) == (0, {QUIET: 3})
