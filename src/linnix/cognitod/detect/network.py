"""``net_flood``: one process sends out of all proportion.

Owns the comparison with what it is sent, and with what others send. Refuses traffic that is answered: a client and its
server that talk as fast as they can are partners, whatever the rate. Invariant: the sender is named, not who receives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from linnix.cognitod.detect.past import Moment, Past, mean
from linnix.cognitod.detect.signs import NetFlood
from linnix.cognitod.detect.view import NS, Hit, View, Who
from linnix.insight.facts import Facts, Process

_MB = 1e6

_Read = Callable[[Process], float | None]
_Talking = list[tuple[Process, Sequence[Moment]]]


class Flood:
    """The detector."""

    sampled = True

    def __init__(self, params: NetFlood) -> None:
        self._params = params

    def observe(self, view: View) -> list[Hit]:
        """A hit for the process that sends most, if that is a flood."""
        known = view.known
        if known is None:
            return []
        talking = self._talking(view.past, known)
        if not talking:
            return []
        hit = (
            self._sends(
                talking,
                known,
                "tx_mb_per_s",
                "MB/s",
                self._params.threshold,
                lambda p: (p.tx_bytes_per_s or 0.0) / _MB,
                lambda p: (p.rx_bytes_per_s or 0.0) / _MB,
            )
            or self._sends(
                talking,
                known,
                "tx_calls_per_s",
                "packets or writes a second",
                self._params.calls_per_s,
                lambda p: p.tx_calls_per_s,
                lambda p: p.rx_calls_per_s,
            )
            or self._connects(talking, known)
        )
        return [hit] if hit is not None else []

    def _talking(self, past: Past, known: Facts) -> _Talking:
        """Who sent or connected at all over the duration."""
        talking = [(p, past.last(p, self._params.duration)) for p in known.processes if not p.kernel_thread]
        return [
            (process, moments)
            for process, moments in talking
            if any(moment.process.tx_calls_per_s or moment.process.connects_per_s for moment in moments)
        ]

    def _sends(
        self, talking: _Talking, known: Facts, name: str, unit: str, threshold: float, sent: _Read, got: _Read
    ) -> Hit | None:
        rates = _rates(talking, sent)
        if not rates or rates[0][0] < threshold or rates[0][1].own:
            return None
        rate, process, moments = rates[0]
        received = mean(moments, got) or 0.0
        answers = mean(moments, lambda p: p.rx_calls_per_s) or 0.0
        calls = mean(moments, lambda p: p.tx_calls_per_s) or 0.0
        following = max((each for each, other, _ in rates[1:] if not _together(process, other)), default=0.0)
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

    def _connects(self, talking: _Talking, known: Facts) -> Hit | None:
        """Both ends of a connection count it: the one that opens them is the younger, as clients are."""
        rates = _rates(talking, lambda p: p.connects_per_s)
        if not rates or rates[0][0] < self._params.connects_per_s:
            return None
        ends = [each for each in rates[:2] if each[0] >= rates[0][0] / 2 and not each[1].own]
        following = rates[len(ends)][0] if len(rates) > len(ends) else 0.0
        if not ends or rates[0][0] < self._params.times * following:
            return None
        rate, process, _ = max(ends, key=lambda each: each[1].start_ns)
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


def _rates(talking: _Talking, read: _Read) -> list[tuple[float, Process, Sequence[Moment]]]:
    """Means over the duration, largest first."""
    rates = [(rate, process, moments) for process, moments in talking if (rate := mean(moments, read)) is not None]
    return sorted(rates, key=lambda each: (-each[0], each[1].start_ns))


def _together(one: Process, other: Process) -> bool:
    """Whether they may be parts of one program: several that send together are one flood."""
    return one.cgroup is not None and one.cgroup == other.cgroup
