"""What every handler needs, and how it gets it.

Owns nothing: it hands on the parts that the daemon wired together. Invariant: a handler reads these and changes none.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.requests import Request

from linnix.cognitod.api.errors import RequestError
from linnix.cognitod.api.sharing import Sharing
from linnix.cognitod.blame.books import Blame
from linnix.cognitod.config import Config
from linnix.cognitod.explaining import Explaining
from linnix.cognitod.kernel.probes import Table
from linnix.cognitod.model import Snapshot
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.rulebook import Rulebook
from linnix.cognitod.sights import Sights

BTF = Path("/sys/kernel/btf/vmlinux")


@dataclass(frozen=True, slots=True)
class Context:
    """The daemon as the API sees it. ``closing`` is set when it shuts down."""

    pipeline: Pipeline
    config: Config
    closing: asyncio.Event
    registry: CollectorRegistry
    blame: Blame = field(default_factory=Blame)
    sights: Sights = field(default_factory=Sights)
    probes: Table = field(default_factory=Table)
    sharing: Sharing = field(default_factory=Sharing)
    rules: Rulebook | None = None  # None where rules come from no files
    explaining: Explaining | None = None  # None: by rules only

    @property
    def bpf(self) -> bool:
        """Whether processes are seen through eBPF."""
        return self.pipeline.sight_name == "bpf"

    @property
    def transport(self) -> str:
        """How events arrive: ``ringbuf``, or the original's word for having no probes, ``userspace``."""
        return "ringbuf" if self.bpf else "userspace"

    @property
    def kernel_instrumentation(self) -> str:
        """``active`` or ``unavailable``."""
        return "active" if self.bpf else "unavailable"

    @property
    def rss_probe(self) -> str:
        """Where resident sizes come from: the task iterator, or no probe at all."""
        return "core:mm" if self.bpf else "disabled"

    def snapshot(self) -> Snapshot:
        """The last sample of the host; 503 while there is none."""
        if self.pipeline.snapshot is None:
            raise RequestError(503, "the first sample of the host is not there yet; ask again in a second")
        return self.pipeline.snapshot


def context(request: Request) -> Context:
    """The context of the application that serves ``request``."""
    found: Context = request.app.state.context
    return found
