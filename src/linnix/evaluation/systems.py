"""Who explains: the rules alone, or a model at an endpoint, constrained or free.

Owns the asking and what is kept of it. Refuses judgement. Invariant: a prediction holds the raw answers, and whatever
else it says of them can be found again from these: by the check of today, in the words of today.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from linnix.evaluation.cases import Case
from linnix.insight import evidence, judge, rules_text, verify
from linnix.insight.answer import Insight
from linnix.insight.asking.engines import FREE
from linnix.insight.asking.question import Endpoint
from linnix.insight.asking.session import Session


class Prediction(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one system said of one case, and what that took. ``digest``: of what it was asked. ``process``: [pid,
    start_ns].
    """

    case: str
    digest: str
    system: str
    source: str
    cls: str
    severity: str
    process: tuple[int, int] | None = None
    comm: str = ""
    text: str = ""
    choices: int = 1
    chose: int = 0  # the place of its cause among those offered
    confidence: float | None = None
    cited: tuple[str, ...] = ()
    citable: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    heard_out: bool = False  # whether an answer is whole though it failed
    rejections: tuple[str, ...] = ()
    failure: str | None = None
    first_s: float | None = None
    sentence_s: float | None = None
    answer_s: float | None = None
    total_s: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    answer_tokens: float = 0.0
    tokens_per_s: float | None = None
    rss_bytes: float | None = None  # of the model server, resident, after the answer


#: What of a prediction only the asking itself can tell.
_MEASURED = (
    *("answers", "heard_out", "first_s", "sentence_s", "answer_s", "total_s", "prompt_tokens", "cached_tokens"),
    *("answer_tokens", "tokens_per_s", "rss_bytes"),
)


class System(Protocol):
    """Something that explains."""

    name: str

    def explain(self, case: Case) -> Prediction:
        """Explain one case."""
        ...


@dataclass
class Rules:
    """No model at all."""

    name: str = "rules"

    def explain(self, case: Case) -> Prediction:
        """The rules' text."""
        began = time.monotonic()
        insight = rules_text.explain(case.facts)
        return _prediction(self.name, case, insight, time.monotonic() - began)


@dataclass
class Asked:
    """A model. ``free``: without a grammar, only once, and to the end, however wrong: what it says by itself."""

    name: str
    endpoint: Endpoint
    timeout_s: float = 30.0
    grammar: str | None = None
    free: bool = False
    rss_bytes: Callable[[], float | None] | None = None  # of a server that is ours

    def explain(self, case: Case) -> Prediction:
        """Ask it."""
        began = time.monotonic()
        grammar, attempts = (FREE, 1) if self.free else (self.grammar, 2)
        session = Session(
            case.facts,
            self.endpoint,
            timeout_s=self.timeout_s,
            grammar=grammar,
            attempts=attempts,
            hears_out=self.free,
        )
        outcome = session.run()
        found = _prediction(self.name, case, outcome.insight, time.monotonic() - began)
        timings = outcome.timings
        return msgspec.structs.replace(
            found,
            answers=tuple(outcome.answers),
            heard_out=self.free,
            rejections=tuple(each.kind for each in outcome.rejections),
            failure=outcome.failure,
            first_s=outcome.first_s,
            sentence_s=outcome.sentence_s,
            answer_s=outcome.answer_s,
            prompt_tokens=timings.get("prompt_n", 0.0),
            cached_tokens=timings.get("cache_n", 0.0),
            answer_tokens=timings.get("predicted_n", 0.0),
            tokens_per_s=timings.get("predicted_per_second"),
            rss_bytes=self.rss_bytes() if self.rss_bytes else None,
        )


def again(case: Case, kept: Prediction) -> Prediction:
    """What was said, checked and worded by the code of today. Times and tokens are those of then; an answer that did
    not come in time does not come now.
    """
    rejections: list[str] = []
    for answer in kept.answers:
        checker = verify.Checker(case.facts)
        checker.feed(answer)
        checked = checker.finish()
        if isinstance(checked, Insight):
            found = _prediction(kept.system, case, checked, kept.total_s)
            told = msgspec.structs.replace(found, confidence=kept.confidence, rejections=tuple(rejections))
            return _measured(told, kept)
        rejections.append(checked.kind)
    failure = "refused" if kept.failure is None and rejections else kept.failure
    found = _prediction(kept.system, case, rules_text.explain(case.facts), kept.total_s)
    return _measured(msgspec.structs.replace(found, rejections=tuple(rejections), failure=failure), kept)


def _measured(found: Prediction, kept: Prediction) -> Prediction:
    return msgspec.structs.replace(found, **{name: getattr(kept, name) for name in _MEASURED})


def _prediction(name: str, case: Case, insight: Insight, seconds: float) -> Prediction:
    scopes = judge.candidates(case.facts)
    who = insight.primary_process
    process = next((p for p in case.facts.processes if who is not None and p.id == who.id), None)
    wanted = insight.cls, who.id if who else None
    causes = [(scope.cls, scope.process.id if scope.process else None) for scope in scopes]
    return Prediction(
        case=case.id,
        digest=case.digest,
        system=name,
        source=insight.source,
        cls=insight.cls,
        severity=insight.severity,
        process=(process.pid, process.start_ns) if process else None,
        comm=process.comm if process else "",
        text=insight.text,
        choices=len(scopes),
        chose=causes.index(wanted) if wanted in causes else 0,
        confidence=insight.confidence,
        cited=tuple(each.ref for each in insight.evidence if each.cited),
        citable=tuple(item.ref for item in evidence.listed(case.facts, scopes)),
        total_s=seconds,
    )
