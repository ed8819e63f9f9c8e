"""A scenario as small as can be, and what is made of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnix.faultlab import cgroups, loading, plan
from linnix.faultlab.plan import Plan

SMALL = """
name: small
class: cpu_spin
description: Somebody works.
culprit: worker
intensity: {from: 10, to: 20, unit: percent}
commands:
  - name: worker
    as: renderd
    argv: [sleep, "60"]
decoys:
  - name: other
    as: maild
    argv: [sleep, "60"]
warm_up_s: 2
injection_s: 4
recovery_s: 2
seeds: [1, 2]
""".lstrip()


def text(*changes: tuple[str, str]) -> str:
    """The small scenario with some of its text replaced by other text."""
    changed = SMALL
    for old, new in changes:
        assert changed.count(old) == 1, f"{old!r} does not stand there once"
        changed = changed.replace(old, new)
    return changed


def small_plan(tmp_path: Path, seed: int = 1, source: str = SMALL) -> Plan:
    """The plan of a scenario that is written to a file first."""
    file = tmp_path / "small.yaml"
    file.write_text(source)
    return plan.plan(loading.load(file), seed)


def mount() -> Path:
    """The cgroup2 mount; skips where no group can be made."""
    found = cgroups.find_mount()
    if found is None or not os.access(found, os.W_OK):
        pytest.skip("no cgroup2 mount that can be written")
    return found
