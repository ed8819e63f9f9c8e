"""An instrument on a thread of its own: who asks never waits for it."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from linnix.cognitod.apart import Apart
from linnix.cognitod.events import ProbeState


class Slow:
    """Reads only what it is let to, as a file of a busy kernel does."""

    due_ns = 0

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.done: list[str] = []
        self.failing = False

    def open(self) -> None:
        self.done.append("open")

    def collect(self, now_ns: int) -> object | None:
        self.let.acquire()
        if self.failing:
            raise OSError("the file is gone")
        self.done.append("read")
        return len(self.done)

    def states(self) -> tuple[ProbeState, ...]:
        return (ProbeState(name="slow", what="something slow"),)

    def close(self) -> None:
        self.done.append("close")


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def apart(slow: Slow) -> Iterator[Apart]:
    made = Apart(slow)
    made.open()
    yield made
    slow.let.release()
    made.close()


def until(told: Callable[[], object]) -> object:
    """The first thing it tells that is not None."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if (found := told()) is not None:
            return found
        time.sleep(0.001)
    raise AssertionError("nothing within 5 s")


def test_who_asks_gets_nothing_at_once_and_the_reading_when_it_is_there(slow: Slow, apart: Apart) -> None:
    assert apart.collect(1) is None
    slow.let.release()
    assert until(lambda: apart.collect(2)) == 2


def test_readings_come_in_their_order_and_once(slow: Slow, apart: Apart) -> None:
    for _ in range(3):
        slow.let.release()
    assert [until(lambda: apart.collect(1)) for _ in range(3)] == [2, 3, 4]
    assert apart.collect(1) is None


def test_what_the_instrument_raises_is_raised_to_who_asks(slow: Slow, apart: Apart) -> None:
    slow.failing = True
    slow.let.release()

    def told() -> object:
        try:
            return apart.collect(1)
        except OSError as error:
            return str(error)

    assert until(told) == "the file is gone"


def test_its_lines_are_those_of_the_instrument(apart: Apart) -> None:
    assert [line.name for line in apart.states()] == ["slow"]


def test_closing_closes_the_instrument_after_its_last_read(slow: Slow) -> None:
    apart = Apart(slow)
    apart.open()
    slow.let.release()
    until(lambda: apart.collect(1))
    slow.let.release()
    apart.close()
    apart.close()
    assert slow.done[0] == "open"
    assert slow.done[-1] == "close"
    assert set(slow.done[1:-1]) == {"read"}


def test_a_read_that_hangs_does_not_hold_up_the_end(slow: Slow) -> None:
    apart = Apart(slow)
    apart.open()
    apart.collect(1)
    began = time.monotonic()
    apart.close()
    assert time.monotonic() - began < 3
    slow.let.release()
