"""``net_flood``: one process sends out of all proportion.

Owns the comparison with what it is sent, and with what others send. Refuses traffic that is answered: a client and its
server that talk as fast as they can are partners, whatever the rate. Invariant: the sender is named, not who receives.
"""

from __future__ import annotations

from collections.abc import Callable

from linnix.cognitod.detect.past import Past, mean
from linnix.cognitod.detect.signs import NetFlood
from linnix.cognitod.detect.view import NS, Hit, View, Who
from linnix.insight.facts import Facts, Process

_MB = 1e6

_Read = Callable[[Process], float | None]


class Flood:
    """The detector."""

    sampled = True

    def __init__(self, params: NetFlood) -> None:
        self._params = params
        self._past = Past(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for the process that sends most, if that is a flood."""
        known = view.known
        if known is None:
            return []
        self._past.add(known)
        hit = (
            self._sends(
                known,
                "tx_mb_per_s",
                "MB/s",
                self._params.threshold,
                lambda p: (p.tx_bytes_per_s or 0.0) / _MB,
                lambda p: (p.rx_bytes_per_s or 0.0) / _MB,
            )
            or self._sends(
                known,
                "tx_calls_per_s",
                "packets or writes a second",
                self._params.calls_per_s,
                lambda p: p.tx_calls_per_s,
                lambda p: p.rx_calls_per_s,
            )
            or self._connects(known)
        )
        return [hit] if hit is not None else []

    def _rates(self, known: Facts, read: _Read) -> list[tuple[float, Process]]:
        """Means over the duration, largest first."""
        rates = []
        for process in known.processes:
            moments = self._past.last(process, self._params.duration)
            rate = mean(moments, read) if moments else None
            if rate is not None and not process.kernel_thread:
                rates.append((rate, process))
        return sorted(rates, key=lambda each: (-each[0], each[1].start_ns))

    def _sends(self, known: Facts, name: str, unit: str, threshold: float, sent: _Read, got: _Read) -> Hit | None:
        rates = self._rates(known, sent)
        if not rates or rates[0][0] < threshold or rates[0][1].own:
            return None
        rate, process = rates[0]
        moments = self._past.last(process, self._params.duration)
        received = mean(moments, got) or 0.0
        answers = mean(moments, lambda p: p.rx_calls_per_s) or 0.0
        calls = mean(moments, lambda p: p.tx_calls_per_s) or 0.0
        following = max((each for each, other in rates[1:] if not _together(process, other)), default=0.0)
        times = self._params.times
        if rate < times * received or rate < times * following or calls < times * answers:
            return None
        evidence = {
            name: round(rate, 1),
            "threshold": threshold,
            "received": round(received, 1),
            "next_process": round(following, 1),
        }
        message = f"pid {process.pid} sends {rate:.0f} {unit}, and receives {received:.0f}"
        return self._hit(process, evidence, message, known)

    def _connects(self, known: Facts) -> Hit | None:
        """Both ends of a connection count it: the one that opens them is the younger, as clients are."""
        rates = self._rates(known, lambda p: p.connects_per_s)
        if not rates or rates[0][0] < self._params.connects_per_s:
            return None
        ends = [each for each in rates[:2] if each[0] >= rates[0][0] / 2 and not each[1].own]
        following = rates[len(ends)][0] if len(rates) > len(ends) else 0.0
        if not ends or rates[0][0] < self._params.times * following:
            return None
        rate, process = max(ends, key=lambda each: each[1].start_ns)
        evidence = {
            "connects_per_s": round(rate, 1),
            "threshold": self._params.connects_per_s,
            "next_process": round(following, 1),
        }
        return self._hit(process, evidence, f"pid {process.pid} opens {rate:.0f} connections a second", known)

    def _hit(self, process: Process, evidence: dict[str, float], message: str, known: Facts) -> Hit:
        evidence["for_s"] = self._params.duration
        since_ns = known.ts_ns - round(self._params.duration * NS)
        culprit = Who.named(process)
        return Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=since_ns, evidence=evidence)


def _together(one: Process, other: Process) -> bool:
    """Whether they may be parts of one program: several that send together are one flood."""
    return one.cgroup is not None and one.cgroup == other.cgroup
