"""What every benchmark of the daemon needs: a daemon, a meter, an interval, a table, and the last line.

Owns how things are measured, so that two benchmarks never measure the same thing in two ways. Refuses verdicts: it
prints figures beside the figure that must be met. Invariant: whatever is started here is stopped here, by its pid.

CPU of a process tree is read in nanoseconds from ``/proc/PID/task/*/schedstat``, with the ticks of children that were
already reaped added; percent are of one core. RSS and PSS are those of ``smaps_rollup``. The kernel's own time in BPF
programs is charged to whoever forks, and so is in no process of the agent: it is read from ``run_time_ns`` of the
programs an agent holds (``/proc/PID/fdinfo``), which counts while ``kernel.bpf_stats_enabled`` is 1.
"""

from __future__ import annotations

import json
import math
import os
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")


def machine() -> str:
    """The line that says what the figures were measured on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GB, Linux {platform.release()}"


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def get(url: str, timeout_s: float = 10) -> dict[str, Any]:
    """A JSON object."""
    with urllib.request.urlopen(url, timeout=timeout_s) as response:
        return dict(json.load(response))


@dataclass(frozen=True)
class Memory:
    """Of a process tree, in MB of a million bytes."""

    rss_mb: float
    pss_mb: float


class Tree:
    """A process and what it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def pids(self) -> list[int]:
        """All of them that live now."""
        found, at = [self.pid], 0
        while at < len(found):
            with suppress(OSError):
                for task in Path(f"/proc/{found[at]}/task").iterdir():
                    found += [int(pid) for pid in (task / "children").read_text().split()]
            at += 1
        return found

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system."""
        used = 0.0
        for pid in self.pids():
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    used += int((task / "schedstat").read_text().split()[0]) / 1e9
                reaped = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[13:15]
                used += sum(map(int, reaped)) * _TICK_S
        return used

    def memory(self) -> Memory:
        """What they hold now."""
        kib = {"Rss:": 0, "Pss:": 0}
        for pid in self.pids():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    name, _, rest = line.partition(" ")
                    if name in kib:
                        kib[name] += int(rest.split()[0])
        return Memory(round(kib["Rss:"] * 1024 / 1e6, 1), round(kib["Pss:"] * 1024 / 1e6, 1))

    def bpf(self) -> tuple[float, int]:
        """Seconds that the kernel spent in the BPF programs they hold, and how often it ran them."""
        programs: dict[str, tuple[int, int]] = {}
        for pid in self.pids():
            with suppress(OSError):
                for info in Path(f"/proc/{pid}/fdinfo").iterdir():
                    with suppress(OSError):
                        told = dict(line.split(":\t", 1) for line in info.read_text().splitlines() if ":\t" in line)
                        if "run_time_ns" in told:
                            programs[told["prog_id"]] = int(told["run_time_ns"]), int(told["run_cnt"])
        return sum(ns for ns, _ in programs.values()) / 1e9, sum(runs for _, runs in programs.values())


@contextmanager
def bpf_stats() -> Iterator[bool]:
    """Let the kernel measure BPF programs; False where we may not ask for it. Its clock costs each run some 20 ns."""
    try:
        before = _STATS.read_text()
        _STATS.write_text("1")
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        _STATS.write_text(before)


class Daemon(Tree):
    """A cognitod of our own."""

    def __init__(self, pid: int, url: str) -> None:
        super().__init__(pid)
        self.url = url

    def status(self) -> dict[str, Any]:
        """``/status``."""
        return get(self.url + "/status")

    def events(self) -> int:
        """Lifecycle events that the kernel side produced."""
        produced: Mapping[str, int] = self.status()["coverage"]["produced"]
        return sum(produced.get(kind, 0) for kind in ("fork", "exec", "exit"))

    def lost(self) -> dict[str, int]:
        """What was lost since start, by cause; empty when nothing was."""
        return {cause: count for cause, count in self.status()["coverage"]["lost"].items() if count}


@contextmanager
def cognitod(**settings: str) -> Iterator[Daemon]:
    """The daemon as shipped, on free ports; ``settings`` are environment variables."""
    port, ops = free_port(), free_port()
    with tempfile.TemporaryDirectory() as data:
        env = os.environ | {
            "LINNIX_LISTEN_ADDR": f"127.0.0.1:{port}",
            "LINNIX_METRICS_LISTEN_ADDR": f"127.0.0.1:{ops}",
            "LINNIX_DATA_DIR": data,
            **settings,
        }
        with running([str(BIN / "cognitod")], env=env) as tree:
            daemon = Daemon(tree.pid, f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + 20
            while True:
                try:
                    get(daemon.url + "/system")
                    break
                except OSError:
                    if time.monotonic() > deadline or not Path(f"/proc/{tree.pid}/exe").exists():
                        raise SystemExit("cognitod did not come up; try `linnix doctor`") from None
                    time.sleep(0.1)
            yield daemon


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None) -> Iterator[Tree]:
    """A command in the background, its output thrown away."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        yield Tree(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(OSError):  # what it started and left behind is of its session
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def sleepers(n: int) -> Iterator[None]:
    """``n`` processes that do nothing, gone afterwards."""
    processes = [subprocess.Popen(["sleep", "100000"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


@dataclass(frozen=True)
class Interval:
    """A median and the interval that a bootstrap gives it, 95 of 100 times."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.low:.1f} to {self.high:.1f})"


def interval(values: Sequence[float], rounds: int = 2000) -> Interval:
    """The median of ``values`` and its bootstrap interval; the draws are the same each time."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(rounds))
    return Interval(statistics.median(values), medians[rounds // 40], medians[-rounds // 40])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for people, as Markdown, so that the documents can quote it."""
    cells = [list(map(str, heads)), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(f"\n{title}\n\n" + "\n".join(lines), flush=True)


def last_line(**results: object) -> None:
    """One JSON document as the last line, for programs."""
    print(json.dumps({"machine": machine(), **results}), flush=True)


def need(*commands: str) -> None:
    """End with a message where a command is missing."""
    if missing := [command for command in commands if shutil.which(command) is None]:
        raise SystemExit(f"not installed: {', '.join(missing)}; scripts/bench.sh installs what the benchmarks need")
