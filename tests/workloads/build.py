"""Compiles a workload: with the system's C compiler, else with zig's."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def compile_c(name: str, into: Path) -> Path:
    """``into/NAME`` from ``NAME.c``. Raises with the compiler's words; without one, with what to install."""
    target = into / name
    if cc := shutil.which("cc"):
        command = [cc]
    elif importlib.util.find_spec("ziglang"):
        command = [sys.executable, "-m", "ziglang", "cc"]
    else:
        raise RuntimeError("workloads need a C compiler: apt install gcc, or pip install ziglang")
    command += ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", str(HERE / f"{name}.c"), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"cannot compile {name}.c: {done.stderr}")
    return target
