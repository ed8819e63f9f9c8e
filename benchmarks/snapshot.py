"""One snapshot of all processes: ours, and psutil with plain reads of /proc asked for the same fields.

Run as root: ``python benchmarks/snapshot.py``. Beside ``--processes`` sleeping ones, each way takes ``--rounds``
snapshots in turn, so that a slow moment of the machine, and caches that others have filled, hit all of them; what ours
takes when it follows itself, with what it reads still in the caches, is a line of its own. psutil knows neither page
faults, run-queue delay, the parts of memory, swap, OOM scores nor the cgroup: who wants them as well reads six files
more of each process, and that is the way we are compared with; psutil alone stands beside it. Last, what the daemon's
table makes of a sample, and what ``/processes`` costs until it is JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import psutil
from common import interval, last_line, sleepers, table

from linnix.cognitod.api import rows as wire_rows
from linnix.cognitod.api import wire
from linnix.cognitod.events import EXEC_TEXT
from linnix.cognitod.host.cgroup import Cgroups, find_mount
from linnix.cognitod.host.proc import PROC
from linnix.cognitod.host.scan import Scanner, read_text
from linnix.cognitod.kernel import open_sight
from linnix.cognitod.model import Home
from linnix.cognitod.processes import Table

FIELDS = [
    *("pid", "ppid", "name", "uids", "gids", "status", "create_time", "num_threads", "nice", "cpu_times"),
    *("memory_info", "num_ctx_switches", "io_counters", "num_fds"),
]
#: What psutil does not read, or does not hand out.
FILES = ("stat", "status", "schedstat", "oom_score", "oom_score_adj", "cgroup")
OURS, WARM = "cognitod, eBPF", "the same at once again"
SAME, ALONE = "psutil and six files", "psutil alone"
MUST, AIM = 50, 150
MEMORY = 16 << 30


def by_psutil() -> int:
    """All processes, as a program that uses psutil well reads them."""
    return sum(1 for _ in psutil.process_iter(FIELDS))


def by_psutil_and_proc() -> int:
    """All processes with all the fields that we tell."""
    return sum(len(rest(process.pid)) for process in psutil.process_iter(FIELDS))


def rest(pid: int) -> dict[str, str]:
    """Of one process what psutil lacks; nothing of one that is gone."""
    told = {}
    try:
        for name in FILES:
            with open(f"/proc/{pid}/{name}") as file:  # noqa: PTH123 (a Path each would cost psutil's side)
                told[name] = file.read()
    except OSError:
        return {}
    stat = told["stat"].rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in told["status"].splitlines() if ":" in line)
    sizes = {name: status.get(name, "0").strip() for name in ("RssAnon", "RssFile", "RssShmem", "VmSwap", "VmPTE")}
    return {
        **sizes,
        "min_flt": stat[7],
        "maj_flt": stat[9],
        "run_delay": told["schedstat"].split()[1],
        "oom_score": told["oom_score"],
        "oom_score_adj": told["oom_score_adj"],
        "cgroup": told["cgroup"],
    }


def timed(call: Callable[[], object]) -> float:
    """Milliseconds."""
    begin = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - begin) / 1e6


def filled(sight_sample: Callable[[], np.ndarray]) -> Table:
    """A process table as the daemon has it after two samples, command lines included."""
    processes = Table()
    rows = sight_sample()
    texts = [read_text(PROC, int(row["pid"]), int(row["start_ns"]), 0) for row in rows if not row["kthread"]]
    for _ in range(2):
        processes.sample(sight_sample(), time.monotonic_ns(), MEMORY, texts=np.array(texts, EXEC_TEXT))
        texts = []
    return processes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=2000, help="sleeping processes (2000)")
    parser.add_argument("--rounds", type=int, default=15, help="snapshots each way; the median counts (15)")
    args = parser.parse_args()
    sight = open_sight()
    try:
        with sleepers(args.processes):
            scanner = Scanner(cgroups=Cgroups(find_mount()))
            processes = filled(sight.sample)
            home = Home(cgroup="/")

            def answer() -> bytes:
                known = processes.rows()
                return wire.encode(wire_rows.describe(known, processes, lambda *_: home, time.monotonic_ns()))

            ways: dict[str, Callable[[], object]] = {
                OURS: sight.sample,
                WARM: sight.sample,
                "cognitod, /proc alone": scanner.scan,
                SAME: by_psutil_and_proc,
                ALONE: by_psutil,
                "its table takes a sample": lambda: processes.sample(sample, time.monotonic_ns(), MEMORY),
                "/processes until it is JSON": answer,
            }
            times: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(args.rounds + 1):
                sample = sight.sample()  # also for the table
                by_psutil()  # leaves the caches to itself
                for name, way in ways.items():
                    if name == WARM:
                        for _ in range(4):
                            sight.sample()
                    times[name].append(timed(way))
            found, size = len(sample), len(answer())
    finally:
        sight.close()
    of = {name: interval(values[1:]) for name, values in times.items()}  # the first round warms up
    same, alone = (of[name].median / of[OURS].median for name in (SAME, ALONE))
    table(
        f"One snapshot of {found} processes, {args.rounds} rounds",
        ["", "ms", "95 % of medians", "as fast as psutil and six files"],
        [
            [name, f"{each.median:.2f}", f"{each.low:.2f} to {each.high:.2f}", f"{of[SAME].median / each.median:.1f}"]
            for name, each in of.items()
        ],
    )
    print(
        f"\nfor the same fields {same:.0f} times faster (must {MUST}, aim {AIM}), than psutil alone {alone:.0f} times"
    )
    print(f"/processes is {size / 1e6:.1f} MB of JSON")
    last_line(
        benchmark="snapshot",
        processes=found,
        rounds=args.rounds,
        ms={name: round(each.median, 3) for name, each in of.items()},
        ratio_same_fields=round(same, 1),
        ratio_psutil_alone=round(alone, 1),
        must=MUST,
        aim=AIM,
        processes_json_bytes=size,
    )
    return 0 if same >= MUST else 1


if __name__ == "__main__":
    sys.exit(main())
