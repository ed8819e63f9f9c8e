"""Who lost events because he attempted more than his share.

Owns the losses by group: a cgroup and a user. Refuses totals, which are in the books. Invariant: at most ``MAX_GROUPS``
are told apart, whatever a flooder makes of cgroups and users; those that lost least are forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linnix.cognitod.events import BOOK_KINDS, Flood
from linnix.cognitod.model import Flooder

MAX_GROUPS = 64
#: Beside the kinds of the books: events that were turned away between the ingest thread and the event loop.
QUEUE = "queue"
_KINDS = (*BOOK_KINDS, QUEUE)

_Group = tuple[int, int]


class Floods:
    """Cumulative since start. What it is handed may be forgotten there and begin anew: only increases are added."""

    def __init__(self) -> None:
        self._seen: dict[_Group, list[int]] = {}
        self._lost: dict[_Group, list[int]] = {}

    def take(self, kernel: Sequence[Flood], queue: Mapping[_Group, int]) -> None:
        """What the kernel's programs and the queue remember now."""
        now: dict[_Group, list[int]] = {(each.cgroup_id, each.uid): [*each.lost, 0] for each in kernel}
        for group, lost in queue.items():
            now.setdefault(group, [0] * len(_KINDS))[-1] = lost
        for group, counts in now.items():
            seen = self._seen.get(group, [0] * len(_KINDS))
            more = [count - before if count >= before else count for count, before in zip(counts, seen, strict=True)]
            total = self._lost.setdefault(group, [0] * len(_KINDS))
            self._lost[group] = [a + b for a, b in zip(total, more, strict=True)]
        self._seen = now
        while len(self._lost) > MAX_GROUPS:
            del self._lost[min(self._lost, key=lambda group: sum(self._lost[group]))]

    def flooders(self) -> list[Flooder]:
        """Who lost most comes first."""
        found = [
            Flooder(cgroup_id, uid, {kind: count for kind, count in zip(_KINDS, lost, strict=True) if count})
            for (cgroup_id, uid), lost in self._lost.items()
        ]
        return sorted(found, key=lambda flooder: -sum(flooder.lost.values()))
