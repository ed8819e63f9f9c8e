"""How right blame for CPU is: stalls whose cause is known because it was constructed, and whom they are charged to.

Run as root: ``python benchmarks/blame.py``. Each scenario is run ``--rounds`` times; figures are medians. How long a
group was stalled is what the kernel's own ``cpu.pressure`` says. The truth is constructed: victims and offenders are
pinned to one CPU, so an offender there takes exactly the CPU time that it uses, what runs on another CPU takes nothing,
and what remains was taken by the rest of the host. The error is the share of the stall that was charged to the wrong
party: half the sum of the absolute differences.

Beside ours stands the formula of the project that Linnix succeeds, computed on the same runs: the stall is split by
``cpu / sum of cpu + min(forks / 100, 1) + min(short jobs / 50, 1)`` over everybody else, wherever they run; forks and
short jobs are of 15 s. It does not know the victim's own quota.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from common import last_line, table

from linnix.cognitod.host.cgroup import find_mount
from linnix.cognitod.kernel.blame_cpu import BlameCpu
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL_KINDS

_BEGIN = "import os, sys, time; os.sched_setaffinity(0, map(int, sys.argv[1].split(',')))\n"
SPIN = _BEGIN + "while True: pass"
#: Argument 2: for how many ms of each 10 it runs, if it is let.
DUTY = (
    _BEGIN
    + """
work_ns = int(sys.argv[2]) * 1_000_000
while True:
    begin, wall = time.thread_time_ns(), time.monotonic_ns()
    while time.thread_time_ns() - begin < work_ns: pass
    time.sleep(max(0, 10_000_000 - (time.monotonic_ns() - wall)) / 1e9)
"""
)
#: Forks a child that lives for a moment, 25 times a second; prints how many when it is told to end.
FORK = (
    _BEGIN
    + """
import signal
made = 0
def tell(*_): print(made, flush=True); os._exit(0)
signal.signal(signal.SIGTERM, tell)
while True:
    if not os.fork(): os._exit(0)
    os.wait(); made += 1
    time.sleep(0.04)
"""
)
OWN_QUOTA, REST = "own quota", "the rest of the host"
#: The daemon reads every second. PSI averages over CPUs between two readings, the kernel's own every 2 s among them.
STEPS_S = (0.1, 0.5, 1.0)
#: What the original looks back on when it counts forks.
_WINDOW_S = 15


@dataclass
class Party:
    """One or more equal processes in a group of their own."""

    name: str
    script: str = SPIN
    on_victims_cpu: bool = True
    pinned: bool = True  # else on both CPUs
    count: int = 1
    duty_ms: int = 0
    inner: str = ""  # a group below its own, in which the processes are
    quota_us: int = 0  # of 100 ms
    group: Path = Path()
    pids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Scenario:
    """The first party is the victim. ``truth`` gives what each took of it, from CPU time used and time throttled."""

    title: str
    parties: tuple[Party, ...]
    truth: Callable[[dict[str, float], float, float], dict[str, float]]


@dataclass(frozen=True)
class Result:
    """One run; amounts in seconds, errors in percent."""

    pressure_s: float
    stall_error_pct: float  # of the sum, against pressure
    inner_error_pct: float | None  # the same of the group below
    task_error_pct: float  # against run_delay
    ours: dict[str, float]
    original: dict[str, float]
    truth: dict[str, float]

    def error_pct(self, charged: dict[str, float]) -> float:
        """The share of the stall that was charged to the wrong party, or to nobody."""
        names = self.truth.keys() | charged.keys()
        wrong = sum(abs(charged.get(name, 0.0) - self.truth.get(name, 0.0)) for name in names)
        return 50 * wrong / sum(self.truth.values())


def used(*names: str) -> Callable[[dict[str, float], float, float], dict[str, float]]:
    """The truth where the victim always wants to run: it waits whenever one of these does."""
    return lambda cpu_s, _throttled_s, _pressure_s: {name: cpu_s[name] for name in names}


def all_of_it(name: str) -> Callable[[dict[str, float], float, float], dict[str, float]]:
    """The truth where only one other can run instead of the victim."""
    return lambda _cpu_s, _throttled_s, pressure_s: {name: pressure_s}


def scenarios() -> list[Scenario]:
    elsewhere = Party("busy elsewhere", on_victims_cpu=False)
    return [
        Scenario("one offender, 30 %", (Party("victim"), Party("offender", DUTY, duty_ms=3)), used("offender")),
        Scenario("a victim that sleeps", (Party("victim", DUTY, duty_ms=2), Party("offender")), all_of_it("offender")),
        Scenario(
            "three offenders, 10, 20 and 30 %",
            (
                Party("victim"),
                *(Party(f"offender {percent} %", DUTY, duty_ms=percent // 10) for percent in (10, 20, 30)),
            ),
            used("offender 10 %", "offender 20 %", "offender 30 %"),
        ),
        Scenario(
            "one offender, 30 %, and one busy on another CPU",
            (Party("victim"), Party("offender", DUTY, duty_ms=3), elsewhere),
            used("offender"),
        ),
        Scenario(
            "one offender, 30 %, and one that forks on another CPU",
            (Party("victim"), Party("offender", DUTY, duty_ms=3), Party("forks elsewhere", FORK, False)),
            used("offender"),
        ),
        Scenario(
            "a victim in a group within a group",
            (Party("victim", inner="inner"), Party("offender", DUTY, duty_ms=3)),
            used("offender"),
        ),
        Scenario(
            "throttled by its own quota, one busy on another CPU",
            (Party("victim", quota_us=30_000), elsewhere),
            lambda _cpu_s, throttled_s, _pressure_s: {OWN_QUOTA: throttled_s},
        ),
        Scenario(
            "throttled by its own quota, and an offender",
            (Party("victim", quota_us=30_000), Party("offender", DUTY, duty_ms=3)),
            lambda _cpu_s, throttled_s, pressure_s: {OWN_QUOTA: throttled_s, "offender": pressure_s - throttled_s},
        ),
    ]


def cpu_controller() -> Path | None:
    """Where the v1 controller is mounted; None where quotas are of version 2."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(place)
    return None


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A control group, removed again, also when the benchmark is interrupted."""
    path.mkdir()
    try:
        yield path
    finally:
        for _ in range(100):  # a process that was killed leaves its group a moment later
            with suppress(OSError):
                path.rmdir()
                break
            time.sleep(0.02)


@contextmanager
def at_work(party: Party, mount: Path, cpus: Sequence[int]) -> Iterator[Path | None]:
    """The party's processes; gives the file that tells how long they were throttled, if they have a quota."""
    with ExitStack() as stack:
        name = f"linnix-bench-{uuid.uuid4().hex[:8]}"
        party.group = stack.enter_context(folder(mount / name))
        place = stack.enter_context(folder(party.group / party.inner)) if party.inner else party.group
        places, stat = [place], None
        if party.quota_us:
            old = cpu_controller()
            limited = stack.enter_context(folder(old / name)) if old else party.group
            if old:
                (limited / "cpu.cfs_period_us").write_text("100000")
                (limited / "cpu.cfs_quota_us").write_text(str(party.quota_us))
                places.append(limited)
            else:
                (mount / "cgroup.subtree_control").write_text("+cpu")
                (limited / "cpu.max").write_text(f"{party.quota_us} 100000")
            stat = limited / "cpu.stat"

        def enter() -> None:
            for group in places:
                (group / "cgroup.procs").write_text("0")

        where = cpus[:2] if not party.pinned else cpus[:1] if party.on_victims_cpu else cpus[1:2]
        command = [sys.executable, "-c", party.script, ",".join(map(str, where)), str(party.duty_ms)]
        processes = [subprocess.Popen(command, preexec_fn=enter, stdout=subprocess.DEVNULL) for _ in range(party.count)]
        party.pids = [process.pid for process in processes]
        try:
            yield stat
        finally:
            for process in processes:
                process.kill()
                process.wait()


def pressure_s(group: Path) -> float:
    (some, *_) = (group / "cpu.pressure").read_text().splitlines()
    return int(some.rpartition("total=")[2]) / 1e6


def throttled_s(stat: Path | None) -> float:
    if stat is None:
        return 0.0
    told = dict(line.split() for line in stat.read_text().splitlines())
    return int(told["throttled_time"]) / 1e9 if "throttled_time" in told else int(told["throttled_usec"]) / 1e6


def books(parties: Sequence[Party]) -> tuple[dict[str, float], float]:
    """CPU seconds by party, and the seconds that the victim's processes waited."""
    cpu, delay = {}, 0.0
    for party in parties:
        stats = [Path(f"/proc/{pid}/schedstat").read_text().split() for pid in party.pids]
        cpu[party.name] = sum(int(stat[0]) for stat in stats) / 1e9
        if party is parties[0]:
            delay = sum(int(stat[1]) for stat in stats) / 1e9
    return cpu, delay


def run(
    meter: BlameCpu, scenario: Scenario, mount: Path, cpus: Sequence[int], seconds: float, step_s: float = 1.0
) -> Result:
    """One scenario once; meter and pressure are read every ``step_s``."""
    victim = scenario.parties[0]
    with ExitStack() as stack:
        stats = [stack.enter_context(at_work(party, mount, cpus)) for party in scenario.parties]
        inner = victim.group / victim.inner if victim.inner else None
        time.sleep(0.7)
        meter.attach()
        stack.callback(meter.detach)
        before = books(scenario.parties), throttled_s(stats[0]), pressure_s(victim.group)
        inner_before = pressure_s(inner) if inner else 0.0
        rows = []
        for _ in range(round(seconds / step_s)):
            time.sleep(step_s)
            after = books(scenario.parties), throttled_s(stats[0]), pressure_s(victim.group)
            inner_after = pressure_s(inner) if inner else 0.0
            reading = meter.collect(time.monotonic_ns())
            assert reading is not None
            rows.append(reading.pairs)
        told = np.concatenate(rows)
        group_id = victim.group.stat().st_ino
        inner_id = inner.stat().st_ino if inner else 0
    (cpu_before, delay_before), throttled_before, pressure_before = before
    (cpu_after, delay_after), throttled_after, pressure_after = after
    cpu = {name: cpu_after[name] - cpu_before[name] for name in cpu_after}
    pressure = pressure_after - pressure_before
    of_group = told[(told["level"] == CGROUP_LEVEL) & (told["victim_cgroup"] == group_id)]
    of_inner = told[(told["level"] == CGROUP_LEVEL) & (told["victim_cgroup"] == inner_id)]
    tasks = told[(told["level"] == PROCESS_LEVEL) & np.isin(told["victim_pid"], victim.pids)]
    stall = int(of_group["stall_ns"].sum()) / 1e9
    truth = scenario.truth(cpu, throttled_after - throttled_before, pressure)
    return Result(
        pressure_s=pressure,
        stall_error_pct=100 * (stall / pressure - 1),
        inner_error_pct=100 * (int(of_inner["stall_ns"].sum()) / 1e9 / (inner_after - inner_before) - 1)
        if inner
        else None,
        task_error_pct=100 * (int(tasks["task_ns"].sum()) / 1e9 / (delay_after - delay_before) - 1),
        ours=charged(of_group, scenario.parties),
        original=formula(cpu, scenario.parties, pressure, seconds),
        truth=truth | {REST: max(0.0, pressure - sum(truth.values()))},
    )


def charged(rows: np.ndarray, parties: Sequence[Party]) -> dict[str, float]:
    """Seconds by party."""
    names = {pid: party.name for party in parties for pid in party.pids}
    found: dict[str, float] = {}
    for row in rows:
        is_own_quota = STALL_KINDS[row["kind"]] == "own_quota"
        name = OWN_QUOTA if is_own_quota else names.get(int(row["offender_pid"]), REST)
        found[name] = found.get(name, 0.0) + int(row["stall_ns"]) / 1e9
    return found


def formula(cpu_s: dict[str, float], parties: Sequence[Party], stall_s: float, seconds: float) -> dict[str, float]:
    """What the original would charge."""
    others = parties[1:]
    busy = sum(cpu_s[party.name] for party in others)
    raw = {}
    for party in others:
        # 25 forks a second, each a short job: both terms are at their limit after a few seconds
        forks = 25 * _WINDOW_S if party.script is FORK else 0
        raw[party.name] = (cpu_s[party.name] / busy if busy else 0) + min(forks / 100, 1) + min(forks / 50, 1)
    total = sum(raw.values())
    return {name: share / total * stall_s for name, share in raw.items()} if total else {}


def free() -> Scenario:
    """Nobody is pinned: there is no truth to construct, only the kernel's own figure to agree with."""
    parties = (Party("victim", DUTY, duty_ms=4, pinned=False), Party("two loops", count=2, pinned=False))
    return Scenario("free to move", parties, lambda cpu, throttled, stall: {})


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of 3 s each")
    options = parser.parse_args()
    rounds, seconds = (1, 3.0) if options.quick else (options.rounds, options.seconds)
    mount = find_mount()
    if mount is None or not (mount / "cgroup.pressure").exists():
        raise SystemExit("needs cgroup2 with PSI: boot with psi=1, mount -t cgroup2 none /sys/fs/cgroup/unified")
    cpus = sorted(os.sched_getaffinity(0), reverse=True)
    if os.geteuid() or len(cpus) < 2:
        raise SystemExit("needs root and two CPUs")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that control groups are removed
    meter = BlameCpu()
    meter.load()
    told = {}
    rows = []
    moving: dict[str, list[float]] = {}
    try:
        for scenario in scenarios():
            results = [run(meter, scenario, mount, cpus, seconds) for _ in range(rounds)]
            figures = {
                "stall_s": median([result.pressure_s for result in results]),
                "error_pct": median([result.error_pct(result.ours) for result in results]),
                "original_error_pct": median([result.error_pct(result.original) for result in results]),
                "stall_against_pressure_pct": median([result.stall_error_pct for result in results]),
                "task_against_run_delay_pct": median([result.task_error_pct for result in results]),
            }
            inner = [result.inner_error_pct for result in results if result.inner_error_pct is not None]
            if inner:
                figures["inner_against_pressure_pct"] = median(inner)
            told[scenario.title] = figures
            rows.append([scenario.title, *(figures[name] for name in list(figures)[:5])])
            print(f"{scenario.title}: {figures}", file=sys.stderr, flush=True)
        for step_s in STEPS_S:
            results = [run(meter, free(), mount, cpus, 2 * seconds, step_s) for _ in range(2 * rounds)]
            moving[f"{step_s:g}"] = [round(result.stall_error_pct, 2) for result in results]
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        meter.close()
    table(
        f"Blame for CPU against constructed truth, medians of {rounds} runs of {seconds:.0f} s; errors in percent",
        [
            "scenario",
            "stall, s",
            "charged wrongly",
            "by the original's formula",
            "stall less pressure",
            "task less run_delay",
        ],
        rows,
    )
    table(
        f"Nobody pinned: stall less pressure in percent, {2 * rounds} runs of {2 * seconds:.0f} s each",
        ["read every, s", "median", "lowest", "highest"],
        [[step, median(errors), min(errors), max(errors)] for step, errors in moving.items()],
    )
    last_line(blame=told, moving=moving)


if __name__ == "__main__":
    main()
