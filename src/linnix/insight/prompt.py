"""What a model is asked: a fixed system text, and the facts in integers.

Owns the wording of the prompt. Refuses every string that a process chose: no name, argument, path or unit is in a
prompt, only ids, so that a process cannot talk to the model. Invariants: the system message is byte-identical in every
request (its evaluation is cached); equal facts make equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from linnix.insight import grammar, menu
from linnix.insight.evidence import brief
from linnix.insight.facts import Facts, Process
from linnix.insight.fields import METRICS, SERIES
from linnix.insight.menu import Choice, Menu, Part
from linnix.insight.scope import Scope, busiest_first, is_known


@dataclass(frozen=True, slots=True)
class Room:
    """How many of each are told of, and whether all figures of a process are."""

    processes: int
    findings: int
    pairs: int
    trends: int
    whole: bool = False


#: In a prompt for a single sentence, in a usual one, and in one for a model that is larger than ours.
SHORT, USUAL, LARGE = Room(3, 3, 0, 0), Room(5, 3, 2, 1), Room(16, 8, 8, 4, whole=True)
MAX_TOKENS, MAX_TOKENS_SHORT = 112, 40

SYSTEM = """\
You explain the state of a Linux host. You get its figures and a menu of answers that hold.
S is the host: cpu and mem in percent, load, cores, psi = percent of time waiting, births a second.
P1, P2 are processes: cpu in percent of one core, mem in percent, grow in MB, threads, age in seconds, forks a second.
What is 0 is left out, and so is a single thread.
F are findings of rules, the likeliest cause first. B is who waits for whom, T a trend, U what is unusual here.
Lines a, b are figures that may be cited. Each menu line offers a cause (label, class, severity, process), and one of
several words for each place. Cite what shows the cause, pick the line that tells most about the trouble, then one word
for each place; [places in brackets] may be left out. Answer in exactly these lines and nothing else:
ev=a,b
is=LABEL
why=WORD,WORD,WORD
act=WORD,WORD
of=CLASS,SEVERITY,PROCESS
The last line is of the cause whose label you chose. A short menu has neither ev nor act. Example:
ev=a,d
is=A
why=loops,traceless,wait_cpu,cleared,overload
act=threads,nice
of=cpu_spin,medium,P1
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
    label_weights: tuple[tuple[str, float], ...] = ()  # by label, of all together 1


def _host(facts: Facts) -> str:
    host, psi, births = facts.host, facts.pressure, facts.activity
    waits = (("cpu", psi.cpu_some_pct), ("mem", psi.memory_some_pct), ("io", psi.io_some_pct))
    figures = (
        *(("cpu", host.cpu_pct), ("mem", host.mem_pct), ("load", host.load_avg[0]), ("cores", host.cores)),
        *((f"psi_{name}", value) for name, value in waits),
        *(("forks", births.forks_per_s), ("short", births.short_jobs_per_s)),
    )
    return f"S {_figures(figures)}"


def _process(p: Process, whole: bool) -> str:
    figures = (
        *(("cpu", p.cpu_pct), ("mem", p.mem_pct), ("grow", p.rss_delta_bytes / 1e6)),
        *([("threads", p.threads)] if p.threads != 1 else []),
        *(("age", p.age_s), ("forks", p.forks_per_s)),
    )
    more = [(name, value) for name, value in _more(p) if value] if whole else []
    return f"{p.id} {_figures((*figures, *more))}" + (" own" if p.own else "")


def _more(p: Process) -> Iterator[tuple[str, float | None]]:
    """What else is known of one, in the names of facts; bytes are told in MB."""
    yield from (("wait_cpu_pct", p.run_delay_pct), ("lock_wait_pct", p.lock_wait_pct), ("sync_pct", p.sync_pct))
    yield from (("read_mb_s", _mb(p.read_bytes_per_s)), ("write_mb_s", _mb(p.write_bytes_per_s)))
    yield from (("tx_mb_s", _mb(p.tx_bytes_per_s)), ("rx_mb_s", _mb(p.rx_bytes_per_s)), ("swap_mb", _mb(p.swap_bytes)))
    yield from (("files", p.open_files), ("children", p.children), ("descendants", p.descendants))
    yield from (("zombies", p.zombies), ("major_faults_s", p.major_faults_per_s), ("stuck_s", p.stuck_s))


def _mb(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _figures(figures: Sequence[tuple[str, float | None]]) -> str:
    """In integers, those that are not 0: each is some tokens that are read before the answer begins."""
    told = ((name, "?" if value is None else round(value)) for name, value in figures)
    return " ".join(f"{name}={value}" for name, value in told if value != 0)


def _part(part: Part) -> str:
    words = "|".join(part.options)
    return f"[{words}]" if part.optional else words


def _line(choice: Choice) -> str:
    why = f"{choice.label} {choice.cls} {choice.severity} {choice.process} why " + " ".join(map(_part, choice.why))
    return why + (" act " + " ".join(_part(p) for p in choice.acts) if choice.acts else "")


def _listed(facts: Facts, offered: Menu, most: int) -> list[Process]:
    """The processes on offer, then the busiest, in the order of Facts."""
    wanted = [c.process for c in offered.choices] + [p.id for p in busiest_first(facts)]
    kept = set(list(dict.fromkeys(w for w in wanted if w != "none"))[:most])
    return [p for p in facts.processes if p.id in kept]


def _context(facts: Facts, room: Room) -> Iterator[str]:
    """Who waits for whom, where the host goes, and what is as it hardly ever is."""
    pairs = sorted(facts.blame, key=lambda pair: -pair.task_ms)
    for pair in [pair for pair in pairs if pair.victim != pair.offender][: room.pairs]:
        amount = f"share={round(100 * pair.share)} ms={round(pair.task_ms)}"
        yield f"{pair.id} {pair.victim} waits for {pair.offender} {pair.resource} {amount}"
    trends = [t for t in facts.trends if t.process is None and t.metric in METRICS and t.delta]
    for trend in trends[: room.trends]:
        if trend.direction != "steady":
            yield f"{trend.id} {trend.metric} {trend.direction} {brief(abs(trend.delta))}"
    strange = sorted((u for u in facts.unusual if u.series in SERIES), key=lambda u: -u.score)
    for series in strange[: room.trends]:
        yield f"{series.id} {series.series} {brief(series.value)} usual {brief(series.typical)}"


def _user(facts: Facts, offered: Menu, short: bool, room: Room) -> str:
    lines = [_host(facts)]
    lines += [_process(p, room.whole) for p in _listed(facts, offered, room.processes)]
    ids = {p.id for p in facts.processes}
    for f in [f for f in facts.findings if is_known(f)][: room.findings]:
        lines.append(f"{f.id} {f.cls} {f.severity}" + (f" {f.process}" if f.process in ids else ""))
    if not short:
        lines += _context(facts, room)
        lines += [f"{item.id} {item.words}" for item in offered.evidence]
    lines.append("Short menu:" if short else "Menu:")
    return "\n".join([*lines, *map(_line, offered.choices)])


def build(facts: Facts, short: bool = False, scopes: Sequence[Scope] | None = None, *, large: bool = False) -> Prompt:
    """The request for these facts; ``scopes`` where it is not about all that they admit. ``large``: of a model that is
    larger than ours, which is told more of them; it answers in the same way and from the same menu.
    """
    offered = menu.build(facts, short, scopes)
    room = SHORT if short else LARGE if large else USUAL
    return Prompt(
        messages=(Message("system", SYSTEM), Message("user", _user(facts, offered, short, room))),
        grammar_gbnf=grammar.gbnf(offered),
        grammar_lark=grammar.lark(offered),
        max_tokens=MAX_TOKENS_SHORT if short else MAX_TOKENS,
        label_weights=tuple((choice.label, choice.weight) for choice in offered.choices),
    )
