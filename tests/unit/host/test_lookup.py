"""Names of containers and pods, from the files that runtimes and the kubelet leave."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest

from linnix.cognitod.host import lookup, pods, runtimes
from linnix.cognitod.host.lookup import Lookup, host_root
from linnix.cognitod.host.names import Container, Found, Pod

ID, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4
UID = "5f6d1b2c-9a3e-4c1d-8e7f-0a1b2c3d4e5f"
S = 10**9


def write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def bundle(root: Path, namespace: str, **annotations: str) -> None:
    folder = root / "run/containerd/io.containerd.runtime.v2.task" / namespace / ID
    write(folder / "config.json", {"ociVersion": "1.1.0", "annotations": annotations})


def test_docker_calls_a_container_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / f"var/lib/docker/containers/{ID}/config.v2.json", {"Name": "/web", "Config": {"Labels": {}}})

    assert runtimes.read(tmp_path, ID) == Found(container=Container(name="web", runtime="docker"))


def test_docker_under_a_kubelet_calls_it_as_the_pod_does(tmp_path: Path) -> None:
    labels = {
        "io.kubernetes.container.name": "app",
        "io.kubernetes.pod.name": "front-0",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": UID,
    }
    write(
        tmp_path / f"var/lib/docker/containers/{ID}/config.v2.json",
        {"Name": "/k8s_app_front-0_shop", "Config": {"Labels": labels}},
    )

    assert runtimes.read(tmp_path, ID) == Found(
        container=Container(name="app", runtime="docker", pod_uid=UID), pod=Pod(namespace="shop", name="front-0")
    )


def test_containerd_knows_container_and_pod(tmp_path: Path) -> None:
    bundle(
        tmp_path,
        "k8s.io",
        **{
            "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.sandbox-name": "front-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": UID,
        },
    )

    assert runtimes.read(tmp_path, ID) == Found(
        container=Container(name="app", runtime="containerd", pod_uid=UID), pod=Pod(namespace="shop", name="front-0")
    )


@pytest.mark.parametrize(
    ("namespace", "annotations", "container"),
    [
        ("default", {"nerdctl/name": "web"}, Container(name="web", runtime="containerd")),
        ("moby", {}, Container(runtime="docker")),
    ],
)
def test_other_users_of_containerd_are_told_apart(
    tmp_path: Path, namespace: str, annotations: dict[str, str], container: Container
) -> None:
    bundle(tmp_path, namespace, **annotations)

    assert runtimes.read(tmp_path, ID) == Found(container=container)


@pytest.mark.parametrize(("called", "name"), [("app", "app"), ("POD", None)])
def test_cri_o_knows_container_and_pod(tmp_path: Path, called: str, name: str | None) -> None:
    annotations = {
        "io.kubernetes.container.name": called,
        "io.kubernetes.pod.name": "front-0",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.uid": UID,
    }
    folder = tmp_path / f"run/containers/storage/overlay-containers/{ID}/userdata"
    write(folder / "config.json", {"annotations": annotations})

    assert runtimes.read(tmp_path, ID) == Found(
        container=Container(name=name, runtime="cri-o", pod_uid=UID), pod=Pod(namespace="shop", name="front-0")
    )


def test_podman_keeps_its_names_in_one_list(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/containers/storage/overlay-containers"
    write(folder / "containers.json", [{"id": OTHER, "names": None}, {"id": ID, "names": ["web"], "layer": "x"}])
    write(folder / ID / "userdata/config.json", {"annotations": {}})

    assert runtimes.read(tmp_path, ID) == Found(container=Container(name="web", runtime="podman"))
    assert runtimes.read(tmp_path, OTHER) == Found(container=Container(runtime="podman"))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"annotations": 7}', b"\xff\xfe", b'{"annotations"'])
def test_a_file_that_makes_no_sense_says_nothing(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "run/containerd/io.containerd.runtime.v2.task/k8s.io" / ID
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(content)

    assert runtimes.read(tmp_path, ID) == Found()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(tmp_path, "default", **{"nerdctl/name": "web"})
    monkeypatch.setattr(runtimes, "MAX_BYTES", 10)

    assert runtimes.read(tmp_path, ID) == Found()


def kubelet(root: Path) -> None:
    logs = root / f"var/log/pods/shop_front-0_{UID}/app"
    logs.mkdir(parents=True)
    (root / "var/log/pods/not a pod").mkdir()
    links = root / "var/log/containers"
    links.mkdir()
    (links / f"front-0_shop_app-{ID}.log").symlink_to(logs / "0.log")
    (links / "README").write_text("")


def test_the_kubelets_directories_name_pods_and_containers(tmp_path: Path) -> None:
    kubelet(tmp_path)

    assert pods.read(tmp_path) == pods.Kubelet(
        {UID: Pod(namespace="shop", name="front-0")}, {ID: Container(name="app", pod_uid=UID)}
    )


def test_a_host_without_a_kubelet_has_no_pods(tmp_path: Path) -> None:
    assert pods.read(tmp_path) == pods.Kubelet({}, {})


def test_what_is_asked_for_is_found_once(tmp_path: Path) -> None:
    kubelet(tmp_path)
    asked = deque([ID, UID])
    names = Lookup(asked, tmp_path)

    assert names.find(0) == (
        {ID: Container(name="app", pod_uid=UID)},
        {UID: Pod(namespace="shop", name="front-0")},
    )
    assert (names.find(S), len(asked)) == (({}, {}), 0)


def test_the_runtime_and_the_kubelet_add_to_each_other(tmp_path: Path) -> None:
    kubelet(tmp_path)
    bundle(tmp_path, "k8s.io", **{"io.kubernetes.cri.sandbox-uid": UID})

    assert Lookup(deque([ID]), tmp_path).find(0) == (
        {ID: Container(name="app", runtime="containerd", pod_uid=UID)},
        {UID: Pod(namespace="shop", name="front-0")},
    )


def test_a_name_that_is_written_later_is_waited_for(tmp_path: Path) -> None:
    names = Lookup(deque([ID]), tmp_path)

    assert names.find(0) == ({}, {})
    bundle(tmp_path, "default", **{"nerdctl/name": "web"})
    assert names.find(S // 2) == ({}, {})
    assert names.find(S) == ({ID: Container(name="web", runtime="containerd")}, {})


def test_an_id_that_nobody_knows_is_given_up(tmp_path: Path) -> None:
    names = Lookup(deque([ID, UID]), tmp_path)
    for second in range(2**lookup.TRIES):
        names.find(second * S)
    kubelet(tmp_path)

    assert names.find(1000 * S) == ({}, {})


def test_the_hosts_files_are_below_the_root_of_process_1(tmp_path: Path) -> None:
    assert host_root(tmp_path) == Path("/")
    (tmp_path / "1/root/etc").mkdir(parents=True)
    assert host_root(tmp_path) == tmp_path / "1/root"
