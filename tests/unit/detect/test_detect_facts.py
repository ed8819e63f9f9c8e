"""Facts: what is chosen, in which order, and that everything referred to is there."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from detect_world import EPOCH, MIB, S, World
from hypothesis import given, settings
from hypothesis import strategies as st

from linnix.cognitod.detect import facts, told
from linnix.cognitod.detect.causes import rank
from linnix.cognitod.detect.history import History
from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.events import UNKNOWN_FILES
from linnix.cognitod.model import (
    ROW,
    UNKNOWN,
    UNKNOWN_NICE,
    USAGE,
    Activity,
    Finding,
    Home,
    Rows,
    Snapshot,
    Tag,
)
from linnix.cognitod.senses import Kill, Senses, SocketRates, Space, Stall, Stuck, SyncRates, Waits
from linnix.cognitod.totals import HostRates
from linnix.insight import facts as wire
from linnix.insight.classes import CLASSES, SEVERITIES

NOW = 1000 * S
SNAPSHOT = Snapshot(timestamp=EPOCH, ts_ns=NOW, hostname="box", kernel="6.1", cores=2, mem_total_bytes=8192 * MIB)
CALM = Activity(window_s=10.0)


def table(*processes: dict[str, Any]) -> Rows:
    """Rows by pid, name and columns; ``rss`` in MiB, ``cpu`` in percent of a core."""
    rows = np.zeros(len(processes), ROW)
    for at, given_columns in enumerate(processes):
        columns = {"alive": True, "state": b"S", "threads": 1, "first_ns": NOW - 60 * S} | given_columns
        columns["cpu_pct"] = columns.pop("cpu", 0.0)
        columns["rss_bytes"] = round(columns.pop("rss", 0) * MIB)
        columns.setdefault("start_ns", columns["pid"] * 1000)
        for name, value in columns.items():
            rows[at][name] = value
    return rows


def proc(pid: int, comm: str = "p", **columns: Any) -> dict[str, Any]:
    return {"pid": pid, "comm": comm.encode(), **columns}


def finding(pid: int | None, *, severity: str = "medium", rule: str = "r", **fields: Any) -> Finding:
    values: dict[str, Any] = {
        "rule": rule,
        "cls": "cpu_spin",
        "severity": severity,
        "message": "m",
        "key": f"{rule}:{pid}",
        "ts_ns": NOW - 30 * S,
        "timestamp": EPOCH - 30,
        "pid": pid,
        "start_ns": None if pid is None else pid * 1000,
    }
    return Finding(**(values | fields))


def build(rows: Rows, findings: list[Finding] | None = None, **more: Any) -> wire.Facts:
    return tell(Moment.of(rows), SNAPSHOT, findings or [], **more)


def tell(moment: Moment, snapshot: Snapshot, findings: list[Finding], **more: Any) -> wire.Facts:
    """The facts with what is wrong, as the pipeline tells them."""
    causes = rank(findings, None)
    known = facts.build(moment, snapshot, CALM, [cause.who for cause in causes if cause.who], **more)
    return msgspec.structs.replace(known, findings=told.findings(causes, known))


def pids(built: wire.Facts) -> list[tuple[str, int]]:
    return [(p.id, p.pid) for p in built.processes]


def test_a_process_is_told_in_full() -> None:
    row = proc(
        300,
        "rustc",
        ppid=20,
        uid=1000,
        cpu=180.04,
        rss=512,
        mem_pct=6.25,
        rss_growth_bytes=-3 * MIB,
        threads=9,
        state=b"R",
        forks=25,
        short_children=12,
        cgroup_id=77,
        tags=int(Tag.HIGH_CPU),
    )
    built = build(table(row), place=lambda cgroup, _: Home(cgroup=f"/c{cgroup}/x.service", unit="x.service"))
    assert built.processes == (
        wire.Process(
            id="P1",
            pid=300,
            ppid=20,
            start_ns=300_000,
            comm="rustc",
            uid=1000,
            cpu_pct=180.0,
            rss_bytes=512 * MIB,
            mem_pct=6.2,
            rss_delta_bytes=-3 * MIB,
            threads=9,
            state="R",
            age_s=60.0,
            forks_per_s=2.5,
            short_jobs_per_s=1.2,
            cgroup="/c77/x.service",
            unit="x.service",
            tags=("high_cpu",),
            subtree_cpu_pct=180.0,
        ),
    )


def used(pid: int = 3, **columns: Any) -> wire.Process:
    """One process with these columns of USAGE; what is not named is 0."""
    usage = np.zeros(1, USAGE)
    for name, value in columns.items():
        usage[name] = value
    (told,) = facts.build(Moment.of(table(proc(pid, cpu=1)), usage), SNAPSHOT, CALM, []).processes
    return told


def test_what_a_process_uses_and_holds_is_told_to_one_digit() -> None:
    told = used(
        cpu_user_pct=150.04,
        cpu_system_pct=25.06,
        run_delay_pct=12.34,
        voluntary_switches_per_s=100.55,
        minor_faults_per_s=1.0,
        write_bytes_per_s=2048.0,
        rss_anon_bytes=7 * MIB,
        open_files=65_536,
        oom_score=666,
        nice=-5,
    )
    assert told == msgspec.structs.replace(
        build(table(proc(3, cpu=1))).processes[0],
        cpu_user_pct=150.0,
        cpu_system_pct=25.1,
        run_delay_pct=12.3,
        voluntary_switches_per_s=100.6,
        involuntary_switches_per_s=0.0,
        minor_faults_per_s=1.0,
        major_faults_per_s=0.0,
        read_bytes_per_s=0.0,
        write_bytes_per_s=2048.0,
        rss_anon_bytes=7 * MIB,
        rss_shmem_bytes=0,
        swap_bytes=0,
        open_files=65_536,
        oom_score=666,
        nice=-5,
    )


def test_what_is_not_known_of_a_process_is_none_and_not_nothing() -> None:
    unknown = dict.fromkeys(("rss_anon_bytes", "rss_shmem_bytes", "swap_bytes", "oom_score"), UNKNOWN)
    unknown |= {"open_files": UNKNOWN_FILES, "nice": UNKNOWN_NICE}
    rates = {name: np.nan for name in USAGE.names or () if name.endswith(("_pct", "_per_s"))}
    assert used(**unknown, **rates) == build(table(proc(3, cpu=1))).processes[0]


def test_a_process_is_told_with_its_family_and_what_its_children_did() -> None:
    rows = table(
        proc(3, "keeper", ppid=1, cpu=5, child_exits=30, failed_children=25, child_execs=20, forks=31),
        proc(4, "worker", ppid=3, cpu=40),
        proc(5, "worker", ppid=4, cpu=30.5),
        proc(6, "gone", ppid=3, alive=False, state=b"Z"),
    )
    (keeper,) = (p for p in build(rows).processes if p.pid == 3)
    assert (keeper.children, keeper.descendants, keeper.zombies, keeper.subtree_cpu_pct) == (1, 2, 1, 75.5)
    assert (keeper.child_exits_per_s, keeper.failed_children_per_s, keeper.child_execs_per_s) == (3.0, 2.5, 2.0)


def test_what_instruments_tell_of_a_process_is_told_of_no_other() -> None:
    senses = Senses(
        sockets={(3, 3000): SocketRates(1000.04, 2000.0, 3.0, 4.0, 5.0)},
        waits={(3, 3000): Waits(33.33, 4, None)},
        syncs={(3, 3000): SyncRates(60.04, 12.3)},
        stuck={(3, 3000): Stuck(12.34, "folio_wait_bit")},
        tcp_failures_per_s={(3, 3000): 0.26},
    )
    rows = table(proc(3, cpu=1), proc(4, cpu=1))
    plain = build(rows).processes
    assert facts.build(Moment.of(rows, None, senses), SNAPSHOT, CALM, []).processes == (
        msgspec.structs.replace(
            plain[0],
            tx_bytes_per_s=1000.0,
            rx_bytes_per_s=2000.0,
            tx_calls_per_s=3.0,
            rx_calls_per_s=4.0,
            connects_per_s=5.0,
            lock_wait_pct=33.3,
            lock_waiters=4,
            syncs_per_s=60.0,
            ended_syncs_per_s=12.3,
            stuck_s=12.3,
            stuck_in="folio_wait_bit",
            tcp_failures_per_s=0.3,
        ),
        plain[1],
    )


def test_blame_file_systems_and_kills_refer_to_processes_by_their_ids() -> None:
    rows = table(proc(3, cpu=9), proc(4, cpu=8), proc(5, "keeper"), proc(6, "next", ppid=5), proc(7, alive=False))
    usage = np.zeros(5, USAGE)
    usage["write_bytes_per_s"] = [70_000, 90_000, 0, 0, 0]
    senses = Senses(
        stalls=(
            Stall("cpu", (3, 3000), (4, 4000), "measured", 123.44, 100.0, 0.5, 9.0, False),
            Stall("io", (3, 3000), (99, 9), "inferred", 99.0, 99.0, 0.1, 9.0, None),
        ),
        spaces=(Space("/srv", 97.04, 5, None, 1e6),),
        kills=(Kill((7, 7000), "glutton", 2.04, 9 * MIB, (5, 5000), (6, 6000), "/a", "cgroup"),),
    )
    built = facts.build(Moment.of(rows, usage, senses), SNAPSHOT, CALM, [])
    at = {p.pid: p.id for p in built.processes}

    assert built.blame == (
        wire.Blame(
            id="B1",
            resource="cpu",
            victim=at[3],
            offender=at[4],
            task_ms=123.4,
            share=0.5,
            kind="measured",
            stall_ms=100.0,
            window_s=9.0,
            same_cgroup=False,
        ),
    )
    assert built.filesystems == (
        wire.Filesystem(
            id="D1",
            mount="/srv",
            used_pct=97.0,
            available_bytes=5,
            fill_bytes_per_s=1e6,
            writers=(at[4], at[3]),
        ),
    )
    assert built.oom_kills == (
        wire.OomKill(
            id="K1",
            pid=7,
            comm="glutton",
            age_s=2.0,
            rss_bytes=9 * MIB,
            process=at[7],
            parent=at[5],
            largest=at[6],
            cgroup="/a",
            limit="cgroup",
        ),
    )


def test_cpu_that_no_living_process_had_is_told_of_the_host() -> None:
    snapshot = Snapshot(timestamp=EPOCH, ts_ns=NOW, cores=2, cpu_pct=80.0, mem_available_bytes=5)
    rates = HostRates(user_pct=50.0, steal_pct=5.0, blocked=3, disk="vda", disk_busy_pct=7.0)
    rows = table(proc(3, cpu=40), proc(4, cpu=60, alive=False))
    told = facts.build(Moment.of(rows, None, Senses(runqueue_p99_us=99.96)), snapshot, CALM, [], rates=rates).host
    assert (told.unaccounted_cpu_pct, told.user_pct, told.steal_pct, told.blocked) == (55.0, 50.0, 5.0, 3)
    assert (told.disk, told.disk_busy_pct, told.mem_available_bytes, told.runqueue_p99_us) == ("vda", 7.0, 5, 100.0)
    assert facts.build(Moment.of(rows), snapshot, CALM, []).host.unaccounted_cpu_pct is None


def test_the_host_its_pressure_and_its_activity_are_passed_on() -> None:
    snapshot = Snapshot(
        timestamp=EPOCH,
        ts_ns=NOW,
        hostname="box",
        kernel="6.1",
        cores=2,
        cpu_pct=51.26,
        mem_total_bytes=1000,
        mem_used_bytes=250,
        load_avg=(1.0, 0.5, 0.25),
        uptime_s=7.0,
        psi_cpu_some_avg10=12.3,
        psi_io_full_avg10=0.0,
    )
    built = facts.build(
        Moment.of(np.zeros(0, ROW)),
        snapshot,
        Activity(window_s=10, forks_per_s=3.14),
        [],
        lost_events=4,
        degraded=["no BTF"],
    )
    assert built == wire.Facts(
        timestamp=EPOCH,
        ts_ns=NOW,
        host=wire.Host(
            hostname="box",
            kernel="6.1",
            cores=2,
            mem_total_bytes=1000,
            mem_used_bytes=250,
            swap_total_bytes=0,
            swap_used_bytes=0,
            cpu_pct=51.3,
            mem_pct=25.0,
            load_avg=(1.0, 0.5, 0.25),
            uptime_s=7.0,
        ),
        pressure=wire.Pressure(cpu_some_pct=12.3, io_full_pct=0.0),
        activity=wire.Activity(
            window_s=10,
            forks_per_s=3.1,
            execs_per_s=0.0,
            exits_per_s=0.0,
            short_jobs_per_s=0.0,
            failed_exits_per_s=0.0,
            lost_events=4,
        ),
        processes=(),
        degraded=("no BTF",),
    )


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        pytest.param([proc(3, cpu=0.1, rss=0.9)], [], id="too_small_to_mention"),
        pytest.param([proc(3, cpu=0.2)], [3], id="a_little_cpu"),
        pytest.param([proc(3, rss=1)], [3], id="a_little_memory"),
        pytest.param([proc(3, forks=10)], [3], id="a_fork_a_second"),
        pytest.param([proc(3, forks=9)], [], id="fewer_forks"),
        pytest.param([proc(3, cpu=1), proc(4, cpu=2), proc(5, cpu=2, rss=1)], [5, 4, 3], id="by_cpu_then_memory"),
        pytest.param([proc(5, cpu=1), proc(4, cpu=1)], [4, 5], id="then_by_pid"),
        pytest.param([proc(3, cpu=50, alive=False)], [], id="the_dead_are_not_busy"),
        pytest.param([proc(n, cpu=n) for n in range(1, 15)], list(range(14, 4, -1)), id="ten_by_cpu"),
        pytest.param([proc(n, rss=n) for n in range(1, 15)], list(range(14, 4, -1)), id="ten_by_memory"),
    ],
)
def test_these_processes_are_worth_mentioning(rows: list[dict[str, Any]], chosen: list[int]) -> None:
    assert [p.pid for p in build(table(*rows)).processes] == chosen


def test_culprits_come_first_gravest_first_even_if_idle_or_dead() -> None:
    rows = table(proc(3, cpu=99), proc(4), proc(5, alive=False, state=b"X"), proc(6, cpu=50))
    found = [finding(4, severity="low"), finding(5, severity="high"), finding(6, severity="low", timestamp=EPOCH - 40)]
    built = build(rows, found)
    assert pids(built) == [("P1", 5), ("P2", 6), ("P3", 4), ("P4", 3)]
    assert [(f.id, f.process, f.severity) for f in built.findings] == [
        ("F1", "P1", "high"),
        ("F2", "P2", "low"),
        ("F3", "P3", "low"),
    ]


def test_a_finding_is_told_with_its_class_beginning_and_evidence() -> None:
    built = build(table(proc(3)), [finding(3, evidence={"b": 2.0, "a": 1.0})])
    assert built.findings == (
        wire.Finding(
            id="F1",
            cls="cpu_spin",
            severity="medium",
            rule="r",
            process="P1",
            since=EPOCH - 30,
            message="m",
            evidence={"a": 1.0, "b": 2.0},
            resource="cpu",
            score=0.446,
        ),
    )
    assert list(built.findings[0].evidence) == ["b", "a"]  # the first is what was held against the threshold


def test_a_culprit_that_the_table_has_forgotten_is_not_referred_to() -> None:
    built = build(table(proc(3, cpu=1)), [finding(9)])
    assert [f.process for f in built.findings] == [None]


def test_of_two_rules_that_say_the_same_the_graver_is_told() -> None:
    built = build(table(proc(3)), [finding(3, rule="a"), finding(3, rule="b", severity="high")])
    assert [f.rule for f in built.findings] == ["b"]


def test_a_reused_pid_is_not_taken_for_the_culprit() -> None:
    built = build(table(proc(3, "innocent", cpu=5, start_ns=9)), [finding(3)])
    assert [(p.comm, f.process) for p, f in zip(built.processes, built.findings, strict=True)] == [("innocent", None)]


def test_names_that_several_processes_have_are_summed_over_all_of_them() -> None:
    loaders = [proc(100 + n, "VfsLoader", rss=900 - n, mem_pct=6.0, cpu=0.5) for n in range(12)]
    built = build(table(*loaders, proc(3, "chrome", cpu=30), proc(4, "chrome", cpu=10), proc(5, "solo", cpu=99)))
    by_pid = {p.pid: p.id for p in built.processes}
    assert built.groups == (
        wire.Group(
            id="G1", comm="chrome", count=2, cpu_pct=40.0, rss_bytes=0, mem_pct=0.0, members=(by_pid[3], by_pid[4])
        ),
        wire.Group(
            id="G2",
            comm="VfsLoader",
            count=12,
            cpu_pct=6.0,
            rss_bytes=sum(900 - n for n in range(12)) * MIB,
            mem_pct=72.0,
            members=tuple(by_pid[100 + n] for n in range(10)),
        ),
    )


def test_groups_of_nothing_are_not_told() -> None:
    assert build(table(*(proc(n, "sleep", rss=0.05) for n in range(3, 9)))).groups == ()


def test_linnix_is_listed_and_marked() -> None:
    built = build(table(proc(3, "cognitod", cpu=3, own=True), proc(4, "llama", cpu=2), proc(5, cpu=1)), own_pids=[4])
    assert [(p.pid, p.own) for p in built.processes] == [(3, True), (4, True), (5, False)]


def test_memory_that_changed_is_a_trend_of_its_process() -> None:
    rows = table(
        proc(3, rss=100, rss_growth_bytes=20 * MIB, rss_window_ns=30 * S),
        proc(4, rss=90, rss_growth_bytes=-9 * MIB, rss_window_ns=60 * S),
        proc(5, rss=80, rss_growth_bytes=7 * MIB, rss_window_ns=60 * S),
    )
    host = wire.Trend(id="", metric="cpu_pct", direction="steady", delta=1.0, window_s=60.0)
    assert build(rows, trends=[host]).trends == (
        wire.Trend(id="T1", metric="cpu_pct", direction="steady", delta=1.0, window_s=60.0),
        wire.Trend(id="T2", metric="rss", direction="rising", delta=20.0 * MIB, window_s=30.0, process="P1"),
        wire.Trend(id="T3", metric="rss", direction="falling", delta=-9.0 * MIB, window_s=60.0, process="P2"),
    )


def test_a_hostile_name_arrives_as_text_and_keeps_groups_apart() -> None:
    rows = np.concatenate([table(proc(n, cpu=1)) for n in range(3, 7)])
    rows["comm"] = [b"\xff", b"\xff", b"\xfe", b"\xfe"]
    built = build(rows)
    assert [(g.comm, g.count) for g in built.groups] == [("\ufffd", 2), ("\ufffd", 2)]
    assert wire.decode(wire.encode(built)) == built


def test_the_findings_of_a_real_run_lead_to_their_process() -> None:
    w = World("- {name: hog, detector: cpu_pct, threshold: 80, duration: 3, severity: high}")
    w.process(300, "quiet", rss=4000)
    w.process(301, "hog", cpu=99)
    history = History()
    for _ in range(12):
        history.add(w.step().snapshot())
    built = tell(Moment.of(w.rows()), w.snapshot(), w.engine.open_findings(w.now_ns), trends=history.trends())
    assert [(f.cls, f.process) for f in built.findings] == [("cpu_spin", "P1")]
    assert pids(built) == [("P1", 301), ("P2", 300)]
    assert [(t.id, t.metric, t.direction) for t in built.trends] == [
        ("T1", "cpu_pct", "steady"),
        ("T2", "mem_pct", "steady"),
    ]


ANY_ROWS = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.integers(0, 3),
        st.sampled_from([b"a", b"b", b"\xff\n", b"", b"\x1b[0m"]),
        st.floats(0, 400, width=32),
        st.integers(0, 4000),
        st.integers(-100, 100),
        st.integers(0, 50),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda p: (p[0], p[1]),
)
ANY_FINDINGS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(1, 45)),
        st.integers(0, 3),
        st.sampled_from(SEVERITIES),
        st.sampled_from(list(CLASSES)),
        st.integers(0, 5),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(ANY_ROWS, ANY_FINDINGS, st.randoms())
def test_for_any_host_every_reference_exists_and_the_bytes_depend_on_nothing_else(
    processes: list[tuple[Any, ...]], findings: list[tuple[Any, ...]], random: Any
) -> None:
    rows = np.zeros(len(processes), ROW)
    for at, (pid, start, comm, cpu, rss, growth, forks, alive) in enumerate(processes):
        rows[at]["pid"], rows[at]["start_ns"], rows[at]["comm"], rows[at]["cpu_pct"] = pid, start, comm, cpu
        rows[at]["rss_bytes"], rows[at]["rss_growth_bytes"] = rss * MIB, growth * MIB
        rows[at]["forks"], rows[at]["alive"] = forks, alive
    found = [
        finding(
            pid,
            start_ns=None if pid is None else start,
            severity=severity,
            cls=cls,
            ts_ns=NOW - ago,
            key=f"r:{n}",
        )
        for n, (pid, start, severity, cls, ago) in enumerate(findings)
    ]
    built = build(rows, found)

    ids = [thing.id for kind in (built.processes, built.groups, built.findings, built.trends) for thing in kind]
    assert len(ids) == len(set(ids))
    referred = [ref for group in built.groups for ref in group.members]
    referred += [f.process for f in built.findings if f.process] + [t.process for t in built.trends if t.process]
    assert set(referred) <= {p.id for p in built.processes}
    assert [p.id for p in built.processes] == [f"P{n}" for n in range(1, len(built.processes) + 1)]
    assert len({(p.pid, p.start_ns) for p in built.processes}) == len(built.processes)

    body = wire.encode(built)
    assert wire.encode(wire.decode(body)) == body
    random.shuffle(found)
    assert wire.encode(build(rows.copy(), found)) == body


def test_trends_need_ten_seconds_and_a_change_beyond_noise() -> None:
    history = History()
    told = []
    for n in range(30):
        history.add(
            Snapshot(
                timestamp=EPOCH + n,
                ts_ns=NOW + n * S,
                cpu_pct=float(n),
                mem_total_bytes=100,
                mem_used_bytes=50,
                psi_cpu_some_avg10=60.0 - 2 * n,
            )
        )
        told.append(len(history.trends()))
    assert told == [0] * 10 + [3] * 20
    assert [(t.metric, t.direction, t.delta, t.window_s) for t in history.trends()] == [
        ("cpu_pct", "rising", 20.0, 29.0),
        ("mem_pct", "steady", 0.0, 29.0),
        ("psi_cpu", "falling", -40.0, 29.0),
    ]


def test_the_history_ends_a_minute_ago() -> None:
    history = History()
    for n in range(200):
        history.add(Snapshot(timestamp=EPOCH + n, ts_ns=NOW + n * S))
        history.add(Snapshot(timestamp=EPOCH + n, ts_ns=NOW + n * S, cpu_pct=99.0))
    assert [(t.window_s, t.delta) for t in history.trends()] == [(60.0, 0.0), (60.0, 0.0)]
