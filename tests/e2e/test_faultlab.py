"""The laboratory with the real daemon: whom the truth names is whom the daemon saw, and nothing is left afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linnix.faultlab import cgroups, proc
from linnix.faultlab.recording import read_events, read_facts

pytestmark = pytest.mark.timeout(180)

SCENARIO = """
name: six-seconds
class: cpu_spin
description: A parent and its child work a little; somebody else does, too.
culprit: worker
intensity: {from: 20, to: 25, unit: percent of a core}
commands:
  - name: worker
    as: ["a\\nrenderd"]
    cgroup: docs
    cpu_quota_pct: 90
    with: python3
    script: |
      import os, time
      busy = float(os.environ["INTENSITY"]) / 100
      os.fork()
      while True:
          until = time.monotonic() + 0.1 * busy
          while time.monotonic() < until:
              pass
          time.sleep(0.1 * (1 - busy))
decoys:
  - name: other
    as: maild
    with: python3
    script: |
      import time
      while True:
          sum(range(400_000))
          time.sleep(0.1)
setup: test -d "$DISK" && echo ready > "$DISK/ready"
filesystem_mib: 16
warm_up_s: 1
injection_s: 4
recovery_s: 1
tick_s: 0.5
seeds: [1]
"""


def identities(body: bytes) -> set[tuple[int, int]]:
    return {(process["pid"], process["start_ns"]) for process in json.loads(body)["processes"]}


def lives(pid: int, start_ns: int) -> bool:
    seen = proc.read(pid)  # dead and not yet reaped by whoever inherited it is dead
    return seen is not None and seen.state != "Z" and seen.start_ns == start_ns // proc.TICK_NS * proc.TICK_NS


def linnix(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "linnix.cli.main", *command], capture_output=True, text=True, check=False
    )


def test_the_truth_names_whom_the_daemon_saw(tmp_path: Path) -> None:
    mount = cgroups.find_mount()
    if mount is None or not os.access(mount, os.W_OK):
        pytest.skip("no cgroup2 mount that can be written: the laboratory refuses to run here")
    (tmp_path / "six.yaml").write_text(SCENARIO)
    # What else this host does is no reason to refuse: nothing here depends on how fast anything is.
    command = ["faultlab", "run", str(tmp_path / "six.yaml"), "--out", str(tmp_path / "out"), "--max-load", "9999"]

    done = linnix(*command)

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "six-seconds-1: recorded (1 of 1)"
    folder = tmp_path / "out" / "six-seconds-1"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["planned.json", folder.name]
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    other, worker = truth["commands"]
    assert [
        (each["name"], each["role"], each["as"], each["cgroup"].rpartition("/")[2]) for each in (other, worker)
    ] == [
        ("other", "decoy", "maild", "maild.service"),
        ("worker", "command", "a\nrenderd", "docs.service"),
    ]
    assert [(each["status"], len(each["processes"])) for each in (other, worker)] == [(None, 1), (None, 2)]
    culprits = {tuple(identity) for identity in worker["processes"]}
    decoys = {tuple(identity) for identity in other["processes"]}
    assert worker["processes"][0] == [worker["pid"], worker["start_ns"]]

    lines = list(read_facts(folder))
    seen = {
        phase: [identities(bytes(line.facts)) for line in lines if line.phase == phase] for phase in truth["phases"]
    }
    assert {line.status for line in lines} == {200}
    assert [culprits & each for each in seen["warm_up"]] == [set()] * len(seen["warm_up"])
    assert culprits <= set().union(*seen["injection"])
    assert decoys <= set().union(*seen["injection"])
    names = {
        (process["pid"], process["start_ns"]): (process["comm"], process["cgroup"])
        for line in lines
        for process in json.loads(bytes(line.facts))["processes"]
        if (process["pid"], process["start_ns"]) in culprits
    }
    assert set(names.values()) == {("a\nrenderd", worker["cgroup"])}

    events = [json.loads(bytes(line.data)) for line in read_events(folder) if not line.event]
    births = {(event["pid"], event["start_ns"]) for event in events if event["event_type_name"] == "fork"}
    assert culprits <= births
    assert isinstance(json.loads((folder / "alerts.json").read_bytes()), list)  # what others here do may alert
    meta = json.loads((folder / "meta.json").read_text())
    assert (meta["scenario"], meta["seed"], meta["events_problem"], meta["daemon"]["own"]) == (
        "six-seconds",
        1,
        None,
        True,
    )
    assert meta["ticks"] == {phase: len(ticks) for phase, ticks in seen.items()}

    graded = linnix("faultlab", "grade", str(tmp_path / "out"), "--json")
    [judged] = json.loads(graded.stdout)["runs"]  # whether it was right depends on what else this host does
    assert (judged["run"], judged["class"], judged["culprit"], judged["faults"]) == (
        folder.name,
        "cpu_spin",
        "a\nrenderd",
        1,
    )
    assert judged["calm_ticks"] == meta["ticks"]["warm_up"]

    assert [pid for pid, start_ns in culprits | decoys if lives(pid, start_ns)] == []
    assert not (mount / worker["cgroup"][1:]).parent.exists()
