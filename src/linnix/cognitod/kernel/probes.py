"""The table of probes: what each sees, whether it does, why not, and what it costs.

Owns the names (``OPTIONAL``), the life of one optional BPF object (``Probe``), the sampling of run times (``RunClock``)
and the table that puts all lines together (``Table``). Refuses to know what a probe sees. Invariant: an object that
cannot be loaded fails alone, and its ``ProbeState`` says why.

Probes live on the ingest thread; ``state`` hands out a value made there, so that any thread may read it.
"""

from __future__ import annotations

import logging
import mmap
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from linnix.cognitod.events import Instrument, ProbeState
from linnix.cognitod.kernel import preflight
from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.libbpf import Library, Object

log = logging.getLogger(__name__)

#: Of every so long, the kernel counts runs and run times for one sample interval.
STATS_EVERY_NS = 30 * 10**9

#: What it cannot do without: the two objects of ``sight``.
LIFECYCLE = "births, execs and deaths of processes"
TASKS = "what every process uses"
#: What the daemon can do without, by the name under which the configuration switches it off.
OPTIONAL: dict[str, str] = {
    "blame_cpu": "who makes whom wait for a CPU",
    "blame_io": "who makes whom wait for storage",
    "blame_memory": "who makes whom wait for memory",
    "runqueue_latency": "how long tasks wait for a CPU, by cgroup",
    "block_latency": "how long block devices take to serve requests, by cgroup",
    "oom": "who is killed for want of memory, and for whom",
    "tcp": "TCP retransmits, resets and failed connections, by process",
    "sockets": "what is sent and received through sockets of IP, and TCP connections made, by process",
    "syncs": "how often data is asked to be on disk: fsync and the like, and synchronous writes, by process",
    "waits": "threads that wait for locks or for data to be on disk, of processes that may do so much",
    "blocked": "threads stuck in uninterruptible sleep, with their kernel stacks",
    "filesystems": "how full the filesystems are, local ones only",
}


def bpf_reason(environ: Mapping[str, str] = os.environ) -> str:
    """Why no BPF object can be loaded on this host; empty when nothing stands in the way."""
    return "; ".join(str(check) for check in preflight.checks(environ) if not check.ok)


def map_array(found: Object, name: str, record: np.dtype[Any], count: int = 1) -> Any:
    """A view of a loaded BPF_F_MMAPABLE array: reading it costs no system call. Unmapped with the last view of it."""
    size = count * record.itemsize
    page = mmap.PAGESIZE
    memory = mmap.mmap(found.map_fd(name), (size + page - 1) // page * page)
    return np.frombuffer(memory, record, count)


class Probe:
    """One BPF object and its line in the table of probes."""

    def __init__(self, name: str, file: str, programs: tuple[str, ...]) -> None:
        """``name`` is one of ``OPTIONAL``; ``file`` its object, of which ``programs`` are to be attached."""
        self._file = file
        what = OPTIONAL[name]
        self._state = ProbeState(name=name, what=what, state="idle", reason="not opened yet", programs=programs)
        self._object: Object | None = None
        self._began_ns = 0

    @property
    def state(self) -> ProbeState:
        """Its line; runs and run time as of the last refresh."""
        last, began_ns = self._state, self._began_ns
        if last.state != "on":
            return last
        return replace(last, attached_s=last.attached_s + (time.monotonic_ns() - began_ns) / 10**9)

    @property
    def object(self) -> Object | None:
        """The loaded object; None where there is none."""
        return self._object

    def open(
        self,
        *,
        attach: Callable[[Object], None],
        configure: Callable[[Library, Object], None] = lambda _library, _object: None,
        environ: Mapping[str, str] = os.environ,
    ) -> bool:
        """Load and attach; False when that is impossible, and the state says why.

        ``configure`` is called before the load, ``attach`` after it; both may raise ``KernelError`` or ``OSError``.
        """
        if reason := bpf_reason(environ):
            return self._fail(reason)
        # Needed before 5.11 and harmless after; where it is refused the load says so itself.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        began_ns = time.monotonic_ns()
        found: Object | None = None
        try:
            library = Library()
            found = Object(library, preflight.object_dir(environ) / self._file)
            configure(library, found)
            found.load()
            attach(found)
        except (KernelError, OSError, ValueError) as error:
            if found is not None:
                found.close()
            return self._fail("; ".join(error.reasons) if isinstance(error, KernelError) else str(error))
        self._object = found
        self._state = replace(self._state, programs=found.attached)
        self._is_on(began_ns)
        self.refresh()
        return True

    def _is_on(self, asked_ns: int) -> None:
        self._began_ns = time.monotonic_ns()
        self._state = replace(
            self._state,
            state="on",
            reason="",
            attach_ms=(self._began_ns - asked_ns) / 10**6,
            attachments=self._state.attachments + 1,
        )

    def rest(self, reason: str) -> None:
        """Detach all programs, and keep the maps."""
        if self._object is not None:
            last = self.state
            self._object.detach()
            self._state = replace(last, state="idle", reason=reason)

    def note(self, reason: str) -> None:
        """Say that it sees less than it could, and why; empty when it does not any more."""
        self._state = replace(self._state, reason=reason)

    def resume(self) -> None:
        """Attach all programs again."""
        if self._object is not None:
            asked_ns = time.monotonic_ns()
            for program in self._state.programs:
                self._object.attach(program)
            self._is_on(asked_ns)

    def _fail(self, reason: str) -> bool:
        log.warning("probe %s: %s", self._state.name, reason)
        self._state = replace(self._state, state="failed", reason=reason)
        return False

    def refresh(self) -> None:
        """Read the kernel's account of its programs anew."""
        if self._object is not None:
            runs, run_ns = self._object.run_stats(self._state.programs)
            self._state = replace(self._state, runs=runs, run_ns=run_ns)

    def close(self, reason: str = "closed") -> None:
        """Detach and free. Idempotent."""
        if (found := self._object) is not None:
            last, self._object = self.state, None
            self._state = replace(last, state="idle", reason=reason)
            found.close()


@runtime_checkable
class Accountable(Protocol):
    """An instrument whose lines hold the kernel's account of its programs."""

    def refresh(self) -> None:
        """Read it anew."""
        ...


class RunClock:
    """An ``events.Instrument`` that sees nothing: it has the kernel count runs and run times, now and then.

    Counting costs every run of every BPF program of the host two readings of the clock, so it is on for one sample
    interval in ``STATS_EVERY_NS``: figures of cost are of that time, ``measured_s``, and are never scaled up.
    """

    def __init__(self, mode: str, instruments: Sequence[Instrument]) -> None:
        """``mode``: ``sample``, ``on`` or ``off``; the ``instruments`` are refreshed when something was counted."""
        self.mode = mode
        self._accountable = [one for one in instruments if isinstance(one, Accountable)]
        self._fd = -1
        self._since_ns = 0
        self._measured_ns = 0
        self.due_ns = 0

    @property
    def measured_s(self) -> float:
        """For how long runs were counted, up to the last sample."""
        return self._measured_ns / 10**9

    def open(self) -> None:
        """Nothing yet: the first sample begins to measure."""

    def collect(self, now_ns: int) -> None:
        """Begin or end to measure."""
        if self._fd >= 0:
            self._end(now_ns)
        elif self.mode != "off" and now_ns >= self.due_ns:
            self._since_ns = now_ns
            try:
                self._fd = Library().enable_stats()
            except KernelError as error:  # before 5.8, or not allowed: costs stay unknown
                log.info("run times of BPF programs are not known: %s", error)
                self.mode = "off"

    def _end(self, now_ns: int) -> None:
        if self.mode == "on" and now_ns - self._since_ns < STATS_EVERY_NS // 3:
            return
        self._measured_ns += now_ns - self._since_ns
        self._since_ns = now_ns
        if self.mode == "sample":
            self._stop()
            self.due_ns = now_ns + STATS_EVERY_NS
        for one in self._accountable:
            one.refresh()

    def _stop(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def states(self) -> tuple[ProbeState, ...]:
        """It is no probe."""
        return ()

    def close(self) -> None:
        """Let the kernel stop counting. Idempotent."""
        self._stop()


def off(name: str, reason: str) -> ProbeState:
    """The line of a probe that is not wanted."""
    return ProbeState(name=name, what=OPTIONAL[name], state="off", reason=reason)


def unseen(reasons: Sequence[str]) -> tuple[ProbeState, ...]:
    """The lines of the required probes where eBPF cannot be used."""
    told = "; ".join(reasons)
    return (
        ProbeState(name="lifecycle", what=LIFECYCLE, required=True, state="failed", reason=told),
        ProbeState(name="tasks", what=TASKS, required=True, state="failed", reason=told),
    )


class Table:
    """All probes: the required ones, then the optional ones in the order of ``OPTIONAL``."""

    def __init__(
        self,
        required: Callable[[], tuple[ProbeState, ...]] = lambda: (),
        instruments: Sequence[Instrument] = (),
        unwanted: Sequence[ProbeState] = (),
        clock: RunClock | None = None,
    ) -> None:
        self._required = required
        self._instruments = tuple(instruments)
        self._unwanted = tuple(unwanted)
        self._clock = clock

    @property
    def stats(self) -> str:
        """How runs and run times are counted: ``sample``, ``on`` or ``off``."""
        return self._clock.mode if self._clock else "off"

    @property
    def measured_s(self) -> float:
        """For how long the kernel counted runs and run times."""
        return self._clock.measured_s if self._clock else 0.0

    def states(self) -> tuple[ProbeState, ...]:
        """Every line, now."""
        told = [state for instrument in self._instruments for state in instrument.states()]
        order = {name: at for at, name in enumerate(OPTIONAL)}
        optional = sorted([*told, *self._unwanted], key=lambda state: order.get(state.name, len(order)))
        return (*self._required(), *optional)
