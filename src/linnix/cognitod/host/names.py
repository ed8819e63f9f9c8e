"""What containers and pods are called.

Owns the names that were found, by container id and by pod uid. Refuses to find them: readers on another thread do, and
hand over what they found. Invariant: ``version`` changes when, and only when, an answer may have changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from linnix.cognitod.host.containers import Place
from linnix.cognitod.model import Home

#: Containers, and pods, whose names are remembered; beyond it the oldest go.
MAX_NAMES = 4096


@dataclass(frozen=True, slots=True)
class Container:
    """A container's name, its runtime, and the pod it belongs to where the runtime knows one."""

    name: str | None = None
    runtime: str | None = None
    pod_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod's name, and what the API server knows beyond it."""

    namespace: str
    name: str
    owner_kind: str | None = None
    owner_name: str | None = None
    priority: str | None = None  # critical high medium low
    slo_tier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What somebody knows of one container."""

    container: Container | None = None
    pod: Pod | None = None


class Names:
    """The names that are known so far. One thread uses it, but for ``asked``, which another one empties."""

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}
        self._pods: dict[str, Pod] = {}
        self.version = 0
        self.asked: deque[str] = deque(maxlen=MAX_NAMES)
        self._once: dict[str, None] = {}  # asked for, whatever came of it

    def learn(self, containers: Mapping[str, Container], pods: Mapping[str, Pod]) -> None:
        """Take over what was found. Those that are gone keep their names, and a pod what is known beyond its name."""
        fresh = {uid: pod for uid, pod in pods.items() if not self._richer(self._pods.get(uid), pod)}
        changed = any(self._containers.get(key) != value for key, value in containers.items())
        changed = changed or any(self._pods.get(uid) != pod for uid, pod in fresh.items())
        self.version += int(changed)
        self._containers = dict([*{**self._containers, **containers}.items()][-MAX_NAMES:])
        self._pods = dict([*{**self._pods, **fresh}.items()][-MAX_NAMES:])

    @staticmethod
    def _richer(known: Pod | None, pod: Pod) -> bool:
        """Whether ``known`` is the same pod and came from the API server, and ``pod`` did not."""
        same = known is not None and (known.namespace, known.name) == (pod.namespace, pod.name)
        return same and known is not None and known.priority is not None and pod.priority is None

    def pod_uids(self, namespace: str, name: str) -> set[str]:
        """Uids of the pods of this name: one that was made anew has another."""
        return {uid for uid, pod in self._pods.items() if (pod.namespace, pod.name) == (namespace, name)}

    def tell(self, cgroup: str | None, unit: str | None, place: Place) -> Home:
        """A home in names, as far as they are known."""
        container = self._containers.get(place.container or "", Container())
        uid = place.pod_uid or container.pod_uid
        pod = self._pods.get(uid or "")
        if place.container and place.container not in self._containers:
            self._ask(place.container)
        if uid and pod is None:
            self._ask(uid)
        return Home(
            cgroup=cgroup,
            unit=unit,
            container=place.container,
            runtime=place.runtime or container.runtime,
            namespace=pod.namespace if pod else None,
            pod=pod.name if pod else None,
            container_name=container.name,
            owner_kind=pod.owner_kind if pod else None,
            owner_name=pod.owner_name if pod else None,
            priority=pod.priority if pod else None,
            slo_tier=pod.slo_tier if pod else None,
        )

    def _ask(self, key: str) -> None:
        if key in self._once:
            return
        if len(self._once) >= 2 * MAX_NAMES:
            self._once.clear()
        self._once[key] = None
        self.asked.append(key)
