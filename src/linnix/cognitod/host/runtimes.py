"""What container runtimes write down about a container.

Owns the files of Docker, containerd, CRI-O and podman. Refuses to talk to a runtime: an answer must not depend on a
daemon that may hang. Invariant: what cannot be read or understood is not known; nothing raises.

Sources: moby ``daemon/container/container.go`` (config.v2.json), containerd ``pkg/cri/annotations``, CRI-O
``pkg/annotations``, containers/storage ``containers.json``, nerdctl ``pkg/labels``; paths are below ``root``.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from linnix.cognitod.host.names import Container, Found, Pod

#: A file larger than this is not read.
MAX_BYTES = 4 << 20

_DOCKER = ("var/lib/docker/containers",)
#: Where containerd keeps bundles, by namespace and id; Docker's and the kubelet's are namespaces of it.
_CONTAINERD = (
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "run/k0s/containerd/io.containerd.runtime.v2.task",
    "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
)
#: Namespace of containerd that holds the containers of Docker.
_MOBY = "moby"
_STORAGE = ("run/containers/storage/overlay-containers", "var/lib/containers/storage/overlay-containers")

_CRI = "io.kubernetes.cri."
_KUBELET = "io.kubernetes."


class _DockerConfig(msgspec.Struct):
    labels: dict[str, str] | None = msgspec.field(name="Labels", default=None)


class _Docker(msgspec.Struct):
    name: str = msgspec.field(name="Name", default="")
    config: _DockerConfig = msgspec.field(name="Config", default_factory=_DockerConfig)


class _Bundle(msgspec.Struct):
    """An OCI runtime's config.json."""

    annotations: dict[str, str] = {}


class _Stored(msgspec.Struct):
    """An entry of containers/storage."""

    id: str = ""
    names: list[str] | None = None


_T = TypeVar("_T")


def read(root: Path, container: str) -> Found:
    """What the runtime of a container, whichever it is, says about it; nothing where none knows it."""
    return _docker(root, container) or _containerd(root, container) or _storage(root, container) or Found()


def _docker(root: Path, container: str) -> Found | None:
    for place in _DOCKER:
        told = _decode(root / place / container / "config.v2.json", _Docker)
        if told is not None:
            labels = told.config.labels or {}
            return _found("docker", labels, _KUBELET, labels.get(f"{_KUBELET}container.name") or told.name.lstrip("/"))
    return None


def _containerd(root: Path, container: str) -> Found | None:
    for place in _CONTAINERD:
        for namespace in _children(root / place):
            told = _decode(namespace / container / "config.json", _Bundle)
            if told is None:
                continue
            notes = told.annotations
            name = notes.get(f"{_CRI}container-name") or notes.get("nerdctl/name")
            pod = {
                f"{_KUBELET}pod.{key}": notes.get(f"{_CRI}sandbox-{key}", "") for key in ("name", "namespace", "uid")
            }
            return _found("docker" if namespace.name == _MOBY else "containerd", pod, _KUBELET, name)
    return None


def _storage(root: Path, container: str) -> Found | None:
    for place in _STORAGE:
        folder = root / place
        told = _decode(folder / container / "userdata/config.json", _Bundle)
        if told is not None and (name := told.annotations.get(f"{_KUBELET}container.name")):
            return _found("cri-o", told.annotations, _KUBELET, None if name == "POD" else name)
        for stored in _decode(folder / "containers.json", list[_Stored]) or ():
            if stored.id == container:
                return Found(container=Container(name=stored.names[0] if stored.names else None, runtime="podman"))
    return None


def _found(runtime: str, notes: dict[str, str], prefix: str, name: str | None) -> Found:
    uid, pod = notes.get(f"{prefix}pod.uid") or None, notes.get(f"{prefix}pod.name")
    namespace = notes.get(f"{prefix}pod.namespace")
    known = Pod(namespace=namespace, name=pod) if namespace and pod else None
    return Found(container=Container(name=name or None, runtime=runtime, pod_uid=uid), pod=known)


def _children(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _decode(path: Path, kind: type[_T]) -> _T | None:
    with suppress(OSError, ValueError, msgspec.MsgspecError):
        if path.stat().st_size <= MAX_BYTES:
            return msgspec.json.decode(path.read_bytes(), type=kind)
    return None
