"""`linnix up` starts again what died: after 1 s, then 2, then 4."""

import json
import time

import pytest

from linnix.cli._child import stop_all
from linnix.cli._report import Report
from linnix.cli._service import Address, Service
from linnix.cli.up import Supervised

DOOMED = Service("doomed", ("sh", "-c", "echo no room left; exit 3"), Address("127.0.0.1", 1), "/healthz")


def test_each_death_is_told_with_the_last_words_and_waits_twice_as_long(capsys: pytest.CaptureFixture[str]) -> None:
    kept = Supervised(DOOMED, Report(as_json=True), verbose=False)
    clock = time.monotonic()
    for waited_s in (1.0, 2.0, 4.0):
        while kept.child.returncode is None:
            time.sleep(0.01)
        kept.look(clock)  # notices the death
        kept.look(clock + waited_s - 0.1)  # too early
        clock += waited_s
        kept.look(clock)  # starts again
    stop_all([kept.child], timeout_s=1.0)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    died = [(line["how"], line["retry_s"], line["lines"]) for line in told if line["event"] == "died"]

    assert [("ended with exit code 3", wait, ["no room left"]) for wait in (1.0, 2.0, 4.0)] == died
    assert sum(line["event"] == "starting" for line in told) == 4
