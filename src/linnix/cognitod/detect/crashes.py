"""``crash_loop``: a program that fails as soon as it is started, and is started again.

Owns the pairing of ends with what was run: the same parent, the same command line (of a child that ran no program, its
name). Refuses programs whose status 1 is an answer, and ends that somebody asked for. Invariant: memory is bounded by
``_KEPT`` command lines, and a parent that has never seen a failure costs nothing.

A test suite starts one program many times and expects it to fail; but not with the same arguments each time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.recent import identities
from linnix.cognitod.detect.signs import MAX_ENDS, CrashLoop
from linnix.cognitod.detect.view import NS, Hit, View, Who
from linnix.cognitod.events import ARGV_LEN, Array, Kind

_KEPT = 4096
#: Shells ask these, and 1 means no (POSIX, EXIT STATUS of each).
_ANSWER = (b"grep", b"egrep", b"fgrep", b"rg", b"test", b"[", b"cmp", b"diff", b"expr", b"false", b"pgrep", b"pidof")
#: HUP INT PIPE ALRM TERM: somebody ended it, or nobody read it any more.
_ASKED_FOR = (1, 2, 13, 14, 15)
#: It goes on while the last failure is not older than so many of its turns, or this.
_TURNS = 2.5
_PAUSE_S = 3.0

Identity = tuple[int, int]


@dataclass(slots=True)
class _Program:
    ends: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=MAX_ENDS))


class Crashes:
    """The detector."""

    sampled = False

    def __init__(self, params: CrashLoop) -> None:
        self._params = params
        self._ran: OrderedDict[Identity, int] = OrderedDict()
        self._programs: OrderedDict[tuple[Identity, int | bytes], _Program] = OrderedDict()

    def observe(self, view: View) -> list[Hit]:
        """A hit for each parent with a program that fails nearly each time."""
        self._learn(view.texts)
        exits = view.events.compress(view.events["kind"] == Kind.EXIT)
        if len(exits):
            self._take(exits)
        horizon = view.now_ns - round(self._params.window_seconds * NS)
        hits: dict[Identity | None, Hit] = {}
        for key, program in list(self._programs.items()):
            while program.ends and program.ends[0][0] <= horizon:
                program.ends.popleft()
            if not program.ends:
                del self._programs[key]
            elif (evidence := self._judged(program, view.now_ns)) is not None:
                who = _parent(view, key[0])
                whose = (who.pid, who.start_ns) if who else None
                if whose not in hits or evidence["failures"] > hits[whose].evidence["failures"]:
                    hits[whose] = self._hit(who, evidence, program)
        return list(hits.values())

    def _learn(self, texts: Array) -> None:
        if not len(texts):
            return
        texts = texts[-_KEPT:]
        argvs = texts["argv"].tolist()
        lengths = np.minimum(texts["argv_len"], ARGV_LEN).tolist()
        keys = zip(texts["pid"].tolist(), texts["start_ns"].tolist(), strict=True)
        for key, filename, argv, length in zip(keys, texts["filename"].tolist(), argvs, lengths, strict=True):
            self._ran.pop(key, None)
            self._ran[key] = hash((filename, argv[:length]))
        while len(self._ran) > _KEPT:
            self._ran.popitem(last=False)

    def _take(self, exits: Array) -> None:
        """Ends of programs that have failed before or do so now."""
        failed = _failed(exits)
        parents = {parent for parent, _ in self._programs}
        if not failed.any() and not parents:
            return
        keys = identities(exits["ppid"], exits["parent_start_ns"])
        wanted = np.unique(keys[failed])
        if parents:
            pids, starts = zip(*parents, strict=True)
            wanted = np.union1d(wanted, identities(np.array(pids, np.uint32), np.array(starts, np.uint64)))
        which = np.flatnonzero(np.isin(keys, wanted))[-_KEPT:]
        columns = (exits[name][which].tolist() for name in ("pid", "start_ns", "ppid", "parent_start_ns", "ts_ns"))
        comms = exits["comm"][which].tolist()
        for pid, start_ns, ppid, parent_start_ns, ts_ns, comm, fails in zip(
            *columns, comms, failed[which].tolist(), strict=True
        ):
            what = self._ran.pop((pid, start_ns), comm)
            key = ((ppid, parent_start_ns), what)
            program = self._programs.get(key)
            if program is None and fails:
                program = self._programs[key] = _Program()
            if program is not None:
                program.ends.append((ts_ns, fails))
                self._programs.move_to_end(key)
        while len(self._programs) > _KEPT:
            self._programs.popitem(last=False)

    def _judged(self, program: _Program, now_ns: int) -> dict[str, float] | None:
        params = self._params
        failures = [ts_ns for ts_ns, failed in program.ends if failed]
        if len(failures) < params.threshold:
            return None
        span_s = (failures[-1] - failures[0]) / NS
        turn_s = span_s / (len(failures) - 1)
        failing_pct = 100 * len(failures) / len(program.ends)
        over = (now_ns - failures[-1]) / NS > max(_TURNS * turn_s, _PAUSE_S)
        if over or span_s < params.duration or failing_pct < params.failing_pct or turn_s * params.max_per_s < 1:
            return None
        return {
            "failures": float(len(failures)),
            "threshold": float(params.threshold),
            "failing_pct": round(failing_pct, 1),
            "turn_s": round(turn_s, 2),
            "span_s": round(span_s, 1),
        }

    def _hit(self, who: Who | None, evidence: dict[str, float], program: _Program) -> Hit:
        whose = f"pid {who.pid}" if who else "no process that could be named"
        message = (
            f"one program failed {evidence['failures']:.0f} times in {evidence['span_s']:g} s and was started again by "
            f"{whose}"
        )
        since_ns = program.ends[0][0]
        return Hit(cls=self._params.cls, message=message, culprit=who, since_ns=since_ns, evidence=evidence)


def _failed(exits: Array) -> NDArray[np.bool_]:
    code, signal = exits["exit_code"], exits["exit_signal"] & 0x7F
    answered = (code == 1) & np.isin(exits["comm"], np.array(_ANSWER))
    failed: NDArray[np.bool_] = ((code != 0) & ~answered) | ((signal != 0) & ~np.isin(signal, _ASKED_FOR))
    return failed


def _parent(view: View, parent: Identity) -> Who | None:
    """Who starts it again; None where that is pid 1 or has exited."""
    tree = view.tree
    at = int(tree.indices(np.array([parent[0]], np.uint32), np.array([parent[1]], np.uint64))[0])
    if at < 0 or not tree.eligible()[at]:
        return None
    return Who.of(tree.rows[at])
