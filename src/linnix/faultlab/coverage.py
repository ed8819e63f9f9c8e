"""Which runs there should be, and which there are.

Owns the list of what was planned, a file beside the runs. Refuses to run or to grade. Invariant: a run that was planned
for a folder stays on its list whatever becomes of it, so that what is missing from figures can be told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from linnix.faultlab.errors import LabError, writing
from linnix.faultlab.grade import Graded
from linnix.faultlab.plan import Plan

PLANNED = "planned.json"
#: By the name of a run the part that its scenario is of.
Planned = dict[str, str]


class Coverage(msgspec.Struct, frozen=True):
    """How many runs were planned (None: nobody wrote that down), recorded and graded, and which are missing."""

    planned: int | None
    recorded: int
    graded: int
    failed: tuple[str, ...]  # of the graded: the daemon failed while they were recorded
    absent: tuple[str, ...]  # planned, and not recorded


def planned(plans: Iterable[Plan]) -> Planned:
    """What these plans come to."""
    return {plan.run: plan.scenario.part for plan in plans}


def add(folder: Path, runs: Planned) -> None:
    """Write down that these are to be recorded there, beside those of before. The same runs make the same file."""
    file = folder / PLANNED
    whole = (read(folder) or {}) | runs
    new = file.with_suffix(".new")
    with writing(file):
        new.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(whole.items()))), indent=1) + b"\n")
        new.rename(file)


def read(place: Path) -> Planned | None:
    """What was to be recorded in a folder, or in that of an archive; None where nobody wrote that down. Raises LabError
    for what is no such list.
    """
    file = (place if place.is_dir() else place.parent) / PLANNED
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Planned)
    except msgspec.MsgspecError as error:
        raise LabError(f"{file}: {error}") from error


def cover(runs: Planned | None, graded: Sequence[Graded], parts: Collection[str]) -> Coverage:
    """What there is of what was planned of these parts."""
    wanted = None if runs is None else {run for run, part in runs.items() if part in parts}
    there = {run.run for run in graded}
    return Coverage(
        planned=None if wanted is None else len(wanted),
        recorded=len(there),
        graded=len(graded),
        failed=tuple(run.run for run in graded if run.failed),
        absent=tuple(sorted((wanted or set()) - there)),
    )
