"""The container and the pod in a cgroup path, in every shape that runtimes and the kubelet give it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.host.containers import Place, parse

A, B = "0123456789abcdef" * 4, "fedcba9876543210" * 4
DASHED = "5f6d1b2c-9a3e-4c1d-8e7f-0a1b2c3d4e5f"
UNDERSCORED = DASHED.replace("-", "_")
STATIC = "3c5f0c1e2b7a4d6f8e9a0b1c2d3e4f50"  # of a pod from a file: a hash

SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"/docker/{A}", Place(A, "docker")),
        (f"/system.slice/docker-{A}.scope", Place(A, "docker")),
        (f"/system.slice/docker-{A}.scope/init.scope", Place(A, "docker")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope", Place(A, "docker")),
        (f"/docker/{A}/docker/{B}", Place(B, "docker")),
        (f"/ecs/0b9c/{A}", Place(A, "docker")),
        (f"/default/{A}", Place(A, None)),
        (f"/system.slice/nerdctl-{A}.scope", Place(A, "containerd")),
        (f"/system.slice/cri-containerd-{A}.scope", Place(A, "containerd")),
        (f"{SLICE}/cri-containerd-{A}.scope", Place(A, "containerd", DASHED)),
        (f"{SLICE}/docker-{A}.scope", Place(A, "docker", DASHED)),
        (f"{SLICE}/crio-{A}.scope", Place(A, "cri-o", DASHED)),
        (f"{SLICE}/crio-{A}.scope/container", Place(A, "cri-o", DASHED)),
        (f"{SLICE}/crio-conmon-{A}.scope", Place(None, None, DASHED)),
        (SLICE, Place(None, None, DASHED)),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/crio-{A}.scope", Place(A, "cri-o", DASHED)),
        (
            f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{STATIC}.slice/crio-{A}.scope",
            Place(A, "cri-o", STATIC),
        ),
        (f"/kubepods/besteffort/pod{DASHED}/{A}", Place(A, None, DASHED)),
        (f"/kubepods/pod{DASHED}/{A}", Place(A, None, DASHED)),
        (f"/kubepods/burstable/pod{STATIC}/crio-{A}", Place(A, "cri-o", STATIC)),
        (f"/kubepods/burstable/pod{DASHED}", Place(None, None, DASHED)),
        (
            f"/system.slice/containerd.service/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{A}",
            Place(A, None, DASHED),
        ),
        (
            f"/docker/{B}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
            f"kubelet-kubepods-besteffort-pod{UNDERSCORED}.slice/cri-containerd-{A}.scope",
            Place(A, "containerd", DASHED),
        ),
        (f"/machine.slice/libpod-{A}.scope/container", Place(A, "podman")),
        (f"/machine.slice/libpod-conmon-{A}.scope", Place()),
        (f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", Place(A, "podman")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope", Place(A, "podman")),
        (f"/libpod_parent/libpod-{A}", Place(A, "podman")),
        (f"/system.slice/web.service/libpod-payload-{A}", Place(A, "podman")),
        (f"/../../docker/{A}", Place(A, "docker")),
        ("/system.slice/docker.service", Place()),
        (f"/system.slice/docker-{A[:12]}.scope", Place()),
        (f"/user.slice/pod{DASHED}", Place()),
        ("/", Place()),
        ("", Place()),
    ],
)
def test_a_path_tells_its_container_and_its_pod(path: str, place: Place) -> None:
    assert parse(path) == place


@given(st.text())
def test_any_path_is_survived(path: str) -> None:
    parse("/" + path)


def test_a_long_path_made_to_be_slow_is_not() -> None:
    assert parse("/kubepods" * 20_000) == Place()
