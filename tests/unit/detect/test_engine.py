"""What the engine adds to its detectors: findings that stay open and keep their beginning."""

from __future__ import annotations

from detect_world import EPOCH, MIB, MS, S, World
from seconds import MB, Seconds

from linnix.cognitod.model import Finding

CPU = "- {name: hog, detector: cpu_pct, threshold: 80, duration: 5, severity: medium, cooldown: 30, keep_firing: 10}"
BURST = "- {name: burst, detector: fork_burst, threshold: 30, window_seconds: 5, severity: high, cooldown: 60}"


def test_a_finding_says_which_rule_who_since_when_and_on_what_evidence() -> None:
    w = World(CPU)
    busy = w.process(300, "busy", cpu=99.5, threads=3)
    w.step(times=8)
    start = 1001 * S
    assert w.last == [
        Finding(
            rule="hog",
            cls="cpu_spin",
            severity="medium",
            message="pid 300 uses 100 % of a core, above 80 % for 7 s",
            key=f"hog:300:{busy['start_ns']}",
            ts_ns=start,
            timestamp=EPOCH + 1001,
            pid=300,
            start_ns=busy["start_ns"],
            comm="busy",
            evidence={"cpu_pct": 99.5, "threads": 3.0, "threshold": 80.0, "for_s": 7.0},
        )
    ]


def test_the_evidence_of_a_storm_says_how_many_how_fast_and_by_whom() -> None:
    w = World(BURST)
    w.fork(w.process(300, "sh"), 45)
    w.fork(w.process(301, "cron"), 15)
    w.step()
    (finding,) = w.last
    assert finding.message == "60 forks in 5 s (12/s), 75 % by pid 300 and its descendants"
    assert finding.evidence == {
        "forks": 60.0,
        "forks_per_s": 12.0,
        "exec_pct": 0.0,
        "window_s": 5.0,
        "threshold": 30.0,
        "share_pct": 75.0,
    }


def test_a_finding_stays_open_while_it_holds_and_for_its_keep_firing_time_after() -> None:
    w = World(CPU)
    busy = w.process(300, "busy", cpu=99)
    w.step(times=6)
    busy["cpu_pct"] = 0.0
    held = []
    for _ in range(13):
        w.step()
        held.append(len(w.engine.open_findings(w.now_ns)))
    assert held == [1] * 10 + [0] * 3


def test_a_finding_that_comes_back_while_open_began_when_it_first_did() -> None:
    w = World(BURST)
    shell = w.process(300, "sh")
    for _ in range(3):
        w.fork(shell, 40)
        w.step(7)
    assert w.found == set()
    w.fork(shell, 40)
    w.step(1)
    first = w.last[0]
    w.step(6)
    assert w.last == []
    w.fork(shell, 40)
    w.step(1)
    assert (w.last[0].ts_ns, w.last[0].timestamp) == (first.ts_ns, first.timestamp)


def test_one_milder_sample_does_not_end_an_alarm_and_ten_seconds_of_them_do() -> None:
    w = Seconds("- {name: leak, detector: mem_leak, threshold: 2, duration: 5, severity: medium, keep_firing: 4}")
    row = w.runs(300, "redis")
    told = []
    for second in range(20):
        # Found from the sixth second on, and fed from the ninth: what was an alarm becomes a remark.
        fed = 0.0 if second < 8 else 90.0 * MB
        w.tell(row, rss_anon_bytes=(50 + 8 * second) * MIB, rx_bytes_per_s=fed)
        told += [finding.severity for finding in w.seconds(1).last]
    assert told == ["medium"] * 7 + ["info"] * 8


def test_a_long_sample_interval_does_not_close_what_still_holds() -> None:
    w = World(CPU)
    w.process(300, "busy", cpu=99)
    w.step(30, times=3)
    assert [f.pid for f in w.engine.open_findings(w.now_ns + 29 * S)] == [300]


def test_once_a_culprit_is_known_the_finding_about_no_one_is_closed() -> None:
    w = World(BURST)
    w.fork({"pid": 999, "start_ns": 5, "comm": b"?"}, 40)
    w.step()
    assert [f.pid for f in w.engine.open_findings(w.now_ns)] == [None]
    w.fork(w.process(300, "sh"), 200)
    w.step()
    assert [f.pid for f in w.engine.open_findings(w.now_ns)] == [300]


def test_a_storm_is_found_between_samples() -> None:
    w = World(BURST)
    shell = w.process(300, "sh")
    w.step()
    w.now_ns += 50 * MS
    w.fork(shell, 40)
    assert [f.pid for f in w.observe(sample=False)] == [300]


def test_a_storm_beyond_what_is_kept_has_a_shorter_window_and_the_right_rate() -> None:
    w = World(BURST)
    shell = w.process(300, "sh")
    for _ in range(40):
        w.now_ns += 100 * MS
        w.fork(shell, 2048)
    w.observe()
    evidence = w.last[0].evidence
    assert (evidence["forks"], evidence["window_s"], evidence["forks_per_s"]) == (65_536.0, 3.1, 21_140.6)


def test_usage_is_judged_once_a_sample_however_many_batches_come() -> None:
    w = World(CPU)
    w.process(300, "busy", cpu=99)
    w.step(times=6)
    w.now_ns += S
    assert w.observe(sample=False) == []
    assert len(w.engine.open_findings(w.now_ns)) == 1


def test_the_same_steps_give_the_same_findings() -> None:
    def run() -> list[list[Finding]]:
        w = World(CPU + "\n" + BURST)
        shell = w.process(300, "sh", cpu=99)
        out = []
        for n in range(12):
            w.fork(shell, 7 * n)
            w.step()
            out.append(w.engine.open_findings(w.now_ns))
        return out

    assert run() == run()


def test_a_hostile_name_is_carried_but_never_put_into_a_message() -> None:
    w = World(CPU + "\n" + BURST)
    evil = w.process(300, b"\x1b[2J\n\xff\xe2\x80\xaeIGN", cpu=99)
    for _ in range(8):
        w.fork(evil, 40)
        w.step()
    assert {f.comm for f in w.last} == {"\x1b[2J\n\ufffd\u202eIGN"}
    assert all(f.message.isascii() and f.message.isprintable() for f in w.last)


def test_what_is_open_is_bounded() -> None:
    w = World("- {name: hog, detector: cpu_pct, threshold: 0, duration: 0}")
    for pid in range(300, 1700):
        w.process(pid, "busy", cpu=1)
    w.step()
    assert len(w.engine.open_findings(w.now_ns)) == 1024


def test_a_process_that_grows_from_nothing_is_followed_from_a_quarter_of_the_threshold() -> None:
    w = World("- {name: leak, detector: rss_growth, threshold: 60, window_seconds: 12}")
    leak = w.process(300, "leak")
    for n in range(30):
        leak["rss_bytes"] = 6 * n * MIB
        w.step()
    (finding,) = w.last
    assert finding.evidence == {
        "growth_bytes": 72.0 * MIB,
        "growth_bytes_per_s": 6.0 * MIB,
        "rss_bytes": 174.0 * MIB,
        "window_s": 12.0,
        "threshold": 60.0 * MIB,
        "exhausted_in_s": 683.0,
    }


def test_pressure_mentions_the_busiest_process_only_where_it_stands_out() -> None:
    rule = "- {name: psi, detector: system_psi_cpu, threshold_pct: 40, duration: 0}"
    seen = []
    for others in (10.0, 45.0, 60.0):
        w = World(rule)
        w.host |= {"psi_cpu_some_avg10": 70.0, "cpu_pct": 100.0}
        w.process(300, "hog", cpu=90)
        w.process(301, "other", cpu=others)
        w.step()
        seen.append({k: v for k, v in w.last[0].evidence.items() if k.startswith("top_")})
    top = {"top_pid": 300.0, "top_cpu_pct": 90.0}
    assert seen == [top, top, {}]


def test_a_process_that_exits_closes_what_was_found_of_its_usage() -> None:
    w = World(CPU)
    busy = w.process(300, "busy", cpu=99)
    w.step(times=7)
    assert len(w.engine.open_findings(w.now_ns)) == 1
    w.gone(busy)
    w.step()
    assert w.engine.open_findings(w.now_ns) == []


def test_a_rule_is_silent_while_a_graver_one_says_the_same_of_the_same_process() -> None:
    mild = CPU.replace("name: hog", "name: warm").replace("threshold: 80", "threshold: 60").replace("medium", "low")
    w = World(CPU + "\n" + mild)
    busy = w.process(300, "busy", cpu=70)
    told = []
    for n in range(24):
        busy["cpu_pct"] = 99.0 if 8 <= n < 16 else 70.0
        told.append({finding.rule for finding in w.step().last})
    # The graver one stays open for ten seconds after it last held, which is longer than the story.
    assert told == [set()] * 5 + [{"warm"}] * 8 + [{"hog"}] * 3 + [set()] * 8
    assert [f.rule for f in w.engine.open_findings(w.now_ns)] == ["hog", "warm"]


def test_a_storm_that_was_over_before_anyone_looked_is_its_maker_s_who_has_gone() -> None:
    w = World(BURST)
    old = w.process(300, "sh")
    w.fork(old, 40)
    w.gone(old)
    w.process(300, "innocent", start_ns=old["start_ns"] + 5)
    w.step()
    assert [(f.pid, f.start_ns, f.comm) for f in w.last] == [(300, old["start_ns"], "sh")]


def test_the_culprit_does_not_flicker_between_a_process_and_its_ancestors() -> None:
    w = World("- {name: full, detector: system_cpu_pct, threshold_pct: 90, duration: 0}")
    w.host["cpu_pct"] = 99.0
    w.process(300, "make")
    one = w.process(301, "cc1", 300)
    two = w.process(302, "ld", 300)
    named = []
    for share in (60, 45, 40, 30, 45, 60):
        one["cpu_pct"], two["cpu_pct"] = share, 100.0 - share
        named.append(w.step().last[0].pid)
    assert named == [301, 301, 301, 302, 302, 302]


def test_a_condition_must_hold_for_one_offender_before_it_is_a_finding() -> None:
    w = World(BURST.replace("cooldown: 60", "hold: 4"))
    first, second = w.process(300, "first"), w.process(301, "second")
    named = []
    for n in range(14):
        w.fork(first if n < 3 else second, 40)
        w.step()
        named.append([f.pid for f in w.last])
    assert named == [[]] * 7 + [[301]] * 7
    assert w.last[0].ts_ns == 1004 * S


def test_workers_that_die_with_their_parent_leave_the_finding_with_it() -> None:
    w = World(BURST)
    parent = w.process(400, "stress-ng")
    workers = [w.process(401 + n, "stress-ng-fork", 400) for n in range(4)]
    for _ in range(3):
        for worker in workers:
            w.fork(worker, 20)
        w.step(0.5)
    parent["forks"] = 0  # it made its workers long ago
    for row in (parent, *workers):
        w.gone(row)
    w.step(0.5)
    assert [f.pid for f in w.last] == [400]
    w.step(3, times=6)
    assert w.found == {("burst", "fork_storm", 400)}


def test_while_it_is_known_whose_a_storm_is_nothing_is_found_about_no_one() -> None:
    w = World(BURST)
    w.fork(w.process(300, "sh"), 60)
    w.step()
    w.fork({"pid": 998, "start_ns": 5, "comm": b"?"}, 400)
    w.step()
    assert w.found == {("burst", "fork_storm", 300)}
    w.fork({"pid": 998, "start_ns": 5, "comm": b"?"}, 400)
    w.step(12)
    w.fork({"pid": 998, "start_ns": 5, "comm": b"?"}, 400)
    w.step()
    assert w.found == {("burst", "fork_storm", 300), ("burst", "fork_storm", None)}
