"""Which sentences of free prose may be shown: those in which every name, number, rank and direction is of the facts.

Owns the verdict over each sentence. Refuses whatever it cannot check: a word that is neither plain nor a name of the
facts, a comparison, a claim of which it is not clear whose it is or in what, a negation of any claim. Invariant: names
are shown as the facts have them, cleaned; a sentence is shown whole or not at all.

What it does not check is the reasoning: that one thing is because of another is the model's reading, and is shown as
that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from linnix.insight import render
from linnix.insight.facts import Facts, Filesystem, Process
from linnix.insight.prose import claims, clauses, figures, matters, standing
from linnix.insight.prose.claims import RefusedError
from linnix.insight.prose.clauses import ENTITY, MARK, WORD, Clause, Entity, Whom
from linnix.insight.prose.english import is_plain
from linnix.insight.prose.topics import Tags, tags_of

MAX_CHARS, MAX_SENTENCES = 3000, 12

_PID = re.compile(f"(?:{MARK}(\\d+){MARK}\\s*\\(?|\\b)\\bpid:?\\s+(\\d+)(, Linnix['’]s own)?\\)?", re.IGNORECASE)
_SHOWN = re.compile(f'["“\']?{MARK}(\\d+){MARK}["”]?')
#: Plain words that are commands as well: whoever "make" is, if it acts, it must be one of the facts.
_ACTS = re.compile(
    r"\b(make|time|watch|sync|write|read|wait|link|join|look|cache|yes)\s+"
    r"(is|was|has|had|uses|used|holds|runs|ran|reads|writes|takes|took|keeps|kept|causes|caused|consumes|waits|makes)\b",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"[*`#]+|(?<!\w)_+|_+(?!\w)|^\s*(?:[-•]|\d+[.)])\s+", re.MULTILINE)
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
#: A line that does not end a sentence.
_GOES_ON = re.compile(r"\s*\n\s*(?=[a-z])")
_ALLOWED = re.compile(r"[A-Za-z0-9\s.,;:!?()'’\"“”\-–—%/]*")

People = Sequence[tuple[str, Entity]]


@dataclass(frozen=True, slots=True)
class Judged:
    """One sentence. ``reason`` is why it is not shown, None of one that is."""

    text: str
    reason: str | None = None


def check(prose: str, facts: Facts) -> tuple[Judged, ...]:
    """Every sentence, in order, as it would be shown."""
    people = _people(facts)
    text = prose[:MAX_CHARS].replace(MARK, "\ufffd")
    text = _MARKDOWN.sub("", text).replace("I/O", "io").replace("file system", "filesystem")
    text = _GOES_ON.sub(" ", text)
    sentences = [" ".join(sentence.split()) for sentence in _ENDS.split(_marked(text, people)) if sentence.strip()]
    judged: list[Judged] = []
    last: Process | None = None
    for sentence in sentences[:MAX_SENTENCES]:
        shown = _SHOWN.sub(lambda found: _shown(*people[int(found[1])]), sentence)
        try:
            last = _judge(sentence, facts, people, last)
        except RefusedError as refused:
            judged.append(Judged(render.clean(shown, 400), str(refused)))
        else:
            judged.append(Judged(shown))
    return tuple(judged)


def admitted(prose: str, facts: Facts) -> str:
    """What of it may be shown."""
    return " ".join(judged.text for judged in check(prose, facts) if judged.reason is None)


def _people(facts: Facts) -> list[tuple[str, Entity]]:
    """Names of the facts and whose they are, longest first; None: the host's own."""
    found: dict[str, Entity] = {}
    for process in facts.processes:
        unit = process.unit or ""
        for name in (process.comm, process.id, unit, unit.rpartition(".")[0], process.container_name, process.pod):
            if name and len(name) >= 2:
                found.setdefault(name, process)
    for space in facts.filesystems:
        found.setdefault(space.mount, space)
    for own in (facts.host.hostname, facts.host.disk):
        if own:
            found.setdefault(own, None)
    return sorted(found.items(), key=lambda each: -len(each[0]))


def _shown(name: str, entity: Entity) -> str:
    """A name as it is shown; an id is no name that a reader knows."""
    if isinstance(entity, Process) and name == entity.id:
        return render.process(entity.comm, entity.pid, entity.own)
    return render.name(name)


def _marked(prose: str, people: People) -> str:
    """The prose with a mark in place of each name."""
    for number, (name, _) in enumerate(people):
        pattern = rf"(?<![\w./@-]){re.escape(name)}(?![\w/@-]|\.\w)"
        if is_plain(name) or name.lower() in claims.SPOKEN or not any(char.isalpha() for char in name):
            # It is a name only where that is plain to see.
            pattern = rf"(?:(?<=[\"“']){re.escape(name)}(?=[\"”'])|{pattern}(?=\s*\(pid))"
        prose = re.sub(pattern, f"{MARK}{number}{MARK}", prose)
    return prose


def _judge(sentence: str, facts: Facts, people: People, last: Process | None) -> Process | None:
    """Whom it is about, for the next one's "it". Raises ``RefusedError``."""
    if not _ALLOWED.fullmatch(ENTITY.sub(" ", sentence)):
        raise RefusedError("a character that has no place in a sentence")
    sentence = _without_pids(sentence, people)
    plain = ENTITY.sub(" ", sentence)
    if acts := _ACTS.search(plain):
        raise RefusedError(f"{acts[1]!r} may be meant as a name, and is none of the facts")
    numbers = figures.NUMBER.sub(" ", plain)
    if digit := re.search(r"\S*\d\S*", numbers):
        raise RefusedError(f"{digit[0]!r} is no number that can be checked")
    words = [word.lower() for word in WORD.findall(claims.plain(numbers))]
    claimed = claims.read(plain, words)
    for word in words:
        if word not in claims.CHECKED and not is_plain(word):
            raise RefusedError(f"{word!r} is neither a plain word nor a name of the facts")
    if (claimed.any or figures.NUMBER.search(plain)) and (negates := claims.negation(plain, words)):
        raise RefusedError(f"a negation of a number, rank or direction ({negates})")
    words_too = {name.lower() for name, _ in people if is_plain(name)}
    parts = clauses.split(sentence, people, last, words_too)
    _check_numbers(parts, people, facts)
    if claimed.any:
        _check_claims(claimed, parts, people, facts)
    return _about(parts, last)


def _without_pids(sentence: str, people: People) -> str:
    """The sentence without pids. Raises ``RefusedError`` for one that is not of the name before."""
    for found in _PID.finditer(sentence):
        whose = people[int(found[1])][1] if found[1] else None
        if not isinstance(whose, Process) or whose.pid != int(found[2]) or (found[3] and not whose.own):
            raise RefusedError("a pid that is not of whom it names")
    return _PID.sub(lambda found: f"{MARK}{found[1]}{MARK} ", sentence)


def _tags(clause: Clause, people: People, facts: Facts) -> Tags:
    """What a clause is about; a disk that it names is one, and what goes up has changed."""
    plain = claims.plain(figures.NUMBER.sub(" ", ENTITY.sub(" ", clause.text)))
    named = {people[int(found[1])][0] for found in ENTITY.finditer(clause.text)}
    disk = frozenset(["disk"] if facts.host.disk in named else []) | frozenset(
        ["change"] if claims.moves(plain) else []
    )
    return tags_of([word.lower() for word in WORD.findall(plain)]) | disk


def _check_numbers(parts: Sequence[Clause], people: People, facts: Facts) -> None:
    before: Clause | None = None
    about: Tags = frozenset()
    for clause in parts:
        tags = _tags(clause, people, facts)
        if not tags and before is not None and clause.subject == before.subject:
            tags = about
        text = ENTITY.sub(" ", clause.text)
        for number in figures.NUMBER.finditer(text):
            if clause.subject is Whom.UNCLEAR:
                raise RefusedError(f"{number[0].strip()!r} of whom is not clear")
            if clause.subject is not Whom.HOST and clauses.of_all(text):
                raise RefusedError("a share of all cores, where figures of processes are of one")
            if not matters.is_told(number, text, tags, _told(clause, facts)):
                raise RefusedError(f"{number[0].strip()!r} is no figure of whom it names")
        before, about = clause, tags


def _told(clause: Clause, facts: Facts) -> list[matters.Told]:
    match clause.subject:
        case Process():
            return matters.of_process(facts, clause.subject)
        case Filesystem():
            return matters.of_filesystem(clause.subject)
        case _:
            return matters.of_host(facts)


def _check_claims(claimed: claims.Claims, parts: Sequence[Clause], people: People, facts: Facts) -> None:
    """A rank, a direction: of one, in one thing, all over the sentence."""
    whom = {
        id(each.subject): each.subject for each in parts if each.named or each.subject is not Whom.HOST or _says(each)
    }
    subjects = list(whom.values()) or [Whom.HOST]
    about = frozenset[str]().union(*(_tags(clause, people, facts) for clause in parts))
    if claimed.ranks:
        standing.check_rank(subjects, about, " ".join(clause.text for clause in parts), facts)
    if claimed.direction is not None:
        standing.check_direction(subjects, about, claimed.direction, facts)


def _says(clause: Clause) -> bool:
    """Whether it has a word of a rank or direction."""
    return bool(claims.CHECKED & {word.lower() for word in WORD.findall(clause.text)})


def _about(parts: Sequence[Clause], last: Process | None) -> Process | None:
    """Whom "it" is after this sentence: of several it could be any, of the host nobody."""
    named = {id(clause.subject): clause.subject for clause in parts if clause.named}
    if not named:
        return last if any(clause.subject is last for clause in parts) else None
    one = next(iter(named.values())) if len(named) == 1 else None
    return one if isinstance(one, Process) else None
