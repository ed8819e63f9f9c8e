"""``unusual``: something of the host is far from what is usual here, whatever it may mean.

Owns how far is far enough for a rule. Refuses to learn what is usual: ``baseline`` does, and its verdicts come with the
facts. Invariant: one finding for the host, whose evidence is of the series that is farthest.
"""

from __future__ import annotations

from linnix.cognitod.detect.params import Unusual
from linnix.cognitod.detect.view import Hit, View


class FarFromUsual:
    """The detector."""

    sampled = True

    def __init__(self, params: Unusual) -> None:
        self._params = params

    def observe(self, view: View) -> list[Hit]:
        """One hit while a series is at least so many spreads above what is typical."""
        if view.known is None:
            return []
        far = [each for each in view.known.unusual if each.score >= self._params.spreads]
        if not far:
            return []
        farthest = max(far, key=lambda each: each.score)
        evidence = {
            "spreads": farthest.score,
            "threshold": self._params.spreads,
            farthest.series: farthest.value,
            "typical": farthest.typical,
            "series": float(len(far)),
        }
        message = (
            f"{farthest.series} is {farthest.value:g}, "
            f"{farthest.score:.0f} spreads above the {farthest.typical:g} that is typical of this host"
        )
        return [Hit(cls=self._params.cls, message=message, evidence=evidence)]
