"""Where processes live, by process where their cgroup2 id does not tell it.

Owns the homes that were read from ``/proc/PID/cgroup`` on hosts with version 1 hierarchies, and the reader that looks
up these and the names of containers and pods. Refuses to read on the event loop: ``Homes`` asks, ``HomeReader`` reads
on a thread of its own (``apart``), and what it found comes back as a ``HomeReading``. Invariant: a number that was
handed out means the same home for ever, or, once it is forgotten, none.

On a host with nothing but cgroup2 no process is ever asked: every id is a path there. Elsewhere a process is asked
once soon after it was met, once more when it has settled (who starts a service moves into its group first), and then
seldom; until it is read, a child lives where its parent does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array, ProbeState
from linnix.cognitod.host import containers
from linnix.cognitod.host.cgroup import Cgroups, find_mount, has_version_1, parse_memberships, read_bytes, unit_of
from linnix.cognitod.host.containers import Place
from linnix.cognitod.host.lookup import Lookup, host_root
from linnix.cognitod.host.names import Container, Pod
from linnix.cognitod.host.proc import PROC
from linnix.cognitod.model import Home

#: Processes read per sample: 10 us each.
MAX_READS = 1024
#: A process is read again when it is so old: by then whoever started it has put it where it belongs.
SETTLED_NS = 5 * 10**9
#: And again after this time: processes are moved between groups, though seldom.
AGAIN_NS = 300 * 10**9
#: Different homes that are remembered; beyond it the oldest go.
MAX_HOMES = 8192
#: Inode of the whole hierarchy's root (include/linux/kernfs.h); a mount in a container may show a part of it.
ROOT_INODE = 1
#: What is missed where there is no cgroup2.
NO_CGROUP2 = (
    "cgroup2 is not mounted: units, containers and pods are read from /proc, so that a process that lives shorter "
    "than the sample interval is taken to live where its parent does"
)
#: Hierarchies in which a runtime puts its containers and systemd its units, the most telling first.
_TELLING = ("name=systemd", "memory", "cpu", "pids", "cpuacct", "blkio", "devices", "freezer", "cpuset")

Processes = tuple[NDArray[np.uint32], NDArray[np.uint64]]  # pid and start_ns


@dataclass(frozen=True, slots=True)
class Dwelling:
    """What ``/proc/PID/cgroup`` says, before anything is known by name."""

    cgroup: str
    unit: str | None
    place: Place
    unified: str | None  # its cgroup2 path


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeReading:
    """What was looked up since the last time. A process without a dwelling could not be read."""

    pid: NDArray[np.uint32]
    start_ns: NDArray[np.uint64]
    dwellings: list[Dwelling | None]
    containers: dict[str, Container]
    pods: dict[str, Pod]


@lru_cache(maxsize=256)  # most processes of a host share a few
def dwelling(raw: bytes) -> Dwelling | None:
    """Where a process lives by its ``/proc/PID/cgroup``; None where that is empty.

    The path is that of cgroup2 unless the process is in its root, as all are on a host that mounts it beside version
    1 and leaves it empty. Unit and container are taken from whichever hierarchy tells them.
    """
    of = parse_memberships(raw)
    paths = [of[name] for name in ("", *_TELLING) if name in of] or list(of.values())
    if not paths:
        return None
    unit = next((unit for name in ("", "name=systemd") if (unit := unit_of(of.get(name, "")))), None)
    places = [containers.parse(path) for path in paths]
    place = next((place for place in places if place.container), None)
    place = place or next((place for place in places if place.pod_uid), Place())
    return Dwelling(next((path for path in paths if path != "/"), "/"), unit, place, of.get(""))


class Homes:
    """Homes by cgroup2 id and, where that does not tell, by the number of what was read. The event loop's."""

    def __init__(self, cgroups: Cgroups, *, by_process: bool = False) -> None:
        self.cgroups = cgroups
        self.by_process = by_process
        self.asked: deque[Processes] = deque(maxlen=1)
        self._numbers: dict[Dwelling, int] = {}
        self._dwellings: dict[int, Dwelling] = {}
        self._homes: dict[tuple[int, int], Home] = {}
        self._named = cgroups.names.version
        self._last = 0

    def home(self, cgroup_id: int, number: int = 0) -> Home:
        """Where somebody lives. ``number``: of what was read of the process or of its parent, 0 for nothing."""
        if not number:
            return self.cgroups.home(cgroup_id)
        names = self.cgroups.names
        if self._named != names.version or len(self._homes) > 2 * MAX_HOMES:
            self._homes.clear()
            self._named = names.version
        known = self._homes.get((cgroup_id, number))
        if known is None:
            read = self._dwellings.get(number)
            if read is None or self.cgroups.path(cgroup_id) not in (None, "/", read.unified):
                return self.cgroups.home(cgroup_id)  # it has moved since
            known = self._homes[cgroup_id, number] = names.tell(read.cgroup, read.unit, read.place)
        return known

    def meet(self, records: Array) -> None:
        """Look the groups of records with a ``cgroup_id`` up while they exist."""
        for cgroup_id in set(records["cgroup_id"].tolist()):
            self.cgroups.home(cgroup_id)

    def where(
        self, wanted: Callable[[Home], bool], cgroup_ids: NDArray[np.uint64], numbers: NDArray[np.uint32]
    ) -> NDArray[np.bool_]:
        """Which of them live in a home that is ``wanted``."""
        pairs = list(zip(cgroup_ids.tolist(), numbers.tolist(), strict=True))
        verdict = {pair: wanted(self.home(*pair)) for pair in set(pairs)}
        return np.fromiter((verdict[pair] for pair in pairs), np.bool_, len(pairs))

    def learn(self, reading: HomeReading) -> NDArray[np.uint32]:
        """Take over a reading; the number of each process's home, 0 where it could not be read."""
        self.cgroups.names.learn(reading.containers, reading.pods)
        return np.array([self._number(read) if read else 0 for read in reading.dwellings], np.uint32)

    def _number(self, read: Dwelling) -> int:
        number = self._numbers.get(read)
        if number is None:
            while len(self._numbers) >= MAX_HOMES:
                oldest = next(iter(self._numbers))
                del self._dwellings[self._numbers.pop(oldest)]
                self._homes.clear()
            self._last += 1
            number = self._numbers[read] = self._last
            self._dwellings[number] = read
        return number


class Cluster(Protocol):
    """Who knows more of pods than their names; ``kubernetes.ApiServer`` is one."""

    def start(self) -> None:
        """Begin to ask."""
        ...

    def stop(self) -> None:
        """Ask no more."""
        ...

    def take(self) -> tuple[dict[str, Container], dict[str, Pod]]:
        """What was answered since the last time: containers by id, pods by uid."""
        ...

    def states(self) -> tuple[ProbeState, ...]:
        """Its line in the table of probes."""
        ...


class HomeReader:
    """The instrument that reads what ``Homes`` asks for."""

    due_ns = 0

    def __init__(self, homes: Homes, lookup: Lookup, proc: Path = PROC, cluster: Cluster | None = None) -> None:
        self._cluster = cluster
        self._homes = homes
        self._lookup = lookup
        self._proc = proc

    def open(self) -> None:
        """Every read opens its own file; only the API server, if there is one, has to be asked from now on."""
        if self._cluster is not None:
            self._cluster.start()

    def collect(self, now_ns: int) -> HomeReading | None:
        """Whatever was asked for since the last time and could be found."""
        pid, start_ns = self._homes.asked.pop() if self._homes.asked else _NOBODY
        pid, start_ns = pid[:MAX_READS], start_ns[:MAX_READS]
        read = [dwelling(read_bytes(self._proc / str(each) / "cgroup")) for each in pid.tolist()]
        named, pods = self._lookup.find(now_ns)
        if self._cluster is not None:
            told, owned = self._cluster.take()
            named, pods = {**named, **told}, {**pods, **owned}
        if not read and not named and not pods:
            return None
        return HomeReading(pid=pid, start_ns=start_ns, dwellings=read, containers=named, pods=pods)

    def states(self) -> tuple[ProbeState, ...]:
        """One line, and that of the API server."""
        return (self._state(), *(self._cluster.states() if self._cluster is not None else ()))

    def _state(self) -> ProbeState:
        sources = ["cgroup2"] if self._homes.cgroups.mount else []
        sources += ["/proc/PID/cgroup"] if self._homes.by_process else []
        what = "unit, container and pod of a process"
        if not sources:
            return ProbeState(name="homes", what=what, state="failed", reason="no cgroup hierarchy is mounted")
        return ProbeState(name="homes", what=f"{what}, from {' and '.join(sources)}")

    def close(self) -> None:
        """Ask no more."""
        if self._cluster is not None:
            self._cluster.stop()


def find(proc: Path = PROC, root: Path | None = None, cluster: Cluster | None = None) -> tuple[Homes, HomeReader]:
    """Homes of the processes of ``proc``, and their reader. ``root``: where the host's files are."""
    mount = find_mount(proc)
    partly = mount is None or mount.stat().st_ino != ROOT_INODE
    homes = Homes(Cgroups(mount), by_process=partly or has_version_1(proc))
    return homes, HomeReader(homes, Lookup(homes.cgroups.names.asked, root or host_root(proc)), proc, cluster)


_NOBODY: Processes = (np.zeros(0, np.uint32), np.zeros(0, np.uint64))
