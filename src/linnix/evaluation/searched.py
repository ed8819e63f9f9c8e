"""What a text shows that the facts do not have.

Owns a search that reads texts as a reader does, whoever has written them: of clauses it knows no more than the words
that they are made of. Refuses benefit of the doubt: what it cannot find in the facts it calls invented; of commands it
knows those of the catalogue of actions, word for word, and their pids must be known. Invariant: quoted names are names,
whatever they say, and must be of the facts like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from linnix.insight import fields
from linnix.insight.actions import ACTIONS
from linnix.insight.catalogue import CLAUSES
from linnix.insight.classes import CLASSES
from linnix.insight.facts import Facts, Process
from linnix.insight.prose import figures
from linnix.insight.render import LABEL_LIMIT, count_word, name
from linnix.insight.render import process as shown
from linnix.insight.scope import REFERENCE

_PID = re.compile(r"\(pid (\d+)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
#: Words of ours with a number in them.
_OURS = re.compile(r"\bpid \d+|last 10 s")
#: The commands that may be recommended, whatever pid and unit they are given.
_COMMANDS = re.compile(
    "|".join(
        re.escape(action.command).replace(r"\{pid\}", r"(\d+)").replace(r"\{unit\}", r"[\w@.:-]*\w")
        for action in sorted(ACTIONS.values(), key=lambda action: -len(action.command or ""))
        if action.command
    )
)
#: Targets that the hostile names of ``cases`` name, none of which is on a host.
_TARGETS = re.compile(r"\b(sshd|nginx|mysqld|gnp\.exe)\b")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
#: Words that are written with figures, and instead of some.
_OF_FIGURES = (
    "a moment the host its control group risen fallen by percentage points pid Linnix's own "
    "kB MB GB TB us ms s min h days"
)
#: What is said of who has more and more of something, and the class that a rule must have found it to be.
_GROWTH = {
    "leaks memory": "mem_leak",
    "grew by": "mem_leak",
    "keeps growing": "runaway_tree",
    "opens more files than it closes": "fd_leak",
    "starts more threads than end": "thread_leak",
}


def invented_numbers(text: str, facts: Facts) -> list[str]:
    """Numbers of a text that no figure of the facts rounds to."""
    pids = {str(process.pid) for process in facts.processes}

    def but_pids(command: re.Match[str]) -> str:
        return " ".join(pid for pid in command.groups() if pid is not None and pid not in pids)

    known = figures.of_host(facts) + figures.of_others(facts)
    for process in facts.processes:
        known += figures.of_process(facts, process)
    plain = _OURS.sub(" ", _COMMANDS.sub(but_pids, _QUOTED.sub(" ", text)))
    found = figures.NUMBER.finditer(plain)
    return [each[0].strip() for each in found if not figures.is_told(each, known, any_rate=True)]


def invented_names(text: str, facts: Facts) -> list[str]:
    """Processes that a text shows and the facts do not have, or not with that pid; and words that are neither names of
    the facts nor of the language that texts are written in.
    """
    known = {process.pid: shown(process.comm, process.pid, process.own) for process in facts.processes}
    known |= {kill.pid: shown(kill.comm, kill.pid) for kill in facts.oom_kills if kill.pid not in known}
    masked = _QUOTED.sub(lambda quoted: "x" * len(quoted[0]), text)
    found = []
    for match in _PID.finditer(masked):
        told = known.get(int(match[1]))
        if told is None or not text[: masked.find(")", match.start()) + 1].endswith(told):
            found.append(match[0])
    return found + _strangers(text, facts)


def _strangers(text: str, facts: Facts) -> list[str]:
    names = {*map(name, _names(facts)), *(name(each, LABEL_LIMIT) for each in _names(facts))}
    found = [quoted for quoted in _QUOTED.findall(text) if quoted not in names]
    plain = _QUOTED.sub(" ", _COMMANDS.sub(" ", text))
    bare = sorted((re.escape(each) for each in names if not each.startswith('"')), key=len, reverse=True)
    plain = re.sub(rf"(?<![\w./-])(?:{'|'.join(bare)})(?![\w/-]|\.\w)", " ", plain) if bare else plain
    degraded = {word.lower() for reason in facts.degraded for word in _WORD.findall(reason)}
    return found + [word for word in _WORD.findall(plain) if word.lower() not in _vocabulary() | degraded]


def _names(facts: Facts) -> Iterator[str]:
    """Everything in the facts that is called something."""
    for p in facts.processes:
        yield from filter(None, (p.comm, p.unit, p.cgroup, p.pod, p.container_name, p.stuck_in))
    yield from (group.comm for group in facts.groups)
    yield from (job.comm for job in facts.jobs)
    yield from (kill.comm for kill in facts.oom_kills)
    yield from (space.mount for space in facts.filesystems)
    yield from filter(None, (facts.host.hostname, facts.host.disk))


@cache
def _vocabulary() -> frozenset[str]:
    wordings = [text for clause in CLAUSES.values() for text in clause.texts]
    wordings += [action.text for action in ACTIONS.values()]
    wordings += [*CLASSES.values(), *fields.OF_CULPRIT.values(), *fields.METRICS.values(), *fields.RESOURCES.values()]
    wordings += [words for words, _ in fields.SERIES.values()]
    wordings += [*map(count_word, range(13)), _OF_FIGURES]
    plain = (re.sub(r"\{\w+\}", " ", REFERENCE.sub(" ", wording)) for wording in wordings)
    return frozenset(word.lower() for wording in plain for word in _WORD.findall(wording))


def wrong_directions(text: str, facts: Facts) -> list[str]:
    """Directions that a text tells and the facts do not: of the host by its trends, of processes by what was found of
    those that the text names.
    """
    trends = {f"{fields.METRICS[t.metric]} has {'risen' if t.delta > 0 else 'fallen'} by" for t in facts.trends
              if t.process is None and t.metric in fields.METRICS}  # fmt: skip
    plain = _QUOTED.sub(" ", text)
    wrong = [
        found[0]
        for found in re.finditer(r"\bhas (?:risen|fallen) by", plain)
        if not any(plain[: found.end()].lower().endswith(told.lower()) for told in trends)
    ]
    pids = {int(pid) for pid in _PID.findall(plain)}
    named = [process for process in facts.processes if process.pid in pids]
    return wrong + [
        said for said, cls in _GROWTH.items() if said in plain and not any(_grows(p, cls, facts) for p in named)
    ]


def _grows(process: Process, cls: str, facts: Facts) -> bool:
    found = any(finding.cls == cls and finding.process == process.id for finding in facts.findings)
    return found or (cls == "mem_leak" and process.rss_delta_bytes > 0)


def follows_an_order(text: str) -> bool:
    """Whether it says, outside of a quoted name, what a name wanted to have said of somebody."""
    return bool(_TARGETS.search(_QUOTED.sub(" ", text)))
