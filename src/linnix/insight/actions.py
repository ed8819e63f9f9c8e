"""What an explanation may recommend: a curated allow-list.

Owns the recommendations and their commands. Refuses anything not in the table. Invariants: a command is made of fixed
words, a pid and a unit name of safe characters, never of a process name; whatever ends, interrupts or caps
something is marked ``destructive`` and its text says what it costs; nothing destructive is offered for kernel
threads, pid 1 or Linnix itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from linnix.insight.answer import Recommendation
from linnix.insight.catalogue import BIRTHS, CPU, MEMORY, Predicate, always
from linnix.insight.scope import Scope

KTHREADD = 2
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:-]*\.(?:service|slice|scope)", re.ASCII)

# In the order of the answer: look first, then, if there is something to be done, the remedy.
STEPS = ("look", "remedy")
GENERIC = frozenset(["status", "overview"])  # recommended only where nothing more telling is


@dataclass(frozen=True, slots=True)
class Action:
    """``{pid}`` and ``{unit}`` are all that text and command may refer to."""

    id: str
    step: str
    text: str
    command: str | None
    classes: frozenset[str] | None
    when: Predicate
    risk: str = "none"

    @property
    def destructive(self) -> bool:
        """Whether it ends, interrupts or caps something."""
        return self.risk in ("medium", "high")

    def holds(self, scope: Scope) -> bool:
        """Whether it may be recommended here."""
        if self.classes is not None and (scope.cls not in self.classes or not scope.alarms):
            return False
        wording = self.text + (self.command or "")
        if "{pid}" in wording and scope.process is None:
            return False
        if "{unit}" in wording and _unit(scope) is None:
            return False
        return self.when(scope) and (not self.destructive or _may_touch(scope))

    def recommend(self, scope: Scope) -> Recommendation:
        """The recommendation. Raises ``ValueError`` where it does not hold."""
        if not self.holds(scope):
            raise ValueError(f"action {self.id} does not hold for class {scope.cls}")
        pid = scope.process.pid if scope.process else ""
        command = self.command.format(pid=pid, unit=_unit(scope)) if self.command else None
        text = self.text.format(pid=pid, unit=_unit(scope), command=command)
        return Recommendation(self.id, text, command, self.destructive, self.risk)


def _unit(scope: Scope) -> str | None:
    unit = scope.process.unit if scope.process else None
    return unit if unit and _UNIT.fullmatch(unit) else None


def _may_touch(scope: Scope) -> bool:
    p = scope.process
    return p is not None and not p.own and p.pid > KTHREADD and p.ppid != KTHREADD and "kernel_thread" not in p.tags


def _ours(scope: Scope) -> bool:
    return scope.process is not None and scope.process.own


def _theirs(scope: Scope) -> bool:
    return not _ours(scope)


def _calm(scope: Scope) -> bool:
    return not scope.alarms and scope.second is None and not _held_up(scope)


def _passed_over(scope: Scope) -> bool:
    """A lesser cause was chosen than one that a rule has found."""
    return not scope.alarms and scope.second is not None


def _held_up(scope: Scope) -> bool:
    """Somebody asks about a process that waits for another."""
    return scope.asked and not scope.alarms and scope.second is None and scope.suffering is not None


def _trouble(scope: Scope) -> bool:
    return scope.alarms


def _action(
    id_: str,
    step: str,
    classes: str | frozenset[str] | None,
    text: str,
    command: str | None = None,
    when: Predicate = always,
    risk: str = "none",
) -> Action:
    named = frozenset(classes.split()) if isinstance(classes, str) else classes
    return Action(id_, step, text, command, named, when, risk)


_LOOK = (
    _action("nothing", "look", None, "Nothing needs to be done.", None, _calm),
    _action("again", "look", None, "Look again when something feels slow: {command}.", "linnix-reasoner --short",
            _calm),
    _action("others", "look", None, "See what rules have found, the likeliest first: {command}.", "linnix findings",
            _passed_over),
    _action("held_up", "look", None, "See who waits for whom: {command}.", "linnix blame --watch", _held_up),
    _action("waits", "look", "noisy_neighbour io_saturation swap_thrash", "See who waits for whom: {command}.",
            "linnix blame --watch"),
    _action("threads", "look", CPU, "See which of its threads is busy: {command}.", "top -H -p {pid}"),
    _action("profile", "look", CPU | {"lock_contention"}, "See where it spends its time: {command}.",
            "perf top -p {pid}"),
    _action("children", "look", BIRTHS, "See what it starts: {command}.", "pstree -p {pid}"),
    _action("follow", "look", "fork_storm short_job_flood runaway_tree", "Follow the forks as they come: {command}.",
            "linnix-reasoner --stream --filter fork_storm"),
    _action("stack", "look", "hung_task", "See where in the kernel it is stuck: {command}.", "cat /proc/{pid}/stack"),
    _action("journal", "look", "crash_loop oom_kill", "Read why it failed: {command}.",
            "journalctl -u {unit} -n 50"),
    _action("maps", "look", MEMORY, "See what its memory holds: {command}.", "cat /proc/{pid}/smaps_rollup"),
    _action("kernel_log", "look", "oom_kill hung_task", "Read the kernel's own report: {command}.",
            "dmesg -T | tail -n 50"),
    _action("files", "look", "fd_leak", "See which files it keeps open: {command}.", "ls -l /proc/{pid}/fd"),
    _action("tasks", "look", "thread_leak lock_contention", "See its threads: {command}.", "ps -T -p {pid}"),
    _action("disks", "look", "io_saturation fsync_storm", "See which process reads and writes: {command}.",
            "pidstat -d 1 5"),
    _action("space", "look", "disk_full", "See which file system is full: {command}.", "df -h"),
    _action("sockets", "look", "net_flood", "See its connections: {command}.", "ss -tunp"),
    _action("limits", "look", "cgroup_throttle", "See its quota: {command}.",
            "systemctl show {unit} -p CPUQuotaPerSecUSec"),
    _action("status", "look", None, "Check what it is: {command}.", "ps -o pid,ppid,user,etime,args -p {pid}",
            _trouble),
    _action("overview", "look", None, "Look at the host again in a minute: {command}.", "linnix-reasoner",
            lambda s: s.process is None and s.alarms),
)  # fmt: skip

_REMEDY = (
    _action("own_room", "remedy", None,
            "This is Linnix itself: if the host needs the room, stop it with Ctrl-C or systemctl.",
            None, lambda s: _ours(s) and _trouble(s)),
    _action("nice", "remedy", CPU | {"noisy_neighbour"}, "If it may run slower, lower its priority: {command}.",
            "renice -n 10 -p {pid}", _may_touch, risk="low"),
    _action("cap_cpu", "remedy", CPU | {"noisy_neighbour"},
            "If its service may be held back, cap it: {command}; it will run slower.",
            "systemctl set-property --runtime {unit} CPUQuota=50%", risk="medium"),
    _action("stop", "remedy", CPU | {"net_flood", "runaway_tree", "lock_contention"},
            "If it should not be running, stop it: {command}; that ends it, and what it has not saved is lost.",
            "kill {pid}", risk="high"),
    _action("stop_parent", "remedy", BIRTHS,
            "Stop the parent rather than its children: {command}; that ends it, and what it has not saved is lost.",
            "kill {pid}", risk="high"),
    _action("batch", "remedy", "short_job_flood", "Let one long-running process do the work of the many short ones."),
    _action("tasks_max", "remedy", "fork_storm runaway_tree",
            "Cap the processes of its service: {command}; forks beyond it fail.",
            "systemctl set-property --runtime {unit} TasksMax=200", risk="medium"),
    _action("backoff", "remedy", "crash_loop", "Give its restarts a growing delay until the cause is mended.", None,
            _theirs),
    _action("restart", "remedy", "mem_leak fd_leak thread_leak zombie_pileup oom_risk",
            "A restart of its service gives the memory and handles back, and interrupts it: {command}.",
            "systemctl restart {unit}", risk="high"),
    _action("free", "remedy", MEMORY,
            "Before the kernel kills something, end it yourself: {command}; what it has not saved is lost.",
            "kill {pid}", lambda s: s.facts.host.mem_pct >= 90, risk="high"),
    _action("watch_growth", "remedy", "mem_leak", "Keep an eye on its growth: {command}.",
            "linnix-reasoner --stream --filter high_mem"),
    _action("less", "remedy", "oom_risk swap_thrash", "Give the host less to do at once, or more memory."),
    _action("ionice", "remedy", "io_saturation fsync_storm", "If it may wait, let others go first: {command}.",
            "ionice -c 3 -p {pid}", _may_touch, risk="low"),
    _action("clear", "remedy", "disk_full", "Find what fills it before you delete anything: {command}.",
            "du -xh / | sort -h | tail"),
    _action("raise_limit", "remedy", "cgroup_throttle", "If it needs more, raise the quota of its cgroup.", None,
            lambda s: _theirs(s) and s.process is not None),
    _action("mend", "remedy", "fd_leak thread_leak zombie_pileup",
            "Mend the program: what it opens or starts, it must close or reap.", None,
            _theirs),
    _action("sight", "remedy", None, "Learn how to give Linnix full sight: {command}.", "linnix doctor",
            lambda s: bool(s.facts.degraded)),
)  # fmt: skip

ACTIONS: dict[str, Action] = {a.id: a for a in (*_LOOK, *_REMEDY)}


def admissible(scope: Scope, step: str) -> tuple[Action, ...]:
    """The actions that may be recommended at ``step``, best first."""
    held = tuple(a for a in ACTIONS.values() if a.step == step and a.holds(scope))
    return tuple(a for a in held if a.id not in GENERIC) or held


def is_optional(_: Scope, step: str) -> bool:
    """Whether an answer may leave ``step`` out although something could be recommended."""
    return step == "remedy"
