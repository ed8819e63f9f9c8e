"""The model server's figures: load time, first token, prompt and decode speed, memory; quiet or beside busy loops.

    .venv/bin/python benchmarks/model_server.py
    .venv/bin/python benchmarks/model_server.py --busy 2          # with two loops competing for the cores
    .venv/bin/python benchmarks/model_server.py --model A.gguf --model B.gguf

Each model gets a server of its own on a free port. Prints a table, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console

from linnix.modelserver.artifacts import find_model
from linnix.modelserver.bench import DEFAULT_REPEATS, Figures, describe, measure
from linnix.modelserver.serve import conversion_shown
from linnix.modelserver.server import free_port
from linnix.modelserver.settings import Settings


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """That many shells that do nothing as fast as they can."""
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", action="append", metavar="PATH", help="a GGUF file; again for more (default: the one found)"
    )
    parser.add_argument("--threads", type=int, default=0, help="default: every core this process may use, up to 8")
    parser.add_argument("--repeats", type=int, default=DEFAULT_REPEATS)
    parser.add_argument("--runtime", choices=["auto", "llama-server", "xllamacpp"], default="auto")
    parser.add_argument("--busy", type=int, default=0, help="endless loops to run beside it")
    arguments = parser.parse_args()

    results: list[Figures] = []
    for named in arguments.model or [None]:
        with conversion_shown(Console(stderr=True)) as conversion:
            model = find_model(named, conversion)
        settings = Settings(free_port(), threads=arguments.threads)
        with busy_loops(arguments.busy):
            figures = measure(model, settings, runtime=arguments.runtime, repeats=arguments.repeats)
        results.append(figures)
        for label, value in describe(figures):
            print(f"{label:<12} {value}")
        print()
    print(
        json.dumps(
            {
                "benchmark": "model_server",
                "cores": len(os.sched_getaffinity(0)),
                "busy": arguments.busy,
                "results": msgspec.to_builtins(results),
            }
        )
    )


if __name__ == "__main__":
    main()
