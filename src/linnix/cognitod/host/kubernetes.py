"""What the Kubernetes API server knows of this node's pods beyond the kubelet's directories: owners and labels.

Owns one thread that asks, now and then. Refuses to be needed: without an API server, or while it is away, pods keep the
names that the node itself knows. Invariants: nobody ever waits for an answer; certificates are verified; the token is
read again for every request, since bound tokens expire.
"""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
import urllib.parse
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from linnix.cognitod.events import ProbeState
from linnix.cognitod.host.names import Container, Pod

log = logging.getLogger(__name__)

INTERVAL_S = 30.0
TIMEOUT_S = 10.0
#: An answer longer than this is not read to its end: a node runs a few hundred pods at most.
MAX_BYTES = 64 << 20
PRIORITY_LABEL = "linnix.dev/priority"
SLO_LABEL = "linnix.dev/slo-tier"
PRIORITIES = ("critical", "high", "medium", "low")
#: A pod from a file on the node is known to the kubelet by this hash, and to the API server by another uid.
_STATIC = "kubernetes.io/config.hash"
_RUNTIMES = {"containerd": "containerd", "docker": "docker", "cri-o": "cri-o"}


class _Owner(msgspec.Struct):
    kind: str
    name: str
    controller: bool = False


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[_Owner] = []


class _Status(msgspec.Struct, rename="camel"):
    name: str
    container_id: str = msgspec.field(name="containerID", default="")


class _Statuses(msgspec.Struct, rename="camel"):
    container_statuses: list[_Status] = []
    init_container_statuses: list[_Status] = []
    ephemeral_container_statuses: list[_Status] = []


class _Item(msgspec.Struct):
    metadata: _Metadata
    status: _Statuses = msgspec.field(default_factory=_Statuses)


class _Pods(msgspec.Struct):
    items: list[_Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the API server is reached. ``node``: the name under which this host is a node of the cluster."""

    url: str
    node: str
    token: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None


def parse(body: bytes) -> tuple[dict[str, Container], dict[str, Pod]]:
    """Containers by id and pods by the uid in their cgroups, out of a PodList. ``msgspec.MsgspecError`` for others."""
    containers: dict[str, Container] = {}
    pods: dict[str, Pod] = {}
    for item in msgspec.json.decode(body, type=_Pods).items:
        meta, status = item.metadata, item.status
        uid = meta.annotations.get(_STATIC) or meta.uid
        kind, name = _owner(meta)
        priority = meta.labels.get(PRIORITY_LABEL, "").lower()
        pods[uid] = Pod(
            namespace=meta.namespace,
            name=meta.name,
            owner_kind=kind,
            owner_name=name,
            priority=priority if priority in PRIORITIES else "medium",
            slo_tier=meta.labels.get(SLO_LABEL),
        )
        for each in (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses):
            runtime, _, number = each.container_id.partition("://")
            if number:
                containers[number] = Container(name=each.name, runtime=_RUNTIMES.get(runtime), pod_uid=uid)
    return containers, pods


def _owner(meta: _Metadata) -> tuple[str | None, str | None]:
    """Who made the pod, in the words of whoever deployed it: of a ReplicaSet that a Deployment made, the Deployment."""
    owners = sorted(meta.owner_references, key=lambda owner: not owner.controller)
    if not owners:
        return None, None
    owner = owners[0]
    template = "-" + meta.labels.get("pod-template-hash", "")
    if owner.kind == "ReplicaSet" and len(template) > 1 and owner.name.endswith(template):
        return "Deployment", owner.name.removesuffix(template)
    return owner.kind, owner.name


class ApiServer:
    """Asks in the background. ``take`` and ``states`` may be called from any thread."""

    def __init__(self, access: Access, *, interval_s: float = INTERVAL_S) -> None:
        self._access = access
        self._interval_s = interval_s
        self._found: tuple[dict[str, Container], dict[str, Pod]] | None = None
        self._failure = "not asked yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubernetes", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. A request under way is left to its fate: the thread is a daemon."""
        self._stop.set()

    def take(self) -> tuple[dict[str, Container], dict[str, Pod]]:
        """What the last answer said, once."""
        found, self._found = self._found, None
        return found or ({}, {})

    def states(self) -> tuple[ProbeState, ...]:
        """One line in the table of probes."""
        state = "failed" if self._failure else "on"
        what = "owners and labels of pods, from the API server"
        return (ProbeState(name="kubernetes", what=what, state=state, reason=self._failure),)

    def _run(self) -> None:
        while not self._stop.is_set():
            failure = self._ask()
            if failure and failure != self._failure:
                log.warning(
                    "the Kubernetes API server at %s: %s; pods keep the names known here", self._access.url, failure
                )
            elif self._failure and not failure:
                log.info("the Kubernetes API server at %s answers", self._access.url)
            self._failure = failure
            self._stop.wait(self._interval_s)

    def _ask(self) -> str:
        """Why there is no answer; empty if there is."""
        try:
            body = fetch(self._access)
        except (OSError, ValueError, http.client.HTTPException) as error:  # TLS's own are OSErrors
            return str(error) or type(error).__name__
        try:
            self._found = parse(body)
        except msgspec.MsgspecError as error:
            return f"not a list of pods: {error}"
        return ""


def fetch(access: Access) -> bytes:
    """The PodList of the node. ``OSError`` where there is no answer, ``ValueError`` for an address that is none.

    No redirect is followed and no proxy used: the token goes where the configuration says, and nowhere else.
    """
    url = urllib.parse.urlsplit(access.url)
    query = urllib.parse.urlencode({"fieldSelector": f"spec.nodeName={access.node}"})
    token = access.token
    if access.token_file is not None:
        token = access.token_file.read_text().strip()
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT_S)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=str(access.ca_file) if access.ca_file else None)
        connection = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=TIMEOUT_S, context=context)
    with closing(connection):
        connection.request("GET", f"{url.path.rstrip('/')}/api/v1/pods?{query}", headers=headers)
        answer = connection.getresponse()
        body = answer.read(MAX_BYTES)
    if answer.status != http.HTTPStatus.OK:
        raise ConnectionError(f"answered {answer.status} {answer.reason}")
    return body
