"""When a meter is attached, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from blame_make import A, Pressure, S, group_waits
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from linnix.cognitod.blame.engage import Engagement, Policy, Stance, step
from linnix.cognitod.events import ProbeState
from linnix.cognitod.model import StallReading

POLICY = Policy(threshold_pct=10, hold_ns=30 * S)


def run(policy: Policy, shares: list[float]) -> list[bool]:
    """Engaged or not, once a second."""
    stance, told = Stance(), []
    for second, share in enumerate(shares):
        stance = step(stance, policy, second * S, share)
        told.append(stance.engaged)
    return told


@pytest.mark.parametrize(
    ("shares", "engaged"),
    [
        pytest.param([0, 9.9, 0], [False, False, False], id="below the threshold nothing is attached"),
        pytest.param([0, 10, 0], [False, True, True], id="at the threshold it is, at once"),
        pytest.param([10] + [4.9] * 32, [True] * 31 + [False] * 2, id="it stays for the hold, then goes"),
        pytest.param([10] + [5] * 60, [True] * 61, id="between calm and threshold it stays"),
        pytest.param([10, *[0] * 29, 6, *[0] * 31], [True] * 61 + [False], id="a rise begins the hold anew"),
    ],
)
def test_it_attaches_at_the_threshold_and_detaches_after_a_calm_hold(shares: list[float], engaged: list[bool]) -> None:
    assert run(POLICY, shares) == engaged


@given(st.lists(st.floats(0, 100), max_size=200))
def test_it_never_switches_more_often_than_once_a_hold(shares: list[float]) -> None:
    told = run(POLICY, shares)
    ends = [at for at in range(1, len(told)) if told[at - 1] and not told[at]]
    begins = [at for at in range(len(told)) if told[at] and (at == 0 or not told[at - 1])]
    assert all(shares[at] >= 10 for at in begins)
    for begin, end in zip(begins, ends, strict=False):
        assert end - begin > 30


@pytest.mark.parametrize(("mode", "engaged"), [("always", True), ("off", False)])
def test_a_mode_other_than_auto_does_not_look_at_pressure(mode: str, engaged: bool) -> None:
    assert run(Policy(mode=mode), [0, 100, 0]) == [engaged] * 3


class RefusedError(Exception):
    """What the kernel said."""


@dataclass
class Meter:
    """The kernel's side, as far as an engagement sees it."""

    name: str = "blame_cpu"
    resource: str = "cpu"
    refuses: str = ""
    done: list[str] = field(default_factory=list)

    def load(self) -> None:
        self._do("load")

    def attach(self) -> None:
        self._do("attach")

    def _do(self, what: str) -> None:
        if self.refuses == what:
            raise RefusedError(f"{what} failed: no such tracepoint")
        self.done.append(what)

    def detach(self) -> None:
        self.done.append("detach")

    def collect(self, now_ns: int) -> StallReading | None:
        self.done.append("collect")
        rows = group_waits(A, 200, 5)
        return StallReading(resource="cpu", begin_ns=0, end_ns=now_ns, pairs=rows, waited_ns=9, attributed_ns=8)

    def state(self) -> ProbeState:
        return ProbeState(name=self.name, what="who waits for whose CPU", programs=("on_switch",), runs=7, run_ns=700)

    def close(self) -> None:
        self.done.append("close")


@dataclass
class Scene:
    """Pressure and clock, by script."""

    shares: list[float]
    now_ns: int = 0
    expected: list[list[int]] = field(default_factory=list)
    begun: int = 0
    closed: bool = False

    def look(self, now_ns: int) -> float:
        return self.shares.pop(0)

    def close(self) -> None:
        self.closed = True

    def begin(self) -> None:
        self.begun += 1

    def since(self, expected: NDArray[np.uint64]) -> Pressure:
        self.expected.append(expected.tolist())
        return Pressure(host_us=5)

    def clock(self) -> int:
        self.now_ns += 1000
        return self.now_ns


def engage(meter: Meter, scene: Scene, policy: Policy = POLICY) -> Engagement:
    return Engagement(
        meter, scene, scene, policy, refusal=RefusedError, clock=scene.clock, wall=lambda: scene.now_ns + S
    )


def test_an_idle_host_pays_a_look_and_nothing_is_attached() -> None:
    meter = Meter()
    engagement = engage(meter, Scene([0, 1, 2]))
    engagement.open()
    assert [engagement.collect(second * S) for second in range(3)] == [None] * 3
    assert meter.done == ["load"]
    (state,) = engagement.states()
    assert (state.state, state.reason) == ("idle", "attaches when the host waits 10 % of the time")
    assert (state.attachments, state.attach_ms, state.runs) == (0, None, 7)


def test_pressure_begins_an_epoch_and_each_look_after_that_ends_a_reading() -> None:
    meter, scene = Meter(), Scene([50, 50, 50])
    engagement = engage(meter, scene)
    engagement.open()
    first, second, third = (engagement.collect(at) for at in range(3))
    assert first is not None and second is not None and third is not None
    assert (first.stall, first.begin_ns) == (None, first.end_ns)
    assert first.end_ns == second.begin_ns < second.end_ns == third.begin_ns
    assert (second.epoch, second.last) == (1, False)
    assert second.waited == Pressure(host_us=5)
    assert scene.expected == [[A], [A]]
    assert scene.begun == 1
    assert engagement.states()[0].state == "on"


def test_the_last_reading_of_an_epoch_says_so_and_the_next_epoch_is_another() -> None:
    meter = Meter()
    scene = Scene([50, 0, 0, 50, 50])
    engagement = engage(meter, scene, Policy(threshold_pct=10, hold_ns=S))
    engagement.open()
    told = [engagement.collect(at * S) for at in (0, 1, 2, 3, 4)]
    assert [(each.epoch, each.stall is None, each.last) for each in told if each] == [
        (1, True, False),
        (1, False, False),
        (1, False, True),
        (2, True, False),
        (2, False, False),
    ]
    assert meter.done == ["load", "attach", "collect", "collect", "detach", "attach", "collect"]
    assert engagement.attachments == 2


@pytest.mark.parametrize("where", ["load", "attach"])
def test_what_the_kernel_refuses_is_told_once_and_not_tried_again(where: str, caplog: pytest.LogCaptureFixture) -> None:
    meter, scene = Meter(refuses=where), Scene([50, 50])
    engagement = engage(meter, scene)
    engagement.open()
    assert [engagement.collect(at) for at in range(2)] == [None, None]
    (state,) = engagement.states()
    assert (state.state, state.reason) == ("failed", f"{where} failed: no such tracepoint")
    assert len(caplog.messages) == 1
    assert scene.closed


def test_always_attaches_at_the_first_look_and_closing_detaches() -> None:
    meter, scene = Meter(), Scene([0])
    engagement = engage(meter, scene, Policy(mode="always"))
    engagement.open()
    assert engagement.collect(0) is not None
    engagement.close()
    assert meter.done == ["load", "attach", "detach", "close"]
    assert not engagement.engaged
