"""What it costs to notice: facts, detectors and ranking, at 2,000 processes and 5,000 events a second.

Run as anybody: ``python benchmarks/detectors.py``. The real pipeline with the default rules takes in seconds that are
made up: so many processes, a fifth of them at work, beside a supervisor that starts short-lived children, in five
batches a second as the daemon has them where nobody listens. The same seconds are given to a process table alone, in
turn. The difference, of thread CPU time, is what facts, baseline, detectors, ranking, tags and history cost together:
more than is asked about. ``benchmarks/daemon.py`` measures the whole daemon.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
from common import last_line, machine, table

from linnix.cognitod.detect import Alerts, Engine, rules
from linnix.cognitod.detect.rules import Rule
from linnix.cognitod.events import EVENT, EXEC_TEXT, PROCESS, Batch, Kind
from linnix.cognitod.hub import Hub
from linnix.cognitod.model import Sample, Snapshot
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.processes import Table

SECOND = 10**9
BATCHES = 5
#: A fork, an exec and an exit of each child.
EVENTS_OF_A_CHILD = 3
MUST_PCT = 2.0
_NO_TEXTS = np.zeros(0, EXEC_TEXT)
_SUPERVISOR = 2


class Host:
    """Made-up seconds: the same for everybody who asks for the same second."""

    def __init__(self, processes: int, events_per_s: int) -> None:
        self._children = events_per_s // EVENTS_OF_A_CHILD // BATCHES
        rng = np.random.default_rng(7)
        rows = self._rows = np.zeros(processes, PROCESS)
        rows["pid"] = np.arange(1, processes + 1)
        rows["ppid"] = np.where(rows["pid"] > 1, 1 + rows["pid"] % 20, 0)
        rows["start_ns"] = rows["pid"]
        rows["threads"] = rng.integers(1, 40, processes)
        rows["open_files"] = rng.integers(3, 400, processes)
        rows["rss_anon_bytes"] = rng.integers(1 << 20, 1 << 28, processes)
        rows["rss_bytes"] = rows["rss_anon_bytes"]
        rows["pgtables_bytes"] = 1 << 16
        rows["state"] = b"S"
        rows["comm"] = [f"service-{number % 97}".encode() for number in range(processes)]
        self._rates = np.where(rng.random(processes) < 0.2, rng.integers(0, SECOND // 50, processes), 0)
        self._switches = rng.integers(0, 300, processes)

    def sample(self, second: int) -> Sample:
        """All processes at its end."""
        rows = self._rows.copy()
        rows["cpu_ns"] = self._rates * second
        rows["utime_ns"] = rows["cpu_ns"]
        rows["run_delay_ns"] = rows["cpu_ns"] // 10
        rows["nvcsw"] = self._switches * second
        rows["rss_anon_bytes"] += np.uint64(4096 * second) * (rows["pid"] % 3).astype(np.uint64)
        rows["rss_bytes"] = rows["rss_anon_bytes"]
        snapshot = Snapshot(
            timestamp=1_000_000.0 + second,
            ts_ns=(1000 + second) * SECOND,
            cores=16,
            cpu_pct=40.0,
            mem_total_bytes=64 << 30,
            mem_used_bytes=30 << 30,
            mem_available_bytes=34 << 30,
            psi_cpu_some_avg10=5.0,
            psi_io_some_avg10=1.0,
            psi_memory_some_avg10=0.0,
        )
        return Sample(rows, snapshot, 0, _NO_TEXTS)

    def batch(self, second: int, part: int) -> tuple[Batch, int]:
        """Children that lived and died in a fifth of it, and when that ends."""
        end_ns = (1000 + second) * SECOND + (part + 1) * SECOND // BATCHES
        events = np.zeros(self._children * EVENTS_OF_A_CHILD, EVENT)
        child = np.repeat(np.arange(self._children), EVENTS_OF_A_CHILD)
        at = np.tile(np.arange(EVENTS_OF_A_CHILD), self._children)
        events["kind"] = np.array([Kind.FORK, Kind.EXEC, Kind.EXIT])[at]
        events["pid"] = 10_000 + (second * BATCHES + part) * self._children % 900_000 + child
        events["start_ns"] = end_ns - SECOND // BATCHES + child * 1000
        events["ts_ns"] = events["start_ns"] + at.astype(np.uint64) * 100
        events["ppid"] = events["parent_start_ns"] = _SUPERVISOR
        events["comm"] = b"job"
        return Batch(events, _NO_TEXTS), end_ns


def pipeline_ms(host: Host, found: Sequence[Rule], seconds: int) -> list[float]:
    """Thread CPU time of each second in the whole pipeline."""
    now_ns = 1000 * SECOND
    pipeline = Pipeline(
        table=Table(),
        engine=Engine(found),
        gate=Alerts(found, "host"),
        hub=Hub(),
        sight_name="made up",
        clock=lambda: now_ns,
    )
    taken = []
    for second in range(seconds):
        sample, batches = host.sample(second), [host.batch(second, part) for part in range(BATCHES)]
        began_ns = time.thread_time_ns()
        now_ns = sample.snapshot.ts_ns
        pipeline.on_sample(sample)
        for batch, end_ns in batches:
            now_ns = end_ns
            pipeline.on_batch(batch, now_ns)
        taken.append((time.thread_time_ns() - began_ns) / 1e6)
    return taken


def table_ms(host: Host, seconds: int) -> list[float]:
    """The same for a process table alone."""
    processes = Table()
    taken = []
    for second in range(seconds):
        sample, batches = host.sample(second), [host.batch(second, part) for part in range(BATCHES)]
        began_ns = time.thread_time_ns()
        processes.sample(sample.rows, sample.snapshot.ts_ns, sample.snapshot.mem_total_bytes)
        processes.expire(sample.snapshot.ts_ns)
        for batch, _ in batches:
            processes.update(batch)
            processes.settle(batch.accounts)
        taken.append((time.thread_time_ns() - began_ns) / 1e6)
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=2000)
    parser.add_argument("--events", type=int, default=5000, help="lifecycle events a second")
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds")
    asked = parser.parse_args()
    found = rules.defaults()
    rows, noticing = [], []
    for number in range(2 if asked.quick else asked.rounds):
        host = Host(asked.processes, asked.events)
        warm = asked.seconds // 4
        whole = statistics.median(pipeline_ms(host, found, asked.seconds)[warm:])
        alone = statistics.median(table_ms(host, asked.seconds)[warm:])
        noticing.append((whole - alone) / 10)
        rows.append([str(number + 1), f"{alone / 10:.2f}", f"{whole / 10:.2f}", f"{noticing[-1]:.2f}"])
    pct = statistics.median(noticing)
    title = f"Noticing at {asked.processes} processes and {asked.events} events/s, {len(found)} rules, on {machine()}"
    table(title, ["round", "table alone, % of a core", "with all that notices", "difference"], rows)
    print(f"\nTo notice costs {pct:.2f} % of a core (must: at most {MUST_PCT:g})")
    last_line(noticing_pct=round(pct, 2), rounds=[round(each, 2) for each in noticing])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
