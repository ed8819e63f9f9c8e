"""Rules, once more, over facts that were recorded: what would have been found, and when.

Owns the walk over a recording. Refuses files: bodies of ``/facts`` are handed in. Invariant: the same bodies and rules
give the same findings, and a finding names a process that its facts have.

A tick of the recording is one step of the engine, with all events since the tick before. The daemon asks detectors
that count events twice a second, so a finding may be up to a tick late. ``recorded`` says what else differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from linnix.cognitod.detect import told
from linnix.cognitod.detect.causes import rank
from linnix.cognitod.detect.engine import Engine
from linnix.cognitod.detect.recorded import Recorded
from linnix.cognitod.detect.replayed_jobs import Identity
from linnix.cognitod.detect.rules import Rule
from linnix.cognitod.model import Finding, Home
from linnix.insight import facts as wire

_NOWHERE = Home()


def found(bodies: Iterable[bytes], rules: Sequence[Rule]) -> Iterator[tuple[wire.Facts, list[Finding]]]:
    """For each body the facts, without findings, and what is open then: one of each rule and offender.

    Raises ``msgspec.MsgspecError`` for a body that is no facts.
    """
    engine, recorded = Engine(rules), Recorded()
    for body in bodies:
        known = msgspec.structs.replace(wire.decode(body), findings=())
        step = recorded.step(known)
        homes = step.homes

        def home_of(pid: int, start_ns: int, homes: Mapping[Identity, Home] = homes) -> Home:
            return homes.get((pid, start_ns), _NOWHERE)

        engine.observe(
            step.events, step.rows, step.snapshot, step.activity, known.ts_ns, step.texts, home_of, known=known
        )
        yield known, engine.open_findings(known.ts_ns)


def judged(bodies: Iterable[bytes], rules: Sequence[Rule]) -> Iterator[tuple[wire.Facts, tuple[wire.Finding, ...]]]:
    """For each body what ``GET /facts`` would have told under these rules: the facts, and what is wrong, the
    most likely cause first.

    A culprit that the recording no longer tells of is added as it was told last. Raises as ``found`` does.
    """
    named: dict[Identity, wire.Process] = {}
    for known, findings in found(bodies, rules):
        there = {(each.pid, each.start_ns): each for each in known.processes}
        wanted = dict.fromkeys((f.pid, f.start_ns) for f in findings if f.pid is not None and f.start_ns is not None)
        gone = [named[who] for who in wanted if who not in there and who in named]
        gone = [msgspec.structs.replace(each, id=f"P{number}") for number, each in enumerate(gone, len(there) + 1)]
        known = msgspec.structs.replace(known, processes=(*known.processes, *gone))
        named = {(each.pid, each.start_ns): each for each in known.processes}
        ranked = told.findings(rank(findings, known), known)
        yield msgspec.structs.replace(known, findings=ranked), ranked
