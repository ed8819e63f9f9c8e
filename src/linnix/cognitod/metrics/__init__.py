"""What a Prometheus scrape reads: one module per subject, each with a collector of its own.

Owns the registry. Refuses to measure: collectors read counters that the parts keep anyway; a scrape walks no process.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from linnix.cognitod.metrics.daemon import PipelineCollector
from linnix.cognitod.pipeline import Pipeline


def build(pipeline: Pipeline, *others: Collector) -> CollectorRegistry:
    """A registry that reads ``pipeline`` and what ``others`` know when it is scraped."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in (PipelineCollector(pipeline), *others):
        registry.register(collector)
    return registry
