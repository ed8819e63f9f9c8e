"""From facts to an explanation: ask, check, ask once more, and else let the rules speak.

Owns whose words count. Refuses to show anything: sentences are handed on as they pass. Invariants: a sentence is handed
on only after its check; there is always an explanation, and it says whose it is; the model is asked twice at most, and
the second time is told why it was refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from linnix.insight import prompt, rules_text, verify
from linnix.insight.answer import Insight, Rejection, Sentence
from linnix.insight.asking import confidence, engines
from linnix.insight.asking.errors import FarEndError
from linnix.insight.asking.question import End, Endpoint, Question
from linnix.insight.facts import Facts
from linnix.insight.scope import Scope

#: Of an answer that was refused so much is shown to the model again.
_QUOTED = 400
#: With less time than this left it is not asked again.
_LEAST_S = 0.5
#: What is added up where it is asked twice.
_TOKENS = ("prompt_n", "cache_n", "predicted_n")
#: Why it is the rules' text: an answer was refused, none came, or none in time.
FAILURES = ("refused", "unreachable", "late")


@dataclass(slots=True)
class Outcome:
    """What became of the question. ``insight`` is the model's only if ``trouble`` is None; ``failure`` is its kind, of
    ``FAILURES``. ``first_s`` is until the first piece of the answer, ``sentence_s`` until the first sentence that had
    passed, ``answer_s`` until all had.
    """

    insight: Insight
    trouble: str | None = None
    failure: str | None = None
    rejections: list[Rejection] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)  # as the model wrote them
    first_s: float | None = None
    sentence_s: float | None = None
    answer_s: float | None = None
    timings: dict[str, float] = field(default_factory=dict)


class Session:
    """One explanation of one moment. The question is on its way as soon as this object is made."""

    def __init__(
        self,
        facts: Facts,
        endpoint: Endpoint,
        *,
        short: bool = False,
        timeout_s: float = 10.0,
        grammar: str | None = None,
        attempts: int = 2,
        scopes: Sequence[Scope] | None = None,
        hears_out: bool = False,
    ) -> None:
        """``grammar``: of ``engines``, None for what the endpoint is known to obey. ``scopes``: the causes on offer,
        where these are not all that the facts admit. ``hears_out``: an answer that has failed already is read to its
        end, for whoever wants to know what it would have said.
        """
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self._facts = facts
        self._short = short
        self._attempts = attempts
        self._scopes = scopes
        self._hears_out = hears_out
        self._request = prompt.build(facts, short, scopes, large=endpoint.large)
        grammars = {engines.GBNF: self._request.grammar_gbnf, engines.LARK: self._request.grammar_lark}
        self._grammar = grammars.get(grammar or engines.best(endpoint.url))
        self._messages = [{"role": each.role, "content": each.content} for each in self._request.messages]
        self._asked = time.monotonic()
        self._question = self._ask()
        self._outcome = Outcome(rules_text.explain(facts, short, scopes=scopes))
        self._answer = ""
        self._told = 0
        self._waited = False

    def close(self) -> None:
        """Give up, which makes llama.cpp stop computing."""
        self._question.close()

    def run(
        self,
        hear: Callable[[Sentence], None] = lambda _: None,
        *,
        patience_s: float | None = None,
        waiting: Callable[[Insight], None] = lambda _: None,
    ) -> Outcome:
        """Until the answer is complete, or will not be. ``hear`` is given each sentence of the first answer that
        passes; ``waiting`` the rules' text, once, where none has passed after ``patience_s`` seconds.
        """
        ends = None if patience_s is None else self._asked + patience_s
        checked = self._listen(hear, ends, waiting)
        left_s = self._asked + self.timeout_s - time.monotonic()
        if isinstance(checked, Rejection) and self._attempts > 1 and left_s > _LEAST_S:
            self._ask_again(checked)
            # Nothing of a second answer is shown before all of it is there: until then the rules' text is.
            checked = self._listen(lambda _: None, None if self._waited or self._told else ends, waiting)
        outcome = self._outcome
        if isinstance(checked, Insight):
            outcome.answer_s = time.monotonic() - self._asked
            outcome.insight = checked
            return outcome
        if isinstance(checked, Rejection):
            outcome.rejections.append(checked)
            outcome.trouble, outcome.failure = f"the model's answer failed the check: {checked.told}", "refused"
        else:
            outcome.trouble = checked
            outcome.failure = "late" if time.monotonic() >= self._asked + self.timeout_s else "unreachable"
        outcome.insight = msgspec.structs.replace(outcome.insight, note=outcome.trouble)
        self.close()
        return outcome

    def _ask(self) -> Question:
        left_s = max(self._asked + self.timeout_s - time.monotonic(), 0.0)
        weights = self._request.label_weights if self._grammar is not None else ()
        bias = [(label, math.log(weight)) for label, weight in weights]
        return Question(self.endpoint, self._messages, self._grammar, self._request.max_tokens, left_s, bias)

    def _ask_again(self, why: Rejection) -> None:
        self._outcome.rejections.append(why)
        self._question.close()
        self._messages += [
            {"role": "assistant", "content": self._answer[:_QUOTED]},
            {"role": "user", "content": f"That was refused: {why.reason}. Answer again, in exactly the format."},
        ]
        self._question = self._ask()

    def _listen(
        self, hear: Callable[[Sentence], None], patience_ends: float | None, waiting: Callable[[Insight], None]
    ) -> Insight | Rejection | str:
        """The checked answer, why it was refused, or why there is none. ``patience_ends``: on the monotonic clock."""
        checker = verify.Checker(self._facts, self._short, model=self.endpoint.model, scopes=self._scopes)
        self._answer, self._told = "", 0
        question, ends = self._question, self._asked + self.timeout_s
        while True:
            if self._told and not self._outcome.rejections:  # of a second answer nothing is shown yet
                patience_ends = None
            piece = question.next(ends if patience_ends is None else min(patience_ends, ends))
            if isinstance(piece, str):
                self._outcome.first_s = self._outcome.first_s or time.monotonic() - self._asked
                self._answer += piece
                passed = checker.feed(piece)
                if not self._short:  # a single sentence waits for the end of its check: half an answer is none
                    self._hand_on(passed, hear)
                if checker.rejection is not None and not self._hears_out:
                    self._outcome.answers.append(self._answer)
                    return checker.rejection
            elif isinstance(piece, End):
                self._outcome.answers.append(self._answer)
                return self._complete(checker, piece, hear)
            elif isinstance(piece, FarEndError):
                return f"{self.endpoint.url}: {piece.reason}{_advice(self.endpoint, piece)}"
            elif time.monotonic() >= ends:
                return (
                    f"no complete answer within {self.timeout_s:g} s (--timeout); "
                    "lower LLAMA_CTX (2048) or LLAMA_THREADS of the model server, or the load"
                )
            elif patience_ends is not None:
                patience_ends, self._waited = None, True
                waiting(self._outcome.insight)

    def _complete(self, checker: verify.Checker, end: End, hear: Callable[[Sentence], None]) -> Insight | Rejection:
        checked = checker.finish()
        self._count(end.timings)
        if isinstance(checked, Rejection):
            return checked
        self._hand_on(checked.sentences[self._told :], hear)  # the last one is complete only now
        sure = confidence.of_choice(end.tokens, dict(self._request.label_weights))
        return msgspec.structs.replace(checked, model=end.model, confidence=sure)

    def _count(self, timings: Mapping[str, float]) -> None:
        """Of two answers the tokens of both, where both came to their end, and the speed of the second."""
        before = self._outcome.timings
        both = {name: before.get(name, 0.0) + timings.get(name, 0.0) for name in _TOKENS}
        self._outcome.timings = {**timings, **both} if timings else before

    def _hand_on(self, sentences: Sequence[Sentence], hear: Callable[[Sentence], None]) -> None:
        for sentence in sentences:
            self._outcome.sentence_s = self._outcome.sentence_s or time.monotonic() - self._asked
            self._told += 1
            hear(sentence)


def _advice(endpoint: Endpoint, trouble: FarEndError) -> str:
    if trouble.reason == "connection refused" and endpoint.url.on_loopback:
        return ". Start the model server with: ./serve_distilled_model.sh"
    return ""
