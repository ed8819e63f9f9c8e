"""Histograms of all CPUs and all times, by cgroup: nothing counted is lost when a place goes to another."""

from __future__ import annotations

import numpy as np

from linnix.cognitod.kernel.latency import BOUNDS_NS, HISTOGRAM, HISTOGRAMS, MAX_KEPT, REST, SLOTS, Histograms, Places


def count(view: Histograms, cpu: int, slot: int, cgroup: int, times: int) -> None:
    place = view["slots"][cpu, slot]
    place["cgroup_id"] = cgroup
    place["counts"][3] += times
    place["sum_ns"] += times * 5000


def told(places: Places) -> dict[int, tuple[int, int]]:
    return {
        int(row["cgroup_id"]): (int(row["counts"].sum()), int(row["sum_ns"]))
        for row in places.sum()
        if row["counts"].any()
    }


def test_a_cgroup_is_told_once_for_all_cpus_and_what_found_no_place_as_the_rest() -> None:
    view = np.zeros(2, HISTOGRAMS)
    count(view, 0, 5, 77, 2)
    count(view, 1, 6, 77, 3)
    count(view, 1, 7, 88, 11)
    view["rest"][1]["counts"][0] = 13
    places = Places(view)

    assert told(places) == {77: (5, 25_000), 88: (11, 55_000), REST: (13, 0)}
    assert places.sum()["cgroup_id"].tolist() == [REST, 77, 88]


def test_a_place_in_which_nothing_happens_is_given_back_and_its_counts_are_kept() -> None:
    view = np.zeros(1, HISTOGRAMS)
    count(view, 0, 5, 77, 2)
    count(view, 0, 6, 88, 3)
    places = Places(view)
    places.retire()
    count(view, 0, 6, 88, 1)
    before = told(places)
    places.retire()

    assert view["slots"]["cgroup_id"][0, 5:7].tolist() == [0, 88]
    assert told(places) == before == {77: (2, 10_000), 88: (4, 20_000)}
    count(view, 0, 5, 77, 7)  # it is back, in the same place or in another
    assert told(places) == {77: (9, 45_000), 88: (4, 20_000)}


def test_when_too_many_are_kept_the_oldest_join_the_rest_and_no_count_is_lost() -> None:
    view = np.zeros(1, HISTOGRAMS)
    places = Places(view)
    made = 0
    while made < MAX_KEPT + 3 * SLOTS:
        for slot in range(SLOTS):
            made += 1
            count(view, 0, slot, made, 1)
        places.retire()
        places.retire()

    found = told(places)
    assert sum(times for times, _ in found.values()) == made
    assert len(found) <= MAX_KEPT + 1
    assert REST in found


def test_classes_are_powers_of_two_from_1024_ns_on() -> None:
    assert BOUNDS_NS[:3] == (1024, 2048, 4096)
    assert len(BOUNDS_NS) == HISTOGRAM["counts"].shape[0] - 1
