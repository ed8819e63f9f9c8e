"""Optional BPF objects: each is opened, or tells why not, and accounts for what it costs.

Owns the life of one object (``Probe``) and the sampling of run times (``RunClock``). Refuses to know what a probe
sees. Invariant: an object that cannot be loaded fails alone, and its ``ProbeState`` says why.

All of it runs on the ingest thread; ``state`` hands out a value made there, so that any thread may read it.
"""

from __future__ import annotations

import logging
import mmap
import os
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from linnix.cognitod.events import ProbeState
from linnix.cognitod.kernel import preflight
from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.libbpf import Library, Object

log = logging.getLogger(__name__)

#: How often a probe's own account is read.
REFRESH_NS = 5 * 10**9


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

    def __init__(self, name: str, what: str, file: str, programs: tuple[str, ...]) -> None:
        """``programs`` are all that may be attached; ``open`` is told which are."""
        self._file = file
        self._state = ProbeState(name=name, what=what, state="idle", reason="not opened yet", programs=programs)
        self._object: Object | None = None
        self._began_ns = 0
        self._refreshed_ns = 0

    @property
    def state(self) -> ProbeState:
        """Its line; of the last refresh."""
        return self._state

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
        self._object, self._began_ns = found, time.monotonic_ns()
        self._state = replace(
            self._state,
            state="on",
            reason="",
            programs=found.attached,
            attach_ms=(self._began_ns - began_ns) / 10**6,
            attachments=self._state.attachments + 1,
        )
        self.refresh(self._began_ns)
        return True

    def _fail(self, reason: str) -> bool:
        log.warning("probe %s: %s", self._state.name, reason)
        self._state = replace(self._state, state="failed", reason=reason)
        return False

    def refresh(self, now_ns: int) -> None:
        """Read the kernel's account of its programs anew, if the last one is old."""
        if self._object is None or now_ns - self._refreshed_ns < REFRESH_NS:
            return
        self._refreshed_ns = now_ns
        runs, run_ns = self._object.run_stats(self._state.programs)
        attached_s = (now_ns - self._began_ns) / 10**9
        self._state = replace(self._state, runs=runs, run_ns=run_ns, attached_s=attached_s)

    def close(self, reason: str = "closed") -> None:
        """Detach and free. Idempotent."""
        if self._object is not None:
            self._object.close()
            self._object = None
            self._state = replace(self._state, state="idle", reason=reason)
