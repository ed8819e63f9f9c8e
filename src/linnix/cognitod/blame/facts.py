"""The blame of the last seconds as pairs of ``insight.facts``.

Owns which pairs are worth a sentence. Refuses to name anybody whom the facts do not: both sides of a pair are among
their processes. Invariant: only what was measured is told, and nobody is blamed for their own waits.
"""

from __future__ import annotations

from linnix.cognitod.blame import query
from linnix.cognitod.blame.books import Blame
from linnix.cognitod.blame.levels import Who
from linnix.insight import facts as wire

WINDOW_US = 10_000_000
#: Of each resource.
MAX_PAIRS = 5
MIN_TASK_NS, MIN_SHARE = 50_000_000, 0.05


def pairs(blame: Blame, known: wire.Facts) -> tuple[wire.Blame, ...]:
    """Who made whom wait in the ten seconds before these facts, among the processes that they name."""
    ids = {(process.pid, process.start_ns): process.id for process in known.processes}
    to_us = int(known.timestamp * 10**6)
    found: list[wire.Blame] = []
    for resource, ledger in blame.ledgers.items():
        segments = ledger.window(to_us - WINDOW_US, to_us)
        if not segments:
            continue
        told = query.answer(
            segments, blame.names.home, by="process", scope=None, from_us=to_us - WINDOW_US, to_us=to_us
        )
        among = [
            (pair, ids.get((victim.pid or 0, victim.start_ns)), ids.get((offender.pid or 0, offender.start_ns)))
            for pair in told.pairs
            if isinstance(victim := pair.victim, Who)
            and isinstance(offender := pair.offender, Who)
            and pair.kind == query.MEASURED
            and pair.task_ns >= MIN_TASK_NS
            and pair.share >= MIN_SHARE
        ]
        named = [(pair, victim, offender) for pair, victim, offender in among if victim and offender]
        for pair, victim_id, offender_id in named[:MAX_PAIRS]:
            found.append(
                wire.Blame(
                    id=f"B{len(found) + 1}",
                    resource=resource,
                    victim=victim_id,
                    offender=offender_id,
                    task_ms=round(pair.task_ns / 10**6, 1),
                    share=round(pair.share, 3),
                )
            )
    return tuple(found)
