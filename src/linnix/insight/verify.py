"""The check between a model's answer and a reader: parse, then prove every part over the facts.

Owns the answer format and its verdict. Refuses whatever it does not know: an unknown id, a missing part, a clause whose
predicate fails, text around the answer. Lenient on white space, case and code fences only. Invariant: every sentence
it lets through is true of the facts it was given, as far as the facts are; it trusts neither grammar nor menu.

    cls=cpu_spin proc=P1
    why=spins,age,wait_cpu,next,mem_fine
    act=threads,nice
"""

from __future__ import annotations

from linnix.insight import actions, catalogue, render
from linnix.insight.answer import Culprit, Evidence, Insight, Recommendation, Rejection, Sentence
from linnix.insight.classes import CLASSES
from linnix.insight.facts import Facts
from linnix.insight.judge import candidates
from linnix.insight.scope import Scope

MAX_CHARS = 2000  # an answer is about 120
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_KEYS = ("cls", "proc", "why", "act")


class _Reader:
    """Splits a stream of characters into (key, value) pairs, each as soon as its end is seen."""

    def __init__(self) -> None:
        self._word = ""
        self._key: str | None = None  # the key whose values are being read
        self._expect = "key"  # key, equals, value, more (a comma, or the next key)
        self._fence = False

    def feed(self, text: str) -> list[tuple[str, str]]:
        """Raises ``ValueError`` on anything that is not the format."""
        pairs: list[tuple[str, str]] = []
        for char in text.lower():
            if self._fence:
                self._fence = char != "\n"
            elif char in _WORD:
                self._word += char
            else:
                self._close(pairs)
                self._separate(char)
        return pairs

    def end(self) -> list[tuple[str, str]]:
        """The pair that only the end of the answer closes. Raises ``ValueError`` when it ends in the middle."""
        pairs = self.feed("\n")
        if self._expect != "more":
            raise ValueError("the answer is cut short")
        return pairs

    def _close(self, pairs: list[tuple[str, str]]) -> None:
        word, self._word = self._word, ""
        if not word:
            return
        if self._expect in ("key", "more"):
            self._key, self._expect = word, "equals"
        elif self._expect == "value" and self._key is not None:
            pairs.append((self._key, word))
            self._expect = "more"
        else:
            raise ValueError(f"'=' is missing after {render.clean(self._key or '', 40)}")

    def _separate(self, char: str) -> None:
        if char == "`" and self._expect in ("key", "more"):
            self._fence = True
        elif (char == "=" and self._expect == "equals") or (char == "," and self._expect == "more"):
            self._expect = "value"
        elif not char.isspace():
            raise ValueError(f"unexpected character {render.clean(char)!r}")


class Checker:
    """Checks an answer while it streams in. Each sentence is given out once, after its clause has been proven."""

    def __init__(self, facts: Facts, short: bool = False, *, source: str = "model", model: str | None = None) -> None:
        self._candidates = candidates(facts)
        self._slots = catalogue.SLOTS[:1] if short else catalogue.SLOTS
        self._steps = () if short else actions.STEPS
        self._source, self._model = source, model
        self._reader = _Reader()
        self._chars = 0
        self._cls = ""
        self._last_key = -1
        self._scope: Scope | None = None
        self._open = {"why": list(self._slots), "act": list(self._steps)}
        self._sentences: list[Sentence] = []
        self._recommended: list[Recommendation] = []
        self._evidence: dict[str, Evidence] = {}
        self.rejection: Rejection | None = None

    def feed(self, chunk: str) -> list[Sentence]:
        """The sentences that ``chunk`` completed. After a rejection always none; see ``rejection``."""
        if self.rejection:
            return []
        self._chars += len(chunk)
        before = len(self._sentences)
        try:
            if self._chars > MAX_CHARS:
                raise ValueError(f"the answer is longer than {MAX_CHARS} characters")
            for key, value in self._reader.feed(chunk):
                self._take(key, value)
        except ValueError as error:
            self.rejection = Rejection(str(error))
        return self._sentences[before:]

    def finish(self) -> Insight | Rejection:
        """The whole insight, or why there is none. Sentences given out before stay true either way."""
        if self.rejection:
            return self.rejection
        try:
            for key, value in self._reader.end():
                self._take(key, value)
            if self._scope is None or self._last_key < 2:
                raise ValueError("the answer is cut short")
            self._skip("why", None)
            self._skip("act", None)
        except ValueError as error:
            self.rejection = Rejection(str(error))
            return self.rejection
        return self._insight(self._scope)

    def _take(self, key: str, value: str) -> None:
        place = _KEYS.index(key) if key in _KEYS else -1
        repeated = place == self._last_key and place >= 2
        if place < 0 or not (repeated or place == self._last_key + 1):
            raise ValueError(f"unexpected part {render.clean(key, 40)!r}")
        self._last_key = place
        if key == "cls":
            if value not in CLASSES:
                raise ValueError(f"unknown class {render.clean(value, 40)!r}")
            self._cls = value
        elif key == "proc":
            self._choose(value)
        elif self._scope is not None and key == "why":
            self._say(self._scope, value)
        elif self._scope is not None:
            self._recommend(self._scope, value)

    def _choose(self, value: str) -> None:
        for scope in self._candidates:
            if scope.cls == self._cls and value == (scope.process.id.lower() if scope.process else "none"):
                self._scope = scope
                return
        raise ValueError(f"the facts do not admit class {self._cls} with process {render.clean(value, 40)!r}")

    def _skip(self, key: str, upto: str | None) -> None:
        """Leave the places before ``upto`` empty (all that are open for None), where that is allowed."""
        scope, module = self._scope, catalogue if key == "why" else actions
        places = self._open[key]
        if upto is not None and upto not in places:
            raise ValueError(f"place {upto!r} is taken, or out of order")
        while scope and places and places[0] != upto:
            place = places.pop(0)
            if not module.is_optional(scope, place) and module.admissible(scope, place):
                raise ValueError(f"nothing is said in place {place!r}")

    def _say(self, scope: Scope, value: str) -> None:
        clause = catalogue.CLAUSES.get(value)
        if clause is None:
            raise ValueError(f"unknown clause {render.clean(value, 40)!r}")
        self._skip("why", clause.slot)
        if clause not in catalogue.admissible(scope, clause.slot):
            raise ValueError(f"clause {value!r} does not hold")
        self._open["why"].pop(0)
        for found in clause.values(scope) or ():
            self._evidence.setdefault(found.ref, Evidence(found.ref, found.value))
        self._sentences.append(Sentence(clause.id, clause.slot, clause.render(scope)))

    def _recommend(self, scope: Scope, value: str) -> None:
        action = actions.ACTIONS.get(value)
        if action is None:
            raise ValueError(f"unknown action {render.clean(value, 40)!r}")
        self._skip("why", None)
        self._skip("act", action.step)
        if action not in actions.admissible(scope, action.step):
            raise ValueError(f"action {value!r} does not hold")
        self._open["act"].pop(0)
        recommendation = action.recommend(scope)
        self._recommended.append(recommendation)
        self._sentences.append(Sentence(action.id, "action", recommendation.text))

    def _insight(self, scope: Scope) -> Insight:
        p = scope.process
        return Insight(
            source=self._source,
            model=self._model,
            cls=scope.cls,
            severity=scope.severity,
            primary_process=Culprit(p.id, p.pid, p.comm) if p else None,
            sentences=tuple(self._sentences),
            text=" ".join(s.text for s in self._sentences),
            short=self._sentences[0].text,
            evidence=tuple(self._evidence.values()),
            actions=tuple(self._recommended),
        )


def verify(
    text: str, facts: Facts, short: bool = False, *, source: str = "model", model: str | None = None
) -> Insight | Rejection:
    """Check a whole answer at once."""
    checker = Checker(facts, short, source=source, model=model)
    checker.feed(text)
    return checker.finish()
