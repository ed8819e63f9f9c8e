"""The sight without eBPF, on this very host."""

from __future__ import annotations

import os
import threading
import time

import pytest

from linnix.cognitod.events import Kind
from linnix.cognitod.host.fallback import CONNECTOR_LACKS, SCAN_LACKS, FallbackSight, open_sight
from linnix.cognitod.host.netlink import Connector
from support.watching import watch


@pytest.fixture
def scanning() -> FallbackSight:
    sight = FallbackSight(None, (SCAN_LACKS,))
    sight.sample()
    sight.drain()
    return sight


def test_the_best_sight_says_what_it_lacks() -> None:
    sight = open_sight()
    sight.close()

    assert (sight.name, sight.degraded[-1]) in (("netlink", CONNECTOR_LACKS), ("proc", SCAN_LACKS))


def test_with_the_connector_every_life_is_told_however_short() -> None:
    try:
        connector = Connector()
    except OSError as error:
        pytest.skip(f"no process connector here: {error}")
    sight = FallbackSight(connector, ())
    sight.sample()
    seen = watch(sight, ["sh", "-c", "for i in 1 2 3 4 5 6 7; do (exit $i); done; exit 3"])
    counters = sight.counters()
    sight.close()

    children = seen.children(seen.pid)
    assert children["kind"].tolist() == [Kind.FORK, Kind.EXIT] * 7
    assert children["exit_code"][1::2].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert [(int(e["kind"]), int(e["exit_code"])) for e in seen.of(seen.pid)] == [
        (Kind.FORK, 0),
        (Kind.EXEC, 0),
        (Kind.EXIT, 3),
    ]
    assert counters.lost == {"connector": 0}
    assert counters.produced["fork"] >= 8


def test_with_scans_alone_what_lives_long_enough_is_told(scanning: FallbackSight) -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    time.sleep(0.1)
    scanning.sample()
    born = scanning.drain()
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    scanning.sample()
    died = scanning.drain().events
    scanning.close()

    told = born.events[born.events["pid"] == pid]
    assert told["kind"].tolist() == [Kind.FORK, Kind.EXEC]
    assert set(told["comm"].tolist()) == {b"sleep"}
    assert told["text_seq"][1] in born.texts["seq"]
    assert died[died["pid"] == pid]["kind"].tolist() == [Kind.EXIT]


def test_a_wait_ends_when_woken(scanning: FallbackSight) -> None:
    timer = threading.Timer(0.05, scanning.wake)
    timer.start()
    began = time.monotonic()
    scanning.wait(30)
    timer.join()
    scanning.close()

    assert time.monotonic() - began < 10


def test_closing_twice_and_waking_afterwards_is_allowed(scanning: FallbackSight) -> None:
    scanning.close()
    scanning.close()
    scanning.wake()
    assert scanning.counters().lost == {}
