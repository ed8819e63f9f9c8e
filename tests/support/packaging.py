"""The package as a user gets it: a wheel built from this checkout."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def build_wheel(into: Path) -> Path:
    """Build the wheel with the build backend of this environment; nothing is downloaded."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(into), str(REPOSITORY)], check=True)
    [wheel] = into.glob("linnix-*.whl")
    return wheel
