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

_CONTAINER = re.compile(r"(?:([\w.-]+)-)?([0-9a-f]{64})(?:\.scope)?")
_POD = re.compile(r"(?:.*-)?pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?")
#: Of the groups above a pod's one is called so, or the pod's own begins so.
_KUBEPODS = "kubepods"


@dataclass(frozen=True, slots=True)
class Place:
    """What a path tells: container id, the runtime if its shape gives it away, and the uid of the pod, with dashes."""

    container: str | None = None
    runtime: str | None = None
    pod_uid: str | None = None


def parse(path: str) -> Place:
    """The container and the pod of a cgroup path, whatever hierarchy it is of."""
    container = runtime = parent = pod_uid = None
    in_kubepods = False
    for part in path.split("/"):
        in_kubepods = in_kubepods or _KUBEPODS in part
        parent = _PARENTS.get(part, parent)
        # containerd writes ``slice:prefix:id`` as it is where its driver is not the kubelet's
        for piece in part.split(":"):
            if in_kubepods and (pod := _POD.fullmatch(piece)):
                pod_uid = pod[1].replace("_", "-")
            found = _CONTAINER.fullmatch(piece)
            if found and not (found[1] or "").endswith("conmon"):
                container = found[2]
                runtime = RUNTIMES.get(found[1]) if found[1] else parent
    return Place(container, runtime, pod_uid)
