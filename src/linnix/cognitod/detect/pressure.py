"""PSI: tasks of the host wait for a CPU, for memory or for storage.

Owns which figure each rule looks at: some avg10 for CPU, full avg10 for memory and storage, as in the original.
Refuses to name a culprit: PSI says that tasks wait, not for whom. Invariant: a kernel without PSI never fires.
"""

from __future__ import annotations

import numpy as np

from linnix.cognitod.detect.params import SystemPsiCpu, SystemPsiIo, SystemPsiMemory
from linnix.cognitod.detect.view import NS, Held, Hit, View

#: The busiest process is mentioned if it uses at least this much of a core and this many times the next one's CPU.
_TOP_PCT = 50.0
_TOP_RATIO = 2.0


class Pressure:
    """``system_psi_cpu``, ``system_psi_memory`` and ``system_psi_io``."""

    sampled = True

    def __init__(self, params: SystemPsiCpu | SystemPsiMemory | SystemPsiIo) -> None:
        self._params = params
        self._held: Held[None] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """One hit while the figure has been above for long enough."""
        pct, what = self._figure(view)
        threshold = self._params.threshold_pct
        held = self._held.update([None] if pct is not None and pct > threshold else [], view.now_ns)
        if pct is None or not held:
            return []
        for_s = (view.now_ns - held[None]) / NS
        evidence = {
            "psi_pct": round(pct, 1),
            "threshold": threshold,
            "for_s": round(for_s, 1),
            "host_cpu_pct": round(view.snapshot.cpu_pct, 1),
        } | (_busiest(view) if isinstance(self._params, SystemPsiCpu) else {})
        message = f"{what} in {pct:.1f} % of the last 10 s, above {threshold:g} % for {for_s:.0f} s"
        return [Hit(cls=self._params.cls, message=message, since_ns=held[None], evidence=evidence)]

    def _figure(self, view: View) -> tuple[float | None, str]:
        if isinstance(self._params, SystemPsiCpu):
            return view.snapshot.psi_cpu_some_avg10, "some tasks waited for a CPU"
        if isinstance(self._params, SystemPsiMemory):
            return view.snapshot.psi_memory_full_avg10, "all tasks waited for memory"
        return view.snapshot.psi_io_full_avg10, "all tasks waited for storage"


def _busiest(view: View) -> dict[str, float]:
    rows = view.living
    if not len(rows):
        return {}
    cpu = rows["cpu_pct"]
    top = int(np.argmax(cpu))
    others = np.delete(cpu, top)
    clear = cpu[top] >= _TOP_PCT and (not len(others) or cpu[top] >= _TOP_RATIO * others.max())
    return {"top_pid": float(rows["pid"][top]), "top_cpu_pct": round(float(cpu[top]), 1)} if clear else {}
