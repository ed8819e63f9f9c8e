"""Compiles the BPF programs when the package is built, and by hand: ``python hatch_build.py [--force]``.

Owns the compilers' command lines. Refuses to ship a package without its objects: no compiler is an error that says
what to install. Invariant: an object is newer than every source it could depend on, or it is compiled again.

clang is taken where there is one; else ``python -m ziglang``, whose bundled clang knows the same target.
``LINNIX_BPF_CC`` (``clang`` or ``zig``) picks one.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand in an environment without the build backend
    BuildHookInterface = object  # type: ignore[misc,assignment,unused-ignore]

SOURCES = Path("src/linnix/cognitod/bpf")
# v3 is what every kernel from 5.8 on verifies; -g is what makes BTF
FLAGS = ("-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fno-ident")
ARCHITECTURES = {
    "x86_64": "x86",
    "aarch64": "arm64",
    "riscv64": "riscv",
    "s390x": "s390",
    "ppc64le": "powerpc",
    "loongarch64": "loongarch",
}


class NoCompilerError(RuntimeError):
    """Neither clang nor zig is here."""


def compiler() -> list[str]:
    """The command that compiles C for BPF in this machine's byte order."""
    order = "bpfel" if sys.byteorder == "little" else "bpfeb"
    choice = os.environ.get("LINNIX_BPF_CC", "")
    clang = shutil.which("clang")
    if clang and choice in ("", "clang"):
        return [clang, "-target", order]
    if importlib.util.find_spec("ziglang") and choice in ("", "zig"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", f"{order}-freestanding"]
    raise NoCompilerError(
        f"no compiler for BPF{f' ({choice} was asked for)' if choice else ''}: "
        "install clang (apt install clang) or zig (pip install ziglang)"
    )


def compile_objects(root: Path, force: bool = False) -> list[Path]:
    """Compile what is out of date below ``root``; returns all objects. Raises with the compiler's own words."""
    place = root / SOURCES
    headers = max(path.stat().st_mtime for path in [*place.glob("*.h"), Path(__file__)])
    objects = []
    for source in sorted(place.glob("*.bpf.c")):
        target = source.with_suffix(".o")
        objects.append(target)
        newest = max(headers, source.stat().st_mtime)
        if force or not target.exists() or target.stat().st_mtime < newest:
            _compile(source, target)
    return objects


def _compile(source: Path, target: Path) -> None:
    machine = platform.machine()
    partial = target.with_suffix(".o.partial")
    # from within the directory, so that no path of the building machine gets into the object
    command = [*compiler(), *FLAGS, f"-D__TARGET_ARCH_{ARCHITECTURES.get(machine, machine)}"]
    command += [f"-ffile-prefix-map={source.parent.resolve()}=.", "-c", source.name, "-o", partial.name]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        raise RuntimeError(f"cannot compile {source.name} with {' '.join(command)}:\n{done.stderr}")
    partial.replace(target)  # at once: a daemon that starts meanwhile sees the old or the new one


class BpfBuildHook(BuildHookInterface):  # type: ignore[misc,type-arg,unused-ignore]
    """Puts the objects into the wheel; an editable install finds them beside their sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel, editable or not, is put together."""
        root = Path(self.root)
        build_data["artifacts"] += [f"/{path.relative_to(root)}" for path in compile_objects(root)]


if __name__ == "__main__":
    try:
        for path in compile_objects(Path(__file__).parent, force="--force" in sys.argv[1:]):
            print(path)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
