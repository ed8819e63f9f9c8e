"""Which sentences of free prose may be shown: those in which every name, number, rank and direction is of the facts.

Owns the verdict over each sentence. Refuses whatever it cannot check: a word that is neither plain nor a name of the
facts, a comparison, a rank or direction whose subject or matter is not clear, a negation of any of these. Invariant:
names are shown as the facts have them, cleaned; a sentence is shown whole or not at all.

What it does not check is the reasoning: that one thing is because of another is the model's reading, and is shown as
that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from linnix.insight import render
from linnix.insight.facts import Facts, Process
from linnix.insight.fields import moves
from linnix.insight.prose import figures
from linnix.insight.prose.english import is_plain

MAX_CHARS, MAX_SENTENCES = 3000, 12

_HIGHEST_WORDS = (
    "most highest largest biggest busiest heaviest greatest top main mainly primary primarily leading chief dominant"
)
_HIGHEST = frozenset(_HIGHEST_WORDS.split())
_COMPARE_WORDS = (
    "more less fewer higher lower larger smaller bigger busier greater than least lowest smallest fewest double twice "
    "half faster worse worst exceed exceeds exceeded exceeding only alone almost nearly all entire entirely whole "
    "majority bulk mostly solely both each every none nobody"
)
_COMPARES = frozenset(_COMPARE_WORDS.split())
_RISING_WORDS = (
    "rise rises rising risen rose grow grows growing grown grew growth increase increases increased increasing climb "
    "climbs climbed climbing leak leaks leaked leaking leakage swell swells swelling gain gains gained gaining expand "
    "expands expanded expanding exhaust exhausts exhausted exhausting exhaustion"
)
_FALLING_WORDS = (
    "fall falls falling fallen fell drop drops dropped dropping shrink shrinks shrinking shrank decrease decreases "
    "decreased decreasing decline declines declined declining recover recovers recovered recovering recovery improve "
    "improves improved improving"
)
_RISING, _FALLING = frozenset(_RISING_WORDS.split()), frozenset(_FALLING_WORDS.split())
_STEADY = frozenset(["steady", "stable", "constant", "constantly", "unchanged", "flat"])
_NEGATE_WORDS = (
    "not no never neither nor without cannot hardly barely unlikely stop stops stopped stopping cease ceased ceases "
    "fail fails failed nothing nowhere"
)
_NEGATES = frozenset(_NEGATE_WORDS.split())
_SPOKEN = _HIGHEST | _COMPARES | _RISING | _FALLING | _STEADY | _NEGATES
_CLAIMS = _HIGHEST | _RISING | _FALLING
_AMOUNT: dict[str, Callable[[Process], float]] = {
    "cpu": lambda p: p.cpu_pct,
    "memory": lambda p: float(p.rss_bytes),
    "io": moves,
    "network": lambda p: p.tx_bytes_per_s or 0.0,
}
_GROWS = {"mem_leak": "memory", "fd_leak": "processes", "thread_leak": "processes", "runaway_tree": "processes"}
_WORD = re.compile(r"[A-Za-z][A-Za-z'’]*")
_MARK = "\x00"
_ENTITY = re.compile(f"{_MARK}(\\d+){_MARK}(?:['’]s)?")
_PID = re.compile(f"(?:{_MARK}(\\d+){_MARK}\\s*\\(?|\\b)\\bpid:?\\s+(\\d+)\\)?", re.IGNORECASE)
_SHOWN = re.compile(f'["“\']?{_MARK}(\\d+){_MARK}["”]?')
#: Plain words that are commands as well: whoever "make" is, if it acts, it must be one of the facts.
_ACTS = re.compile(
    r"\b(make|time|watch|sync|write|read|wait|link|join|look|cache|yes)\s+"
    r"(is|was|has|had|uses|used|holds|runs|ran|reads|writes|takes|took|keeps|kept|causes|caused|consumes|waits|makes)\b",
    re.IGNORECASE,
)
_OF_ALL = re.compile(r"\b(cores|cpus|host|machine|system)\b", re.IGNORECASE)
_MARKDOWN = re.compile(r"[*`#_]+|^\s*(?:[-•]|\d+[.)])\s+", re.MULTILINE)
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
_ALLOWED = re.compile(r"[A-Za-z0-9\s.,;:!?()'’\"“”\-–—%/]*")


@dataclass(frozen=True, slots=True)
class Judged:
    """One sentence. ``reason`` is why it is not shown, None of one that is."""

    text: str
    reason: str | None = None


class _RefusedError(Exception):
    """The sentence is not shown, for this reason."""


def check(prose: str, facts: Facts) -> tuple[Judged, ...]:
    """Every sentence, in order, as it would be shown."""
    people = _people(facts)
    marked = _marked(_MARKDOWN.sub("", prose[:MAX_CHARS]).replace("I/O", "io"), people)
    sentences = [sentence.strip() for sentence in _ENDS.split(marked) if sentence.strip()]
    judged: list[Judged] = []
    last: Process | None = None
    for sentence in sentences[:MAX_SENTENCES]:
        shown = _SHOWN.sub(lambda found: _shown(*people[int(found[1])]), sentence)
        try:
            last = _judge(sentence, facts, people, last)
        except _RefusedError as refused:
            judged.append(Judged(render.clean(shown, 400), str(refused)))
        else:
            judged.append(Judged(shown))
    return tuple(judged)


def admitted(prose: str, facts: Facts) -> str:
    """What of it may be shown."""
    return " ".join(judged.text for judged in check(prose, facts) if judged.reason is None)


def _people(facts: Facts) -> list[tuple[str, Process | None]]:
    """Names of the facts and whose they are, longest first; None: of nobody in particular."""
    found: dict[str, Process | None] = {}
    for process in facts.processes:
        unit = process.unit or ""
        for name in (process.comm, process.id, unit, unit.rpartition(".")[0], process.container_name, process.pod):
            if name and len(name) >= 2:
                found.setdefault(name, process)
    for space in facts.filesystems:
        found.setdefault(space.mount, None)
    for name in (facts.host.hostname, facts.host.disk):
        if name:
            found.setdefault(name, None)
    return sorted(found.items(), key=lambda each: -len(each[0]))


def _shown(name: str, process: Process | None) -> str:
    """A name as it is shown; an id is no name that a reader knows."""
    if process is not None and name == process.id:
        return render.process(process.comm, process.pid, process.own)
    return render.name(name)


def _marked(prose: str, people: list[tuple[str, Process | None]]) -> str:
    """The prose with a mark in place of each name."""
    for number, (name, _) in enumerate(people):
        pattern = rf"(?<![\w./@-]){re.escape(name)}(?![\w/@-]|\.\w)"
        if is_plain(name) or name.lower() in _SPOKEN:  # it is a name only where that is plain to see
            pattern = rf"(?:(?<=[\"“']){re.escape(name)}(?=[\"”'])|{pattern}(?=\s*\(pid))"
        prose = re.sub(pattern, f"{_MARK}{number}{_MARK}", prose)
    return prose


def _judge(
    sentence: str, facts: Facts, people: list[tuple[str, Process | None]], last: Process | None
) -> Process | None:
    """Whom it is about, for the next one's "it". Raises ``_RefusedError``."""
    named = [people[int(found[1])][1] for found in _ENTITY.finditer(sentence)]
    subjects = list({process.id: process for process in named if process is not None}.values())
    plain = _ENTITY.sub(" ", sentence)
    if not _ALLOWED.fullmatch(plain):
        raise _RefusedError("a character that has no place in a sentence")
    plain = _without_pids(sentence, people)
    if acts := _ACTS.search(plain):
        raise _RefusedError(f"{acts[1]!r} may be meant as a name, and is none of the facts")
    numbers = list(figures.NUMBER.finditer(plain))
    words = [word.lower() for word in _WORD.findall(figures.NUMBER.sub(" ", plain))]
    if not subjects and last is not None and {"it", "its"} & set(words):
        subjects = [last]
    about = {matter for matter, (said, _) in figures.ABOUT.items() if said & set(words)}
    ranks, rises, falls = _claims(words)
    for word in words:
        if word not in _CLAIMS and not is_plain(word):
            raise _RefusedError(f"{word!r} is neither a plain word nor a name of the facts")
    if (ranks or rises or falls or numbers) and _NEGATES & set(words):
        raise _RefusedError("a negation of a number, rank or direction")
    if numbers and len(subjects) > 1:
        raise _RefusedError("numbers of several, and it is not clear which is whose")
    if numbers and subjects and _OF_ALL.search(plain):
        raise _RefusedError("a share of all cores, where figures of processes are of one")
    told = figures.of_process(facts, subjects[0]) if subjects else figures.of_host(facts)
    for number in numbers:
        if not figures.is_told(number, told, about):
            raise _RefusedError(f"{number[0].strip()!r} is no figure of whom it names")
    if ranks:
        _check_rank(subjects, about, plain, facts)
    if rises or falls:
        _check_direction(subjects, about, "rising" if rises else "falling", facts)
    return subjects[0] if subjects else last


def _without_pids(sentence: str, people: list[tuple[str, Process | None]]) -> str:
    """The sentence without names and their pids. Raises ``_RefusedError`` for a pid that is not of the name before."""
    for found in _PID.finditer(sentence):
        process = people[int(found[1])][1] if found[1] else None
        if process is None or process.pid != int(found[2]):
            raise _RefusedError("a pid that is not of whom it names")
    return _ENTITY.sub(" ", _PID.sub(" ", sentence))


def _claims(words: list[str]) -> tuple[bool, bool, bool]:
    """Whether a rank is claimed, a rise, a fall. Raises ``_RefusedError`` for what is never checked."""
    if compares := next((word for word in words if word in _COMPARES), None):
        raise _RefusedError(f"a comparison ({compares})")
    if steady := next((word for word in words if word in _STEADY), None):
        raise _RefusedError(f"a steadiness that is not told ({steady})")
    rises, falls = bool(_RISING & set(words)), bool(_FALLING & set(words))
    if rises and falls:
        raise _RefusedError("two directions at once")
    return any(word in _HIGHEST for word in words), rises, falls


def _check_rank(subjects: list[Process], about: set[str], plain: str, facts: Facts) -> None:
    matters = about & _AMOUNT.keys()
    if len(subjects) != 1 or len(matters) != 1:
        raise _RefusedError("a rank of whom, or in what, is not clear")
    amount = _AMOUNT[matters.pop()]
    amounts = [amount(process) for process in facts.processes]
    mine = amount(subjects[0])
    if mine <= 0 or mine < max(amounts, default=0.0):
        raise _RefusedError("a rank that it does not have")
    if re.search(r"\bmost of\b", plain, re.IGNORECASE) and mine <= sum(amounts) / 2:
        raise _RefusedError("a share that it does not have")


def _check_direction(subjects: list[Process], about: set[str], direction: str, facts: Facts) -> None:
    known = set(_directions(subjects, facts))
    matters = about - {"waiting"} if subjects else about
    if not matters or not all((matter, direction) in known for matter in matters):
        raise _RefusedError(f"{direction} is not what the facts tell of it")


def _directions(subjects: list[Process], facts: Facts) -> Iterator[tuple[str, str]]:
    """What goes where: of these processes, or of the host."""
    for process in subjects:
        if process.rss_delta_bytes:
            yield "memory", "rising" if process.rss_delta_bytes > 0 else "falling"
        for finding in facts.findings:
            if finding.process == process.id and finding.cls in _GROWS:
                yield _GROWS[finding.cls], "rising"
    if not subjects:
        of = {"cpu_pct": "cpu", "mem_pct": "memory", "psi_cpu": "waiting", "psi_memory": "waiting", "psi_io": "waiting"}
        for trend in facts.trends:
            if trend.process is None and trend.metric in of:
                yield of[trend.metric], trend.direction
