"""Answers from segments, at every level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from blame_make import EPOCH_US, MS, PARENT, A, B, Host, group_waits, pressure, start_of, waits
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.blame import query
from linnix.cognitod.blame.levels import NOBODY_NAME, OTHERS_NAME, UNKNOWN_NAME, Scope, Who, label, pod_path, root
from linnix.cognitod.model import Home, Rows

SECOND_US = 10**6
SLICE, A_PATH, B_PATH = "/app.slice", "/app.slice/a.service", "/app.slice/b.service"


def ask(host: Host, by: str, scope: Scope | None = None, *, seconds: int | None = None) -> query.Answer:
    to_us = host.now_us if seconds is None else EPOCH_US + seconds * SECOND_US
    segments = host.ledger.window(EPOCH_US, to_us)
    return query.answer(segments, host.blame.names.home, by=by, scope=scope, from_us=EPOCH_US, to_us=to_us)


def told(answer: query.Answer) -> list[tuple[Any, Any, str, float, float]]:
    """Pairs in short: processes by pid, times in ms."""

    def short(name: Any) -> Any:
        return name.pid if isinstance(name, Who) else name

    return [
        (short(pair.victim), short(pair.offender), pair.kind, pair.task_ns / MS, pair.stall_ns / MS)
        for pair in answer.pairs
    ]


def cgroup(path: str) -> Scope:
    return Scope("cgroup", path, path=path)


def measured(*rows: Rows, psi: Any = None) -> Host:
    host = Host()
    host.attach()
    host.read(*rows, psi=psi)
    return host


@pytest.fixture
def pinned() -> Host:
    """Two services on one CPU: a has two processes, and waits for b, and its two for each other."""
    return measured(
        waits(100, 200, 400, 300),
        waits(101, 200, 300, 200),
        waits(100, 101, 50, 40),
        waits(200, 100, 100, 90),
        waits(101, 0, 5, 5),
        waits(100, 300, 20, 20, kind="inferred"),
        group_waits(A, 200, 450),
        group_waits(A, 101, 45),
        group_waits(A, 300, 20, kind="inferred"),
        group_waits(B, 100, 90),
        group_waits(PARENT, 200, 440),
        group_waits(PARENT, 100, 90),
        psi=pressure(600, A=505, B=91, PARENT=550),
    )


def test_processes_are_told_with_all_that_names_them(pinned: Host) -> None:
    (first, *_) = ask(pinned, "process").pairs
    assert first == query.Pair(
        victim=Who(100, start_of(100), "alpha", A_PATH, "a.service"),
        offender=Who(200, start_of(200), "beta", B_PATH, "b.service"),
        kind="measured",
        task_ns=400 * MS,
        stall_ns=300 * MS,
        share=300 / 360,
    )


def test_at_process_level_every_row_is_a_pair_and_no_pressure_is_told(pinned: Host) -> None:
    answer = ask(pinned, "process")
    assert told(answer) == [
        (100, 200, "measured", 400, 300),
        (101, 200, "measured", 300, 200),
        (200, 100, "measured", 100, 90),
        (100, 101, "measured", 50, 40),
        (100, 300, "inferred", 20, 20),
        (101, 0, "measured", 5, 5),
    ]
    assert (answer.psi_us, answer.attributed_ns, answer.inferred_ns) == (None, 635 * MS, 20 * MS)


def test_at_cgroup_level_stall_is_the_union_and_task_time_the_sum(pinned: Host) -> None:
    answer = ask(pinned, "cgroup")
    assert told(answer) == [
        (A_PATH, B_PATH, "measured", 700, 450),
        (B_PATH, A_PATH, "measured", 100, 90),
        (A_PATH, A_PATH, "own_threads", 50, 45),
        (A_PATH, "/db.service", "inferred", 20, 20),
        (A_PATH, NOBODY_NAME, "measured", 5, 0),
    ]
    assert (answer.psi_us, answer.attributed_ns, answer.inferred_ns) == (596_000, 585 * MS, 20 * MS)


def test_units_are_told_by_their_names(pinned: Host) -> None:
    answer = ask(pinned, "unit", Scope("unit", "a.service", unit="a.service"))
    assert told(answer)[:2] == [
        ("a.service", "b.service", "measured", 700, 450),
        ("a.service", "a.service", "own_threads", 50, 45),
    ]
    assert answer.psi_us == 505_000


def test_a_group_above_others_waits_as_a_whole_and_what_is_below_is_its_own(pinned: Host) -> None:
    answer = ask(pinned, "cgroup", cgroup(SLICE))
    assert told(answer) == [
        (SLICE, SLICE, "own_threads", 850, 530),
        (SLICE, "/db.service", "inferred", 20, 0),
        (SLICE, NOBODY_NAME, "measured", 5, 0),
    ]
    assert answer.psi_us == 550_000


def test_a_slice_is_a_unit_too(pinned: Host) -> None:
    answer = ask(pinned, "unit", Scope("unit", "app.slice", unit="app.slice"))
    assert told(answer)[0] == ("app.slice", "app.slice", "own_threads", 850, 530)


def test_the_processes_of_one_group_can_be_asked_about(pinned: Host) -> None:
    assert told(ask(pinned, "process", cgroup(B_PATH))) == [(200, 100, "measured", 100, 90)]


def test_one_process_can_be_told_the_groups_it_waits_for(pinned: Host) -> None:
    answer = ask(pinned, "cgroup", Scope("process", "100", pid=100))
    assert told(answer) == [
        (A_PATH, B_PATH, "measured", 400, 300),
        (A_PATH, A_PATH, "own_threads", 50, 40),
        (A_PATH, "/db.service", "inferred", 20, 20),
    ]
    assert answer.psi_us is None


def test_a_victim_that_did_not_wait_has_no_pairs_and_no_pressure_but_a_total(pinned: Host) -> None:
    scope = Scope("cgroup", "/db.service", path="/db.service", ids=frozenset({12}))
    answer = ask(pinned, "cgroup", scope)
    assert (told(answer), answer.psi_us, answer.attributed_ns) == ([], 0, 0)


def test_shares_are_of_the_pressure_where_that_is_more_than_what_was_charged(pinned: Host) -> None:
    shares = {pair.offender: pair.share for pair in ask(pinned, "cgroup", cgroup(A_PATH)).pairs}
    # 450 + 45 + 20 ms were charged, the kernel counted 505
    assert shares == pytest.approx({B_PATH: 450 / 515, A_PATH: 45 / 515, "/db.service": 20 / 515, NOBODY_NAME: 0.0})
    less = measured(waits(100, 200, 100), group_waits(A, 200, 100), psi=pressure(A=400))
    assert [pair.share for pair in ask(less, "cgroup", cgroup(A_PATH)).pairs] == [0.25]


def test_a_quota_of_ones_own_is_an_offender_of_its_own_kind() -> None:
    host = measured(
        waits(100, 100, 60, kind="own_quota"),
        waits(100, 100, 10),
        group_waits(A, 100, 60, kind="own_quota"),
        group_waits(A, 100, 10),
    )
    assert told(ask(host, "cgroup")) == [
        (A_PATH, A_PATH, "own_quota", 60, 60),
        (A_PATH, A_PATH, "own_threads", 10, 10),
    ]
    assert [kind for _, _, kind, _, _ in told(ask(host, "process"))] == ["own_quota", "own_threads"]


def test_pressure_is_unknown_where_not_every_group_was_read() -> None:
    host = measured(waits(100, 200, 10), group_waits(A, 200, 10), psi=pressure(B=3, complete=False))
    assert ask(host, "cgroup").psi_us is None
    known = measured(waits(100, 200, 10), group_waits(A, 200, 10), psi=pressure(A=11, complete=False))
    assert ask(known, "cgroup").psi_us == 11_000


def test_where_the_kernel_has_no_row_of_a_group_its_processes_are_summed_and_no_pressure_is_claimed() -> None:
    host = measured(waits(900, 901, 30, 20), waits(902, 901, 10, 5), psi=pressure(40))
    answer = ask(host, "cgroup")
    assert told(answer) == [("/", "/", "own_threads", 40, 25)]
    assert (answer.psi_us, answer.host_psi_us) == (None, 40_000)


def test_what_nobody_knows_the_name_of_is_not_its_own_offender() -> None:
    host = Host(dead={100, 200})
    host.attach()
    host.read(waits(100, 200, 10))
    assert told(ask(host, "cgroup")) == [(UNKNOWN_NAME, UNKNOWN_NAME, "measured", 10, 10)]


def test_coverage_is_the_part_of_the_time_measured_times_the_part_of_the_waits_charged() -> None:
    host = Host()
    host.attach()
    for _ in range(2):
        host.read(waits(100, 200, 75), waited_ms=100, after_s=5)
    host.read(last=True, after_s=0.001)
    host.now_ns += 10 * 10**9
    answer = ask(host, "process", seconds=20)
    assert (answer.engaged_us, answer.epochs, answer.waited_ns) == (10_001_000, 1, 200 * MS)
    assert answer.coverage == pytest.approx(0.5 * 0.75, rel=1e-3)


def test_nothing_measured_is_nothing_covered() -> None:
    answer = ask(Host(now_ns=10**10), "process")
    assert (answer.pairs, answer.coverage, answer.attributed_ns, answer.psi_us) == ((), 0.0, 0, None)


def test_a_process_that_execs_is_one_offender_under_its_newer_name(pinned: Host) -> None:
    host = Host()
    host.attach()
    host.read(waits(100, 200, 10), after_s=5)
    host.dead.clear()
    host._comm = lambda pid, _start: b"renamed"  # type: ignore[method-assign, assignment]
    host.blame._comm_of = host._comm
    host.read(waits(100, 200, 10), after_s=5)
    (pair,) = ask(host, "process").pairs
    assert isinstance(pair.offender, Who)
    assert (pair.offender.comm, pair.task_ns) == ("renamed", 20 * MS)


hour = st.lists(
    st.tuples(st.sampled_from([100, 101, 200, 300]), st.sampled_from([0, 100, 101, 200, 300]), st.integers(1, 500)),
    min_size=1,
    max_size=40,
)


@given(hour, st.sampled_from(["process", "cgroup", "unit", "pod"]))
def test_task_time_is_the_same_at_every_level_and_shares_of_a_victim_add_up_to_one(
    rows: list[tuple[int, int, int]], by: str
) -> None:
    host = Host()
    host.attach()
    for victim, offender, task_ms in rows:
        host.read(waits(victim, offender, task_ms))
    answer = ask(host, by)
    assert sum(pair.task_ns for pair in answer.pairs) == sum(task for _, _, task in rows) * MS
    shares: dict[Any, float] = {}
    for pair in answer.pairs:
        shares[pair.victim] = shares.get(pair.victim, 0.0) + pair.share
    assert all(total == pytest.approx(1.0) for total in shares.values())


@given(hour, st.integers(0, 40_000_000), st.integers(0, 40_000_000))
def test_the_bounds_of_an_answer_give_the_same_answer_also_after_more_was_measured(
    rows: list[tuple[int, int, int]], one: int, other: int
) -> None:
    host = Host()
    host.attach()
    for victim, offender, task_ms in rows:
        host.read(waits(victim, offender, task_ms))
    from_us, to_us = EPOCH_US + min(one, other), min(EPOCH_US + max(one, other), host.now_us)
    from_us = min(from_us, to_us)

    def at(from_us: int, to_us: int) -> tuple[int, int, query.Answer]:
        segments = host.ledger.window(from_us, to_us)
        if segments:
            from_us, to_us = min(from_us, segments[0].begin_us), max(to_us, segments[-1].end_us)
        home = host.blame.names.home
        told = query.answer(segments, home, by="process", scope=None, from_us=from_us, to_us=to_us)
        return from_us, to_us, told

    first = at(from_us, to_us)
    for _ in range(3):
        host.read(waits(300, 100, 7), after_s=1.7)
    assert at(first[0], first[1]) == first


def test_a_pod_is_named_with_its_namespace_and_found_by_the_kubelets_group() -> None:
    pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b2c3d_0a1b_0a1b_0a1b_0a1b2c3d4e5f.slice"
    home = Home(cgroup=f"{pod}/cri-containerd-{'a' * 64}.scope", unit=f"cri-containerd-{'a' * 64}.scope")
    in_pod = Home(cgroup=home.cgroup, unit=home.unit, namespace="prod", pod="api-0")
    assert (label("pod", in_pod), root("pod", in_pod), pod_path(in_pod)) == ("prod/api-0", pod, pod)
    assert (label("pod", home), root("pod", home)) == (home.unit, home.cgroup)
    assert Scope("pod", "prod/api-0", namespace="prod", pod="api-0").root_of(in_pod) == pod
    assert Scope("pod", "prod/api-1", namespace="prod", pod="api-1").root_of(in_pod) is None


def test_what_was_too_small_to_keep_apart_is_told_as_others() -> None:
    host = measured(*(waits(1000 + at, 2000 + at, 1 + at) for at in range(400)))
    answer = ask(host, "process")
    assert sum(pair.task_ns for pair in answer.pairs) == sum(range(1, 401)) * MS
    others = [pair for pair in answer.pairs if isinstance(pair.victim, Who) and pair.victim.pid is None]
    assert [pair.victim.comm for pair in others if isinstance(pair.victim, Who)] == [OTHERS_NAME] * len(others)
    assert np.all([pair.kind == "measured" for pair in others])
