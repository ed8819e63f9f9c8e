"""A sentence with the condition under which it is true, and the conditions that many share.

Owns the type. Refuses free text: names and numbers are references that ``scope`` fills in. Invariants: a clause may be
said only where its class fits, its condition holds and each of its references resolves; its wordings say the same with
the same references, and the same process is told of in the same words as long as it lives.

Ids are words, not numbers: a model that has never seen the catalogue is told by a word what the clause says.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from linnix.insight.facts import Process
from linnix.insight.fields import Value
from linnix.insight.scope import REFERENCE, Scope, unaccused

Predicate = Callable[[Scope], bool]

CPU = frozenset(["cpu_spin", "cpu_saturation"])
MEMORY = frozenset(["mem_leak", "oom_risk", "oom_kill", "swap_thrash"])
STORAGE = frozenset(["io_saturation", "fsync_storm", "disk_full"])
BIRTHS = frozenset(["fork_storm", "short_job_flood", "runaway_tree", "crash_loop", "zombie_pileup"])
LEAKS = frozenset(["mem_leak", "fd_leak", "thread_leak", "zombie_pileup", "runaway_tree"])

#: Percent of one core: below this nobody is called busy.
BUSY_PCT = 0.1
#: Percent of all cores from which they are called full, and of memory from which it is nearly used up.
FULL_PCT, MEMORY_PCT = 85.0, 92.0
#: Pressure below this is no waiting worth a word.
CALM_PCT = 1.0
#: Of a resource: from here on somebody else's use of it is worth a word.
MUCH_PCT = 20.0


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence in one or several wordings. ``classes`` None: any class."""

    id: str
    slot: str
    texts: tuple[str, ...]
    classes: frozenset[str] | None
    when: Predicate

    def values(self, scope: Scope) -> list[Value] | None:
        """Its references resolved, None where one cannot be."""
        found = [scope.resolve(root, field or "") for root, field in REFERENCE.findall(self._text(scope))]
        return None if None in found else [v for v in found if v is not None]

    def holds(self, scope: Scope) -> bool:
        """Whether it is true of these facts, this class and this process."""
        fits = self.classes is None or scope.cls in self.classes
        return fits and self.values(scope) is not None and self.when(scope)

    def render(self, scope: Scope) -> str:
        """The sentence. Raises ``ValueError`` for a clause that does not hold."""
        values = self.values(scope)
        if values is None or not self.holds(scope):
            raise ValueError(f"clause {self.id} does not hold for class {scope.cls}")
        wording, texts = self._text(scope), iter(v.text for v in values)
        text = REFERENCE.sub(lambda _: next(texts), wording)
        # A word of ours that opens a sentence is ours to raise; a name is not.
        return text[:1].upper() + text[1:] if _OPENS.search(wording.split(" ", 1)[0]) else text

    def _text(self, scope: Scope) -> str:
        if len(self.texts) == 1:
            return self.texts[0]
        born = scope.process.start_ns if scope.process else 0
        return self.texts[zlib.crc32(f"{self.id} {born}".encode()) % len(self.texts)]


_OPENS = re.compile(r"\.(count|series|what|class|suffering)\}")


def always(_: Scope) -> bool:
    """No condition beyond class and references."""
    return True


def both(*tests: Predicate) -> Predicate:
    """All of them."""
    return lambda s: all(test(s) for test in tests)


def process(test: Callable[..., bool]) -> Predicate:
    """A condition on the chosen process; false without one."""
    return lambda s: s.process is not None and test(s.process)


def alarming(s: Scope) -> bool:
    """A rule holds this to be wrong."""
    return s.alarms


def foremost(amount: Callable[[Process], float]) -> Predicate:
    """It stands out in this among those whom no rule objects to, and that is all."""

    def test(s: Scope) -> bool:
        p = s.process
        others = unaccused(s.facts)
        return (
            not s.alarms
            and s.finding is None
            and p is not None
            and p in others
            and amount(p) == max(map(amount, others))
        )

    return test


def nobody(s: Scope) -> bool:
    """No process is chosen."""
    return s.process is None


def is_busiest(s: Scope) -> bool:
    """The chosen process uses most CPU."""
    return s.process is not None and s.process is s.busiest


def overshadowed(s: Scope) -> bool:
    """A busier process than the chosen one is there, and must be named."""
    return s.busiest is not None and s.busiest is not s.process and s.busiest.cpu_pct >= BUSY_PCT


def is_of_kill(s: Scope) -> bool:
    """The latest kill is the one that the finding is about."""
    latest_s = s.finding.evidence.get("latest_s_ago") if s.finding else None
    return s.kill is not None and latest_s is not None and abs(s.kill.age_s - latest_s) < 1.5


def evidence(key: str, least: float) -> Predicate:
    """The finding's own figure is at least so much."""
    return lambda s: s.finding is not None and s.finding.evidence.get(key, -1.0) >= least


def leads(root: str, field: str) -> Predicate:
    """The chosen process leads its group, and the group matters more than it alone."""

    def test(s: Scope) -> bool:
        group, p = s.group(root), s.process
        if group is None or p is None or p.id not in group.members:
            return False
        mine, its = float(getattr(p, field)), float(getattr(group, field))
        most = max(float(getattr(q, field)) for q in s.facts.processes if q.id in group.members)
        return mine == most and its >= 1.5 * mine > 0

    return test


def pressed(field: str) -> Predicate:
    """This pressure is felt, and at least half the worst of the three."""

    def test(s: Scope) -> bool:
        value = s.psi(field)
        worst = max(s.psi(f) or 0.0 for f in ("psi_cpu", "psi_mem", "psi_io"))
        return value is not None and value >= CALM_PCT and value >= worst / 2

    return test


class Shelf:
    """Collects the clauses of one slot, in the rules' order of preference."""

    def __init__(self, slot: str) -> None:
        self.slot = slot
        self.clauses: list[Clause] = []

    def add(self, id_: str, classes: str | frozenset[str] | None, *texts: str, when: Predicate = always) -> None:
        """One clause and its wordings."""
        named = frozenset(classes.split()) if isinstance(classes, str) else classes
        self.clauses.append(Clause(id_, self.slot, texts, named, when))
