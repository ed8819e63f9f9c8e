"""The analysis: facts from the daemon, a question to the model, and what is shown of the answer when.

Owns whom to ask and how long to wait before the rules speak. Refuses to word anything itself. Invariants: facts leave
this host only to an endpoint the user named, with one line that says so, and never while the daemon is offline; whose
words these are is told.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from linnix.insight import asked, rules_text
from linnix.insight.answer import Insight
from linnix.insight.asking.question import Endpoint
from linnix.insight.asking.session import Outcome, Session
from linnix.insight.facts import Facts
from linnix.insight.scope import Scope
from linnix.reasoner import report
from linnix.reasoner.client import Daemon
from linnix.reasoner.errors import ReasonerError
from linnix.reasoner.output import Output
from linnix.reasoner.telling import Telling

if TYPE_CHECKING:
    from linnix.insight.asking.reading import Reading

#: From here on the host counts as busy: the model will be late, so the rules' text is shown at once.
BUSY_CPU_PCT = 85.0
BUSY_PSI_PCT = 20.0
#: A command that took this long to get its facts runs on a busy host, whatever the averages still say.
BUSY_START_S = 0.6
#: On a quiet host the model's first sentence is worth this wait before the rules' text is shown.
PATIENCE_S = 1.5


def run(
    daemon: Daemon,
    endpoint: Endpoint,
    output: Output,
    *,
    short: bool,
    as_json: bool,
    timeout_s: float,
    started: float,
    question: str | None = None,
    own_reading: bool = False,
) -> bool:
    """The whole of it. Returns whether the answer is the model's. Raises ``ReasonerError`` where there is no daemon."""
    system = daemon.system()
    facts = daemon.facts()
    late = time.monotonic() - started > BUSY_START_S
    scopes = None
    if question is not None:
        about = asked.read(question, facts)
        scopes = asked.answers(about, facts)
        if not scopes:
            return _untold(output, system, facts, endpoint, asked.untold(about, facts), as_json)
    refusal = _refusal(endpoint, daemon, names=own_reading)
    session = None if refusal else Session(facts, endpoint, short=short, timeout_s=timeout_s, scopes=scopes)
    try:
        if as_json:
            outcome = _unasked(facts, short, refusal, scopes) if session is None else session.run()
            reading = None
            if own_reading and session is not None:
                reading = _reading(facts, outcome, endpoint, timeout_s)
            _print_json(output, system, facts, outcome, endpoint, reading)
            return outcome.trouble is None
        if not short and question is None:
            report.snapshot(output, system, facts)
            report.tables(output, facts)
            output.line()
            output.line("LLM Analysis:", "bold")
        telling = Telling(output, one_line=short)
        if session is None:
            outcome = _unasked(facts, short, refusal, scopes)
        else:
            patience_s = 0.0 if late or busy(facts) else PATIENCE_S
            outcome = session.run(
                lambda sentence: telling.sentence(sentence.text), patience_s=patience_s, waiting=telling.meanwhile
            )
        _end(telling, outcome)
        if own_reading and session is not None:
            telling.reading(_reading(facts, outcome, endpoint, timeout_s))
        return outcome.trouble is None
    finally:
        if session is not None:
            session.close()


def _reading(facts: Facts, outcome: Outcome, endpoint: Endpoint, timeout_s: float) -> Reading:
    from linnix.insight.asking.reading import Reading, read  # few ask for it

    if outcome.failure in ("late", "unreachable"):
        return Reading(trouble="not asked for: the endpoint has just not answered")
    return read(facts, outcome.insight.text, endpoint, timeout_s)


def _unasked(facts: Facts, short: bool, refusal: str | None, scopes: Sequence[Scope] | None) -> Outcome:
    return Outcome(rules_text.explain(facts, short, note=refusal, scopes=scopes), trouble=refusal)


def _untold(
    output: Output, system: dict[str, object], facts: Facts, endpoint: Endpoint, insight: Insight, as_json: bool
) -> bool:
    """The question cannot be answered from the facts. No model was needed for that, so that none is missed."""
    if as_json:
        _print_json(output, system, facts, Outcome(insight), endpoint)
    else:
        Telling(output).from_rules(insight, "no model was asked")
    return True


def _end(telling: Telling, outcome: Outcome) -> None:
    """The last words, and whose they are."""
    if outcome.trouble is not None:
        telling.from_rules(outcome.insight, outcome.trouble)
        return
    if outcome.rejections:
        telling.anew(outcome.insight)
    telling.from_model(outcome.insight.model or "", outcome.answer_s or 0.0)


def busy(facts: Facts) -> bool:
    """Whether others take the CPU time that the model would need for a prompt answer."""
    return facts.host.cpu_pct >= BUSY_CPU_PCT or (facts.pressure.cpu_some_pct or 0.0) >= BUSY_PSI_PCT


def _refusal(endpoint: Endpoint, daemon: Daemon, *, names: bool) -> str | None:
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
    named = "figures, names of processes, units and mount points"
    what = named if names else "figures and ids, no process names"
    print(f"Facts of this host are sent to {where}{clear}: {what}, no arguments.", file=sys.stderr)
    return None


def _print_json(
    output: Output,
    system: dict[str, object],
    facts: Facts,
    outcome: Outcome,
    endpoint: Endpoint,
    reading: Reading | None = None,
) -> None:
    document = {
        "system": system,
        "top_cpu": [report.row(process) for process in report.top_cpu(facts)],
        "top_memory": [report.row(process) for process in report.top_memory(facts)],
        "stalled": report.stalls(system),
        "degraded": list(facts.degraded),
        "insight": msgspec.to_builtins(outcome.insight),
        "source": outcome.insight.source,
        "endpoint": str(endpoint.url),
        "model_error": outcome.trouble,
        "rejections": [msgspec.to_builtins(rejection) for rejection in outcome.rejections],
        "seconds": {
            name: round(value, 3)
            for name, value in (("first_sentence", outcome.sentence_s), ("answer", outcome.answer_s))
            if value is not None
        },
        "timings": outcome.timings,
        "reading": None
        if reading is None
        else {
            "text": reading.text,
            "left_out": [{"text": each.text, "reason": each.reason} for each in reading.left_out],
            "error": reading.trouble,
        },
    }
    output.line(json.dumps(document))
