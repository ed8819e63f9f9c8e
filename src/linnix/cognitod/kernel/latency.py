"""Histograms by cgroup: how long tasks waited for a CPU, how long block requests took.

Owns the mapped histograms of two BPF objects. Refuses names of cgroups, windows and percentiles. Invariant: what a
reading says is cumulative since the probe was attached, and never less than the reading before it: the counts of a
cgroup whose place is given to another are kept here, and those of the least seen cgroup move to the rest when too many
are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.books import IdleTime
from linnix.cognitod.events import IDLE, MAX_CPUS, ProbeState
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.probes import Probe, map_array
from linnix.cognitod.kernel.thrift import BUDGET, Thrift

COUNTS = 30
SLOTS = 128

#: struct linnix_histogram of bpf/sights.h.
HISTOGRAM = np.dtype([("cgroup_id", "<u8"), ("sum_ns", "<u8"), ("counts", "<u8", (COUNTS,))])
#: struct linnix_histograms.
HISTOGRAMS = np.dtype([("slots", HISTOGRAM, (SLOTS,)), ("rest", HISTOGRAM), ("total", "<u8")])

#: Upper bound of each class but the last, exclusive.
BOUNDS_NS: tuple[int, ...] = tuple(1024 << i for i in range(COUNTS - 1))

#: The map of requests on their way, of bpf/block_latency.bpf.c.
IN_FLIGHT_KEY = np.dtype("<u8")
IN_FLIGHT = np.dtype([("ts_ns", "<u8"), ("cgroup_id", "<u8")])

#: How often the histograms are read, and how often only whether looking has become too dear, which is a number a CPU.
READ_NS = 5 * 10**9
JUDGE_NS = 2 * 10**9
#: A place that saw nothing for this long is given back.
RETIRE_NS = 600 * 10**9
#: After a rest the idle time is not known until no window of the balances can reach back to before it.
UNKNOWN_NS = 75 * 10**9
#: Measured in interleaved pairs, see docs/probes.md. Nearly all of it is the way to a program and back.
SWITCH_NS = 90
REQUEST_NS = 500

#: Cgroups whose counts are kept after their places were given back.
MAX_KEPT = 512

Histograms = NDArray[np.void]
#: The id of the row that holds what no cgroup of its own could be found for.
REST = 0


@dataclass(frozen=True, slots=True)
class LatencyReading:
    """Cumulative histograms: ``rows`` has dtype HISTOGRAM, one a cgroup, ordered by id, the rest under ``REST``."""

    name: str  # runqueue or block
    ts_ns: int
    rows: Histograms
    measured_ns: int = 0  # how long the programs have been attached in all


class Places:
    """The places of all CPUs, and what was counted in places that were given back."""

    def __init__(self, view: Histograms) -> None:
        """``view``: one HISTOGRAMS a CPU, in memory that the programs write."""
        self._view = view
        self._kept: dict[int, Any] = {}
        self._last: Histograms = np.zeros(0, HISTOGRAM)

    def per_cpu(self) -> NDArray[np.uint64]:
        """How much was counted on each CPU."""
        return self._view["total"].copy()

    def sum(self) -> Histograms:
        """Of all CPUs and all times, by cgroup."""
        slots = self._view["slots"].reshape(-1)
        used = slots[slots["cgroup_id"] != 0]
        rests = self._view["rest"].copy()
        rests["cgroup_id"] = REST
        kept = np.array(list(self._kept.values()), HISTOGRAM)
        parts = np.concatenate((used, rests, kept))
        ids, row = np.unique(parts["cgroup_id"], return_inverse=True)
        rows = np.zeros(len(ids), HISTOGRAM)
        rows["cgroup_id"] = ids
        np.add.at(rows["sum_ns"], row, parts["sum_ns"])
        np.add.at(rows["counts"], row, parts["counts"])
        return rows

    def retire(self) -> None:
        """Give back the places in which nothing was counted since the last time: most belong to cgroups that are gone.

        A CPU that counts into such a place in this very moment loses that one count.
        """
        now = self._view["slots"].copy()
        if len(self._last) == len(now):
            idle = (now["cgroup_id"] != 0) & (now == self._last)
            for place in zip(*np.nonzero(idle), strict=True):
                self._keep(now[place])
            slots = self._view["slots"]
            for name in ("counts", "sum_ns", "cgroup_id"):  # the id last: a place without one is free
                slots[name][idle] = 0
            now[idle] = 0
        self._last = now

    def _keep(self, histogram: Any) -> None:
        cgroup = int(histogram["cgroup_id"])
        if cgroup not in self._kept and len(self._kept) >= MAX_KEPT:
            self._add(REST, self._kept.pop(next(iter(self._kept))))
        self._add(cgroup, histogram)

    def _add(self, cgroup: int, histogram: Any) -> None:
        kept = self._kept.setdefault(cgroup, np.zeros((), HISTOGRAM))
        kept["cgroup_id"] = cgroup
        kept["sum_ns"] += histogram["sum_ns"]
        kept["counts"] += histogram["counts"]


class Latency:
    """An ``events.Instrument``: one object whose map ``histograms`` user space reads without a system call."""

    def __init__(self, name: str, probe: Probe, programs: tuple[str, ...], cost_ns: int) -> None:
        """``cost_ns``: what counting one of them costs."""
        self._name = name
        self._probe = probe
        self._programs = programs
        self._thrift = Thrift(cost_ns)
        self._places = Places(np.zeros(0, HISTOGRAMS))
        self._idle: Histograms = np.zeros(0, IDLE)
        self._read_ns = self._judged_ns = self._retired_ns = self._rest_until_ns = 0
        self._rested = False
        self.due_ns = 0

    def open(self) -> None:
        """Load, map and attach; what is missing is told by ``states``."""
        self._probe.open(configure=self._configure, attach=self._attach)

    def _configure(self, library: Library, found: Object) -> None:
        self._cpus = library.possible_cpus()
        found.set_max_entries("histograms", self._cpus)

    def _attach(self, found: Object) -> None:
        self._places = Places(map_array(found, "histograms", HISTOGRAMS, self._cpus))
        if self._name == "runqueue":
            self._idle = map_array(found, "idlers", IDLE, min(self._cpus, MAX_CPUS))
        for program in self._programs:
            found.attach(program)

    def idle(self, now_ns: int) -> IdleTime | None:
        """How long the idle task has been on all CPUs since the first time it came on each; None where nobody looks."""
        if not len(self._idle) or (self._rested and now_ns < self._rest_until_ns + UNKNOWN_NS):
            return None
        idle = self._idle.copy()
        since_ns = idle["since_ns"].astype(np.int64)
        now = np.where(since_ns > 0, np.maximum(now_ns - since_ns, 0), 0)
        return IdleTime(int(idle["total_ns"].sum()) + int(now.sum()), int(idle["irq_ns"].sum()))

    def collect(self, now_ns: int) -> LatencyReading | None:
        """All histograms so far, every five seconds and at the begin of a rest; None while it rests."""
        if self._probe.object is None or now_ns < self.due_ns:
            return None
        window_ns, self._judged_ns, self.due_ns = now_ns - self._judged_ns, now_ns, now_ns + JUDGE_NS
        if self._probe.state.state != "on":
            self._resume()
            return None
        rest_ns = self._thrift.rest_ns(self._places.per_cpu(), window_ns)
        reading = self._read(now_ns) if rest_ns or now_ns - self._read_ns >= READ_NS else None
        if rest_ns:
            self._rest_until_ns, self._rested = now_ns + rest_ns, True
            self.due_ns = max(self.due_ns, self._rest_until_ns)
            share = window_ns / (window_ns + rest_ns)
            self._probe.rest(f"looks {share:.0%} of the time: more would slow a CPU by over {BUDGET:.0%}")
        return reading

    def _read(self, now_ns: int) -> LatencyReading:
        self._read_ns = now_ns
        if now_ns - self._retired_ns >= RETIRE_NS:
            self._places.retire()
            self._retired_ns = now_ns
        return LatencyReading(self._name, now_ns, self._places.sum(), round(self._probe.state.attached_s * 10**9))

    def _resume(self) -> None:
        """Attach again, and forget what was under way before the rest: an old stamp is a long wait that never was."""
        found = self._probe.object
        if found is not None and self._name == "block":
            found.read_hash(found.map_fd("in_flight"), IN_FLIGHT_KEY, IN_FLIGHT, take=True)
        self._idle["since_ns"] = 0
        self._probe.resume()

    def refresh(self) -> None:
        """Read the kernel's account of its programs anew."""
        self._probe.refresh()

    def states(self) -> tuple[ProbeState, ...]:
        """Its one line."""
        return (self._probe.state,)

    def close(self) -> None:
        """Detach and free; what was mapped goes with the last view of it. Idempotent."""
        self._places = Places(np.zeros(0, HISTOGRAMS))
        self._idle = np.zeros(0, IDLE)
        self._probe.close()


def runqueue() -> Latency:
    """Waits for a CPU."""
    programs = ("handle_switch",)
    return Latency("runqueue", Probe("runqueue_latency", "runqueue.bpf.o", programs), programs, SWITCH_NS)


def block() -> Latency:
    """Requests to block devices."""
    programs = ("handle_complete", "handle_issue")
    return Latency("block", Probe("block_latency", "block_latency.bpf.o", programs), programs, REQUEST_NS)
