"""What cognitod costs, and whether it loses anything: idle beside sleeping processes, and in a fork storm.

Run as root: ``python benchmarks/daemon.py`` (``make bench`` runs all benchmarks). Prints a table for people and one
JSON document as the last line. Beside the daemon it measures what a user would pick instead, where that is installed
(``--with glances,atop,forkstat``): the same sleeping processes, the same storm, CPU and memory of the whole tree.

CPU is percent of one core from utime + stime of the process tree over the window; RSS and PSS from smaps_rollup.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

OTHERS = {
    "glances": ["glances", "-q", "-t", "2"],
    "atop": ["atop", "-w", "{tmp}/atop.raw", "1"],
    "forkstat": ["forkstat", "-e", "fork,exec,exit"],
    "node_exporter": ["prometheus-node-exporter", "--web.listen-address=127.0.0.1:0"],
}
STORM = ["stress-ng", "-q", "--fork", "4", "--fork-ops", "50000"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=5) as r:
        return dict(json.load(r))


@contextmanager
def sleepers(n: int) -> Iterator[None]:
    """``n`` processes that do nothing, gone afterwards."""
    processes = [subprocess.Popen(["sleep", "100000"]) for _ in range(n)]
    try:
        yield
    finally:
        for p in processes:
            p.kill()
        for p in processes:
            p.wait()


@contextmanager
def cognitod() -> Iterator[tuple[psutil.Process, str]]:
    """The daemon as shipped, default settings, on free ports."""
    port, ops = free_port(), free_port()
    with tempfile.TemporaryDirectory() as data:
        env = os.environ | {
            "LINNIX_LISTEN_ADDR": f"127.0.0.1:{port}",
            "LINNIX_METRICS_LISTEN_ADDR": f"127.0.0.1:{ops}",
            "LINNIX_DATA_DIR": data,
        }
        command = [str(Path(sys.executable).with_name("cognitod"))]
        process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    get(url + "/healthz")
                    break
                except OSError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise SystemExit("cognitod did not come up; try `linnix doctor`") from None
                    time.sleep(0.1)
            yield psutil.Process(process.pid), url
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def other(name: str) -> Iterator[psutil.Process]:
    """A tool a user might run instead."""
    with tempfile.TemporaryDirectory() as tmp:
        command = [part.format(tmp=tmp) for part in OTHERS[name]]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(3)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(10)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def memory_mb(process: psutil.Process) -> tuple[float, float]:
    rss = pss = 0
    for p in [process, *process.children(recursive=True)]:
        info = p.memory_full_info()
        rss, pss = rss + info.rss, pss + info.pss
    return rss / 1e6, pss / 1e6


def idle(process: psutil.Process, seconds: float, rounds: int) -> dict[str, float]:
    samples = []
    for _ in range(rounds):
        before, start = cpu_seconds(process), time.monotonic()
        time.sleep(seconds)
        samples.append(100 * (cpu_seconds(process) - before) / (time.monotonic() - start))
    rss, pss = memory_mb(process)
    return {
        "idle_cpu_pct": round(statistics.median(samples), 2),
        "idle_cpu_pct_min": round(min(samples), 2),
        "idle_cpu_pct_max": round(max(samples), 2),
        "rss_mb": round(rss, 1),
        "pss_mb": round(pss, 1),
    }


def storm(process: psutil.Process) -> dict[str, float]:
    before, start = cpu_seconds(process), time.monotonic()
    subprocess.run(STORM, check=True)
    took = time.monotonic() - start
    cpu = 100 * (cpu_seconds(process) - before) / took
    rss, pss = memory_mb(process)
    return {
        "storm_s": round(took, 1),
        "storm_cpu_pct": round(cpu, 2),
        "storm_rss_mb": round(rss, 1),
        "storm_pss_mb": round(pss, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=300, help="sleeping processes beside the daemon (300)")
    parser.add_argument("--seconds", type=float, default=20, help="length of one idle window (20)")
    parser.add_argument("--rounds", type=int, default=3, help="idle windows; the median counts (3)")
    parser.add_argument("--with", dest="others", default="", help=f"comma-separated, of {', '.join(OTHERS)}")
    args = parser.parse_args()
    if shutil.which("stress-ng") is None:
        print("stress-ng is not installed: apt-get install stress-ng", file=sys.stderr)
        return 1
    rows: dict[str, dict[str, object]] = {}
    with sleepers(args.processes):
        with cognitod() as (process, url):
            time.sleep(5)
            row: dict[str, object] = {**idle(process, args.seconds, args.rounds), **storm(process)}
            time.sleep(2)
            status = get(url + "/status")
            row["losses"] = status["coverage"]["lost"]
            row["transport"] = status.get("transport")
            rows["cognitod"] = row
        for name in filter(None, args.others.split(",")):
            if shutil.which(OTHERS[name][0]) is None:
                print(f"{name} is not installed, left out", file=sys.stderr)
                continue
            with other(name) as process:
                rows[name] = {**idle(process, args.seconds, args.rounds), **storm(process)}
    windows = f"median of {args.rounds} windows of {args.seconds:g} s"
    print(f"{args.processes} sleeping processes, {windows}; then {' '.join(STORM)}")
    print(f"{'agent':<14}{'idle CPU %':>11}{'RSS MB':>8}{'PSS MB':>8}{'storm CPU %':>13}{'RSS MB':>8}{'storm s':>9}")
    for name, row in rows.items():
        cells = [row[k] for k in ("idle_cpu_pct", "rss_mb", "pss_mb", "storm_cpu_pct", "storm_rss_mb", "storm_s")]
        print(f"{name:<14}{cells[0]:>11}{cells[1]:>8}{cells[2]:>8}{cells[3]:>13}{cells[4]:>8}{cells[5]:>9}")
    print(f"cognitod's losses: {rows['cognitod']['losses']}")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}"
    print(json.dumps({"machine": machine, "processes": args.processes, "agents": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
