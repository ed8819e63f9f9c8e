"""Which container and which pod a cgroup path belongs to.

Owns the shapes in which runtimes and the kubelet name their groups. Refuses files and names: those are ``names``'s.
Invariant: of nested containers the innermost is meant; a monitor that runs beside a container (conmon) is in none.

Sources: runc ``libcontainer/cgroups/systemd/common.go`` (``slice:prefix:name``), kubelet
``pkg/kubelet/cm/cgroup_manager_linux.go`` (pod groups, dashes of a uid written as underscores under systemd), podman
``libpod/oci_conmon_linux.go`` (libpod-, libpod-payload-, libpod-conmon-).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What a runtime writes before the id, in the group's name.
RUNTIMES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
    "libpod-payload": "podman",
}
#: Groups under which a runtime keeps containers that carry nothing but their id.
_PARENTS = {"docker": "docker", "ecs": "docker", "libpod_parent": "podman"}

_CONTAINER = re.compile(r"(?:^|[/:])(?:([\w.-]+)-)?([0-9a-f]{64})(?:\.scope)?(?=/|$)")
_POD = re.compile(
    r"kubepods.*?[/-]pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?=\.slice|[/:]|$)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a path tells: container id, the runtime if its shape gives it away, and the uid of the pod, with dashes."""

    container: str | None = None
    runtime: str | None = None
    pod_uid: str | None = None


def parse(path: str) -> Place:
    """The container and the pod of a cgroup path, whatever hierarchy it is of."""
    container = runtime = None
    for found in _CONTAINER.finditer(path):
        prefix = found[1]
        if prefix and prefix.endswith("conmon"):
            continue
        container = found[2]
        runtime = RUNTIMES.get(prefix) if prefix else _of_parents(path[: found.start()])
    pods = _POD.findall(path)
    return Place(container, runtime, pods[-1].replace("_", "-") if pods else None)


def _of_parents(above: str) -> str | None:
    for part in reversed(above.split("/")):
        if part in _PARENTS:
            return _PARENTS[part]
    return None
