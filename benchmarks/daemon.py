"""What cognitod costs beside what a user would pick instead: idle, in a fork storm, and after an hour of churn.

Owns the load and the list of agents. Refuses to install them: ``scripts/bench.sh`` does, and who is not there is left
out. Every agent gets the same sleeping processes, the same windows and the same storm, one after the other, in one run.

Run as root: ``python benchmarks/daemon.py``. ``--churn 3600`` measures growth over an hour; the default is shorter and
the table says how long it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import BIN, Daemon, Memory, Tree, bpf_stats, cognitod, last_line, need, running, sleepers, table

ROOT = Path(__file__).resolve().parent.parent
#: Reads what a monitor reads of each process, once a second, as a script of one's own would.
PSUTIL = """
import psutil, time
wanted = ["pid", "ppid", "name", "status", "cpu_times", "memory_info", "num_threads", "io_counters", "uids"]
while True:
    for _ in psutil.process_iter(wanted): pass
    time.sleep(1)
"""
EXECSNOOP = "execsnoop-bpfcc"
BPFTRACE = """
tracepoint:sched:sched_process_fork { printf("f %d %d\\n", args->parent_pid, args->child_pid); }
tracepoint:sched:sched_process_exec { printf("e %d\\n", args->pid); }
tracepoint:sched:sched_process_exit { printf("x %d\\n", args->pid); }
"""
#: Command of each agent; ``{tmp}`` is a folder of its own.
OTHERS: dict[str, list[str]] = {
    "psutil, 1 s": [str(BIN / "python"), "-c", PSUTIL],
    "glances, 2 s": [str(ROOT / "build/bench-venv/bin/glances"), "-q", "-t", "2"],
    "atop, 1 s": ["atop", "-w", "{tmp}/atop.raw", "1"],
    "netdata": ["netdata", "-D", "-c", "{tmp}/netdata.conf"],
    "node_exporter": ["prometheus-node-exporter", "--web.listen-address=127.0.0.1:0"],
    "forkstat": ["forkstat", "-e", "fork,exec,exit"],
    "bpftrace": ["bpftrace", "-e", BPFTRACE],
    "bcc execsnoop": [EXECSNOOP],
}
NETDATA = """[global]
  run as user = root
[directories]
  cache = {tmp}
  lib = {tmp}
  log = {tmp}
[web]
  bind to = 127.0.0.1
  default port = 0
[plugins]
  go.d = no
"""
#: Some 100,000 births and deaths, as fast as the machine makes them.
STORM = ["stress-ng", "-q", "--fork", "4", "--fork-ops"]
STORM_OPS = 50_000
#: A build server's pace: processes that live for a moment, some of them programs.
CHURN = "while :; do (:); (:); /bin/true; sleep 0.05; done"


@dataclass(frozen=True)
class Cost:
    """Of one agent. ``kernel_pct`` is time in its BPF programs, which no process of it is charged for."""

    idle_pct: float
    idle_low_pct: float
    idle_high_pct: float
    idle_kernel_pct: float
    idle: Memory
    storm_pct: float
    storm: Memory
    storm_s: float


def idle(agent: Tree, seconds: float, rounds: int) -> tuple[list[float], float]:
    """CPU percent of each window, and the kernel's over all of them."""
    windows, kernel_s, began_s = [], agent.bpf()[0], time.monotonic()
    for _ in range(rounds):
        before, start = agent.cpu_s(), time.monotonic()
        time.sleep(seconds)
        windows.append(100 * (agent.cpu_s() - before) / (time.monotonic() - start))
    return windows, 100 * (agent.bpf()[0] - kernel_s) / (time.monotonic() - began_s)


def highest(agent: Tree, work: Callable[[], object]) -> Memory:
    """The most that the agent held at once while something was done."""
    seen, over = [agent.memory()], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append(agent.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    seen.append(agent.memory())
    return Memory(max(each.rss_mb for each in seen), max(each.pss_mb for each in seen))


def storm(ops: int) -> float:
    """Seconds that the storm took."""
    began_s = time.monotonic()
    subprocess.run([*STORM, str(ops)], check=True)
    return time.monotonic() - began_s


def cost(agent: Tree, seconds: float, rounds: int, ops: int) -> Cost:
    """Idle windows, then a storm."""
    with bpf_stats():
        windows, kernel_pct = idle(agent, seconds, rounds)
    held = agent.memory()
    before, took = agent.cpu_s(), 0.0

    def work() -> None:
        nonlocal took
        took = storm(ops)

    peak = highest(agent, work)
    return Cost(
        idle_pct=round(statistics.median(windows), 2),
        idle_low_pct=round(min(windows), 2),
        idle_high_pct=round(max(windows), 2),
        idle_kernel_pct=round(kernel_pct, 3),
        idle=held,
        storm_pct=round(100 * (agent.cpu_s() - before) / took, 1),
        storm=peak,
        storm_s=round(took, 1),
    )


def per_event(daemon: Daemon, ops: int) -> dict[str, Any]:
    """CPU for each lifecycle event at the machine's full fork rate: the daemon's own, and the kernel's in programs."""
    with bpf_stats() as told:
        user_s, (kernel_s, runs), events = daemon.cpu_s(), daemon.bpf(), daemon.events()
        took = storm(ops)
        time.sleep(1.5)  # what is left in the rings
        events = daemon.events() - events
        user_s, kernel_s, runs = daemon.cpu_s() - user_s, daemon.bpf()[0] - kernel_s, daemon.bpf()[1] - runs
    return {
        "sight": daemon.status()["sight"],
        "events": events,
        "events_per_s": round(events / took),
        "daemon_us_per_event": round(1e6 * user_s / events, 2),
        "kernel_us_per_event": round(1e6 * kernel_s / events, 2) if told else None,
        "program_runs": runs,
        "lost": daemon.lost(),
    }


def churn(daemon: Daemon, seconds: float) -> dict[str, Any]:
    """RSS before, during and after a while of moderate churn, and the slope over its second half, in MB an hour."""
    seen: list[tuple[float, float]] = []
    before, events = daemon.memory().rss_mb, daemon.events()
    with running(["nice", "sh", "-c", CHURN]):
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < seconds:
            seen.append((passed_s, daemon.memory().rss_mb))
            time.sleep(min(5, seconds / 20))
    late = seen[len(seen) // 2 :]
    slope = statistics.linear_regression(*zip(*late, strict=True)).slope if len(late) > 2 else 0.0
    return {
        "seconds": seconds,
        "events": daemon.events() - events,
        "rss_before_mb": before,
        "rss_highest_mb": max(rss for _, rss in seen),
        "rss_after_mb": seen[-1][1],
        "second_half_mb_per_hour": round(slope * 3600, 2),
    }


@contextmanager
def other(name: str) -> Iterator[Tree | None]:
    """An agent that is up; None if it did not stay."""
    with tempfile.TemporaryDirectory() as tmp:
        (Path(tmp) / "netdata.conf").write_text(NETDATA.format(tmp=tmp))
        command = [part.replace("{tmp}", tmp) for part in OTHERS[name]]
        with running(command, cwd=tmp) as tree:
            time.sleep(8 if name in ("bpftrace", "bcc execsnoop", "netdata") else 4)
            state = Path(f"/proc/{tree.pid}/stat")
            yield tree if state.exists() and state.read_text().rpartition(") ")[2][0] != "Z" else None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=300, help="sleeping processes beside each agent (300)")
    parser.add_argument("--seconds", type=float, default=10, help="length of one idle window (10)")
    parser.add_argument("--rounds", type=int, default=3, help="idle windows; the median counts (3)")
    parser.add_argument("--churn", type=float, default=300, help="seconds of churn in which to look for growth (300)")
    parser.add_argument("--without-others", action="store_true", help="measure cognitod alone")
    parser.add_argument("--quick", action="store_true", help="two windows of 4 s, 10 s of churn, two other agents")
    args = parser.parse_args()
    need("stress-ng")
    if args.quick:
        args.seconds, args.rounds, args.churn = 4, 2, 10
    ops = STORM_OPS // 3 if args.quick else STORM_OPS
    rows: dict[str, Cost] = {}
    with sleepers(args.processes):
        with cognitod() as daemon:
            time.sleep(5)
            rows["cognitod"] = cost(daemon, args.seconds, args.rounds, ops)
            events = {"as shipped": per_event(daemon, ops)}
            time.sleep(3)
            growth = churn(daemon, args.churn)
        with cognitod(LINNIX_BLAME="off") as daemon:
            time.sleep(3)
            events["blame off"] = per_event(daemon, ops)
        for name, command in () if args.without_others else OTHERS.items():
            if shutil.which(command[0]) is None:
                print(f"{name} is not installed, left out", file=sys.stderr)
            elif not args.quick or name in ("psutil, 1 s", "atop, 1 s"):
                with other(name) as tree:
                    if tree is None:
                        print(f"{name} does not run on this machine, left out", file=sys.stderr)
                    else:
                        rows[name] = cost(tree, args.seconds, args.rounds, ops)

    windows = f"median of {args.rounds} windows of {args.seconds:g} s"
    table(
        f"Beside {args.processes} sleeping processes ({windows}), then {' '.join(STORM)} {ops}. Percent of one core.",
        ["agent", "idle CPU %", "in BPF %", "idle RSS / PSS MB", "storm CPU %", "storm RSS / PSS MB", "storm took s"],
        [
            [
                name,
                f"{c.idle_pct} ({c.idle_low_pct} to {c.idle_high_pct})",
                c.idle_kernel_pct,
                f"{c.idle.rss_mb} / {c.idle.pss_mb}",
                c.storm_pct,
                f"{c.storm.rss_mb} / {c.storm.pss_mb}",
                c.storm_s,
            ]
            for name, c in rows.items()
        ],
    )
    table(
        "One lifecycle event at the machine's full fork rate, in microseconds of CPU",
        ["", "sight", "events", "a second", "daemon", "kernel", "both", "lost"],
        [
            [
                name,
                each["sight"],
                each["events"],
                each["events_per_s"],
                each["daemon_us_per_event"],
                "unknown" if (kernel := each["kernel_us_per_event"]) is None else kernel,
                "unknown" if kernel is None else round(each["daemon_us_per_event"] + kernel, 2),
                each["lost"] or "nothing",
            ]
            for name, each in events.items()
        ],
    )
    table(
        f"Growth over {growth['seconds']:g} s of churn, {growth['events']} events",
        ["RSS before MB", "highest", "after", "second half, MB an hour"],
        [
            [
                growth["rss_before_mb"],
                growth["rss_highest_mb"],
                growth["rss_after_mb"],
                growth["second_half_mb_per_hour"],
            ]
        ],
    )
    agents = {name: asdict(each) for name, each in rows.items()}
    last_line(processes=args.processes, agents=agents, per_event=events, churn=growth)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    sys.exit(main())
