"""What the host's own work loses to being watched: forks, and two ways of switching tasks back and forth.

Owns the workloads and the pairing. Two answers, because the first is small beside a shared machine's noise: how much
longer a workload takes with the daemon than without, in rounds that interleave both, with a bootstrap interval of the
median; and what the kernel itself says it spent in our programs (``bpf_stats``), as a share of the workload's CPU.

"Probes": the daemon as shipped with blame off. "Blame": the same with ``blame.mode = always``.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import Any

from common import Daemon, Interval, bpf_stats, cognitod, interval, last_line, need, table

WORKLOADS: dict[str, list[str]] = {
    "stress-ng --fork 2 --fork-ops 8000": ["stress-ng", "-q", "--fork", "2", "--fork-ops", "8000"],
    "perf bench sched pipe -l 200000": ["perf", "bench", "sched", "pipe", "-l", "200000"],
    "perf bench sched messaging -g 5 -l 400": ["perf", "bench", "sched", "messaging", "-g", "5", "-l", "400"],
}
MODES = {"off": None, "probes": {"LINNIX_BLAME": "off"}, "blame": {"LINNIX_BLAME": "always"}}


def seconds(command: list[str]) -> float:
    """How long it took."""
    began_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began_s


def own_account(daemon: Daemon, command: list[str]) -> dict[str, float]:
    """What the kernel spent in the programs while a workload ran, and what the daemon did."""
    before, daemon_s, used = daemon.bpf(), daemon.cpu_s(), resource.getrusage(resource.RUSAGE_CHILDREN)
    took_s = seconds(command)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    spent_s, runs = daemon.bpf()[0] - before[0], daemon.bpf()[1] - before[1]
    return {
        "runs_per_s": round(runs / took_s),
        "ns_per_run": round(1e9 * spent_s / runs, 1) if runs else 0.0,
        "kernel_pct": round(100 * spent_s / cpu_s, 2),
        "daemon_pct": round(100 * (daemon.cpu_s() - daemon_s) / cpu_s, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of off, probes and blame in random order (15)")
    parser.add_argument("--quick", action="store_true", help="one round: no interval")
    args = parser.parse_args()
    need("stress-ng", "perf")
    rounds = 1 if args.quick else args.rounds
    order = random.Random(1)
    took: dict[str, dict[str, list[float]]] = {name: {mode: [] for mode in MODES} for name in WORKLOADS}
    for command in WORKLOADS.values():
        seconds(command)  # the first run of anything is slower
    for _ in range(rounds):
        for mode in order.sample(list(MODES), len(MODES)):
            settings = MODES[mode]
            with nullcontext() if settings is None else cognitod(**settings):
                time.sleep(0 if settings is None else 1.5)
                for name, command in WORKLOADS.items():
                    took[name][mode].append(seconds(command))
    accounts: dict[str, dict[str, Any]] = {name: {} for name in WORKLOADS}
    with bpf_stats() as told:
        for mode in ("probes", "blame") if told else ():
            with cognitod(**(MODES[mode] or {})) as daemon:
                time.sleep(2)
                for name, command in WORKLOADS.items():
                    accounts[name][mode] = own_account(daemon, command)

    slowdown: dict[str, dict[str, Interval]] = {}
    for name, of_mode in took.items():
        slowdown[name] = {
            mode: interval([100 * (on / off - 1) for on, off in zip(of_mode[mode], of_mode["off"], strict=True)])
            for mode in ("probes", "blame")
        }
    table(
        f"Slower by percent: median of {rounds} interleaved pairs and its 95 % interval",
        ["workload", "always-on probes", "blame engaged"],
        [[name, *of_mode.values()] for name, of_mode in slowdown.items()],
    )
    table(
        "The kernel's own account of the programs, and the daemon's CPU, in percent of the workload's CPU",
        ["workload", "mode", "program runs/s", "ns each", "kernel %", "daemon %"],
        [
            [name, mode, each["runs_per_s"], each["ns_per_run"], each["kernel_pct"], each["daemon_pct"]]
            for name, of_mode in accounts.items()
            for mode, each in of_mode.items()
        ],
    )
    intervals = {name: {mode: vars(i) for mode, i in of_mode.items()} for name, of_mode in slowdown.items()}
    last_line(rounds=rounds, slower_pct=intervals, own_account=accounts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
