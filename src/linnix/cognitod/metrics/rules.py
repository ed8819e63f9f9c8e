"""Since when the rules in use are in use, and whether the files hold others that cannot be.

Owns the names. Refuses to count rules: ``linnix_rules_active`` does. Invariant: ``linnix_rules_reload_failed`` is 1
exactly as long as what the files hold is not in use.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from linnix.cognitod.rulebook import Rulebook


class RulesCollector(Collector):
    """Reads a rulebook when it is scraped."""

    def __init__(self, book: Rulebook) -> None:
        self._book = book

    def collect(self) -> Iterator[Metric]:
        """The gauges and the counter."""
        book = self._book
        yield GaugeMetricFamily(
            "linnix_rules_loaded_timestamp_seconds",
            "When the rules in use were loaded, unix seconds",
            value=book.loaded_at,
        )
        yield GaugeMetricFamily(
            "linnix_rules_reload_failed",
            "1 while the rule files hold a mistake and the rules before stay in use",
            value=int(book.error is not None),
        )
        reloads = CounterMetricFamily(
            "linnix_rules_reloads_total", "Times that rule files were loaded anew", labels=("result",)
        )
        reloads.add_metric(("ok",), book.reloads)
        reloads.add_metric(("failed",), book.failures)
        yield reloads
