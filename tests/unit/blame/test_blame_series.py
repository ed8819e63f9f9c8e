"""Counters of the original's families: bounded, and never stepping back."""

from __future__ import annotations

from blame_make import A, B, Host, group_waits, pressure, waits
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.blame.series import Family, pod_of


def test_units_of_a_host_without_pods_are_pods_of_the_namespace_host() -> None:
    host = Host()
    host.attach()
    for _ in range(2):
        host.read(
            waits(100, 200, 300),
            waits(100, 101, 40),
            group_waits(A, 200, 250),
            group_waits(A, 101, 30),
            group_waits(B, 200, 5),
            psi=pressure(A=281),
            after_s=5,
        )
    host.ledger.seal()
    series = host.blame.series
    assert series.induced_s.values == {("b.service", "host", "a.service", "host"): 0.5}
    assert series.pressure_us.values == {("host", "a.service"): 562_000}
    assert series.totals == {"cpu": {"measured_ns": 10e9, "waited_ns": 680e6, "attributed_ns": 680e6, "lost_ns": 0.0}}


def test_inferred_waits_are_not_in_the_counters_of_measured_ones() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 300, kind="inferred"), group_waits(A, 200, 250, kind="inferred"))
    host.ledger.seal()
    assert host.blame.series.induced_s.values == {}


def test_waiting_for_io_is_not_in_the_counters_of_cpu() -> None:
    host = Host("io")
    host.attach()
    host.read(waits(100, 200, 300), group_waits(A, 200, 250), psi=pressure(A=281))
    host.ledger.seal()
    assert host.blame.series.induced_s.values == {}
    assert host.blame.series.pressure_us.values == {}
    assert list(host.blame.series.totals) == ["io"]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 100)), max_size=200))
def test_a_series_that_made_room_goes_on_where_it_was(adds: list[tuple[int, int]]) -> None:
    family, truth = Family(max_series=16), dict[tuple[str, ...], float]()
    for name, amount in adds:
        labels = (str(name),)
        family.add(labels, amount)
        truth[labels] = truth.get(labels, 0.0) + amount
        family.trim()
        assert len(family.values) <= 16
        assert {labels: truth[labels] for labels in family.values} == family.values


def test_the_lowest_makes_room_and_that_is_counted() -> None:
    family = Family(max_series=2)
    for name, amount in (("a", 5), ("b", 1), ("c", 3)):
        family.add((name,), amount)
    family.trim()
    assert (family.values, family.evicted) == ({("a",): 5, ("c",): 3}, 1)


def test_names_become_the_originals_pairs_of_namespace_and_pod() -> None:
    assert [pod_of(name) for name in ("prod/api", "ssh.service", "/user.slice/a", "(others)")] == [
        ("prod", "api"),
        ("host", "ssh.service"),
        ("host", "/user.slice/a"),
        None,
    ]
