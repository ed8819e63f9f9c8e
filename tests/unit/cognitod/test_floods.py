"""Losses of flooders add up, though what is remembered of them comes and goes."""

from linnix.cognitod.events import Flood
from linnix.cognitod.floods import MAX_GROUPS, Floods
from linnix.cognitod.model import Flooder


def test_losses_of_rings_and_of_the_queue_are_one_groups() -> None:
    floods = Floods()
    floods.take([Flood(7, 1000, (0, 5, 3, 0, 0))], {(7, 1000): 2, (9, 0): 1})

    assert floods.flooders() == [
        Flooder(7, 1000, {"fork": 5, "exit": 3, "queue": 2}),
        Flooder(9, 0, {"queue": 1}),
    ]


def test_only_increases_are_added_and_what_was_forgotten_begins_anew() -> None:
    floods = Floods()
    for forks in (5, 5, 8):
        floods.take([Flood(7, 1000, (0, forks, 0, 0, 0))], {})
    floods.take([], {})
    floods.take([Flood(7, 1000, (0, 2, 0, 0, 0))], {})

    assert floods.flooders() == [Flooder(7, 1000, {"fork": 10})]


def test_many_groups_cost_no_memory() -> None:
    floods = Floods()
    floods.take([Flood(cgroup, 1000, (0, cgroup, 0, 0, 0)) for cgroup in range(1, 3 * MAX_GROUPS)], {})

    told = floods.flooders()
    assert [flooder.cgroup_id for flooder in told] == list(range(3 * MAX_GROUPS - 1, 2 * MAX_GROUPS - 1, -1))
