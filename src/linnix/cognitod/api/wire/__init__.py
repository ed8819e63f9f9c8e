"""Every JSON name that cognitod sends.

Owns the shapes of the answers, field by field, in wire order. Refuses values: handlers fill these in. Invariant: the
fields of the original come first, in its order and spelling, and mean what its names promise; ours follow and are
never needed to parse the rest. A field with ``UNSET`` is left out when there is nothing to say; one with ``None``
is sent as null.

Units: percent of CPU of a process is of one core, of the host of all cores; ``_ns`` CLOCK_MONOTONIC, ``start_ns`` boot
time, ``timestamp`` and ``_s`` unix seconds and seconds, ``_bytes`` bytes. ``GET /metrics`` says ``rss`` in KB, as the
original does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from linnix.cognitod.api.wire.blame import (
    Attribution,
    Attributions,
    AttributionVictim,
    Blame,
    BlamePair,
    BlameProcess,
)
from linnix.cognitod.api.wire.daemon import (
    Checked,
    Conservation,
    Coverage,
    Drops,
    Flooder,
    ForkBooks,
    Health,
    Index,
    IoBooks,
    Metrics,
    Probes,
    Ready,
    Reasoner,
    Route,
    RulesInUse,
    SlackStats,
    Status,
    Tables,
    TopCpu,
    TopMemory,
)
from linnix.cognitod.api.wire.findings import Evidence, Finding, Party
from linnix.cognitod.api.wire.host import (
    Alert,
    Explanation,
    InsightAlert,
    InsightCpu,
    InsightMemory,
    InsightMetrics,
    Insights,
    System,
    SystemMetrics,
    TimelineEntry,
)
from linnix.cognitod.api.wire.processes import (
    Container,
    Event,
    Graph,
    GraphNode,
    K8s,
    LiveProcesses,
    Process,
)
from linnix.cognitod.api.wire.sights import (
    Blocked,
    BlockedThread,
    CgroupLatency,
    Filesystem,
    Filesystems,
    Latencies,
    Latency,
    OomKill,
    OomKills,
    Percentiles,
    Probe,
    ProbeTable,
    SystemFilesystem,
    SystemLatency,
    Tcp,
    TcpCgroup,
    TcpProcess,
    TcpTotals,
)

__all__ = [
    "EVENT_TYPES",
    "STREAM_EVENT_TYPES",
    "TAG_EVENT_NAME",
    "TAG_EVENT_TYPE",
    "UNKNOWN_EVENT_TYPE",
    "UNKNOWN_MILLI",
    "Alert",
    "Attribution",
    "AttributionVictim",
    "Attributions",
    "Blame",
    "BlamePair",
    "BlameProcess",
    "Blocked",
    "BlockedThread",
    "CgroupLatency",
    "Checked",
    "Conservation",
    "Container",
    "Coverage",
    "Drops",
    "Event",
    "Evidence",
    "Explanation",
    "Filesystem",
    "Filesystems",
    "Finding",
    "Flooder",
    "ForkBooks",
    "Graph",
    "GraphNode",
    "Health",
    "Index",
    "InsightAlert",
    "InsightCpu",
    "InsightMemory",
    "InsightMetrics",
    "Insights",
    "IoBooks",
    "K8s",
    "Latencies",
    "Latency",
    "LiveProcesses",
    "Metrics",
    "OomKill",
    "OomKills",
    "Party",
    "Percentiles",
    "Probe",
    "ProbeTable",
    "Probes",
    "Process",
    "Ready",
    "Reasoner",
    "Route",
    "RulesInUse",
    "SlackStats",
    "Status",
    "System",
    "SystemFilesystem",
    "SystemLatency",
    "SystemMetrics",
    "Tables",
    "Tcp",
    "TcpCgroup",
    "TcpProcess",
    "TcpTotals",
    "TimelineEntry",
    "TopCpu",
    "TopMemory",
    "encode",
    "milli",
]

UNKNOWN_MILLI = 65535

#: ``event_type`` in answers about processes, by event number. The stream spells three of them differently.
EVENT_TYPES = ("exec", "fork", "exit", "net", "file_io", "syscall", "block_io", "page_fault")
STREAM_EVENT_TYPES = ("exec", "fork", "exit", "net", "fileio", "syscall", "blockio", "pagefault")
UNKNOWN_EVENT_TYPE = "unknown"
#: ``event_type`` of a tag change; beyond anything the original numbers
TAG_EVENT_TYPE = 1000
TAG_EVENT_NAME = "tag"


def milli(percent: float | None) -> int:
    """Thousandths of a percent in 16 bits, as the original has it: above 65.534 % it clamps, unknown is 65535."""
    if percent is None:
        return UNKNOWN_MILLI
    return min(max(int(percent * 1000), 0), UNKNOWN_MILLI - 1)


def encode(value: Any) -> bytes:
    """The body of any of the above."""
    return msgspec.json.encode(value)
