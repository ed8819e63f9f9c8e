"""The analysis: facts from the daemon, a question to the model, and the rules' text where the model's does not come.

Owns whom to ask, how long to wait, and which text counts. Refuses to word anything itself. Invariants: facts leave
this host only to an endpoint the user named, with one line that says so, and never while the daemon is offline; a
sentence is shown only after its check; there is always an explanation, and its source is told.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from linnix.insight import prompt, rules_text, verify
from linnix.insight.answer import Insight, Rejection, Sentence
from linnix.insight.facts import Facts
from linnix.reasoner import report
from linnix.reasoner.client import Daemon
from linnix.reasoner.errors import FarEndError, ReasonerError
from linnix.reasoner.llm import End, Endpoint, Question
from linnix.reasoner.output import Output
from linnix.reasoner.telling import Telling

#: From here on the host counts as busy: the model will be late, so the rules' text is shown at once.
BUSY_CPU_PCT = 85.0
BUSY_PSI_PCT = 20.0
#: A command that took this long to get its facts runs on a busy host, whatever the averages still say.
BUSY_START_S = 0.6
#: On a quiet host the model's first sentence is worth this wait before the rules' text is shown.
PATIENCE_S = 1.5


@dataclass(slots=True)
class Result:
    """What became of the question. ``insight`` is the model's only if ``trouble`` is None."""

    insight: Insight
    trouble: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def run(
    daemon: Daemon,
    endpoint: Endpoint,
    output: Output,
    *,
    short: bool,
    as_json: bool,
    timeout_s: float,
    started: float,
) -> bool:
    """The whole of it. Returns whether the answer is the model's. Raises ``ReasonerError`` where there is no daemon."""
    system = daemon.system()
    facts = daemon.facts()
    late = time.monotonic() - started > BUSY_START_S
    refusal = _refusal(endpoint, daemon)
    question = None if refusal else _ask(endpoint, facts, short, timeout_s)
    try:
        if as_json:
            result = _explain(facts, question, refusal, short, None, patience_s=timeout_s)
            _print_json(output, system, facts, result, endpoint)
            return result.trouble is None
        if not short:
            report.snapshot(output, system, facts)
            report.tables(output, facts)
            output.line()
            output.line("LLM Analysis:", "bold")
        patience_s = 0.0 if late or busy(facts) else PATIENCE_S
        result = _explain(facts, question, refusal, short, Telling(output, one_line=short), patience_s)
        return result.trouble is None
    finally:
        if question is not None:
            question.close()


def busy(facts: Facts) -> bool:
    """Whether others take the CPU time that the model would need for a prompt answer."""
    return facts.host.cpu_pct >= BUSY_CPU_PCT or (facts.pressure.cpu_some_pct or 0.0) >= BUSY_PSI_PCT


def _refusal(endpoint: Endpoint, daemon: Daemon) -> str | None:
    """Why this endpoint is not asked, if so. Says on stderr when it is asked and is not this host."""
    if endpoint.url.on_loopback:
        return None
    where = endpoint.url.origin
    try:
        offline = daemon.status().get("offline")
    except ReasonerError as failure:
        return f"{where} was not asked: whether the daemon is offline is not known ({failure.message})"
    if offline is not False:
        return f"{where} was not asked: the daemon says offline = true, so facts stay on this host"
    clear = ", unencrypted" if endpoint.url.scheme == "http" else ""
    print(
        f"Facts of this host are sent to {where}{clear}: figures and ids, no process names, no arguments.",
        file=sys.stderr,
    )
    return None


def _ask(endpoint: Endpoint, facts: Facts, short: bool, timeout_s: float) -> Question:
    request = prompt.build(facts, short)
    return Question(
        endpoint,
        msgspec.to_builtins(request.messages),
        request.grammar_gbnf,
        request.max_tokens,
        timeout_s,
    )


def _explain(
    facts: Facts,
    question: Question | None,
    refusal: str | None,
    short: bool,
    telling: Telling | None,
    patience_s: float,
) -> Result:
    """Wait for the model as long as it may take, and have the explanation told as it forms."""
    if question is None:
        result = Result(rules_text.explain(facts, short, note=refusal), trouble=refusal)
    else:
        result = _Listener(facts, question, short, telling).listen(patience_s)
    if telling is not None and result.trouble is not None:
        telling.from_rules(result.insight, result.trouble)
    return result


class _Listener:
    """Takes the pieces of an answer, has them checked, and tells each sentence once it has passed."""

    def __init__(self, facts: Facts, question: Question, short: bool, telling: Telling | None) -> None:
        self._facts = facts
        self._question = question
        self._short = short
        self._telling = telling
        self._checker = verify.Checker(facts, short, model=question.endpoint.model)
        self._told = 0
        self._seconds: dict[str, float] = {}

    def listen(self, patience_s: float) -> Result:
        """Until the answer is complete, or will not be. After ``patience_s`` without a sentence the rules' is told."""
        question = self._question
        waiting = self._telling is not None
        patience_ends = time.monotonic() + patience_s
        while True:
            waiting = waiting and not self._told
            piece = question.next(min(patience_ends, question.deadline) if waiting else question.deadline)
            if isinstance(piece, str):
                passed = self._checker.feed(piece)
                if not self._short:  # a single sentence waits for the end of its check: half an answer is none
                    self._tell(passed)
                if self._checker.rejection is not None:
                    return self._rules(_rejected(self._checker.rejection))
            elif isinstance(piece, End):
                return self._finish(piece)
            elif isinstance(piece, FarEndError):
                return self._rules(f"{question.endpoint.url}: {piece.reason}{_advice(question.endpoint, piece)}")
            elif time.monotonic() >= question.deadline:
                return self._rules(
                    f"no complete answer within {question.timeout_s:g} s (--timeout); "
                    "lower LLAMA_CTX (2048) or LLAMA_THREADS of the model server, or the load"
                )
            elif waiting and self._telling is not None:
                waiting = False
                self._telling.meanwhile(rules_text.explain(self._facts, self._short))

    def _tell(self, sentences: Sequence[Sentence]) -> None:
        for sentence in sentences:
            self._seconds.setdefault("first_sentence", time.monotonic() - self._question.asked)
            self._told += 1
            if self._telling is not None:
                self._telling.sentence(sentence.text)

    def _finish(self, end: End) -> Result:
        checked = self._checker.finish()
        if isinstance(checked, Rejection):
            return self._rules(_rejected(checked))
        self._tell(checked.sentences[self._told :])  # the last one is complete only now
        self._seconds["answer"] = time.monotonic() - self._question.asked
        if self._telling is not None:
            self._telling.from_model(end.model, self._seconds["answer"])
        insight = msgspec.structs.replace(checked, model=end.model)
        return Result(insight, seconds=self._seconds, timings=dict(end.timings))

    def _rules(self, trouble: str) -> Result:
        self._question.close()
        return Result(rules_text.explain(self._facts, self._short, note=trouble), trouble, self._seconds)


def _rejected(rejection: Rejection) -> str:
    return f"the model's answer failed the check: {rejection.reason}"


def _advice(endpoint: Endpoint, trouble: FarEndError) -> str:
    if trouble.reason == "connection refused" and endpoint.url.on_loopback:
        return ". Start the model server with: ./serve_distilled_model.sh"
    return ""


def _print_json(output: Output, system: dict[str, object], facts: Facts, result: Result, endpoint: Endpoint) -> None:
    document = {
        "system": system,
        "top_cpu": [report.row(process) for process in report.top_cpu(facts)],
        "top_memory": [report.row(process) for process in report.top_memory(facts)],
        "stalled": report.stalls(system),
        "degraded": list(facts.degraded),
        "insight": msgspec.to_builtins(result.insight),
        "source": result.insight.source,
        "endpoint": str(endpoint.url),
        "model_error": result.trouble,
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "timings": result.timings,
    }
    output.line(json.dumps(document))
