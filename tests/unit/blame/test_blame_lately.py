"""Who made whom wait in the last seconds, told every second without ending a segment for it."""

from __future__ import annotations

from blame_make import CGROUPS, EPOCH_US, MS, Host, S, group_waits, start_of, waits

from linnix.cognitod.blame.recent import MAX_PAIRS, stalls
from linnix.cognitod.senses import Identity, Stall


def who(pid: int) -> Identity:
    return pid, start_of(pid)


def lately(host: Host) -> list[Stall]:
    return list(stalls(host.blame, host.now_us))


def test_a_pair_is_told_with_its_kind_and_its_share_of_all_that_its_victim_waited() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 80, 60), waits(100, 0, 30, 20), waits(300, 101, 70, kind="inferred"))
    host.read(waits(100, 200, 40, 20), group_waits(CGROUPS[100], 200, 500))

    assert lately(host) == [
        Stall("cpu", who(100), who(200), "measured", 120.0, 80.0, 0.8, 2.0, False),
        Stall("cpu", who(300), who(101), "inferred", 70.0, 70.0, 1.0, 2.0, False),
    ]


def test_who_waits_for_itself_waits_for_its_own_threads_or_its_quota() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 100, 90), waits(200, 200, 60, kind="own_quota"), waits(100, 101, 55))

    assert [(each.victim, each.offender, each.kind, each.same_cgroup) for each in lately(host)] == [
        (who(100), who(100), "own_threads", True),
        (who(200), who(200), "own_quota", True),
        (who(100), who(101), "measured", True),
    ]


def test_what_is_little_is_not_told_and_of_much_the_worst() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 49), *(waits(1000 + n, 999, 50 + n) for n in range(2 * MAX_PAIRS)))

    assert [each.victim for each in lately(host)] == [who(1000 + 2 * MAX_PAIRS - 1 - n) for n in range(MAX_PAIRS)]


def test_a_pool_that_waits_for_itself_does_not_hide_who_waits_for_it() -> None:
    pool = range(1000, 1004)
    host = Host()
    host.attach()
    host.read(*(waits(one, other, 900) for one in pool for other in pool), *(waits(200, other, 600) for other in pool))

    told = [(each.victim[0], each.offender[0], each.same_cgroup, each.share) for each in lately(host)]
    assert told[MAX_PAIRS:] == [(200, other, False, 0.25) for other in pool]
    assert {same for _, _, same, _ in told[:MAX_PAIRS]} == {True}


def test_asking_every_second_leaves_segments_as_they_are_and_forgets_after_ten() -> None:
    asked, left_alone = Host(), Host()
    told = []
    for host in (asked, left_alone):
        host.attach()
    for _ in range(12):
        for host in (asked, left_alone):
            host.read(waits(100, 200, 100))
        told.append([(each.task_ms, each.window_s) for each in lately(asked)])

    bounds = [[(each.begin_us, each.end_us) for each in host.ledger.segments] for host in (asked, left_alone)]
    assert bounds[0] == bounds[1] == [(EPOCH_US + n * 10**6, EPOCH_US + (n + 5) * 10**6) for n in (0, 5)]
    assert told == [[(100.0 * n, float(n))] for n in (*range(1, 11), 6, 7)]
    asked.read(last=True)
    asked.now_ns += 10 * S
    assert lately(asked) == []


def test_a_sealed_segment_tells_what_it_told_while_it_grew() -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 80), waits(300, 200, 60))
    growing = lately(host)
    host.ledger.seal()
    assert lately(host) == growing
    assert host.ledger.segments[0].measured_ns == 1000 * MS
