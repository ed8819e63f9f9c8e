"""How often a command line could not be searched for secrets.

Owns one counter. Invariant: it rises only in a flood, and what it counts was hidden whole, never shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from linnix.cognitod.redact import Redactor


class PrivacyCollector(Collector):
    """Reads a redactor when it is scraped."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def collect(self) -> Iterator[Metric]:
        """The counter."""
        yield CounterMetricFamily(
            "linnix_command_lines_hidden_total",
            "Command lines and paths hidden whole, because there was no time to search them for secrets",
            value=self._redactor.unsearched,
        )
