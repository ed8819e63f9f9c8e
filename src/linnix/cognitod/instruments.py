"""Which optional instruments run, by the configuration.

Owns the list. Refuses to open them: the ingest thread does. Invariant: every name of ``probes.OPTIONAL`` but
those of blame has a line in the table, running or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from linnix.cognitod.books import IdleTime
from linnix.cognitod.config import Config
from linnix.cognitod.events import Instrument, ProbeState
from linnix.cognitod.host.blocked import Blocked, ProcFinder
from linnix.cognitod.host.filesystems import Filesystems
from linnix.cognitod.host.waits import WaitLooks
from linnix.cognitod.kernel import KernelError, latency, open_sight, probes
from linnix.cognitod.kernel.blocked import BlockedWalk
from linnix.cognitod.kernel.oom import Ooms
from linnix.cognitod.kernel.sockets import Sockets
from linnix.cognitod.kernel.syncs import Syncs
from linnix.cognitod.kernel.tcp import Tcp
from linnix.insight.facts import Facts

NO_BPF = "eBPF is switched off (LINNIX_BPF=off or runtime.bpf = false)"

#: Those that are BPF programs and nothing else.
_BPF: dict[str, Callable[[], Instrument]] = {
    "runqueue_latency": latency.runqueue,
    "block_latency": latency.block,
    "oom": Ooms,
    "tcp": Tcp,
    "sockets": Sockets,
    "syncs": Syncs,
}


class Chosen(NamedTuple):
    """The instruments to run, and the table's lines of those that are not."""

    instruments: list[Instrument]
    unwanted: list[ProbeState]


def choose(config: Config) -> Chosen:
    """The optional instruments except those that measure blame."""
    chosen = Chosen([], [])
    for name in probes.OPTIONAL:
        if name.startswith("blame_"):
            continue
        if not wanted(config, name):
            chosen.unwanted.append(probes.off(name, f"probes.{name} = false"))
        elif name in _BPF and config.runtime.bpf:
            chosen.instruments.append(_BPF[name]())
        elif name in _BPF:
            chosen.unwanted.append(probes.off(name, NO_BPF))
        elif name == "waits":
            chosen.instruments.append(WaitLooks())
        elif name == "blocked":
            chosen.instruments.append(_blocked(config))
        elif name == "filesystems":
            chosen.instruments.append(Filesystems())
    return chosen


def idle_clock(eyes: Sequence[Instrument]) -> Callable[[int], IdleTime | None]:
    """Asks whichever of them watches the idle task, at a time of ``time.monotonic_ns``; None if none does."""
    watching = [eye for eye in eyes if isinstance(eye, latency.Latency)]
    return lambda now_ns: next((found for eye in watching if (found := eye.idle(now_ns)) is not None), None)


def watch(eyes: Sequence[Instrument]) -> Callable[[Facts], None]:
    """Tells those of them that choose by the facts whom to look at what the newest facts are."""
    watching = [eye for eye in eyes if isinstance(eye, WaitLooks)]

    def tell(known: Facts) -> None:
        for eye in watching:
            eye.watch(known)

    return tell


def wanted(config: Config, name: str) -> bool:
    """Whether the configuration leaves this optional probe on."""
    switch: bool = getattr(config.probes, name)
    return switch


def _blocked(config: Config) -> Instrument:
    if config.runtime.bpf:
        return Blocked(BlockedWalk(), ProcFinder(reason="process leaders only, for want of the task iterator"))
    return Blocked(ProcFinder(reason=f"process leaders only: {NO_BPF}"))


def trial(config: Config, others: Iterable[Instrument] = ()) -> list[ProbeState]:
    """The lines that the table would have here, by opening everything, the ``others`` too, and closing it again."""
    chosen = choose(config)
    lines: list[ProbeState] = []
    if config.runtime.bpf:
        try:
            sight = open_sight()
            lines += sight.states()
            sight.close()
        except KernelError as error:
            lines += probes.unseen(error.reasons)
    else:
        lines += probes.unseen((NO_BPF,))
    for instrument in (*others, *chosen.instruments):
        instrument.open()
        lines += instrument.states()
        instrument.close()
    return lines + chosen.unwanted
