"""A question in a person's words, and which causes the facts have to answer it with.

Owns the reading: whom it names, and which resource it is about. Refuses to understand more than that: what it does not
find in the facts it says it did not find. Invariants: the words of a question never reach a prompt, only ids and
resources do; what is asked of is answered with the same clauses, under the same checks, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from linnix.insight import render
from linnix.insight.answer import Insight, Sentence
from linnix.insight.facts import Facts, Process
from linnix.insight.judge import candidates, found_as
from linnix.insight.prose.english import is_plain
from linnix.insight.scope import Scope, busiest_first, is_known, unaccused

MAX_CHARS = 500
MAX_PROCESSES = 3

#: Words by which a resource is asked for.
_RESOURCES = {
    "cpu": "cpu core cores processor processors busy busiest load hot fan compute computing",
    "memory": "memory ram swap swapping leak leaking leaks oom heap",
    "io": "disk disks io storage write writes writing read reads reading fsync ssd stuck hung hangs hanging",
    "disk": "disk disks filesystem full space",
    "network": "network net traffic packets socket sockets connection connections bandwidth sends sending",
    "processes": "fork forks forking processes spawning spawns crash crashes crashing zombie zombies restart restarts "
    "threads",
    "files": "files descriptors fds handles",
    "locks": "lock locks locked contention deadlock threads stuck hung hangs hanging",
}
#: How a resource is called in an answer.
_CALLED = {
    "cpu": "CPU time",
    "memory": "memory",
    "io": "storage",
    "disk": "file systems",
    "network": "the network",
    "processes": "processes that start, fail or die",
    "files": "open files",
    "locks": "locks",
}
#: From so many letters on the beginning of a name is enough.
_LEAST_PREFIX = 3
_AMOUNTS: dict[str, Callable[[Process], float]] = {"cpu": lambda p: p.cpu_pct, "memory": lambda p: p.rss_bytes}
_OF_WORD: dict[str, list[str]] = {}
for _resource, _words in _RESOURCES.items():
    for _word in _words.split():
        _OF_WORD.setdefault(_word, []).append(_resource)
#: Words that name nobody.
_PLAIN_WORDS = (
    "a about after all am an and any anything are as at be because been before being but by can cause caused "
    "causes causing could culprit did do does doing down eat eating eats every everything explain for from get "
    "gets getting go going good had happen happened happening happens has have he help here high host how i if in "
    "into is it its just keep keeps know late lately likely long look machine make makes making many may me more "
    "most much my need needs new no not now of off ok okay on one or our out over own please problem problems "
    "process program programs really responsible right run running runs say server service services she should "
    "show slow slower slowly so some somebody someone something still stop such system take takes taking tell "
    "than that the their them then there these they thing things this those time to today too trouble unit up us "
    "use used uses using very wait waiting waits was we well were what when where which while who whole whom "
    "whose why will with work working works would wrong you your computer laptop pc box app website lag laggy lagging "
    "sluggish frozen freezing"
)
_PLAIN = frozenset(_PLAIN_WORDS.split())
#: Of a question about the host as such, one of these is enough.
_WHOLE = frozenset(
    ["slow", "slower", "slowly", "wrong", "trouble", "problem", "problems", "host", "machine", "system", "computer"]
) | {"laptop", "box"}
_WORD = re.compile(r"[^\s,;:!?()\"'`<>]+")
_SHORTENED = re.compile(r"n?['’](?:t|s|ll|re|ve|d|m)\b", re.IGNORECASE)
_NAME = re.compile(r"[a-z_][\w.@:/+-]{2,}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was understood. ``strangers``: words that look like names of somebody whom the facts do not list."""

    processes: tuple[Process, ...]
    resources: tuple[str, ...]
    strangers: tuple[str, ...]
    whole: bool  # of the host as such

    @property
    def understood(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.processes or self.resources or self.whole)


def read(question: str, facts: Facts) -> Asked:
    """What the question is about."""
    asked = _SHORTENED.sub("", question[:MAX_CHARS])
    words = [word for found in _WORD.findall(asked) if (word := found.strip(".").lower())]
    numbers = not any(word in _OF_WORD for word in words)  # "why are 8 cores busy" is about nobody's pid
    named: list[Process] = []
    strangers: list[str] = []
    resources: list[str] = []
    before = ""
    for word in words:
        if word in _OF_WORD:
            resources += _OF_WORD[word]
        elif word not in _PLAIN and (numbers or before == "pid" or not word.isdigit()):
            found = _called(word, facts)
            named += found
            if not found and (_is_name(word) or before == "pid"):
                strangers.append(word)
        before = word
    if not (named or strangers or resources):  # a name may be a word like any other
        named = [process for process in facts.processes if process.comm.lower() in words]
    return Asked(
        tuple(dict.fromkeys(named))[:MAX_PROCESSES],
        tuple(dict.fromkeys(resources)),
        tuple(dict.fromkeys(strangers)),
        any(word in _WHOLE for word in words),
    )


def answers(asked: Asked, facts: Facts) -> tuple[Scope, ...]:
    """The causes to answer with, likeliest first; none where the facts do not tell."""
    if asked.processes:
        return _unlike([scope for process in asked.processes for scope in _about(facts, process)])
    if asked.strangers:
        return ()
    found = _unlike(list(_of_resources(facts, asked.resources)))
    # Whatever else is wrong may be what makes somebody ask.
    wrong = any(is_known(finding) and finding.severity != "info" for finding in facts.findings)
    return found or (candidates(facts) if asked.whole or (asked.resources and wrong) else ())


def _called(word: str, facts: Facts) -> list[Process]:
    """Whose name it is, or else the beginning of whose: nobody says redis-server."""
    exactly = [process for process in facts.processes if word in _names(process)]
    if exactly or len(word) < _LEAST_PREFIX or is_plain(word):
        return exactly
    return [process for process in facts.processes if any(name.startswith(word) for name in _names(process, pid=False))]


def _is_name(word: str) -> bool:
    """Whether it could be what somebody is called: not the rest of a word like "what's", and no number."""
    return _NAME.fullmatch(word) is not None and not is_plain(word)


def _names(process: Process, *, pid: bool = True) -> set[str]:
    """By which words it may be meant, in lower case."""
    unit = process.unit or ""
    pod = (process.pod or "").rpartition("/")[2]
    names = {process.comm, unit, unit.rpartition(".")[0], process.container_name or "", pod}
    return {name.lower() for name in names if name} | ({str(process.pid)} if pid else set())


def _about(facts: Facts, process: Process) -> Iterator[Scope]:
    """What it did, what is done to it, and how it is."""
    found = [f for f in facts.findings if is_known(f) and (f.process == process.id or process.id in f.victims)]
    yield from (found_as(facts, finding) for finding in found)
    if not any(finding.process == process.id and finding.severity != "info" for finding in found):
        yield Scope(facts, "normal", process, "info", asked=True)


def _of_resources(facts: Facts, resources: tuple[str, ...]) -> Iterator[Scope]:
    for finding in facts.findings:
        if is_known(finding) and finding.resource in resources:
            yield found_as(facts, finding)
    for resource, amount in _AMOUNTS.items():
        largest = max(busiest_first(facts), key=amount, default=None) if resource in resources else None
        if largest is not None and any(f.process == largest.id and f.severity != "info" for f in facts.findings):
            yield from _about(facts, largest)  # who has most of it is accused of something else
    yield from (scope for scope in candidates(facts) if scope.finding is None and _resource_of(scope) in resources)
    others = unaccused(facts)
    if others and "cpu" in resources:
        yield Scope(facts, "cpu_saturation", max(others, key=lambda p: p.cpu_pct), "info")
    if others and "memory" in resources:
        yield Scope(facts, "oom_risk", max(others, key=lambda p: p.rss_bytes), "info")


def _resource_of(scope: Scope) -> str | None:
    return {"cpu_saturation": "cpu", "oom_risk": "memory", "io_saturation": "io", "net_flood": "network"}.get(scope.cls)


def _unlike(scopes: list[Scope]) -> tuple[Scope, ...]:
    kept: dict[tuple[str, str | None], Scope] = {}
    for scope in scopes:
        kept.setdefault((scope.cls, scope.process.id if scope.process else None), scope)
    return tuple(kept.values())[:4]


def untold(asked: Asked, facts: Facts) -> Insight:
    """What is said where the facts do not tell."""
    if asked.strangers:
        names = " or ".join(render.name(word) for word in asked.strangers[:MAX_PROCESSES])
        text = f"The facts do not tell: no process, unit, container or pod among those listed is called {names}."
    elif asked.resources:
        words = " or ".join(_CALLED[resource] for resource in asked.resources)
        text = f"No rule has found anything about {words}, and no process stands out in that."
        if facts.degraded:
            text += " But Linnix does not see all of this host."
    else:
        text = (
            "The facts do not tell that. They tell of CPU, memory, storage, network, processes, files and locks, and "
            "of each process that stands out in one of these."
        )
    said = Sentence("untold", "cause", text)
    return Insight(source="rules", cls="unknown", severity="info", sentences=(said,), text=text, short=text, choices=0)
