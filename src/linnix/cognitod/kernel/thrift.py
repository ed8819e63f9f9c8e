"""When a probe that looks at every event must rest, so that looking slows nobody by more than a fixed share.

Owns the budget. Refuses to attach or detach: it says for how long. Invariant: over a window and the rest after it, the
busiest CPU has spent at most ``BUDGET`` of its time on what was counted there, unless the rest would be longer than
``MAX_REST_NS``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: What looking may cost the busiest CPU, of its time.
BUDGET = 0.01
MAX_REST_NS = 60 * 10**9


class Thrift:
    """When to rest, so that what runs at every event slows no CPU by more than ``BUDGET``.

    A host with few events is never left unseen; on one with very many the histograms are samples.
    """

    def __init__(self, cost_ns: int) -> None:
        """``cost_ns``: what an event costs the CPU it happens on, way into the program and out of it included."""
        self._cost_ns = cost_ns
        self._seen: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def rest_ns(self, seen: NDArray[np.uint64], window_ns: int) -> int:
        """How long to rest after a window in which the counts of the CPUs grew to ``seen``; 0: not at all."""
        before, self._seen = self._seen, seen
        if len(before) != len(seen):
            return 0
        grown = np.where(seen > before, seen - before, 0)
        share = int(grown.max(initial=0)) * self._cost_ns / max(window_ns, 1)
        return min(round(window_ns * (share / BUDGET - 1)), MAX_REST_NS) if share > BUDGET else 0
