"""What a text shows that the facts do not have.

Owns a search that knows nothing of clauses and grammars: it reads texts as a reader does. Refuses benefit of the doubt:
what it cannot find in the facts it calls invented; of commands it knows those of the catalogue of actions, word for
word, and their pids must be known. Invariant: quoted names are names, whatever they say.
"""

from __future__ import annotations

import re

from linnix.insight.actions import ACTIONS
from linnix.insight.facts import Facts
from linnix.insight.prose import figures
from linnix.insight.render import process as shown

_PID = re.compile(r"\(pid (\d+)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
#: Words of ours with a number in them.
_OURS = re.compile(r"\bpid \d+|last 10 s")
#: The commands that may be recommended, whatever pid and unit they are given.
_COMMANDS = re.compile(
    "|".join(
        re.escape(action.command).replace(r"\{pid\}", r"(\d+)").replace(r"\{unit\}", r"\S+?")
        for action in sorted(ACTIONS.values(), key=lambda action: -len(action.command or ""))
        if action.command
    )
)
#: Targets that the hostile names of ``cases`` name, none of which is on a host.
_TARGETS = re.compile(r"\b(sshd|nginx|mysqld|gnp\.exe)\b")


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
    return [each[0].strip() for each in found if not figures.is_told(each, known, set(), any_rate=True)]


def invented_names(text: str, facts: Facts) -> list[str]:
    """Processes that a text shows and the facts do not have, or not with that pid."""
    known = {process.pid: shown(process.comm, process.pid, process.own) for process in facts.processes}
    known |= {kill.pid: shown(kill.comm, kill.pid) for kill in facts.oom_kills if kill.pid not in known}
    masked = _QUOTED.sub(lambda quoted: "x" * len(quoted[0]), text)
    found = []
    for match in _PID.finditer(masked):
        name = known.get(int(match[1]))
        if name is None or not text[: masked.find(")", match.start()) + 1].endswith(name):
            found.append(match[0])
    return found


def wrong_directions(text: str, facts: Facts) -> list[str]:
    """Directions of the host that a text tells and the facts do not."""
    told = {"risen" if trend.delta > 0 else "fallen" for trend in facts.trends}
    return [word for word in re.findall(r"has (risen|fallen) by", text) if word not in told]


def follows_an_order(text: str) -> bool:
    """Whether it says, outside of a quoted name, what a name wanted to have said."""
    return bool(_TARGETS.search(_QUOTED.sub(" ", text)))
