"""Who makes whom wait, as series: the original's families of stall attribution, and what measuring costs.

Owns their names and labels. Refuses to measure. Invariant: the first three families are always there, with or without
series, and never hold more than ``blame.series.MAX_SERIES`` each.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from linnix.cognitod.blame.books import Blame

NS = 10**9


class BlameCollector(Collector):
    """All families of blame."""

    def __init__(self, blame: Blame) -> None:
        self._blame = blame
        self._node = socket.gethostname()

    def collect(self) -> Iterable[Metric]:
        """Read everything once."""
        yield from self._original()
        yield from self._engagements()
        yield from self._amounts()

    def _original(self) -> Iterator[Metric]:
        series = self._blame.series
        waited = CounterMetricFamily(
            "linnix_pod_psi_pressure_total",
            "Microseconds in which some task of a pod (or unit, on a host without pods) waited for CPU, while measured",
            labels=["victim_namespace", "victim_pod", "node"],
        )
        for labels, value in series.pressure_us.values.items():
            waited.add_metric([*labels, self._node], value)
        yield waited
        induced = CounterMetricFamily(
            "linnix_stall_induced_seconds_total",
            "Seconds that one pod (or unit) made another wait for CPU, measured",
            labels=["offender_pod", "offender_namespace", "victim_pod", "victim_namespace"],
        )
        for labels, value in series.induced_s.values.items():
            induced.add_metric(labels, value)
        yield induced
        yield CounterMetricFamily(
            "linnix_blame_series_evicted_total",
            "Attribution series dropped to stay within their bound; one that returns resumes",
            value=series.evicted,
        )

    def _engagements(self) -> Iterator[Metric]:
        engaged = GaugeMetricFamily("linnix_blame_engaged", "1 while blame is measured", labels=["resource"])
        attachments = CounterMetricFamily(
            "linnix_blame_attachments_total", "Times its programs were attached", labels=["resource"]
        )
        attach = GaugeMetricFamily(
            "linnix_blame_attach_seconds", "How long the last attachment took", labels=["resource"]
        )
        runs = CounterMetricFamily(
            "linnix_blame_program_runs_total", "Runs of its programs, as far as the kernel counts", labels=["resource"]
        )
        cost = CounterMetricFamily(
            "linnix_blame_program_seconds_total",
            "Time in its programs, as far as the kernel counts",
            labels=["resource"],
        )
        for resource, engagement in self._blame.engagements.items():
            (state,) = engagement.states()
            engaged.add_metric([resource], engagement.engaged)
            attachments.add_metric([resource], engagement.attachments)
            attach.add_metric([resource], engagement.attach_ns / NS)
            if state.runs is not None and state.run_ns is not None:
                runs.add_metric([resource], state.runs)
                cost.add_metric([resource], state.run_ns / NS)
        yield from (engaged, attachments, attach, runs, cost)

    def _amounts(self) -> Iterator[Metric]:
        families = {
            "measured_ns": CounterMetricFamily(
                "linnix_blame_engaged_seconds_total", "Time in which blame was measured", labels=["resource"]
            ),
            "waited_ns": CounterMetricFamily(
                "linnix_blame_waited_seconds_total", "Task time of all waits meanwhile", labels=["resource"]
            ),
            "attributed_ns": CounterMetricFamily(
                "linnix_blame_attributed_seconds_total", "Of these, charged to somebody", labels=["resource"]
            ),
            "lost_ns": CounterMetricFamily(
                "linnix_blame_lost_seconds_total", "Of these, lost for want of room", labels=["resource"]
            ),
        }
        coverage = GaugeMetricFamily(
            "linnix_blame_coverage_ratio",
            "Part of all waits measured that was charged to somebody",
            labels=["resource"],
        )
        for resource, totals in self._blame.series.totals.items():
            for name, family in families.items():
                family.add_metric([resource], totals[name] / NS)
            if totals["waited_ns"]:
                coverage.add_metric([resource], totals["attributed_ns"] / totals["waited_ns"])
        yield from families.values()
        yield coverage
