"""Who waits for a CPU, and who runs on it meanwhile (bpf/blame_cpu.bpf.c; docs/decisions/0007).

Owns the maps between the programs and user space, and the epochs. Refuses to average or to name: rows are made in
``cpu_pairs``. Invariant: what a reading tells was waited after the attachment, and every nanosecond of it is told once.

Agrees with the kernel's own books: task time with ``sched_info.run_delay`` (kernel/sched/stats.h), stall time with
``cpu.pressure`` (kernel/sched/psi.c), own quota with ``cpu.stat`` (kernel/sched/fair.c).

The programs write one of two buffers. A reading has them write the other one, waits longer than any program runs, and
takes what is in the first.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np

from linnix.cognitod import records
from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.kernel import preflight
from linnix.cognitod.kernel.cpu_pairs import CGROUP, KEY, PAIR, RAN, SUM, Running, make_rows
from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.probes import OPTIONAL, bpf_reason, map_array
from linnix.cognitod.model import StallReading

#: BLAME_NEAR and BLAME_SLOTS of bpf/blame_cpu.h.
NEAR = 128
SLOTS = 1024
#: With so many control groups known a reading begins a new epoch, in which slots are handed out anew; not more often.
_SLOTS_FULL = SLOTS * 3 // 4
_EPOCH_NS = 60 * 10**9
#: bpf_loop() is of 5.17, storage that belongs to a task of 5.11.
MIN_KERNEL = (5, 17)
#: A program runs for microseconds.
_SETTLE_S = 0.001

CONTROL = np.dtype(
    [
        ("epoch", "<u8"),
        ("begin_mono_ns", "<u8"),
        ("begin_boot_ns", "<u8"),
        ("active", "<u4"),
        ("nr_slots", "<u4"),
        ("nr_pairs", "<u4", (2,)),
    ]
)
LANE = np.dtype(
    [
        ("epoch", "<u8"),
        ("begin", "<u8"),
        ("since", "<u8"),
        ("credit", "<u8"),
        ("head", "<u4"),
        ("slot", "<u4"),
        ("many", "<u4"),
        ("crowd", "<u4"),
        ("waits", "<u8"),
        ("waited_ns", "<u8"),
        ("forgotten_ns", "<u8"),
        ("untold_ns", "<u8"),
        ("unmatched_ns", "<u8"),
    ]
)
SLOT = np.dtype([("cgroup", "<u8"), ("parent", "<u4"), ("pad", "V4")])

_NONE = np.zeros((), PAIR)
_NEEDS = "it needs CONFIG_SCHED_INFO and CONFIG_FAIR_GROUP_SCHED"
_COUNTS = ("waits", "waited_ns", "forgotten_ns", "untold_ns", "unmatched_ns")
_PROGRAMS = ("handle_migrate", "handle_switch")


class BlameCpu:
    """A meter of ``cpu``. On the ingest thread, except ``state``."""

    name = "blame_cpu"
    resource = "cpu"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._state = ProbeState(
            name=self.name,
            what=OPTIONAL[self.name],
            state="idle",
            reason="not loaded yet",
            programs=_PROGRAMS,
        )
        self._object: Object | None = None
        self._control = np.zeros(1, CONTROL)
        self._lanes = np.zeros(0, LANE)
        self._near = np.zeros((0, 2, NEAR), PAIR)
        self._walks = -1
        self._epoch = 0
        self._counts: dict[str, int] = {}
        self._last_ns = self._began_ns = 0
        self._ahead: Running = {}  # run time that a reading told of a slice that went on

    def state(self) -> ProbeState:
        """Its line in the table of probes."""
        return self._state

    def load(self) -> None:
        """Open and verify the programs; ``KernelError`` where this kernel cannot have them."""
        if self._object is not None:
            return
        try:
            if reason := bpf_reason(self._environ):
                raise KernelError(reason)
            if (kernel := preflight.parse_release(platform.release())) < MIN_KERNEL:
                found, needed = (".".join(map(str, release)) for release in (kernel, MIN_KERNEL))
                raise KernelError(
                    f"kernel {found} is older than {needed}, which blame for CPU needs: boot a newer kernel"
                )
            with suppress(ValueError, OSError):  # needed before 5.11, see sight.open_sight
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            self._open()
        except KernelError as error:
            self._state = replace(self._state, state="failed", reason="; ".join(error.reasons))
            raise
        self._state = replace(self._state, state="idle", reason="loaded, not attached")

    def _open(self) -> None:
        library = Library()
        cpus = library.possible_cpus()
        found = Object(library, preflight.object_dir(self._environ) / "blame_cpu.bpf.o")
        try:
            for name, each in (("cpus", 1), ("ran", 1), ("works", 1), ("near", 2), ("group_covers", SLOTS)):
                found.set_max_entries(name, each * cpus)
            try:
                found.load()
            except KernelError as error:
                raise KernelError(*error.reasons, _NEEDS, call=error.call, errno=error.errno, log=error.log) from None
            self._walks = found.attach_iterator("note_task")
            self._control = map_array(found, "control", CONTROL)
            self._lanes = map_array(found, "cpus", LANE, cpus)
            self._near = map_array(found, "near", PAIR, 2 * cpus * NEAR).reshape(cpus, 2, NEAR)
        except KernelError:
            found.close()
            raise
        self._object = found

    def attach(self) -> None:
        """Begin a new epoch. ``KernelError``, and then nothing is attached."""
        if self._object is None:
            raise KernelError(f"{self.name} is not loaded: {self._state.reason}")
        began_ns = time.monotonic_ns()
        try:
            for program in _PROGRAMS:
                self._object.attach(program)
            self._begin(self._object)
        except KernelError as error:
            self._object.detach(*_PROGRAMS)
            self._state = replace(self._state, state="failed", reason="; ".join(error.reasons))
            raise
        self._began_ns = self._last_ns
        self._state = replace(
            self._state,
            state="on",
            reason="",
            attach_ms=(time.monotonic_ns() - began_ns) / 1e6,
            attachments=self._state.attachments + 1,
        )

    def _begin(self, found: Object) -> None:
        """Forget everything, then let the programs work."""
        control = self._control[0]
        control["epoch"] = 0
        time.sleep(_SETTLE_S)
        self._near[:] = _NONE
        for name in ("pairs_0", "pairs_1"):
            found.read_hash(found.map_fd(name), KEY, SUM, take=True)
        found.read_hash(found.map_fd("slot_of"), np.dtype("<u8"), np.dtype("<u4"), take=True)
        control["active"] = control["nr_slots"] = control["nr_pairs"] = 0
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._ahead = {}
        self._epoch += 1
        self._last_ns = time.monotonic_ns()
        control["begin_mono_ns"] = self._last_ns
        control["begin_boot_ns"] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        control["epoch"] = self._epoch
        walk = found.open_iterator(self._walks)
        try:
            while os.read(walk, 4096):
                pass
        finally:
            os.close(walk)

    def collect(self, now_ns: int) -> StallReading | None:
        """Everything since the last collect of this epoch; None when not attached.

        A wait is told when it has ended, as ``run_delay`` does.
        """
        found = self._object
        if found is None or self._state.state != "on":
            return None
        pairs, counts, on_cpus = self._take(found)
        parents, cgroups = self._groups(found)
        running = self._take_running(on_cpus, now_ns, cgroups)
        begin_ns, self._last_ns = self._last_ns, now_ns
        rows = make_rows(pairs, parents, now_ns - begin_ns, running)
        self._refresh(found, now_ns)
        if len(parents) >= _SLOTS_FULL and now_ns - int(self._control[0]["begin_mono_ns"]) > _EPOCH_NS:
            self._begin(found)
        return StallReading(
            resource=self.resource,
            begin_ns=begin_ns,
            end_ns=now_ns,
            pairs=rows,
            waited_ns=counts["waited_ns"] + counts["unmatched_ns"],
            attributed_ns=int(rows["task_ns"].sum()),
            lost_ns=counts["untold_ns"] + counts["unmatched_ns"],
        )

    def _take(self, found: Object) -> tuple[Array, dict[str, int], Array]:
        """Everything that the programs added up since the last call: dtype PAIR, what they counted, and the lanes as
        they were: what ends from then on will be told next time.
        """
        control = self._control[0]
        buffer = int(control["active"])
        control["active"] = 1 - buffer
        on_cpus = self._lanes.copy()
        counts = self._count()
        time.sleep(_SETTLE_S)
        near = self._near[:, buffer].reshape(-1)
        near = near[(near["task_ns"] > 0) | (near["stall_ns"] > 0)]  # a copy
        self._near[:, buffer] = _NONE
        keys, sums = found.read_hash(found.map_fd(f"pairs_{buffer}"), KEY, SUM, take=True)
        control["nr_pairs"][buffer] = 0
        far = np.empty(len(keys), PAIR)
        places = far.view(np.uint8).reshape(len(far), PAIR.itemsize)  # a PAIR is a KEY and then a SUM
        places[:, : KEY.itemsize] = keys.view(np.uint8).reshape(len(far), KEY.itemsize)
        places[:, KEY.itemsize :] = sums.view(np.uint8).reshape(len(far), SUM.itemsize)
        return records.join((near, far)), counts, on_cpus

    def _take_running(self, lanes: Array, now_ns: int, cgroups: Mapping[int, int]) -> Running:
        """What those who are on a CPU now have run there since their last switch, which is told when they leave it. Of
        what an earlier call told already it is taken off again.

        Without this the CPU of somebody who runs on undisturbed would count for nothing in the average of their group,
        and for too much afterwards.
        """
        before, self._ahead = self._ahead, {}
        control = self._control[0]
        at_work = (lanes["epoch"] == self._epoch) & ((lanes["slot"] | lanes["many"]) > 0)
        for cpu in np.flatnonzero(at_work).tolist():
            lane = lanes[cpu]
            elapsed_ns = int(lane["begin"]) + now_ns - int(control["begin_mono_ns"]) - int(lane["since"])
            for what, victim in ((CGROUP | RAN, cgroups.get(int(lane["slot"]), 0)), (RAN, int(lane["many"]))):
                if victim and elapsed_ns > 0:
                    self._ahead[what, victim, cpu] = elapsed_ns
        return {key: self._ahead.get(key, 0) - before.get(key, 0) for key in self._ahead | before}

    def _count(self) -> dict[str, int]:
        lanes = self._lanes[self._lanes["epoch"] == self._epoch]
        counts = {name: int(lanes[name].sum()) for name in _COUNTS}
        new = {name: counts[name] - self._counts[name] for name in _COUNTS}
        self._counts = counts
        return new

    def _groups(self, found: Object) -> tuple[dict[int, int], dict[int, int]]:
        """The control group above each that is known, 0 for none; and whose each slot is."""
        _, known = found.read_hash(found.map_fd("slot_of"), np.dtype("<u8"), np.dtype("<u4"))
        _, slots = found.read_hash(found.map_fd("slots"), np.dtype("<u4"), SLOT)
        mine = slots[known]
        above = np.where(mine["parent"] > 0, slots[mine["parent"]]["cgroup"], 0)
        cgroups = mine["cgroup"].tolist()
        return dict(zip(cgroups, above.tolist(), strict=True)), dict(zip(known.tolist(), cgroups, strict=True))

    def _refresh(self, found: Object, now_ns: int) -> None:
        runs, run_ns = found.run_stats(_PROGRAMS)
        attached_s = self._state.attached_s + max(0, now_ns - self._began_ns) / 1e9
        self._began_ns = now_ns
        self._state = replace(self._state, runs=runs, run_ns=run_ns, attached_s=attached_s)

    def detach(self) -> None:
        """End the epoch. Not attached: nothing."""
        if self._object is None or self._state.state != "on":
            return
        self._control[0]["epoch"] = 0
        self._object.detach(*_PROGRAMS)
        self._refresh(self._object, time.monotonic_ns())
        self._state = replace(self._state, state="idle", reason="loaded, not attached")

    def close(self) -> None:
        """Detach and free. Idempotent."""
        self.detach()
        if self._object is not None:
            self._object.close()
            self._object = None
            self._control, self._lanes = np.zeros(1, CONTROL), np.zeros(0, LANE)
            self._near = np.zeros((0, 2, NEAR), PAIR)
            self._state = replace(self._state, state="idle", reason="closed")
