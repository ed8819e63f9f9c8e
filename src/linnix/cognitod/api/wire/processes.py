"""Processes, their events and their families on the wire.

Owns the fields of ``/processes`` and its kin, of ``/stream`` and of ``/graph``. Refuses values, as all of ``wire``.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class K8s(msgspec.Struct):
    """A pod's identity."""

    pod_name: str
    namespace: str
    container_name: str
    owner_kind: str | None
    owner_name: str | None
    priority: str
    slo_tier: str | None


class Container(msgspec.Struct):
    """A container, by the id its runtime gave it."""

    id: str
    runtime: str | None
    name: str | None


class Process(msgspec.Struct, gc=False):
    """One process, in every answer that lists processes. Made by position, two thousand at a time: ``rows`` keeps to
    the order. Of the fields that only a sample knows, null is what cannot be told of this process or on this host.
    """

    pid: int
    ppid: int
    uid: int
    gid: int
    comm: str
    event_type: str
    cpu_pct: float | UnsetType = UNSET
    mem_pct: float | UnsetType = UNSET
    age_sec: int | UnsetType = UNSET
    state: str | UnsetType = UNSET
    k8s: K8s | None = None
    priority: str | UnsetType = UNSET
    start_ns: int = 0
    filename: str | None = None
    argv: list[str] = []
    exit_code: int | UnsetType = UNSET
    exit_signal: int | UnsetType = UNSET
    cpu_ns: int = 0
    max_rss_bytes: int = 0
    rss_bytes: int | UnsetType = UNSET
    rss_growth_bytes: int | UnsetType = UNSET
    threads: int | UnsetType = UNSET
    proc_state: str | UnsetType = UNSET
    cgroup: str | None = None
    unit: str | None = None
    container: Container | None = None
    preexisting: bool | UnsetType = UNSET
    tags: list[str] = []
    cpu_user_ns: int | UnsetType | None = UNSET
    cpu_system_ns: int | UnsetType | None = UNSET
    run_delay_ns: int | UnsetType | None = UNSET
    voluntary_switches: int | UnsetType | None = UNSET
    involuntary_switches: int | UnsetType | None = UNSET
    minor_faults: int | UnsetType | None = UNSET
    major_faults: int | UnsetType | None = UNSET
    read_bytes: int | UnsetType | None = UNSET
    write_bytes: int | UnsetType | None = UNSET
    cancelled_write_bytes: int | UnsetType | None = UNSET
    rss_file_bytes: int | UnsetType | None = UNSET
    rss_anon_bytes: int | UnsetType | None = UNSET
    rss_shmem_bytes: int | UnsetType | None = UNSET
    swap_bytes: int | UnsetType | None = UNSET
    run_delay_pct: float | UnsetType | None = UNSET
    voluntary_switches_per_s: float | UnsetType | None = UNSET
    involuntary_switches_per_s: float | UnsetType | None = UNSET
    minor_faults_per_s: float | UnsetType | None = UNSET
    major_faults_per_s: float | UnsetType | None = UNSET
    read_bytes_per_s: float | UnsetType | None = UNSET
    write_bytes_per_s: float | UnsetType | None = UNSET
    cpu_user_pct: float | UnsetType | None = UNSET
    cpu_system_pct: float | UnsetType | None = UNSET
    open_files: int | UnsetType | None = UNSET
    oom_score: int | UnsetType | None = UNSET
    oom_score_adj: int | UnsetType | None = UNSET
    nice: int | UnsetType | None = UNSET


class LiveProcesses(msgspec.Struct):
    """A frame of ``/processes/live``."""

    event: str
    processes: list[Process]


class Event(msgspec.Struct, kw_only=True):
    """A frame of ``/stream``."""

    pid: int
    ppid: int
    uid: int
    gid: int
    comm: str
    event_type: int
    event_type_name: str
    ts_ns: int
    seq: int
    exit_time_ns: int
    cpu_pct_milli: int
    mem_pct_milli: int
    cpu_percent: float | UnsetType = UNSET
    mem_percent: float | UnsetType = UNSET
    data: int = 0
    data2: int = 0
    aux: int = 0
    aux2: int = 0
    start_ns: int
    filename: str | UnsetType | None = UNSET
    argv: list[str] | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    exit_signal: int | UnsetType = UNSET
    cpu_ns: int | UnsetType = UNSET
    max_rss_bytes: int | UnsetType = UNSET
    cgroup: str | None
    unit: str | None
    container: Container | UnsetType = UNSET
    k8s: K8s | UnsetType = UNSET
    tags: list[str]
    tags_gained: list[str] | UnsetType = UNSET
    tags_lost: list[str] | UnsetType = UNSET


class GraphNode(msgspec.Struct):
    """One process of a family."""

    pid: int
    ppid: int
    comm: str
    uid: int
    gid: int
    event_type: str
    relationship: str
    level: int


class Graph(msgspec.Struct):
    """The answer of ``/graph/{pid}``."""

    root: int
    nodes: list[GraphNode]
    truncated: bool
