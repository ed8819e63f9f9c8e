"""How long linnix-reasoner takes, and whose words it gives: idle, with all cores taken, and under ten different loads.

Owns the loads and the clock. Refuses to reuse a running Linnix: it starts its own on free ports and stops it.
Invariant: every time is that of a whole command, from its start to the line in question on a pipe, imports included.

Needs a quiet machine. As root the daemon sees through eBPF; otherwise through /proc, which costs the command nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CORES = len(os.sched_getaffinity(0))
SETTLE_S = 8.0  # load averages and pressure need a few samples to tell a load

SPIN = "while :; do :; done"
GROW = """
import time
held = []
while len(held) < 200:
    held.append(b"x" * 8_000_000)
    time.sleep(0.1)
time.sleep(600)
"""
HOLD = "import time; held = b'x' * 1_500_000_000; time.sleep(600)"
#: Each load is one command; a name is what happens, not what the program is called.
LOADS: dict[str, list[str]] = {
    "nothing": ["sleep", "600"],
    "one loop": ["sh", "-c", SPIN],
    "all cores": ["sh", "-c", f"for _ in $(seq {CORES}); do ({SPIN}) & done; wait"],
    "compression": ["sh", "-c", "while :; do head -c 50000000 /dev/urandom | gzip -9 >/dev/null; done"],
    "short commands": ["sh", "-c", "while :; do /bin/true; done"],
    "bare forks": ["sh", "-c", "while :; do (:) ; done"],
    "growing memory": [sys.executable, "-c", GROW],
    "much memory": [sys.executable, "-c", HOLD],
    "synced writes": ["sh", "-c", "while :; do dd if=/dev/zero of=load bs=64k count=20 oflag=sync 2>/dev/null; done"],
    "failing service": ["sh", "-c", "while :; do sh -c 'sleep 0.05; exit 1'; done"],
}


@dataclass(frozen=True)
class Run:
    """One command: seconds to the first sentence of anyone, seconds to its end, and whose the last words are."""

    first_text_s: float
    end_s: float
    source: str


@dataclass(frozen=True)
class Linnix:
    """Where the daemon and the model server answer."""

    host: str
    endpoint: str

    def reasoner(self, *arguments: str) -> Run:
        began = time.perf_counter()
        first = 0.0
        source = ""
        heading = "--short" in arguments
        with subprocess.Popen(
            [sys.executable, "-m", "linnix.reasoner", "--host", self.host, "--endpoint", self.endpoint, *arguments],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if heading and not first and not line.startswith("["):
                    first = time.perf_counter() - began
                heading = heading or line == "LLM Analysis:\n"
                source = line.strip()
        ended = time.perf_counter() - began
        if child.returncode:
            raise SystemExit(f"linnix-reasoner ended with exit code {child.returncode}")
        return Run(first, ended, "rules" if source.startswith("source: rules") else "model")


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@contextmanager
def linnix() -> Iterator[Linnix]:
    api, metrics, model = free_ports(3)
    command = [sys.executable, "-m", "linnix.cli.main", "up", "--json", "--no-analysis"]
    command += ["--port", str(api), "--metrics-port", str(metrics), "--model-port", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        try:
            assert child.stdout is not None
            ready = 0
            for line in child.stdout:
                ready += json.loads(line)["event"] == "ready"
                if ready == 2:
                    break
            else:
                raise SystemExit("linnix up did not come up; run it by hand to see why")
            yield Linnix(f"http://127.0.0.1:{api}", f"http://127.0.0.1:{model}")
        finally:
            child.terminate()
            child.communicate()


@contextmanager
def load(command: list[str], folder: Path) -> Iterator[None]:
    """Something going on, in a session of its own as a service or another user would have it."""
    with subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL) as child:
        try:
            time.sleep(SETTLE_S)
            yield
        finally:
            os.killpg(child.pid, signal.SIGKILL)


def timed(at: Linnix, runs: int, name: str) -> dict[str, object]:
    """Medians of ``--short`` and of the full analysis."""
    figures: dict[str, object] = {"host": name}
    for kind, arguments in (("short", ["--short"]), ("full", [])):
        done = [at.reasoner(*arguments) for _ in range(runs)]
        figures[f"{kind}_first_text_s"] = round(median(run.first_text_s for run in done), 3)
        figures[f"{kind}_end_s"] = round(median(run.end_s for run in done), 3)
        figures[f"{kind}_from_model"] = sum(run.source == "model" for run in done)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="runs per median (default 10)")
    parser.add_argument("--no-loads", action="store_true", help="leave the ten loads out")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="linnix-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        at = stack.enter_context(linnix())
        time.sleep(SETTLE_S)
        at.reasoner("--short")
        at.reasoner()  # the model server has both prompts' beginnings cached from here on, as in everyday use
        rows = [timed(at, options.runs, "idle")]
        with load(LOADS["all cores"], folder):
            rows.append(timed(at, options.runs, f"{CORES} loops on {CORES} cores"))
        sources = {}
        for name, command in {} if options.no_loads else LOADS.items():
            with load(command, folder):
                sources[name] = at.reasoner()
    show(rows, sources, options.runs)


def show(rows: list[dict[str, object]], sources: dict[str, Run], runs: int) -> None:
    print(f"{'host':<22}{'':<7}{'first text':>12}{'all text':>10}{'from the model':>16}")
    for row in rows:
        for kind in ("short", "full"):
            figures = f"{row[f'{kind}_first_text_s']:>10} s{row[f'{kind}_end_s']:>8} s"
            print(f"{row['host']:<22}{kind:<7}{figures}{row[f'{kind}_from_model']:>11} of {runs}")
    if sources:
        print(f"\n{'load':<22}{'words of':>9}{'after':>8}")
        for name, run in sources.items():
            print(f"{name:<22}{run.source:>9}{run.end_s:>6.1f} s")
    loads = {name: {"source": run.source, "end_s": round(run.end_s, 3)} for name, run in sources.items()}
    from_model = sum(run.source == "model" for run in sources.values())
    print(json.dumps({"benchmark": "reasoner", "cores": CORES, "runs": runs, "hosts": rows, "loads": loads,
                      "loads_from_model": from_model}))  # fmt: skip


if __name__ == "__main__":
    main()
