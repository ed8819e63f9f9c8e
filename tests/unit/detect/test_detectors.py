"""Each row of ``STORIES`` is something that happens on a host, and what the detectors make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from detect_world import MIB, S, World

Found = set[tuple[str, str, int | None]]


@dataclass(frozen=True)
class Story:
    id: str
    rule: str
    happens: Callable[[World], object]
    found: Found


def rule(detector: str, **settings: object) -> str:
    lines = [f"- name: r\n  detector: {detector}"]
    return "\n".join(lines + [f"  {key}: {value}" for key, value in settings.items()])


FORKS = rule("forks_per_sec", threshold=10, duration=2)
LOOP = rule("forks_per_sec", threshold=10, duration=2, max_exec_pct=25)
RATE = rule("forks_per_sec", threshold=5, duration=20)
BURST = rule("fork_burst", threshold=30, window_seconds=5)
TREE = rule("runaway_tree", threshold=25, window_seconds=15)
JOBS = rule("short_job_flood", threshold=40, window_seconds=30, max_exec_duration_ms=500)
EXECS = rule("exec_rate", regex="'^backup|/bin/sync$'", rate_per_min=10, median_lifetime=2)
CPU = rule("cpu_pct", threshold=80, duration=5)
TREE_CPU = rule("subtree_cpu_pct", threshold=50, duration=5)
HOST_CPU = rule("system_cpu_pct", threshold_pct=90, duration=5)
TREE_RSS = rule("subtree_rss_mb", threshold=50, duration=2)
GROWTH = rule("rss_growth", threshold=60, window_seconds=12)
RUNS_OUT = rule("rss_growth", threshold=60, window_seconds=12, exhausts_within_seconds=300)
ZOMBIES = rule("zombie_count", threshold=5, duration=3)
PSI_CPU = rule("system_psi_cpu", threshold_pct=40, duration=10)
PSI_MEMORY = rule("system_psi_memory", threshold_pct=10, duration=10)
PSI_IO = rule("system_psi_io", threshold_pct=30, duration=10)


def forks(count: int, *, seconds: int = 1) -> Callable[[World], object]:
    """One shell forks this often, spread evenly over the seconds."""

    def happens(w: World) -> None:
        shell = w.process(300, "sh")
        for _ in range(seconds):
            w.fork(shell, count // seconds)
            w.step()

    return happens


def stress_ng(w: World) -> None:
    """Four workers of one parent fork alike: none of them is behind more than half."""
    w.process(400, "stress-ng")
    workers = [w.process(401 + n, "stress-ng-fork", 400) for n in range(4)]
    for worker in workers:
        w.fork(worker, 20)
    w.step()


def two_sessions(w: World) -> None:
    for pid in (500, 501):
        w.fork(w.process(pid, "sh"), 20)
    w.step()


def fork_bomb(w: World) -> None:
    """Each process forks once and dies; only the shell that started it all lives on."""
    parent = w.process(600, "bash")
    for _ in range(50):
        child = w.fork(parent)[0]
        w.now_ns += 1000
        row = w.process(child["pid"], "bomb", parent["pid"], start_ns=child["start_ns"])
        if parent["pid"] != 600:
            w.gone(parent)
        parent = row
    w.step(0.5)


def beside_a_build(w: World) -> None:
    """A loop that runs nothing, beside a build that runs a program in each fork: of all forks four in ten run one."""
    make, loop = w.process(300, "make"), w.process(301, "loop")
    for _ in range(4):
        w.run(make, 8, lived_ms=20)
        w.fork(loop, 12)
        w.step()


def pods_of_one_supervisor(w: World) -> None:
    """Who started both forks nothing itself, and lives elsewhere."""
    w.process(400, "shim", cgroup_id=1)
    for n in range(2):
        w.fork(w.process(401 + n, "worker", 400, cgroup_id=2 + n), 20)
    w.step()


def one_pod_of_a_supervisor(w: World) -> None:
    """In one of the pods two fork alike, and who started them is there, too."""
    w.process(400, "shim", cgroup_id=1)
    w.process(401, "init", 400, cgroup_id=2)
    for pid, ppid, count in ((402, 401, 12), (403, 401, 12), (404, 400, 20)):
        w.fork(w.process(pid, "worker", ppid, cgroup_id=2 if ppid == 401 else 3), count)
    w.step()


def successor(w: World) -> None:
    """Who forked is forgotten, and its pid is another's."""
    w.process(300, "innocent")
    w.fork({"pid": 300, "start_ns": 5, "comm": b"?"}, 40)
    w.step()


def own_forks(w: World) -> None:
    w.fork(w.process(700, "cognitod", own=True), 40)
    w.step()


def reused_pid(w: World) -> None:
    """The old owner of the pid forked and died; the new one is innocent."""
    old = w.process(300, "sh")
    w.fork(old, 40)
    w.gone(old)
    w.process(300, "innocent", start_ns=old["start_ns"] + 5)
    w.step()


def over(w: World) -> None:
    """A loop in a session forks for ten seconds and ends. Its shell, and what runs beside it, did not."""
    w.process(500, "bash")
    loop, cron = w.process(501, "loop", 500), w.process(502, "cron", 500)
    for second in range(40):
        if second == 10:
            w.gone(loop)
        if second < 10:
            w.fork(loop, 20)
        w.fork(cron)
        w.step()


def orphaned(w: World) -> None:
    """Forks of a process that no row knows, under the pid of one that lives."""
    w.process(300, "sh")
    w.fork({"pid": 999, "start_ns": 5, "comm": b"?"}, 40)
    w.step()


def jobs(count: int, lived_ms: float = 20, *, exec_: bool = True) -> Callable[[World], object]:
    def happens(w: World) -> None:
        shell = w.process(300, "sh")
        w.step()
        w.run(shell, count, lived_ms=lived_ms, exec_=exec_)
        w.step(0.3)

    return happens


def execs(comm: str, count: int, lived_ms: float) -> Callable[[World], object]:
    def happens(w: World) -> None:
        cron = w.process(310, "cron")
        for _ in range(count):
            w.now_ns += 2_000_000_000
            w.run(cron, 1, lived_ms=lived_ms, comm=comm)
            w.observe()

    return happens


def usage(seconds: int = 8, **columns: object) -> Callable[[World], object]:
    def happens(w: World) -> None:
        w.process(300, "busy", **columns)
        w.step(times=seconds)

    return happens


def flicker(w: World) -> None:
    """Above for three seconds, below for one, again and again."""
    busy = w.process(300, "busy")
    for n in range(20):
        busy["cpu_pct"] = 20.0 if n % 4 == 3 else 99.0
        w.step()


def beside_an_idler(w: World) -> None:
    """Another process below the threshold must not reset the timer of the busy one (the original's did)."""
    w.process(300, "busy", cpu=99)
    w.process(301, "idle", cpu=1)
    w.step(times=8)


def reuse_in_between(w: World) -> None:
    """Two short hogs of one pid are not one long hog."""
    first = w.process(300, "busy", cpu=99)
    w.step(times=3)
    w.gone(first)
    w.process(300, "busy", cpu=99, start_ns=first["start_ns"] + 1)
    w.step(times=4)


def hog_under_shells(w: World) -> None:
    w.process(300, "bash")
    w.process(301, "sh", 300)
    w.process(302, "hog", 301, cpu=99)
    w.step(times=8)


def build_of_short_compilers(w: World) -> None:
    """Every compiler lives a second; what lasts is make."""
    w.process(300, "make")
    for n in range(8):
        cc = w.process(310 + n, "cc1", 300, cpu=95)
        w.step()
        w.gone(cc)


def under_init(w: World) -> None:
    """Sixty small processes whose only common ancestor is pid 1."""
    for n in range(60):
        w.process(300 + n, "small", cpu=1.5)
    w.host["cpu_pct"] = 95.0
    w.step(times=8)


def full_host(**columns: object) -> Callable[[World], object]:
    def happens(w: World) -> None:
        w.process(300, "sh")
        for pid in (301, 302, 303):
            w.process(pid, "work", 300, cpu=60, **columns)
        w.host["cpu_pct"] = 96.0
        w.step(times=8)

    return happens


def grows(per_second: float, seconds: int = 16, *, first: float = 30) -> Callable[[World], object]:
    def happens(w: World) -> None:
        leak = w.process(300, "leak")
        for n in range(seconds):
            leak["rss_bytes"] = round((first + per_second * n) * MIB)
            w.step()

    return happens


def loads_at_start(w: World) -> None:
    row = w.process(300, "jvm")
    for mib in [20, 20, 700, 1500] + [1500] * 20:
        row["rss_bytes"] = mib * MIB
        w.step()


def grows_then_holds(w: World) -> None:
    grows(10, 5)(w)
    w.step(times=20)


def leaks_in_gulps(w: World) -> None:
    """20 MiB every other second."""
    row = w.process(300, "leak")
    for n in range(18):
        row["rss_bytes"] = (40 + 20 * (n // 2)) * MIB
        w.step()


def scarce(w: World) -> None:
    w.host["mem_available_bytes"] = 1000 * MIB
    grows(10)(w)


def zombies(count: int, ppid: int = 300) -> Callable[[World], object]:
    def happens(w: World) -> None:
        w.process(300, "careless")
        w.process(301, "careful")
        w.process(320, "dead", 301, state=b"Z", alive=False)
        for n in range(count - 1):
            w.process(330 + n, "dead", ppid, state=b"Z", alive=False)
        w.step(times=5)

    return happens


def pressure(**figures: float | None) -> Callable[[World], object]:
    def happens(w: World) -> None:
        w.host |= figures
        w.step(times=12)

    return happens


def pressure_with_a_dip(w: World) -> None:
    for n in range(18):
        w.host["psi_cpu_some_avg10"] = 10.0 if n == 9 else 80.0
        w.step()


STORIES = [
    Story("forks_at_the_rate", FORKS, forks(20), {("r", "fork_storm", 300)}),
    Story("one_fork_below_the_rate", FORKS, forks(19), set()),
    Story("enough_forks_but_too_slowly", FORKS, forks(60, seconds=10), set()),
    Story("a_quiet_host", FORKS, lambda w: w.step(times=30), set()),
    Story("forks_that_run_nothing", LOOP, jobs(40, exec_=False), {("r", "fork_storm", 300)}),
    Story("forks_that_run_programs", LOOP, jobs(40), set()),
    Story("forks_that_run_nothing_beside_a_build", LOOP, beside_a_build, {("r", "fork_storm", 301)}),
    Story("a_supervisor_of_pods_is_not_named", BURST, pods_of_one_supervisor, {("r", "fork_storm", None)}),
    Story("in_one_of_its_pods_somebody_is", BURST, one_pod_of_a_supervisor, {("r", "fork_storm", 401)}),
    Story("forks_of_a_pid_whose_process_is_forgotten", BURST, successor, {("r", "fork_storm", None)}),
    Story("a_burst", BURST, forks(30), {("r", "fork_storm", 300)}),
    Story("a_burst_spread_over_its_window", BURST, forks(32, seconds=4), {("r", "fork_storm", 300)}),
    Story("one_fork_short_of_a_burst", BURST, forks(29), set()),
    Story("a_burst_spread_too_wide", BURST, forks(40, seconds=10), set()),
    Story("forking_workers_have_a_parent", BURST, stress_ng, {("r", "fork_storm", 400)}),
    Story("two_forkers_without_common_parent", BURST, two_sessions, {("r", "fork_storm", None)}),
    Story("a_fork_bomb_of_the_dying", BURST, fork_bomb, {("r", "fork_storm", 600)}),
    Story("linnix_is_never_the_culprit_of_forks", BURST, own_forks, {("r", "fork_storm", None)}),
    Story("forks_of_a_pid_since_reused", BURST, reused_pid, {("r", "fork_storm", 300)}),
    Story("no_one_else_is_accused_when_it_is_over", RATE, over, {("r", "fork_storm", 501)}),
    Story("forks_of_an_unknown_process", BURST, orphaned, {("r", "fork_storm", None)}),
    Story("a_tree", TREE, stress_ng, {("r", "runaway_tree", 400)}),
    Story("a_tree_of_one", TREE, forks(25), {("r", "runaway_tree", 300)}),
    Story("two_small_trees_are_not_a_big_one", TREE, two_sessions, set()),
    Story("one_fork_short_of_a_tree", TREE, forks(24), set()),
    Story("short_jobs", JOBS, jobs(40), {("r", "short_job_flood", 300)}),
    Story("one_short_job_too_few", JOBS, jobs(39), set()),
    Story("jobs_that_live_too_long", JOBS, jobs(60, 501), set()),
    Story("forks_that_run_nothing_are_no_jobs", JOBS, jobs(60, exec_=False), set()),
    Story("a_program_run_too_often", EXECS, execs("backup.sh", 12, 100), {("r", "short_job_flood", 310)}),
    Story("told_by_its_filename", EXECS, execs("sync", 12, 100), {("r", "short_job_flood", 310)}),
    Story("another_program_run_as_often", EXECS, execs("rsync", 12, 100), set()),
    Story("a_program_not_run_often_enough", EXECS, execs("backup.sh", 9, 100), set()),
    Story("a_program_that_lives_on", EXECS, execs("backup.sh", 12, 2500), set()),
    Story("a_loop", CPU, usage(cpu=99.5), {("r", "cpu_spin", 300)}),
    Story("a_parallel_hog", CPU, usage(cpu=190.0, threads=4), {("r", "cpu_saturation", 300)}),
    Story("exactly_the_threshold_is_not_above", CPU, usage(cpu=80.0), set()),
    Story("not_for_long_enough", CPU, usage(5, cpu=99.5), set()),
    Story("flickering", CPU, flicker, set()),
    Story("a_hog_beside_an_idler", CPU, beside_an_idler, {("r", "cpu_spin", 300)}),
    Story("two_hogs_of_one_pid", CPU, reuse_in_between, set()),
    Story("a_kernel_thread", CPU, usage(cpu=99.5, kthread=True), set()),
    Story("linnix_itself_is_not_hidden", CPU, usage(cpu=99.5, own=True), {("r", "cpu_spin", 300)}),
    Story("a_hog_under_shells", TREE_CPU, hog_under_shells, {("r", "cpu_spin", 302)}),
    Story("a_build_of_short_compilers", TREE_CPU, build_of_short_compilers, {("r", "cpu_spin", 300)}),
    Story("a_subtree_is_never_all_of_init", TREE_CPU, under_init, set()),
    Story("a_full_host_with_one_family", HOST_CPU, full_host(), {("r", "cpu_saturation", 300)}),
    Story("a_full_host_without_one_culprit", HOST_CPU, under_init, {("r", "cpu_saturation", None)}),
    Story("a_host_not_full", HOST_CPU, usage(cpu=99.0), set()),
    Story("much_memory", TREE_RSS, usage(rss=51), {("r", "unknown", 300)}),
    Story("much_and_more_memory", TREE_RSS, usage(rss=51, rss_growth_bytes=9 * MIB), {("r", "mem_leak", 300)}),
    Story("exactly_so_much_memory", TREE_RSS, usage(rss=50), set()),
    Story("a_leak", GROWTH, grows(8), {("r", "mem_leak", 300)}),
    Story("a_leak_in_gulps", GROWTH, leaks_in_gulps, {("r", "mem_leak", 300)}),
    Story("a_slow_leak", GROWTH, grows(4.9), set()),
    Story("data_loaded_at_start", GROWTH, loads_at_start, set()),
    Story("growth_that_ends", GROWTH, grows_then_holds, set()),
    Story("a_leak_with_memory_to_spare", RUNS_OUT, grows(10), set()),
    Story("a_leak_that_will_exhaust_memory", RUNS_OUT, scarce, {("r", "mem_leak", 300)}),
    Story("zombies", ZOMBIES, zombies(6), {("r", "zombie_pileup", 300)}),
    Story("as_many_zombies_as_allowed", ZOMBIES, zombies(5), set()),
    Story("zombies_of_init", ZOMBIES, zombies(8, ppid=1), {("r", "zombie_pileup", None)}),
    Story("cpu_pressure", PSI_CPU, pressure(psi_cpu_some_avg10=41.0), {("r", "cpu_saturation", None)}),
    Story("cpu_pressure_at_the_threshold", PSI_CPU, pressure(psi_cpu_some_avg10=40.0), set()),
    Story("cpu_pressure_with_a_dip", PSI_CPU, pressure_with_a_dip, set()),
    Story("a_kernel_without_psi", PSI_CPU, pressure(psi_cpu_some_avg10=None), set()),
    Story("memory_pressure", PSI_MEMORY, pressure(psi_memory_full_avg10=12.0), {("r", "swap_thrash", None)}),
    Story("memory_some_is_not_full", PSI_MEMORY, pressure(psi_memory_some_avg10=90.0), set()),
    Story("io_pressure", PSI_IO, pressure(psi_io_full_avg10=31.0), {("r", "io_saturation", None)}),
    Story("io_some_is_not_full", PSI_IO, pressure(psi_io_some_avg10=90.0), set()),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.id)
def test_what_a_story_is_told_as(story: Story) -> None:
    world = World(story.rule)
    story.happens(world)
    assert world.found == story.found


def test_more_execs_than_are_kept_are_told_of_the_time_that_they_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnix.cognitod.detect.execs.MAX_RUNS", 20)
    world = World(EXECS)
    cron = world.process(310, "cron")
    told = list[dict[str, float]]()
    for pause_s, ran in ((0, 15), (0, 10), (0, 10), (61, 15)):
        world.now_ns += pause_s * S
        world.run(cron, ran, lived_ms=100, comm="backup")
        world.now_ns += S
        told += [finding.evidence for finding in world.observe()]
    assert told == [
        {"execs": float(execs), "window_s": window_s, "median_lifetime_s": 0.1, "threshold": 10.0}
        for execs, window_s in ((15, 60.0), (20, 2.1), (20, 2.1), (15, 60.0))
    ]


def test_who_is_known_to_fork_is_asked_about_at_each_sample_and_who_is_not_at_once() -> None:
    world = World(FORKS)
    one, two, most = (world.process(pid, "sh") for pid in (500, 501, 502))

    def forks_then(step_s: float, *of: tuple[dict[str, object], int], sample: bool = False) -> list[object]:
        world.now_ns += round(step_s * S)
        for parent, count in of:
            world.fork(parent, count)
        return [(finding.pid, finding.evidence["forks"]) for finding in world.observe(sample=sample)]

    assert forks_then(0.2, (one, 20), (two, 20)) == [(None, 40.0)]
    assert forks_then(0.2, (one, 20)) == [(500, 60.0)]
    assert forks_then(0.5, (most, 300)) == [(500, 60.0)]  # 0.5 s later that stands
    assert forks_then(0.1, sample=True) == [(502, 360.0)]
    assert forks_then(0.4, (two, 60)) == [(502, 360.0)]
    assert forks_then(0.5, (two, 60)) == [(502, 360.0)]
    assert forks_then(0.1, (two, 800)) == [(501, 1280.0)]  # a second without a sample
