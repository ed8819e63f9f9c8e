"""The check between a model's answer and a reader: parse, then prove every part over the facts.

Owns the verdict. Refuses whatever it does not know: an unknown id, a missing part, a clause whose condition fails, text
around the answer. Invariant: every sentence it lets through is true of the facts it was given, as far as the facts are;
it trusts neither grammar nor menu.
"""

from __future__ import annotations

from collections.abc import Sequence

from linnix.insight import actions, catalogue, evidence, render
from linnix.insight.answer import Culprit, Evidence, Insight, Recommendation, Rejection, Sentence
from linnix.insight.classes import CLASSES
from linnix.insight.facts import Facts
from linnix.insight.judge import candidates
from linnix.insight.menu import LABELS, offered, process_id
from linnix.insight.reading import Reader
from linnix.insight.scope import Scope

MAX_CHARS = 2000  # an answer is about 120
_KEYS = ("ev", "is", "why", "act", "of")
_SHORT_KEYS = ("is", "why", "of")


class _RefusedError(ValueError):
    """Why an answer is not accepted; ``kind`` is of ``answer.REJECTIONS``."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Checker:
    """Checks an answer while it streams in. Each sentence is given out once, after its clause has been proven."""

    def __init__(
        self,
        facts: Facts,
        short: bool = False,
        *,
        source: str = "model",
        model: str | None = None,
        scopes: Sequence[Scope] | None = None,
    ) -> None:
        """``scopes``: the causes that were offered, where these are not all that the facts admit."""
        self._candidates = tuple(offered(candidates(facts) if scopes is None else scopes, short))
        self._citable = {} if short else {e.id: e for e in evidence.listed(facts, self._candidates)}
        self._keys: tuple[str, ...] = _KEYS if self._citable else _KEYS[1:]
        if short:
            self._keys = _SHORT_KEYS
        self._slots = catalogue.SLOTS[:1] if short else catalogue.SLOTS
        self._steps = () if short else actions.STEPS
        self._source, self._model = source, model
        self._reader = Reader()
        self._chars = 0
        self._last_key = ""
        self._said: list[str] = []  # of the line that tells the chosen cause in full
        self._scope: Scope | None = None
        self._open = {"why": list(self._slots), "act": list(self._steps)}
        self._sentences: list[Sentence] = []
        self._recommended: list[Recommendation] = []
        self._cited: dict[str, Evidence] = {}
        self._shown: dict[str, Evidence] = {}
        self.rejection: Rejection | None = None

    def feed(self, chunk: str) -> list[Sentence]:
        """The sentences that ``chunk`` completed. After a rejection always none; see ``rejection``."""
        if self.rejection:
            return []
        self._chars += len(chunk)
        before = len(self._sentences)
        try:
            if self._chars > MAX_CHARS:
                raise _RefusedError("too_long", f"the answer is longer than {MAX_CHARS} characters")
            for key, value in self._reader.feed(chunk):
                self._take(key, value)
        except ValueError as error:
            self._reject(error)
        return self._sentences[before:]

    def finish(self) -> Insight | Rejection:
        """The whole insight, or why there is none. Sentences given out before stay true either way."""
        if self.rejection:
            return self.rejection
        try:
            for key, value in self._reader.end():
                self._take(key, value)
            if self._scope is None or self._last_key != "of" or len(self._said) < len(_whole(self._scope)):
                raise _RefusedError("cut_short", "the answer is cut short")
        except ValueError as error:
            return self._reject(error)
        return self._insight(self._scope)

    def _reject(self, error: ValueError) -> Rejection:
        self.rejection = Rejection(str(error), error.kind if isinstance(error, _RefusedError) else "format")
        return self.rejection

    def _take(self, key: str, value: str) -> None:
        if key not in self._expected():
            raise _RefusedError("format", f"unexpected part {render.clean(key, 40)!r}")
        self._last_key = key
        match key:
            case "ev":
                self._cite(value)
            case "is":
                self._choose(value)
            case "why" if self._scope is not None:
                self._say(self._scope, value)
            case "act" if self._scope is not None:
                self._recommend(self._scope, value)
            case "of" if self._scope is not None:
                self._restate(self._scope, value)

    def _expected(self) -> tuple[str, ...]:
        """Which parts may come now: the same again, or the next; nobody need recommend anything."""
        if not self._last_key:
            return self._keys[:1]
        left = self._keys[self._keys.index(self._last_key) :]
        return left[:3] if self._last_key == "why" else left[:2]

    def _cite(self, value: str) -> None:
        item = self._citable.get(value)
        if item is None:
            raise _RefusedError("evidence", f"unknown evidence {render.clean(value, 40)!r}")
        if item.ref in self._cited or len(self._cited) == evidence.CITED:
            raise _RefusedError("evidence", f"{value!r} is cited twice, or as one too many")
        self._cited[item.ref] = Evidence(item.ref, item.value, cited=True)

    def _choose(self, value: str) -> None:
        """The label of a cause that was offered."""
        known = {label.lower(): scope for label, scope in zip(LABELS, self._candidates, strict=False)}
        if self._scope is not None or value not in known:
            raise _RefusedError("cause", f"no cause {render.clean(value, 40)!r} was offered, or two are chosen")
        self._scope = known[value]

    def _restate(self, scope: Scope, value: str) -> None:
        """A word of class, severity and process, all three of which must be of the chosen cause."""
        self._skip("why", None)
        self._skip("act", None)
        self._said.append(value)
        if len(self._said) == 1 and value not in CLASSES:
            raise _RefusedError("unknown", f"unknown class {render.clean(value, 40)!r}")
        if self._said != _whole(scope)[: len(self._said)]:
            raise _RefusedError("cause", f"the cause is not {render.clean(', '.join(self._said), 80)!r}")

    def _skip(self, key: str, upto: str | None) -> None:
        """Leave the places before ``upto`` empty (all that are open for None), where that is allowed."""
        scope, module = self._scope, catalogue if key == "why" else actions
        places = self._open[key]
        if upto is not None and upto not in places:
            raise _RefusedError("format", f"place {upto!r} is taken, or out of order")
        while scope and places and places[0] != upto:
            place = places.pop(0)
            if not module.is_optional(scope, place) and module.admissible(scope, place):
                raise _RefusedError("cut_short", f"nothing is said in place {place!r}")

    def _say(self, scope: Scope, value: str) -> None:
        clause = catalogue.CLAUSES.get(value)
        if clause is None:
            raise _RefusedError("unknown", f"unknown clause {render.clean(value, 40)!r}")
        self._skip("why", clause.slot)
        if clause not in catalogue.admissible(scope, clause.slot):
            raise _RefusedError("clause", f"clause {value!r} does not hold")
        self._open["why"].pop(0)
        for found in clause.values(scope) or ():
            self._shown.setdefault(found.ref, Evidence(found.ref, found.value))
        self._sentences.append(Sentence(clause.id, clause.slot, clause.render(scope)))

    def _recommend(self, scope: Scope, value: str) -> None:
        action = actions.ACTIONS.get(value)
        if action is None:
            raise _RefusedError("unknown", f"unknown action {render.clean(value, 40)!r}")
        self._skip("why", None)
        self._skip("act", action.step)
        if action not in actions.admissible(scope, action.step):
            raise _RefusedError("action", f"action {value!r} does not hold")
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
            evidence=tuple((self._shown | self._cited).values()),
            actions=tuple(self._recommended),
            choices=len(self._candidates),
        )


def _whole(scope: Scope) -> list[str]:
    return [scope.cls, scope.severity, process_id(scope).lower()]


def verify(
    text: str,
    facts: Facts,
    short: bool = False,
    *,
    source: str = "model",
    model: str | None = None,
    scopes: Sequence[Scope] | None = None,
) -> Insight | Rejection:
    """Check a whole answer at once."""
    checker = Checker(facts, short, source=source, model=model, scopes=scopes)
    checker.feed(text)
    return checker.finish()
