"""The sentences an explanation may be made of: one table, each with the condition under which it is true.

Owns the clauses. Refuses free text: names and numbers are references that ``scope`` fills in. Invariant: a clause
may be said only where its class fits, its predicate holds and each of its references resolves; every slot has a
clause that holds for any facts, so that an answer can always be completed. Order within a slot is the rules' order
of preference.

Ids are words, not numbers: the bundled model has never seen this table, and a word tells it what the clause says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from linnix.insight.judge import CALM_PCT, MEMORY_PCT, SATURATED_PCT, SPIN_MAX_PCT
from linnix.insight.scope import REFERENCE, Scope, Value

# In the order of the answer. ``rest`` may be left out; ``blind`` is said where, and only where, Linnix is degraded.
SLOTS = ("what", "proof", "stall", "also", "rest", "blind")

Predicate = Callable[[Scope], bool]

CPU = frozenset(["cpu_spin", "cpu_saturation"])
MEMORY = frozenset(["mem_leak", "oom_risk", "oom_kill", "swap_thrash"])
STORAGE = frozenset(["io_saturation", "fsync_storm"])
BIRTHS = frozenset(["fork_storm", "short_job_flood", "runaway_tree", "crash_loop", "zombie_pileup"])
MUST = frozenset(["crowd", "herd", "own", "exhausts", "busiest", "second", "blind"])  # said wherever they hold
GENERIC = frozenset(["ruled", "found", "measured"])  # said only where nothing more telling holds
BUSY_PCT = 0.1  # percent of one core: below this nobody is called busy


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence. ``classes`` None: any class."""

    id: str
    slot: str
    text: str
    classes: frozenset[str] | None
    when: Predicate

    def values(self, scope: Scope) -> list[Value] | None:
        """Its references resolved, None where one cannot be."""
        found = [scope.resolve(root, field or "") for root, field in REFERENCE.findall(self.text)]
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
        texts = iter(v.text for v in values)
        text = REFERENCE.sub(lambda _: next(texts), self.text)
        # A count that opens a sentence is a word of ours to raise; a name is not.
        return text[:1].upper() + text[1:] if ".count}" in self.text.split(" ", 1)[0] else text


def always(_: Scope) -> bool:
    """No condition beyond class and references."""
    return True


def _p(test: Callable[..., bool]) -> Predicate:
    """A predicate on the chosen process; false without one."""
    return lambda s: s.process is not None and test(s.process)


def _clause(id_: str, slot: str, classes: str | frozenset[str] | None, text: str, when: Predicate = always) -> Clause:
    named = frozenset(classes.split()) if isinstance(classes, str) else classes
    return Clause(id_, slot, text, named, when)


def _no_process(s: Scope) -> bool:
    return s.process is None


def _is_busiest(s: Scope) -> bool:
    return s.process is not None and s.process is s.busiest


def is_overshadowed(s: Scope) -> bool:
    """Whether a busier process than the chosen one must be named."""
    return s.busiest is not None and s.busiest is not s.process and s.busiest.cpu_pct >= BUSY_PCT


def _heads(root: str, field: str) -> Predicate:
    """The chosen process leads its group, and the group matters more than it alone."""

    def test(s: Scope) -> bool:
        group, p = s.group(root), s.process
        if group is None or p is None or p.id not in group.members:
            return False
        mine, its = float(getattr(p, field)), float(getattr(group, field))
        most = max(float(getattr(q, field)) for q in s.facts.processes if q.id in group.members)
        return mine == most and its >= 1.5 * mine > 0

    return test


def _group(root: str, field: str, least: float) -> Predicate:
    def test(s: Scope) -> bool:
        group = s.group(root)
        return group is not None and float(getattr(group, field)) >= least and group.count >= 2

    return test


def _psi(field: str) -> Predicate:
    """This pressure is felt, and at least half the worst of the three."""

    def test(s: Scope) -> bool:
        value = s.psi(field)
        worst = max(s.psi(f) or 0.0 for f in ("psi_cpu", "psi_mem", "psi_io"))
        return value is not None and value >= CALM_PCT and value >= worst / 2

    return test


def _next_cpu(low: float, high: float) -> Predicate:
    return lambda s: _is_busiest(s) and bool(s.others) and low <= s.others[0].cpu_pct < high


def _mem(low: float, high: float) -> Predicate:
    return lambda s: s.cls not in MEMORY and low <= s.facts.host.mem_pct < high


def _all_psi(known: bool) -> Predicate:
    """No pressure is felt; ``known`` whether the kernel reports all three."""

    def test(s: Scope) -> bool:
        values = [s.psi(f) for f in ("psi_cpu", "psi_mem", "psi_io")]
        there = [v for v in values if v is not None]
        return bool(there) and max(there) < CALM_PCT and (None not in values) == known

    return test


def _no_psi(s: Scope) -> bool:
    return all(s.psi(f) is None for f in ("psi_cpu", "psi_mem", "psi_io"))


def _load_over(s: Scope) -> bool:
    return s.facts.host.load_avg[0] > s.facts.host.cores


_WHAT = (
    # cpu
    _clause("loops", "what", "cpu_spin", "{P} has kept a core busy for {F.age_s}: it uses {P.cpu_pct} of it.",
            _p(lambda p: p.cpu_pct >= 50)),
    _clause("spins", "what", "cpu_spin", "{P} keeps a core busy: it uses {P.cpu_pct} of one core.",
            _p(lambda p: 50 <= p.cpu_pct < SPIN_MAX_PCT)),
    _clause("crowd", "what", "cpu_saturation",
            "{C.count} {C.comm} processes use {C.cpu_pct} of one core together; the busiest is {P} with {P.cpu_pct}.",
            _heads("C", "cpu_pct")),
    _clause("leads", "what", "cpu_saturation",
            "{P} is the busiest process of a host that is {S.cpu_pct} busy: it uses {P.cpu_pct} of one core.",
            lambda s: _is_busiest(s) and s.facts.host.cpu_pct >= 70),
    _clause("fills", "what", "cpu_saturation",
            "{P} uses {P.cpu_pct} of one core, and the host is {S.cpu_pct} busy.",
            lambda s: s.process is not None and (s.finding is None or s.process.cpu_pct >= 20)),
    _clause("tree", "what", CPU, "{P} and the processes below it use {F.subtree_cpu_pct} of one core together."),
    _clause("family", "what", CPU, "{P} and the processes below it take {F.share_pct} of all CPU time in use."),
    _clause("steals", "what", "noisy_neighbour", "{P} ran while {V} waited {D.task_ms} for {D.resource}."),
    _clause("quota", "what", "cgroup_throttle",
            "{P} is held back by the CPU quota of its cgroup {P.cgroup}; it uses {P.cpu_pct} of one core."),
    # births
    _clause("storm", "what", "fork_storm",
            "{P} drives a fork storm: {P.forks_per_s} of the host's {S.forks_per_s} forks a second are its own.",
            lambda s: s.process is not None and 1 <= s.process.forks_per_s <= s.facts.activity.forks_per_s),
    _clause("crashes", "what", "crash_loop",
            "{P} is behind a crash loop: the host sees {S.failed_exits_per_s} failed exits a second.",
            lambda s: s.facts.activity.failed_exits_per_s > 0),
    _clause("shortlived", "what", "short_job_flood crash_loop",
            "{P} starts {P.short_jobs_per_s} processes a second that live less than a second.",
            _p(lambda p: p.short_jobs_per_s >= 1)),
    _clause("clan", "what", "fork_storm short_job_flood",
            "{P} and its descendants make {F.share_pct} of the host's {S.forks_per_s} forks a second."),
    _clause("forks", "what", "fork_storm runaway_tree crash_loop short_job_flood",
            "{P} keeps forking: {P.forks_per_s} children a second.", _p(lambda p: p.forks_per_s >= 1)),
    # memory
    _clause("leaks", "what", "mem_leak",
            "{P} keeps growing: by {R.delta} in {R.window_s}, and it now holds {P.rss_bytes}."),
    _clause("grows", "what", "mem_leak", "{P} grew by {P.rss_delta_bytes} and now holds {P.rss_bytes}.",
            lambda s: s.process is not None and s.process.rss_delta_bytes > 0 and s.growth is None),
    _clause("herd", "what", "oom_risk",
            "{C.count} {C.comm} processes hold {C.mem_pct} of memory together; the largest is {P} with {P.rss_bytes}.",
            _heads("C", "mem_pct")),
    _clause("hoards", "what", "oom_risk swap_thrash oom_kill",
            "{P} holds more memory than any other process, {P.rss_bytes}; of the host's, {S.mem_pct} is used.",
            lambda s: s.process is not None and s.process is s.biggest and s.facts.host.mem_pct >= 50),
    _clause("holds", "what", "oom_risk swap_thrash oom_kill",
            "{P} holds {P.rss_bytes} while memory is {S.mem_pct} used."),
    _clause("killed", "what", "oom_kill",
            "{P} stands behind a kill for want of memory: it holds {P.rss_bytes}.", lambda s: s.finding is not None),
    _clause("thrash", "what", "swap_thrash",
            "{P} holds {P.rss_bytes}, and processes wait on memory for {S.psi_mem} of the time.",
            lambda s: (s.psi("psi_mem") or 0.0) >= CALM_PCT),
    # storage
    _clause("storage", "what", "io_saturation fsync_storm",
            "{P} keeps storage busy: processes wait on it for {S.psi_io} of the time.",
            lambda s: (s.psi("psi_io") or 0.0) >= CALM_PCT),
    _clause("unclaimed", "what", "io_saturation",
            "Storage holds processes up for {S.psi_io} of the time; these facts do not show who loads it.",
            _no_process),
    # the rest
    _clause("threads", "what", "thread_leak", "{P} has {P.threads} threads, and their number keeps growing.",
            lambda s: s.finding is not None),
    _clause("unreaped", "what", "zombie_pileup",
            "{P} does not reap its dead children: {F.of_culprit} wait for it."),
    _clause("calm", "what", "normal", "Nothing is wrong; the busiest process is {P} with {P.cpu_pct} of one core.",
            lambda s: _is_busiest(s) and s.process is not None and s.process.cpu_pct >= BUSY_PCT),
    _clause("easy", "what", "normal",
            "The host is calm, {S.cpu_pct} busy, and its busiest process is {P} with {P.cpu_pct} of one core.",
            lambda s: _is_busiest(s) and s.facts.host.cpu_pct < 50 and s.process is not None
            and s.process.cpu_pct >= BUSY_PCT),
    _clause("idle", "what", "normal", "Nothing is wrong and hardly anything runs; {P} uses {P.cpu_pct} of one core.",
            _p(lambda p: p.cpu_pct < BUSY_PCT)),
    _clause("empty", "what", "normal", "Nothing is wrong that these facts can show.", _no_process),
    _clause("unclear", "what", "unknown",
            "The host is held up by what fits no known class; its busiest process is {P} with {P.cpu_pct} of one core.",
            _is_busiest),
    _clause("shared", "what", "unknown",
            "The cores are {S.cpu_pct} busy and no one process fills them; the busiest is {P} with {P.cpu_pct} of one.",
            lambda s: _is_busiest(s) and s.facts.host.cpu_pct >= SATURATED_PCT),
    _clause("ruled", "what", None,
            "{P} is named by a rule ({S.class}); it uses {P.cpu_pct} of one core and {P.rss_bytes}.",
            lambda s: s.finding is not None),
    _clause("found", "what", None, "A rule has fired: {S.class}; it names no process.",
            lambda s: s.process is None and s.finding is not None),
    _clause("measured", "what", None, "The figures show trouble: {S.class}; they name no process.",
            lambda s: s.process is None and s.finding is None and s.cls != "normal"),
)  # fmt: skip

_PROOF = (
    _clause("own", "proof", None, "It is one of Linnix's own processes.", _p(lambda p: p.own)),
    _clause("children", "proof", BIRTHS - {"short_job_flood", "crash_loop"},
            "Of its children, {P.short_jobs_per_s} a second live less than a second.",
            _p(lambda p: p.short_jobs_per_s >= 1)),
    _clause("rates", "proof", BIRTHS, "The host sees {S.execs_per_s} execs and {S.exits_per_s} exits a second."),
    _clause("single", "proof", CPU, "It has a single thread, so one core is all it can take.",
            _p(lambda p: p.threads == 1 and 80 <= p.cpu_pct <= 115)),
    _clause("exhausts", "proof", "mem_leak", "At this rate the host's memory lasts for {F.exhausted_in_s} more."),
    _clause("share", "proof", CPU, "That is {P.cpu_share} of all CPU time in use.", _p(lambda p: p.cpu_pct >= 20)),
    _clause("share_mem", "proof", MEMORY, "That is {P.mem_pct} of the host's memory.", _p(lambda p: p.mem_pct >= 1)),
    _clause("growth", "proof", "oom_risk oom_kill swap_thrash", "It grew by {P.rss_delta_bytes} of late.",
            _p(lambda p: p.rss_delta_bytes >= 1_000_000)),
    _clause("unit", "proof", "noisy_neighbour cgroup_throttle crash_loop", "It belongs to {P.unit}."),
    _clause("age", "proof", None, "It has been running for {P.age_s}.", _p(lambda p: p.age_s >= 1)),
    _clause("parent", "proof", None, "Its parent is {Q}.", lambda s: s.proc("Q") is not s.process),
    _clause("threaded", "proof", CPU, "It runs {P.threads} threads.", _p(lambda p: p.threads >= 2)),
    _clause("usage", "proof", None, "It holds {P.rss_bytes} of memory and uses {P.cpu_pct} of one core.",
            lambda s: s.cls not in CPU | MEMORY | {"normal"}),
    _clause("memory", "proof", None, "It holds {P.rss_bytes} of memory.", lambda s: s.cls not in MEMORY),
    _clause("cpu", "proof", MEMORY, "It uses {P.cpu_pct} of one core."),
    _clause("totals", "proof", None, "The host is {S.cpu_pct} busy, and {S.mem_pct} of its memory is used.",
            _no_process),
)  # fmt: skip

_STALL = (
    _clause("wait_cpu", "stall", None, "Processes were waiting on CPU for {S.psi_cpu} of the last 10 s.",
            _psi("psi_cpu")),
    _clause("wait_mem", "stall", None, "Processes were waiting on memory for {S.psi_mem} of the last 10 s.",
            _psi("psi_mem")),
    _clause("wait_io", "stall", None, "Processes were waiting on storage for {S.psi_io} of the last 10 s.",
            lambda s: s.cls not in STORAGE and _psi("psi_io")(s)),
    _clause("wait_all", "stall", STORAGE, "For {S.psi_io_full} of the time everything at work waited on storage.",
            lambda s: (s.psi("psi_io_full") or 0.0) >= CALM_PCT),
    _clause("wait_rest", "stall", STORAGE, "Waiting on CPU takes {S.psi_cpu} of the time, on memory {S.psi_mem}."),
    _clause("no_wait", "stall", None,
            "Hardly anything waits: {S.psi_cpu} of the last 10 s on CPU, {S.psi_mem} on memory, {S.psi_io} on storage.",
            _all_psi(True)),
    _clause("wait_known", "stall", STORAGE, "This kernel gives no other pressure figures.",
            lambda s: s.psi("psi_io") is not None and (s.psi("psi_cpu") is None or s.psi("psi_mem") is None)),
    _clause("no_wait_known", "stall", None, "The pressure figures that this kernel gives show no waiting.",
            _all_psi(False)),
    _clause("no_psi", "stall", None, "This kernel gives no pressure figures, so nobody can say who waits.", _no_psi),
)  # fmt: skip

_ALSO = (
    _clause("busiest", "also", None, "The busiest process is {B} with {B.cpu_pct} of one core.", is_overshadowed),
    _clause("pair", "also", None, "Next come {N} with {N.cpu_pct} and {L} with {L.cpu_pct}.",
            lambda s: _is_busiest(s) and len(s.others) > 1 and s.others[1].cpu_pct >= BUSY_PCT),
    _clause("next", "also", None, "Next comes {N} with {N.cpu_pct} of one core.", _next_cpu(BUSY_PCT, 1e9)),
    _clause("alone", "also", CPU, "Nobody else comes near: the next is {N} with {N.cpu_pct}.", _next_cpu(0, 10)),
    _clause("quiet", "also", None, "No other process listed uses a tenth of a percent of a core.",
            lambda s: bool(s.facts.processes) and not is_overshadowed(s)
            and (not s.others or s.others[0].cpu_pct < BUSY_PCT)),
    _clause("unlisted", "also", None, "These facts list no process.", lambda s: not s.facts.processes),
)  # fmt: skip

_REST = (
    _clause("second", "rest", None, "A rule has fired for {O} too: {E.class}."),
    _clause("group_mem", "rest", None,
            "{G.count} {G.comm} processes hold {G.mem_pct} of memory together.",
            lambda s: _group("G", "mem_pct", 10)(s) and not (s.cls == "oom_risk" and s.group("G") is s.group("C"))),
    _clause("group_cpu", "rest", None, "{H.count} {H.comm} processes use {H.cpu_pct} of one core together.",
            lambda s: _group("H", "cpu_pct", 20)(s) and s.group("H") is not s.group("C")),
    _clause("trend", "rest", None, "Over the last {T.window_s}, {T.what} has {T.direction} by {T.delta}."),
    _clause("overload", "rest", None, "The load average is {S.load_1}, more than the {S.cores} cores can serve.",
            lambda s: _load_over(s) and s.facts.host.cores > 1),
    _clause("mem_full", "rest", None, "Memory is nearly used up, at {S.mem_pct}.", _mem(MEMORY_PCT, 1e9)),
    _clause("mem_high", "rest", None, "Memory is {S.mem_pct} used.", _mem(75, MEMORY_PCT)),
    _clause("mem_fine", "rest", None, "Memory is no concern: {S.mem_pct} of {S.mem_total_bytes} is used.", _mem(0, 75)),
    _clause("swap", "rest", MEMORY, "Of swap, {S.swap_used_bytes} of {S.swap_total_bytes} is in use.",
            lambda s: s.facts.host.swap_used_bytes > 0),
    _clause("biggest", "rest", None, "The most memory is held by {M}: {M.rss_bytes}.",
            lambda s: s.proc("M") is not s.process and s.proc("M") is not None),
    _clause("births", "rest", None, "The host sees {S.forks_per_s} forks and {S.execs_per_s} execs a second.",
            lambda s: s.cls not in BIRTHS and s.facts.activity.forks_per_s >= 10),
    _clause("load", "rest", None, "The load average is {S.load_1} on {S.cores} cores.",
            lambda s: not _load_over(s) and s.facts.host.cores > 1),
    _clause("lost", "rest", None, "{S.lost_events} events were lost, so true rates may be higher.",
            lambda s: s.facts.activity.lost_events > 0),
    _clause("cpu_free", "rest", MEMORY | STORAGE,
            "The CPU is not the matter: it is {S.cpu_pct} busy.",
            lambda s: s.facts.host.cpu_pct < 70),
)  # fmt: skip

_BLIND = (_clause("blind", "blind", None, "Linnix does not see all of this host: {S.degraded}."),)

CLAUSES: dict[str, Clause] = {c.id: c for c in (*_WHAT, *_PROOF, *_STALL, *_ALSO, *_REST, *_BLIND)}


def admissible(scope: Scope, slot: str) -> tuple[Clause, ...]:
    """The clauses that hold in ``slot``, best first. One that must be said stands alone."""
    held = tuple(c for c in CLAUSES.values() if c.slot == slot and c.holds(scope))
    must = tuple(c for c in held if c.id in MUST)
    if slot == "rest" and scope.facts.degraded:
        return must  # what Linnix cannot see takes the place of all else
    return must or tuple(c for c in held if c.id not in GENERIC) or held


def is_optional(scope: Scope, slot: str) -> bool:
    """Whether an answer may leave ``slot`` out although something could be said there."""
    return slot == "rest" and not any(c.id in MUST for c in admissible(scope, slot))
