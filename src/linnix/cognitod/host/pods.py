"""What the kubelet's own directories say about pods and their containers.

Owns the names of ``/var/log/pods`` and ``/var/log/containers``. Refuses the API server: this works while it is away,
and for whoever has no token. Invariant: a name that does not have the kubelet's form is passed over.

Sources: kubelet ``pkg/kubelet/kuberuntime/helpers.go`` (``NAMESPACE_NAME_UID``) and ``legacy.go``
(``POD_NAMESPACE_CONTAINER-ID.log``). Neither a namespace nor the name of a pod can hold an underscore.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linnix.cognitod.host.names import Container, Pod

_POD = re.compile(r"([^_]+)_([^_]+)_([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_CONTAINER = re.compile(r"([^_]+)_([^_]+)_(.+)-([0-9a-f]{64})\.log")


@dataclass(frozen=True, slots=True)
class Kubelet:
    """Everything that runs, or ran lately, on this node: pods by uid, containers by id."""

    pods: dict[str, Pod]
    containers: dict[str, Container]


def read(root: Path) -> Kubelet:
    """The kubelet's view; an empty one where there is none."""
    pods = {
        found[3]: Pod(namespace=found[1], name=found[2])
        for name in _names(root / "var/log/pods")
        if (found := _POD.fullmatch(name))
    }
    uids = {(pod.namespace, pod.name): uid for uid, pod in pods.items()}
    containers = {
        found[4]: Container(name=found[3], pod_uid=uids.get((found[2], found[1])))
        for name in _names(root / "var/log/containers")
        if (found := _CONTAINER.fullmatch(name))
    }
    return Kubelet(pods, containers)


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)  # noqa: PTH208 (names only, of hundreds)
    return []
