"""The kernel plane on Debian's own kernels, under systemd and cgroup v2: seen, counted, blamed and named.

Linux 6.1 is booted by default; LINNIX_VM_KERNELS names others (`make test-vm` boots 5.10, 6.1 and 6.12).
"""

import os
from pathlib import Path
from typing import Any

import machine
import pytest
from inside import FORKS

KERNELS = os.environ.get("LINNIX_VM_KERNELS", "bookworm").split()
#: Programs that need more than Linux 5.10 has.
YOUNGER = {"bullseye": ("blame_cpu", "blame_io", "blame_memory")}

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]
if reason := machine.reason_to_skip():
    pytestmark.append(pytest.mark.skip(reason=reason))

PREPARE = (
    machine.INSTALL
    + r"""
systemd-sysusers /opt/linnix/deploy/systemd/linnix.sysusers
cp deploy/systemd/linnix-cognitod.service /etc/systemd/system/
systemctl enable linnix-cognitod
mkdir -p /etc/systemd/system/linnix-cognitod.service.d
# What is asked is whether the sums are right, not whether pressure is noticed.
printf '[Service]\nEnvironment=LINNIX_BLAME=always\n' >/etc/systemd/system/linnix-cognitod.service.d/blame.conf
rm -rf /opt/wheels
"""
)


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return machine.lay_out(tmp_path_factory.mktemp("overlay"), "inside.py", "sees.py")


@pytest.fixture(scope="module", params=KERNELS)
def seen(request: pytest.FixtureRequest, overlay: Path) -> dict[str, Any]:
    return {**machine.run(overlay, PREPARE, "sees.py", kernel=request.param), "name": request.param}


def blames(seen: dict[str, Any]) -> bool:
    return "blame_cpu" not in YOUNGER.get(seen["name"], ())


def test_the_kernel_is_the_one_that_was_asked_for(seen: dict[str, Any]) -> None:
    versions = {"bullseye": "5.10", "bookworm": "6.1", "trixie": "6.12"}

    assert seen["kernel"].startswith(versions[seen["name"]] + ".")


def test_every_object_loads_or_is_known_to_need_a_younger_kernel(seen: dict[str, Any]) -> None:
    status, probes = seen["probes"]
    failed = {probe["name"]: probe["reason"] for probe in probes["probes"] if probe["state"] == "failed"}

    assert (status, seen["readyz"][0]) == (200, 200), seen["log"]
    assert {name: reason for name, reason in failed.items() if name not in YOUNGER.get(seen["name"], ())} == {}


def test_a_prime_number_of_forks_is_counted_exactly_twice_in_a_row(seen: dict[str, Any]) -> None:
    assert seen["forks"] == [FORKS, FORKS], seen["log"]


def test_the_offending_unit_is_blamed_as_long_as_the_victim_waited(seen: dict[str, Any]) -> None:
    if not blames(seen):
        return
    contention = seen["contention"]
    blame = contention["blame"]
    by_offender = {pair["offender"]: pair["stall_ms"] for pair in blame["pairs"]}

    assert set(contention["units"]) == {"victim.service"}
    assert max(by_offender, key=lambda name: by_offender[name]) == "offender.service", seen["log"]
    assert blame["attributed_ms"] == pytest.approx(blame["psi_total_ms"], rel=0.05)
    assert blame["attributed_ms"] == pytest.approx(contention["pressure_ms"], rel=0.10)


def test_a_quota_is_the_victims_own_doing(seen: dict[str, Any]) -> None:
    if not blames(seen):
        return
    quota = seen["quota"]
    own_ms = sum(pair["task_ms"] for pair in quota["blame"]["pairs"] if pair["kind"] == "own_quota")

    assert own_ms == pytest.approx(quota["throttled_ms"], rel=0.10), seen["log"]


def test_an_oom_kill_is_told_with_its_victim(seen: dict[str, Any]) -> None:
    kills = [(kill["comm"], kill["unit"], kill["invoker_comm"]) for kill in seen["oom"]["kills"]]

    assert kills == [("python3", "grower.service", "python3")], seen["log"]
