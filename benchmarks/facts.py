"""What it takes to gather the facts of a second, on a host with 2,000 processes that all do something.

Owns a process table on paper. In one process, without a daemon: what is measured is the step of the pipeline between
the sample and the detectors, as CPU time of this thread. The tree is eight wide; every process has an account, a tenth
of them sockets; ten pairs of blame, a full file system and a kill are told. Beside that the tally of jobs, of so many
children each second that run a program and end, a tenth of them with a failure, under fifty parents.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from common import percentile

from linnix.cognitod.detect import facts
from linnix.cognitod.detect.jobs import Tally, Told
from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.events import EVENT, EXEC_TEXT, PROCESS, Batch, Kind
from linnix.cognitod.model import Activity, Snapshot
from linnix.cognitod.processes import Table
from linnix.cognitod.senses import Kill, Senses, SocketRates, Space, Stall, Waits
from linnix.insight.facts import encode

GIB = 1 << 30
S = 10**9


def sampled(processes: int, seconds: int) -> Table:
    """A table that has seen these processes for some seconds."""
    table, random = Table(), np.random.default_rng(1)
    rows = np.zeros(processes, PROCESS)
    rows["pid"] = np.arange(1, processes + 1)
    rows["ppid"] = np.maximum(rows["pid"] // 8, 1)
    rows["start_ns"] = rows["pid"].astype(np.uint64) * 1000
    rows["threads"], rows["state"] = random.integers(1, 40, processes), b"S"
    rows["comm"] = [b"worker-%d" % (number % 300) for number in range(processes)]
    for second in range(seconds):
        for name in ("cpu_ns", "utime_ns", "run_delay_ns"):
            rows[name] += random.integers(0, S // 100, processes).astype(np.uint64)
        for name in ("nvcsw", "nivcsw", "min_flt", "maj_flt", "read_bytes", "write_bytes", "rss_bytes"):
            rows[name] += random.integers(0, 1 << 20, processes).astype(np.uint64)
        rows["open_files"] = random.integers(3, 500, processes)
        table.sample(rows, (second + 1) * S, 64 * GIB)
    return table


def senses(table: Table) -> Senses:
    """What instruments would tell of it."""
    rows = table.rows()
    who = [(int(row["pid"]), int(row["start_ns"])) for row in rows]
    return Senses(
        sockets={each: SocketRates(number * 1e3, 1e3, 1.0, 1.0, 0.0) for number, each in enumerate(who[::10])},
        waits={each: Waits(20.0, 2, 0.0) for each in who[:8]},
        stalls=tuple(Stall("cpu", who[n], who[n + 1], "measured", 100.0, 90.0, 0.5, 10.0, True) for n in range(10)),
        spaces=(Space("/", 99.0, GIB, 3.0, 1e6),),
        kills=(Kill(who[5], "worker", 3.0, GIB, who[1], who[5], "/", "host"),),
    )


def ran(second: int, children: int) -> Batch:
    """A second's children: forked, ran a program with one of a hundred command lines, ended."""
    at = np.arange(children)
    child = np.zeros(children, EVENT)
    child["pid"], child["ppid"] = 100_000 + (second * children + at) % 3_000_000, 1 + at % 50
    child["parent_start_ns"] = child["ppid"].astype(np.uint64) * 1000
    child["comm"] = [b"job-%d" % (number % 7) for number in range(children)]
    child["start_ns"] = child["ts_ns"] = second * S + at * (S // children // 2)
    run, end, texts = child.copy(), child.copy(), np.zeros(children, EXEC_TEXT)
    child["kind"], run["kind"], end["kind"] = Kind.FORK, Kind.EXEC, Kind.EXIT
    run["ts_ns"], end["ts_ns"] = run["ts_ns"] + 1000, end["ts_ns"] + 5_000_000
    run["text_seq"] = texts["seq"] = second * children + at + 1
    end["exit_code"] = at % 10 == 0
    texts["pid"], texts["start_ns"] = run["pid"], run["start_ns"]
    lines = [b"/usr/bin/job\0--case\0%d\0" % (number % 100) for number in range(children)]
    texts["argv"], texts["argv_len"] = [np.void(line.ljust(256, b"\0")) for line in lines], list(map(len, lines))
    texts["argv_total"] = texts["argv_len"]
    events = np.concatenate([child, run, end])
    return Batch(events.take(np.argsort(events["ts_ns"], kind="stable")), texts)


def tallied(table: Table, children: int, seconds: int) -> tuple[list[float], Told]:
    """CPU time in ms of the tally of each second, and what it told of the last."""
    tally, spent_ms, told = Tally(), [], Told()
    for second in range(100, 100 + seconds):
        table.update(ran(second, children))
        moment = Moment.of(table.rows())
        begun_ns = time.thread_time_ns()
        told = tally.take(moment, lambda slots: table.started_with(slots)[1])
        spent_ms.append((time.thread_time_ns() - begun_ns) / 1e6)
    return spent_ms, told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2000)
    parser.add_argument("--children", type=int, default=1667, help="a second; each has three events")
    parser.add_argument("--seconds", type=int, default=200)
    asked = parser.parse_args()
    table = sampled(asked.processes, 12)
    told = senses(table)
    snapshot = Snapshot(timestamp=1.7e9, ts_ns=13 * S, cores=4, mem_total_bytes=64 * GIB)
    spent_ms, body = [], b""
    for _ in range(asked.seconds):
        begun_ns = time.thread_time_ns()
        rows = table.rows()
        usage = table.usage(rows["slot"].astype(np.intp))
        known = facts.build(Moment.of(rows, usage, told), snapshot, Activity(window_s=10.0), ())
        spent_ms.append((time.thread_time_ns() - begun_ns) / 1e6)
        body = encode(known)
    print(
        f"{asked.processes} processes, {len(known.processes)} of them told in {len(body) / 1000:.0f} kB: "
        f"median {statistics.median(spent_ms):.1f} ms, p99 {percentile(spent_ms, 99):.1f} ms"
    )
    spent_ms, jobs = tallied(table, asked.children, asked.seconds)
    print(
        f"{3 * asked.children} events a second, {len(jobs.groups)} jobs of them looked at: "
        f"median {statistics.median(spent_ms):.1f} ms, p99 {percentile(spent_ms, 99):.1f} ms"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
