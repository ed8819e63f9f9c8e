"""``disk_full``: a file system is at its end, or soon will be.

Owns who fills it: whoever wrote about as much as it gained while it filled, and is remembered once there is nothing
left to write to. Refuses fullness that nobody adds to: that is of the host, and no emergency. Invariant: who writes to
another file system is not named for one that does not fill.

How fast it fills is told of the last ten seconds or more, and so it still fills for a while when it is full and who
filled it has given up. What counts is therefore not who writes now, but what was written since it began, the last half
minute most. Whoever wrote ten times what the file system gained wrote elsewhere, or over what it had written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from linnix.cognitod.detect.past import Identity, writes
from linnix.cognitod.detect.signs import DiskFull
from linnix.cognitod.detect.storage import can_be_named
from linnix.cognitod.detect.view import MIB, NS, Hit, View, Who
from linnix.insight.facts import Facts, Filesystem

#: A file system with so many bytes left is not nearly full, however large it is; one that gains less than this a
#: second is not filling.
_PLENTY_BYTES = 20 << 30
_FILLS_BYTES_PER_S = 256 * 1024
#: One that is full so soon is worth a word at half its size.
_SOON_S = 120.0
_HALF_PCT = 50.0
#: In the evidence: how many of its inodes are used. Without one no file can be made.
INODES = "inodes_used_pct"
#: Of what was written so long ago half counts.
_HALF_LIFE_S = 30.0


@dataclass(slots=True)
class _Filling:
    """What a file system gained, and what each of those who live wrote meanwhile, in bytes; old ones count less."""

    available: int
    inodes_pct: float
    gained: float = 0.0
    more_files: bool = False
    wrote: dict[Identity, float] = field(default_factory=dict)
    filler: Identity | None = None
    told: Identity | None = None  # the filler of the last hit


class Full:
    """The detector ``disk_full``."""

    sampled = True

    def __init__(self, params: DiskFull) -> None:
        self._params = params
        self._filling: dict[str, _Filling] = {}  # by mount
        self._ts_ns = -1

    def observe(self, view: View) -> list[Hit]:
        """A hit for each file system that is nearly full or filling, and who wrote what it gained."""
        known = view.known
        if known is None:
            return []
        hits: list[Hit] = []
        passed_s = (known.ts_ns - self._ts_ns) / NS if self._ts_ns >= 0 else 1.0
        self._ts_ns = known.ts_ns
        self._filling = {each.mount: self._written(each, known, passed_s) for each in known.filesystems}
        for filesystem in known.filesystems:
            filling = filesystem.fill_bytes_per_s >= _FILLS_BYTES_PER_S
            left_s = filesystem.available_bytes / filesystem.fill_bytes_per_s if filling else None
            if (fired := self._fired(filesystem, left_s)) is not None:
                hits.append(self._hit(filesystem, known, left_s, fired))
        worst: dict[tuple[int, int] | None, Hit] = {}
        still = {(hit.culprit.pid, hit.culprit.start_ns) for hit in hits if hit.culprit}
        hits = [replace(hit, instead_of=None) if hit.instead_of in still else hit for hit in hits]
        for hit in hits:  # a rule tells one thing of each offender: the fullest
            key = (hit.culprit.pid, hit.culprit.start_ns) if hit.culprit else None
            if key not in worst or _fullness(hit) > _fullness(worst[key]):
                worst[key] = hit
        return list(worst.values())

    def _fired(self, filesystem: Filesystem, left_s: float | None) -> dict[str, float] | None:
        """The number that makes it worth telling, and what it was held against; None where it is not. Inodes first:
        without them no file can be made, whatever is left. Then the pace: it gets graver as the room gets less.
        """
        params, inodes_pct = self._params, filesystem.inodes_used_pct
        is_full = filesystem.used_pct >= params.threshold_pct and filesystem.available_bytes < _PLENTY_BYTES
        if inodes_pct is not None and inodes_pct >= params.threshold_pct and not is_full:
            return {INODES: inodes_pct, "threshold": params.threshold_pct}
        if left_s is not None:
            within_s = params.full_within_seconds
            if filesystem.used_pct < params.filling_from_pct:
                within_s = min(within_s, _SOON_S) if filesystem.used_pct >= _HALF_PCT else -1.0
            if left_s <= within_s:
                return {"full_in_s": float(round(left_s)), "threshold": within_s}
        return {"used_pct": filesystem.used_pct, "threshold": params.threshold_pct} if is_full else None

    def _written(self, filesystem: Filesystem, known: Facts, passed_s: float) -> _Filling:
        """What it was, with the last moment. Who writes while it does not fill writes elsewhere: facts tell the same
        writers of every file system.
        """
        filling = self._filling.get(filesystem.mount)
        available, inodes_pct = filesystem.available_bytes, filesystem.inodes_used_pct or 0.0
        gained = filesystem.fill_bytes_per_s * passed_s if filling is None else max(filling.available - available, 0)
        filling = filling or _Filling(available, inodes_pct)
        named = can_be_named(known)
        living = {(process.pid, process.start_ns) for process in named.values()}
        if filling.filler is not None and filling.filler not in living:
            filling = _Filling(filling.available, filling.inodes_pct)  # whoever fills it from now on is another
        more_files = inodes_pct > filling.inodes_pct
        filling.available, filling.inodes_pct = available, inodes_pct
        filling.wrote = {who: sum_ for who, sum_ in filling.wrote.items() if who in living}
        if filesystem.fill_bytes_per_s >= _FILLS_BYTES_PER_S or more_files:
            kept = 0.5 ** (passed_s / _HALF_LIFE_S)
            filling.gained = kept * filling.gained + gained
            filling.more_files |= more_files
            filling.wrote = {who: kept * sum_ for who, sum_ in filling.wrote.items()}
            for process in [named[each] for each in filesystem.writers if each in named]:
                who = process.pid, process.start_ns
                filling.wrote[who] = filling.wrote.get(who, 0.0) + writes(process) * passed_s
            filling.filler = _filler(filling)
        return filling

    def _who(self, filesystem: Filesystem, known: Facts) -> Who | None:
        filler = self._filling[filesystem.mount].filler
        return next((Who.named(p) for p in known.processes if (p.pid, p.start_ns) == filler), None)

    def _instead_of(self, filesystem: Filesystem, known: Facts) -> Identity | None:
        """Who was told before, if that one lives elsewhere: commands of one script take turns, and all are right."""
        filling = self._filling[filesystem.mount]
        before, filling.told = filling.told, filling.filler or filling.told
        cgroups = {(p.pid, p.start_ns): p.cgroup for p in known.processes}
        elsewhere = before in cgroups and cgroups[before] != cgroups.get(filling.filler or before)
        return before if elsewhere else None

    def _hit(self, filesystem: Filesystem, known: Facts, left_s: float | None, fired: dict[str, float]) -> Hit:
        who = self._who(filesystem, known)
        evidence = fired | {
            "used_pct": filesystem.used_pct,
            "available_bytes": float(filesystem.available_bytes),
            "fill_bytes_per_s": float(round(filesystem.fill_bytes_per_s)),
        }
        message = (
            f"a file system is used to {filesystem.used_pct:.0f} %, {filesystem.available_bytes / MIB:.0f} MiB are left"
        )
        if INODES in fired:
            message = f"{fired[INODES]:.0f} % of a file system's inodes are used, whatever room is left; " + message
        if left_s is not None:
            evidence["full_in_s"] = float(round(left_s))
            message += f"; at its pace it is full in {left_s:.0f} s"
        if filesystem.inodes_used_pct is not None:
            evidence[INODES] = filesystem.inodes_used_pct
        # One that has been full for long, and that nobody fills, is nobody's emergency.
        at_most = "low" if who is None and left_s is None else "high"
        return Hit(
            cls=self._params.cls,
            message=message,
            culprit=who,
            instead_of=self._instead_of(filesystem, known),
            evidence=evidence,
            at_most=at_most,
        )


def _fullness(hit: Hit) -> float:
    """The larger share, of bytes or of inodes."""
    return max(hit.evidence["used_pct"], hit.evidence.get(INODES, 0.0))


def _filler(filling: _Filling) -> Identity | None:
    """Whose writes are nearest to what was gained, by their ratio; of files without bytes, who wrote most."""
    wrote = {who: bytes_ for who, bytes_ in filling.wrote.items() if bytes_ > 0}
    if filling.gained > 0:
        return min(wrote, key=lambda who: (abs(math.log(wrote[who] / filling.gained)), who), default=None)
    return max(wrote, key=lambda who: (wrote[who], who), default=None) if filling.more_files else None
