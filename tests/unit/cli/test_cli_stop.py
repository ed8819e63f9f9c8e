"""A signal ends every wait of `linnix up` and `linnix run`, at whatever moment of it the signal comes."""

import random
import signal
import time

import pytest

from linnix.cli._stack import Stop, StopRequested

#: A wait is some microseconds of Python around one system call; these many random moments meet all of it.
SIGNALS = 1009


def test_a_signal_at_any_moment_of_a_wait_ends_it() -> None:
    draw, before = random.Random(1), signal.getsignal(signal.SIGALRM)
    try:
        for _ in range(SIGNALS):
            with Stop.on_signals() as stop:
                signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGINT))  # a timer has no other signal to send
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-5, 3e-4))
                with pytest.raises(StopRequested):
                    while True:
                        stop.pause(0.000001)
            assert (bool(stop), stop.signal) == (True, signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_signal_that_came_before_the_wait_ends_it_at_once() -> None:
    with Stop.on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        began = time.monotonic()
        with pytest.raises(StopRequested):
            stop.pause(60)

    assert time.monotonic() - began < 5
    assert stop.signal == signal.SIGTERM


def test_without_a_signal_a_wait_lasts_as_long_as_it_was_to() -> None:
    with Stop.on_signals() as stop:
        began = time.monotonic()
        stop.pause(0.05)

    assert time.monotonic() - began >= 0.05
    assert not stop
