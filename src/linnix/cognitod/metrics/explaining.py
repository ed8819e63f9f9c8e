"""What the daemon's questions to a language model cost, and what became of them.

Owns the names. Refuses to ask. Invariant: every question is counted once, as the model's answer or as the rules' text
instead, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from linnix.insight.answer import REJECTIONS
from linnix.insight.asking.session import FAILURES, Outcome

_SECONDS = (0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 4.0, 7.0, 12.0, 30.0)


class ExplainingCollector(Collector):
    """Is told of each question, and tells whoever scrapes."""

    def __init__(self) -> None:
        self._seconds = Histogram(
            "linnix_inference_seconds",
            "From a question to the checked answer of the model",
            buckets=_SECONDS,
            registry=None,
        )
        self._first = Histogram(
            "linnix_inference_first_token_seconds",
            "From a question to the first token of the answer (TTFT)",
            buckets=_SECONDS,
            registry=None,
        )
        self._tokens = Counter(
            "linnix_inference_tokens_total",
            "Tokens of prompts that were read, of prompts that were in the cache, and of answers",
            ("kind",),
            registry=None,
        )
        self._explained = Counter("linnix_explanations_total", "Explanations by source", ("source",), registry=None)
        self._rejected = Counter(
            "linnix_verifier_rejections_total", "Answers that failed the check", ("reason",), registry=None
        )
        self._fell_back = Counter(
            "linnix_explanation_fallbacks_total", "Times that the rules spoke instead", ("reason",), registry=None
        )
        self._shown = Counter(
            "linnix_insights_shown_total",
            "Answers of /insights: an explanation of a model that was kept, or the rules' text of now",
            ("source",),
            registry=None,
        )
        self._model = Gauge("linnix_model_info", "The model that answered last", ("name",), registry=None)
        for kind in ("prompt", "cached", "answer"):
            self._tokens.labels(kind)
        for source in ("kept", "rules"):
            self._shown.labels(source)
        for source in ("model", "rules"):
            self._explained.labels(source)
        for reason in REJECTIONS:
            self._rejected.labels(reason)
        for reason in FAILURES:
            self._fell_back.labels(reason)

    def on_outcome(self, outcome: Outcome) -> None:
        """Take in what became of a question."""
        for rejection in outcome.rejections:
            self._rejected.labels(rejection.kind).inc()
        if outcome.failure is not None:
            self._fell_back.labels(outcome.failure).inc()
        self._explained.labels(outcome.insight.source).inc()
        if outcome.first_s is not None:
            self._first.observe(outcome.first_s)
        if outcome.answer_s is not None:
            self._seconds.observe(outcome.answer_s)
            self._model.clear()
            self._model.labels(outcome.insight.model or "").set(1)
        for kind, name in (("prompt", "prompt_n"), ("cached", "cache_n"), ("answer", "predicted_n")):
            self._tokens.labels(kind).inc(max(outcome.timings.get(name, 0.0), 0.0))

    def on_shown(self, source: str) -> None:
        """Somebody has asked for the explanation of now, and got it from there: ``kept`` or ``rules``."""
        self._shown.labels(source).inc()

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        for metric in (
            self._seconds,
            self._first,
            self._tokens,
            self._explained,
            self._rejected,
            self._fell_back,
            self._shown,
            self._model,
        ):
            yield from metric.collect()
