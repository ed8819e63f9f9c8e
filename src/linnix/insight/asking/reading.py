"""A larger model's own reading of the facts, as far as it can be checked.

Owns the question and what is kept of the answer. Refuses to mix it with what is checked whole: it is shown under a
heading of its own. Invariant: a sentence is kept only if ``prose.check`` admits it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from linnix.insight.asking.errors import FarEndError
from linnix.insight.asking.question import End, Endpoint, Question
from linnix.insight.facts import Facts
from linnix.insight.prose import check, prompt


@dataclass(slots=True)
class Reading:
    """What may be shown, and what may not with the reasons. ``trouble``: why there is none, or no end of it."""

    sentences: list[str] = field(default_factory=list)
    left_out: list[check.Judged] = field(default_factory=list)
    trouble: str | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The sentences that may be shown."""
        return " ".join(self.sentences)


def read(facts: Facts, checked: str, endpoint: Endpoint, timeout_s: float) -> Reading:
    """Ask for it; ``checked`` is the explanation that was shown before."""
    messages = [{"role": each.role, "content": each.content} for each in prompt.build(facts, checked)]
    began, answer = time.monotonic(), ""
    question = Question(endpoint, messages, None, prompt.MAX_TOKENS, timeout_s)
    reading = Reading()
    try:
        while True:
            piece = question.next(question.deadline)
            if isinstance(piece, str):
                answer += piece
                continue
            if isinstance(piece, FarEndError):
                reading.trouble = f"{endpoint.url}: {piece.reason}"
            elif not isinstance(piece, End):
                reading.trouble = f"no complete reading within {timeout_s:g} s"
            break
    finally:
        question.close()
    reading.seconds = time.monotonic() - began
    for judged in check.check(answer, facts):
        if judged.reason is None:
            reading.sentences.append(judged.text)
        else:
            reading.left_out.append(judged)
    return reading
