"""Blame through the real daemon: two spinners on one CPU, in two control groups."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_daemon import Daemon
from test_daemon import running as daemon_running

from support.alone import RUNS, Company, wait_until_alone
from support.stalled import answer, new_group, running, start

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]

LINNIX = [sys.executable, "-m", "linnix.cli.main"]
SPIN_S = 8.0
#: What others may use beside a fight, in parts of one core; the daemon is among them.
OTHERS = 0.15
SPIN = """
import os, sys, time
name, cpu, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
open("/proc/self/comm", "w").write(name)
os.sched_setaffinity(0, {cpu})
print("ready", flush=True)
sys.stdin.readline()
end, began = time.monotonic() + seconds, time.process_time_ns()
while time.monotonic() < end:
    pass
print(time.process_time_ns() - began)
"""


@dataclass
class Fight:
    """Who fought whom, when, and what the kernel's own account says of the victim; the groups are gone by now."""

    daemon: Daemon
    victim: str
    offender: str
    pids: tuple[int, int]
    began: float
    ended: float
    psi_ms: float
    ran_ms: float  # the offender, while the victim wanted to: no less than it made it wait

    def ask(self, **params: Any) -> dict[str, Any]:
        window = {"from": f"{self.began:.6f}", "to": f"{self.ended:.6f}"}
        answer = self.daemon.get("/blame", params={**window, **params})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def fight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fight]:
    """Two busy loops on CPU 0 for a while, under a daemon that always measures."""
    folder = tmp_path_factory.mktemp("blame")
    with daemon_running(folder, LINNIX_BLAME="always") as daemon:
        _until_engaged(daemon)
        for _ in range(RUNS):
            company = Company()
            fought = _fight(daemon)
            if company.foreign() < OTHERS:
                break
            wait_until_alone(OTHERS)  # somebody else ran beside the two: what was measured is not what was set up
        yield fought
        code, _ = daemon.stop()
    assert code == 0


def _fight(daemon: Daemon) -> Fight:
    with new_group() as victim, new_group() as offender:
        groups = ["/" + each.path.name for each in (victim, offender)]
        with (
            running(SPIN, "e2e-victim", 0, SPIN_S, group=victim) as one,
            running(SPIN, "e2e-offender", 0, SPIN_S, group=offender) as other,
        ):
            time.sleep(2)  # the daemon reads the pressure of the group before it has any, and once more at its end
            began, before_us = time.time(), victim.pressure_us("cpu")
            start(one, other)
            answer(one)
            ran_ms = answer(other) / 10**6
            ended, after_us = time.time(), victim.pressure_us("cpu")
            pids = one.pid, other.pid
            time.sleep(2)
    return Fight(daemon, groups[0], groups[1], pids, began, ended, (after_us - before_us) / 1000, ran_ms)


def _until_engaged(daemon: Daemon) -> None:
    for _ in range(100):
        if daemon.get("/blame").json()["engaged_s"] > 0:
            return
        time.sleep(0.1)
    raise AssertionError(daemon.log.read_text())


def test_the_offender_is_named_and_the_stall_is_what_the_kernel_counted(fight: Fight) -> None:
    told = fight.ask(by="cgroup", victim=fight.victim)
    (pair,) = [pair for pair in told["pairs"] if pair["offender"] == fight.offender]
    assert (pair["victim"], pair["kind"]) == (fight.victim, "measured")
    assert pair["stall_ms"] == pytest.approx(fight.ran_ms, rel=0.05)
    assert told["psi_total_ms"] == pytest.approx(fight.psi_ms, rel=0.03)
    assert told["attributed_ms"] == pytest.approx(fight.psi_ms, rel=0.03)
    assert told["coverage"] > 0.9


def test_processes_that_are_gone_are_still_named(fight: Fight) -> None:
    told = fight.ask(victim=fight.pids[0])
    (first, *_) = [pair for pair in told["pairs"] if pair["offender"]["pid"] == fight.pids[1]]
    victim, offender = first["victim"], first["offender"]
    assert [(each["pid"], each["comm"], each["cgroup"]) for each in (victim, offender)] == [
        (fight.pids[0], "e2e-victim", fight.victim),
        (fight.pids[1], "e2e-offender", fight.offender),
    ]
    assert told["psi_total_ms"] is None
    # one thread waits: its task time and its stall are the same waits
    assert first["task_ms"] == pytest.approx(first["stall_ms"], rel=0.03)


def test_the_permalink_gives_the_same_answer_later(fight: Fight) -> None:
    told = fight.ask(by="cgroup", top=3)
    time.sleep(1.5)
    again = fight.daemon.get(told["permalink"]).json()
    assert {**again, "engaged": True} == {**told, "engaged": True}


def test_attribution_says_the_same_in_the_originals_words(fight: Fight) -> None:
    params = {"pod": fight.victim, "namespace": "host", "from": int(fight.began), "to": int(fight.ended) + 2}
    told = fight.daemon.get("/attribution", params=params).json()
    stalled_ms: dict[tuple[str, str], float] = {}
    for row in told["attributions"]:
        offender = row["offender_namespace"], row["offender_pod"]
        stalled_ms[offender] = stalled_ms.get(offender, 0.0) + row["attributed_stall_us"] / 1000
    assert stalled_ms["host", fight.offender] == pytest.approx(fight.ran_ms, rel=0.05)
    assert sum(stalled_ms.values()) == pytest.approx(fight.psi_ms, rel=0.05)
    assert fight.daemon.get(told["permalink"]).json() == told


def test_counters_of_the_original_count_it(fight: Fight) -> None:
    text = fight.daemon.get("/metrics/prometheus").text
    lines = [line for line in text.splitlines() if "stall_induced" in line and fight.offender in line]
    assert any(f'victim_pod="{fight.victim}"' in line for line in lines)
    assert 'linnix_blame_engaged{resource="cpu"} 1.0' in text


def test_the_command_prints_it(fight: Fight) -> None:
    arguments = ["blame", "--host", fight.daemon.url, "--by", "cgroup", "--victim", fight.victim]
    window = ["--from", f"{fight.began:.6f}", "--to", f"{fight.ended:.6f}"]
    run = subprocess.run([*LINNIX, *arguments, *window], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stderr
    assert fight.offender in run.stdout
    as_json = subprocess.run([*LINNIX, *arguments, *window, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(as_json.stdout)["pairs"][0]["offender"] == fight.offender


def test_a_calm_host_engages_when_pressure_rises(tmp_path: Path) -> None:
    with (
        daemon_running(tmp_path) as daemon,
        new_group() as one_group,
        new_group() as other_group,
        running(SPIN, "rise-one", 0, 6, group=one_group) as one,
        running(SPIN, "rise-other", 0, 6, group=other_group) as other,
    ):
        start(one, other)
        _until_engaged(daemon)
        probes = {probe["name"]: probe for probe in daemon.get("/probes").json()["probes"]}
        assert probes["blame_cpu"]["state"] == "on"
        assert probes["blame_cpu"]["attachments"] == 1
