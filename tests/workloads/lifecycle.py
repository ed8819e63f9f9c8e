"""10,007 forks, 4,999 of which exec and 101 fail to, logged one by one: the workload that must be counted exactly.

    python -m tests.workloads.lifecycle --log FILE [--forks N --execs N --failures N]

Each line of the log is ``pid ppid end comm status`` (see lifecycle.c); the first is the workload itself. Prints one
JSON object: ``pid`` (the children's ppid), ``comm``, and how many of each there were.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .build import compile_c

#: What the children that exec are called afterwards.
EXECUTABLE = "prime-child"


@dataclass(frozen=True, slots=True)
class Child:
    """One line of the log."""

    pid: int
    ppid: int
    end: str  # exec, fail or quit
    comm: str
    status: int


def read_log(path: Path) -> tuple[Child, list[Child]]:
    """The workload itself, and its children in order."""
    lines = (line.split(" ") for line in path.read_text().splitlines())
    itself, *children = (Child(int(pid), int(ppid), end, comm, int(status)) for pid, ppid, end, comm, status in lines)
    return itself, children


def run(log: Path, forks: int = 10_007, execs: int = 4_999, failures: int = 101) -> None:
    """Compile, run, and leave the log at ``log``. Raises if a child could not be made."""
    with tempfile.TemporaryDirectory() as folder:
        program = compile_c("lifecycle", Path(folder))
        executable = program.with_name(EXECUTABLE)
        executable.symlink_to(program)  # the kernel names a process by the last part of the path it was run by
        with log.open("w") as out:
            counts = (str(forks), str(execs), str(failures))
            subprocess.run([str(program), *counts, str(executable)], stdout=out, check=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--forks", type=int, default=10_007)
    parser.add_argument("--execs", type=int, default=4_999)
    parser.add_argument("--failures", type=int, default=101)
    options = parser.parse_args()
    run(options.log, options.forks, options.execs, options.failures)
    itself, children = read_log(options.log)
    ends = Counter(child.end for child in children)
    print(json.dumps({"pid": itself.pid, "comm": itself.comm, "forks": len(children), **ends}))


if __name__ == "__main__":
    main()
