"""Looks up the names of containers and pods that somebody asked about.

Owns when a name is looked for and how often again: a container is told of by its first process, a moment before its
runtime and the kubelet have written down what it is called. Refuses to know formats: ``runtimes`` and ``pods`` do.
Invariant: nothing is read while nothing is asked for, and an id is looked for at most ``TRIES`` times.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

from linnix.cognitod.host import pods, runtimes
from linnix.cognitod.host.names import Container, Pod

#: How often an id is looked for before it stays nameless.
TRIES = 6
#: After the first try it is waited for this long, then twice as long, and so on.
FIRST_WAIT_NS = 10**9
#: Ids in one round, so that a sample is not held up.
MAX_ROUND = 64
#: Ids that wait; beyond it those that have waited longest go.
MAX_WAITING = 4096
#: Length of a container's id, by which it differs from the uid of a pod.
_CONTAINER_LEN = 64


def host_root(proc: Path = Path("/proc")) -> Path:
    """Where the host's files are: the root of process 1, which from a container with the host's pids is the host's."""
    root = proc / "1/root"
    try:
        return root if any(root.iterdir()) else Path("/")
    except OSError:
        return Path("/")


class Lookup:
    """Finds the names of what is put into ``asked``: ids of containers and uids of pods. One thread uses it."""

    def __init__(self, asked: deque[str], root: Path = Path("/")) -> None:
        """``root`` is where the files of the host begin."""
        self._asked = asked
        self._root = root
        self._waiting: dict[str, tuple[int, int]] = {}  # id → tries so far, when to try again

    def find(self, now_ns: int) -> tuple[dict[str, Container], dict[str, Pod]]:
        """What is known now of the ids that are due: containers by id, pods by uid."""
        while self._asked:
            self._waiting.setdefault(self._asked.popleft(), (0, now_ns))
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        due = [key for key, (_, when_ns) in self._waiting.items() if when_ns <= now_ns][:MAX_ROUND]
        named: dict[str, Container] = {}
        owners: dict[str, Pod] = {}
        kubelet = pods.read(self._root) if due else None
        for key in due:
            if kubelet is not None and self._name(key, kubelet, named, owners):
                del self._waiting[key]
            else:
                self._wait(key, now_ns)
        return named, owners

    def _name(self, key: str, kubelet: pods.Kubelet, named: dict[str, Container], owners: dict[str, Pod]) -> bool:
        if len(key) != _CONTAINER_LEN:
            if key in kubelet.pods:
                owners[key] = kubelet.pods[key]
            return key in kubelet.pods
        logged, told = kubelet.containers.get(key), runtimes.read(self._root, key)
        if logged is None and told.container is None:
            return False
        container = told.container or Container()
        if logged is not None:
            container = replace(container, name=logged.name, pod_uid=container.pod_uid or logged.pod_uid)
        named[key] = container
        if container.pod_uid and (pod := kubelet.pods.get(container.pod_uid) or told.pod):
            owners[container.pod_uid] = pod
        return True

    def _wait(self, key: str, now_ns: int) -> None:
        tries = self._waiting[key][0] + 1
        if tries >= TRIES:
            del self._waiting[key]
        else:
            self._waiting[key] = tries, now_ns + (FIRST_WAIT_NS << (tries - 1))
