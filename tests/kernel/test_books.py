"""The books balance: whatever was attempted was drained or is counted as lost."""

import subprocess
from collections import Counter
from pathlib import Path

from linnix.cognitod.events import EVENT, Array, Counters, Kind
from linnix.cognitod.kernel import BpfSight, open_sight
from linnix.cognitod.kernel.ring import HEADER_BYTES
from linnix.cognitod.kernel.sight import EVENTS_BYTES
from support.watching import steady, watch

ROUNDS = 31


def by_kind(events: Array) -> dict[str, int]:
    return {kind.name.lower(): int((events["kind"] == kind).sum()) for kind in Kind}


def test_all_that_was_produced_is_drained(sight: BpfSight, programs: Path) -> None:
    drained: Counter[str] = Counter()

    def drain() -> None:
        drained.update(by_kind(sight.drain().events))

    subprocess.run([programs / "lifecycle", "101", "53", "7", "/bin/true"], stdout=subprocess.DEVNULL, check=True)
    books = steady(sight.counters, drain)

    assert {kind: books.produced[kind] for kind in drained} == dict(drained)
    assert min(drained.values()) > 50


def test_what_finds_no_room_is_counted_by_kind_and_cpu_and_nothing_else_is_missing(
    sight: BpfSight, programs: Path
) -> None:
    room = 101
    witness = open_sight()
    try:
        start, witnessed = _together(sight, witness)
        # The ring is made to look almost full, as if a reader had stood still.
        ring = sight._events
        kept = int(ring._consumer[0])
        ring._consumer[0] = (kept - EVENTS_BYTES + room * (HEADER_BYTES + EVENT.itemsize)) % 2**64
        watch(witness, [str(programs / "lifecycle"), "211", "0", "0", "/bin/true"])
        end, witnessed_end = _together(sight, witness)
        ring._consumer[0] = kept
        drained = sight.drain().events
    finally:
        witness.close()

    kinds = ("exec", "fork", "exit")
    made = {kind: end.produced[kind] - start.produced[kind] for kind in kinds}
    lost = {kind: end.lost[kind] + end.flood[kind] - start.lost[kind] - start.flood[kind] for kind in kinds}
    assert {kind: lost[kind] + made[kind] for kind in kinds} == {
        kind: witnessed_end.produced[kind] - witnessed.produced[kind] for kind in kinds
    }
    # the room is shared out: whoever asks for all of it gets half, and whoever else there is the rest
    assert room // 2 <= len(drained) <= room
    assert sum(made.values()) <= len(drained)
    assert lost["fork"] > 100
    assert lost["exit"] > 100
    assert {kind: sum(end.lost_per_cpu[kind]) for kind in kinds} == {kind: end.lost[kind] for kind in kinds}


def _together(one: BpfSight, other: BpfSight) -> tuple[Counters, Counters]:
    """The counters of two sights, of one and the same moment."""
    found: list[Counters] = []
    return steady(one.counters, lambda: found.append(other.counters())), found[-1]


def test_opening_and_closing_leaves_no_file_open_and_no_program_attached(sight: BpfSight) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(ROUNDS):
        open_sight().close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before
