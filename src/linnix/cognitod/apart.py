"""An instrument on a thread of its own.

Owns that thread. Refuses to know what is read. Invariant: whoever asks never waits for the instrument, and a reading is
handed over once, in order, or not at all once it was closed.

For files of the kernel that may keep a reader waiting: ``/proc/PID/cgroup`` is read under cgroup_mutex
(kernel/cgroup/cgroup.c, proc_cgroup_show), which whoever moves many processes between groups holds for seconds. The
ingest thread must not wait for that: its rings would run over meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from linnix.cognitod.events import Instrument, ProbeState

#: A read that the kernel holds up longer is left behind when the daemon ends.
STOP_WITHIN_S = 1.0


class Apart:
    """An ``events.Instrument`` that asks another one elsewhere."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._asked = threading.Event()
        self._over = False
        self._failure: BaseException | None = None
        self._readings: deque[object] = deque()
        self._thread = threading.Thread(target=self._run, name=type(instrument).__name__, daemon=True)

    @property
    def due_ns(self) -> int:
        """As the instrument's."""
        return self._instrument.due_ns

    def open(self) -> None:
        """Start the thread, which opens the instrument."""
        self._thread.start()

    def collect(self, now_ns: int) -> object | None:
        """Ask for more, and return the oldest that was read by now. Raises what the instrument raised."""
        if self._failure is not None:
            raise self._failure
        self._asked.set()
        return self._readings.popleft() if self._readings else None

    def states(self) -> tuple[ProbeState, ...]:
        """The instrument's lines."""
        return self._instrument.states()

    def close(self) -> None:
        """End the thread, which closes the instrument. Idempotent."""
        self._over = True
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        try:
            self._instrument.open()
            while self._wait():
                reading = self._instrument.collect(time.monotonic_ns())
                if reading is not None:
                    self._readings.append(reading)
        except Exception as error:
            self._failure = error
        finally:
            self._instrument.close()

    def _wait(self) -> bool:
        """For somebody to ask; False when it is over."""
        self._asked.wait()
        self._asked.clear()
        return not self._over
