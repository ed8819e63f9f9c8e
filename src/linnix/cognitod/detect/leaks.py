"""What one process has more and more of: memory, open files, threads, descendants, dead children.

Owns who is told of, and how long: what was found stays found while the process keeps what it took. Refuses the
statistics (``slopes``). Invariant: what is taken at once, what comes to an end, and memory that holds what was read or
received meanwhile, is no leak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from linnix.cognitod.detect import signs
from linnix.cognitod.detect.past import LEAST, Identity, Moment, Past, mean, wants_pct
from linnix.cognitod.detect.slopes import Growth, steady
from linnix.cognitod.detect.view import MIB, NS, Held, Hit, View, Who
from linnix.insight.facts import Process

#: A leak that has come to its limit is told for so long still, unless this share of it is given back.
_LINGERS_NS = 30 * NS
_KEEPS = 0.9
#: What it wants of a core on average if it computes, and the share of its growth that it was given from outside.
_BUSY_PCT = 70.0
_FED = 0.5
#: Of one that computes it is not said before available memory lasts no longer than this at its pace.
_SCARCE_S = 300.0
#: A process is still starting until it is so many times as old as growth has to last: daemons open their files then.
_STARTED = 1.5
#: In its first minute it must go on at this share of the pace that it has had since its birth.
_YOUNG_S = 60.0
_GOES_ON = 0.5
#: The daemon's own files, and those by which it looks at what up to 256 threads of its suspects wait for.
_OWN_FILES = 512


@dataclass(frozen=True, slots=True)
class _Found:
    growth: Growth
    since_ns: int
    seen_ns: int
    peak: float
    mild: bool = False  # as it was while it grew: what happens after says nothing about how it was taken


class _Grown:
    """Processes of which a reading grows steadily, and those that have stopped but keep it."""

    def __init__(self, read: Callable[[Process], float | None], duration_s: float, least: float, per_s: float) -> None:
        self._read = read
        self._duration_s = duration_s
        self._least = least
        self._per_s = per_s
        self._found: dict[Identity, _Found] = {}

    def observe(self, past: Past, process: Process, now_ns: int) -> _Found | None:
        """The growth of this process, None where there is none."""
        key = (process.pid, process.start_ns)
        value = self._read(process)
        if value is None:
            return None
        before = self._found.get(key)
        growth = self.growth(past, process, self._duration_s)
        if growth is not None:
            since_ns = before.since_ns if before else now_ns - round(growth.span_s * NS)
            self._found[key] = _Found(growth, since_ns, now_ns, value)
        elif before and (value < _KEEPS * before.peak or now_ns - before.seen_ns > _LINGERS_NS):
            del self._found[key]
        return self._found.get(key)

    def keep(self, process: Process, found: _Found) -> None:
        """Go on with more that is known of it."""
        self._found[process.pid, process.start_ns] = found

    def growth(self, past: Past, process: Process, seconds: float) -> Growth | None:
        """Its growth of these last seconds, if that is steady, fast and large enough."""
        moments, now = past.last(process, seconds, LEAST), self._read(process)
        first = self._read(moments[0].process) if moments else None
        if first is None or now is None or now - first < self._least:
            return None  # of most processes: they need not be looked at more closely
        told = [(m.ts_ns, value) for m in moments if (value := self._read(m.process)) is not None]
        if len(told) < len(moments):
            return None
        growth = steady(*zip(*told, strict=True))
        return growth if growth and growth.grown >= self._least and growth.per_s >= self._per_s else None

    def forget(self, living: set[Identity]) -> None:
        """Drop those that are no longer told of."""
        self._found = {key: found for key, found in self._found.items() if key in living}


class Gauge:
    """``fd_leak``, ``thread_leak``, ``tree_growth`` and ``zombie_growth``."""

    sampled = True

    def __init__(
        self, params: signs.Gauge, name: str, what: str, read: Callable[[Process], float | None], least: float = 0.0
    ) -> None:
        self._params = params
        self._name = name
        self._what = what
        self._read = read
        self._least = least
        self._grown = _Grown(read, params.duration, params.grown, params.threshold)
        self._many: Held[Identity] = Held(params.duration)

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process whose reading grows; of a tree the lowest."""
        if view.known is None:
            return []
        # What grows from birth on may be a start; but nobody starts by leaving children unreaped.
        youngest = 0.0 if isinstance(self._params, signs.ZombieGrowth) else _STARTED * self._params.duration
        processes = {
            (p.pid, p.start_ns): p
            for p in view.known.processes
            if p.pid > 1 and not p.kernel_thread and p.age_s >= youngest and self._read(p) is not None
        }
        found = {key: self._grown.observe(view.past, process, view.now_ns) for key, process in processes.items()}
        self._grown.forget(set(processes))
        hits = {
            key: self._hit(processes[key], growth)
            for key, growth in found.items()
            if growth is not None
            and (self._read(processes[key]) or 0.0) >= self._least
            and (not youngest or self._goes_on(processes[key], growth.growth))
        }
        if isinstance(self._params, signs.ZombieGrowth):
            many = [key for key, process in processes.items() if (self._read(process) or 0) > self._params.standing]
            for key, since_ns in self._many.update(many, view.now_ns).items():
                hits.setdefault(key, self._stand(processes[key], self._params.standing, since_ns))
        if isinstance(self._params, signs.TreeGrowth):
            hits = _lowest(view, hits)
        return list(hits.values())

    def _goes_on(self, process: Process, growth: Growth) -> bool:
        since_birth = (self._read(process) or 0.0) / max(process.age_s, 1.0)
        return process.age_s >= _YOUNG_S or growth.per_s >= _GOES_ON * since_birth

    def _hit(self, process: Process, found: _Found) -> Hit:
        growth = found.growth
        evidence = {
            f"{self._name}_per_s": round(growth.per_s, 2),
            "threshold": self._params.threshold,
            "grown": growth.grown,
            "window_s": round(growth.span_s, 1),
            self._name: self._read(process) or 0.0,
            "rising_pairs_pct": round(100 * growth.rising, 1),
        }
        message = (
            f"pid {process.pid} has {growth.grown:.0f} more {self._what} than {growth.span_s:.0f} s before, "
            f"{self._read(process) or 0:.0f} in all, and gave none back"
        )
        culprit = Who.named(process)
        return Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=found.since_ns, evidence=evidence)

    def _stand(self, process: Process, standing: int, since_ns: int) -> Hit:
        number = self._read(process) or 0.0
        evidence = {self._name: number, "threshold": float(standing)}
        message = f"pid {process.pid} has {number:.0f} {self._what}"
        culprit = Who.named(process)
        return Hit(cls=self._params.cls, message=message, culprit=culprit, since_ns=since_ns, evidence=evidence)


def _lowest(view: View, hits: dict[Identity, Hit]) -> dict[Identity, Hit]:
    """Ancestors grow with those below them; of each line of descent the lowest stays. Who started what grows in another
    control group, as a container's runtime does, is no part of it.
    """
    tree = view.tree
    keys = list(hits)
    at = tree.indices(np.array([pid for pid, _ in keys], np.uint32), np.array([start for _, start in keys], np.uint64))
    marked = np.zeros(len(tree.rows), np.bool_)
    marked[at[at >= 0]] = True
    marked &= tree.eligible()
    for index in np.flatnonzero(marked).tolist():
        row = tree.rows[index]
        below = tree.rows.compress(tree.below(row) & tree.rows["alive"])
        others = np.count_nonzero(below["cgroup_id"] != row["cgroup_id"])
        marked[index] = 2 * others < len(below)
    lowest = set(tree.nearest(marked))
    return {key: hits[key] for key, index in zip(keys, at.tolist(), strict=True) if index in lowest}


def open_files(params: signs.FdLeak) -> Gauge:
    """``fd_leak``. Ours count beyond what looking at others takes, which comes and goes with whom is looked at."""

    def read(process: Process) -> int | None:
        files = process.open_files
        return files if files is None or not process.own or files > _OWN_FILES else None

    return Gauge(params, "open_files", "open files", read, params.least)


def threads(params: signs.ThreadLeak) -> Gauge:
    """``thread_leak``."""
    return Gauge(params, "threads", "threads", lambda p: p.threads)


def descendants(params: signs.TreeGrowth) -> Gauge:
    """``tree_growth``."""
    return Gauge(params, "descendants", "living descendants", lambda p: None if p.own else p.descendants)


def zombies(params: signs.ZombieGrowth) -> Gauge:
    """``zombie_growth``."""
    return Gauge(params, "zombies", "dead children that it has not reaped", lambda p: p.zombies)


class Memory:
    """``mem_leak``. Pages of files and shared memory do not count: they are not the process's own."""

    sampled = True

    def __init__(self, params: signs.MemLeak) -> None:
        self._params = params
        self._grown = _Grown(
            lambda p: p.rss_anon_bytes, params.duration, params.grown_mib * MIB, params.threshold * MIB
        )

    def observe(self, view: View) -> list[Hit]:
        """A hit for each process whose memory grows; ``info`` where it holds what it was given, or computes as a
        compiler does, while there is memory enough.
        """
        if view.known is None:
            return []
        hits = []
        for process in view.known.processes:
            found = None if process.kernel_thread else self._grown.observe(view.past, process, view.now_ns)
            if found is None:
                continue
            if found.seen_ns == view.now_ns:
                found = replace(found, mild=self._is_mild(view, process, found.growth))
                self._grown.keep(process, found)
            if hit := self._hit(view, process, found):
                hits.append(hit)
        self._grown.forget({(p.pid, p.start_ns) for p in view.known.processes})
        return hits

    def _is_mild(self, view: View, process: Process, growth: Growth) -> bool:
        moments = view.past.last(process, self._params.duration, LEAST)
        busy = bool(moments) and (mean(moments, wants_pct) or 0.0) >= _BUSY_PCT
        fed = bool(moments) and _given(moments) >= _FED * growth.per_s
        scarce = view.snapshot.mem_available_bytes < _SCARCE_S * growth.per_s
        return fed or (busy and not scarce)

    def _hit(self, view: View, process: Process, found: _Found) -> Hit | None:
        growth = found.growth
        available = view.snapshot.mem_available_bytes
        lasts_s = available / growth.per_s if available else None
        limit_s = self._params.exhausts_within_seconds
        if limit_s and (lasts_s is None or lasts_s > limit_s):
            return None
        evidence = {
            "anonymous_mib_per_s": round(growth.per_s / MIB, 2),
            "threshold": self._params.threshold,
            "grown_bytes": growth.grown,
            "window_s": round(growth.span_s, 1),
            "rss_anon_bytes": float(process.rss_anon_bytes or 0),
            "rising_pairs_pct": round(100 * growth.rising, 1),
        }
        message = f"pid {process.pid} took {growth.grown / MIB:.0f} MiB of memory in {growth.span_s:.0f} s, steadily"
        if lasts_s is not None:
            evidence["exhausted_in_s"] = float(round(lasts_s))
            message += f"; at that pace the host's available memory lasts {lasts_s:.0f} s"
        return Hit(
            cls=self._params.cls,
            message=message,
            culprit=Who.named(process),
            since_ns=found.since_ns,
            evidence=evidence,
            at_most="info" if found.mild else "high",
        )


def _given(moments: Sequence[Moment]) -> float:
    """Bytes a second that it read from disks and received through sockets."""
    return mean(moments, lambda p: (p.read_bytes_per_s or 0.0) + (p.rx_bytes_per_s or 0.0)) or 0.0
