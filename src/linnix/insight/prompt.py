"""What a model is asked: a fixed system text, and the facts in integers.

Owns the wording of the prompt. Refuses every string that a process chose: no name, argument, path or unit is in a
prompt, only ids, so that a process cannot talk to the model. Invariants: the system message is byte-identical in every
request (its evaluation is cached); equal facts make equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from linnix.insight import grammar, menu
from linnix.insight.classes import CLASSES, SEVERITIES
from linnix.insight.facts import Facts, Process
from linnix.insight.menu import Choice, Part
from linnix.insight.scope import busiest_first

MAX_PROCESSES, MAX_PROCESSES_SHORT, MAX_FINDINGS = 5, 3, 3
MAX_TOKENS, MAX_TOKENS_SHORT = 72, 28

SYSTEM = """\
You explain the state of a Linux host. You get its figures and a menu of answers that hold.
S is the host: cpu and mem in percent, load, cores, psi = percent of time waiting, births a second.
P1, P2 are processes: cpu in percent of one core, mem in percent, grow in MB, threads, age in seconds, forks a second.
F are findings of rules. Each menu line offers a class, a process, and one of several words for each place.
Pick the line that tells most about the trouble, then one word for each place; [places in brackets] may be left out.
Answer in exactly these lines and nothing else:
cls=CLASS proc=PROCESS
why=WORD,WORD,WORD
act=WORD,WORD
A short menu has no act line. Example:
cls=cpu_spin proc=P1
why=loops,share,wait_cpu,pair,overload
act=threads,nice
"""


class Message(msgspec.Struct, frozen=True):
    """One chat message, as an OpenAI-compatible endpoint takes it."""

    role: str
    content: str


class Prompt(msgspec.Struct, frozen=True):
    """A request but for the model. ``grammar_gbnf`` goes into llama.cpp's ``grammar``; other servers ignore it."""

    messages: tuple[Message, ...]
    grammar_gbnf: str
    grammar_lark: str
    max_tokens: int


def _host(facts: Facts) -> str:
    host, psi, births = facts.host, facts.pressure, facts.activity
    waits = (("cpu", psi.cpu_some_pct), ("mem", psi.memory_some_pct), ("io", psi.io_some_pct))
    pressure = " ".join(f"psi_{name}={'?' if value is None else round(value)}" for name, value in waits)
    return (
        f"S cpu={round(host.cpu_pct)} mem={round(host.mem_pct)} load={round(host.load_avg[0])} cores={host.cores} "
        f"{pressure} forks={round(births.forks_per_s)} short={round(births.short_jobs_per_s)}"
    )


def _process(p: Process) -> str:
    return (
        f"{p.id} cpu={round(p.cpu_pct)} mem={round(p.mem_pct)} grow={round(p.rss_delta_bytes / 1e6)} "
        f"threads={p.threads} age={round(p.age_s)} forks={round(p.forks_per_s)}" + (" own" if p.own else "")
    )


def _part(part: Part) -> str:
    words = "|".join(part.options)
    return f"[{words}]" if part.optional else words


def _line(choice: Choice) -> str:
    why = f"{choice.cls} {choice.process} why " + " ".join(_part(p) for p in choice.why)
    return why + (" act " + " ".join(_part(p) for p in choice.acts) if choice.acts else "")


def _listed(facts: Facts, offered: Sequence[Choice], most: int) -> list[Process]:
    """The processes on offer, then the busiest, in the order of Facts."""
    wanted = [c.process for c in offered] + [p.id for p in busiest_first(facts)]
    kept = set(list(dict.fromkeys(w for w in wanted if w != "none"))[:most])
    return [p for p in facts.processes if p.id in kept]


def _user(facts: Facts, offered: Sequence[Choice], short: bool) -> str:
    lines = [_host(facts)]
    lines += [_process(p) for p in _listed(facts, offered, MAX_PROCESSES_SHORT if short else MAX_PROCESSES)]
    ids = {p.id for p in facts.processes}
    known = [f for f in facts.findings if f.cls in CLASSES and f.severity in SEVERITIES]
    for n, f in enumerate(known[:MAX_FINDINGS], 1):
        lines.append(f"F{n} {f.cls} {f.severity}" + (f" {f.process}" if f.process in ids else ""))
    lines.append("Short menu:" if short else "Menu:")
    return "\n".join([*lines, *map(_line, offered)])


def build(facts: Facts, short: bool = False) -> Prompt:
    """The request for these facts."""
    offered = menu.build(facts, short)
    return Prompt(
        messages=(Message("system", SYSTEM), Message("user", _user(facts, offered, short))),
        grammar_gbnf=grammar.gbnf(offered),
        grammar_lark=grammar.lark(offered),
        max_tokens=MAX_TOKENS_SHORT if short else MAX_TOKENS,
    )
