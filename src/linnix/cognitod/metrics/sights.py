"""The series of the probes and of what the optional ones saw.

Owns their names and labels. Refuses to measure. Invariant: series by cgroup and by mount are capped at ``MAX_SERIES``
each, the largest, and those of the whole host carry no label, so that nothing is counted twice in a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from linnix.cognitod.kernel.latency import BOUNDS_NS, REST
from linnix.cognitod.kernel.probes import Table
from linnix.cognitod.kernel.tcp import TCP_KINDS
from linnix.cognitod.model import Home, text
from linnix.cognitod.sights import Sights, largest, together

MAX_SERIES = 32
#: Every second bound: a factor of four apart is enough for an alert, and half the series.
_STEP = 2

_KINDS = (
    ("runqueue", "How long tasks waited for a CPU"),
    ("block", "How long block devices took to serve a request"),
)


class SightsCollector(Collector):
    """All families of the probes."""

    def __init__(self, sights: Sights, probes: Table, place: Callable[[int], Home]) -> None:
        self._sights = sights
        self._probes = probes
        self._place = place

    def collect(self) -> Iterable[Metric]:
        """Read everything once."""
        yield from self._probe_families()
        measured = CounterMetricFamily(
            "linnix_latency_measured_seconds_total", "How long latencies were looked at", labels=["kind"]
        )
        for name, what in _KINDS:
            yield from self._latency(name, what)
            if name in self._sights.latencies:
                measured.add_metric([name], self._sights.latencies[name].measured_s)
        yield measured
        sights = self._sights
        yield CounterMetricFamily("linnix_oom_kills_total", "Processes killed for want of memory", sights.kills_total)
        stuck = sights.blocked.total if sights.blocked else 0
        yield GaugeMetricFamily("linnix_blocked_threads", "Threads stuck in uninterruptible sleep", value=stuck)
        tcp = CounterMetricFamily("linnix_tcp_events_total", "TCP trouble, and connections begun", labels=["kind"])
        for kind, count in zip(TCP_KINDS, sights.tcp_totals, strict=True):
            tcp.add_metric([kind], count)
        yield tcp
        yield from self._socket_families()
        syncs = sights.syncs.total if sights.syncs else 0
        yield CounterMetricFamily("linnix_syncs_total", "Calls of fsync and the like, and synchronous writes", syncs)
        yield from self._filesystems()

    def _probe_families(self) -> Iterator[Metric]:
        states = self._probes.states()
        up = GaugeMetricFamily("linnix_probe_up", "1 while the probe sees", labels=["probe", "required"])
        runs = CounterMetricFamily("linnix_probe_runs_total", "Runs while they were counted", labels=["probe"])
        time = CounterMetricFamily("linnix_probe_run_seconds_total", "Time in these runs", labels=["probe"])
        attach = GaugeMetricFamily("linnix_probe_attach_seconds", "What the last attachment took", labels=["probe"])
        for state in states:
            up.add_metric([state.name, str(state.required).lower()], float(state.state == "on"))
            if state.runs is not None and state.run_ns is not None:
                runs.add_metric([state.name], state.runs)
                time.add_metric([state.name], state.run_ns / 10**9)
            if state.attach_ms is not None:
                attach.add_metric([state.name], state.attach_ms / 1000)
        yield from (up, runs, time, attach)
        yield CounterMetricFamily(
            "linnix_probe_measured_seconds_total", "How long runs were counted", self._probes.measured_s
        )

    def _latency(self, name: str, what: str) -> Iterator[Metric]:
        host = HistogramMetricFamily(f"linnix_{name}_latency_seconds", f"{what}, whole host")
        cgroups = HistogramMetricFamily(
            f"linnix_cgroup_{name}_latency_seconds", f"{what}, by cgroup", labels=["cgroup"]
        )
        found = self._sights.latencies.get(name)
        if found is not None:
            rows = found.total()
            host.add_metric([], *_buckets(together(rows)))
            shown: dict[str, Any] = {}
            for row in largest(rows, MAX_SERIES):
                number = int(row["cgroup_id"])
                path = None if number == REST else self._place(number).cgroup
                label = path or "other"  # cgroups that are gone have no path; two rows must not share a label
                shown[label] = row if label not in shown else _sum(shown[label], row)
            for label, row in shown.items():
                cgroups.add_metric([label], *_buckets(row))
        yield from (host, cgroups)

    def _socket_families(self) -> Iterator[Metric]:
        """Of what was looked at: where the probe rests they are a sample."""
        totals = self._sights.socket_totals
        moved = CounterMetricFamily("linnix_socket_bytes_total", "Moved by sockets of IP", labels=["direction"])
        calls = CounterMetricFamily("linnix_socket_calls_total", "Calls that moved them", labels=["direction"])
        for direction, short in (("sent", "tx"), ("received", "rx")):
            moved.add_metric([direction], totals[f"{short}_bytes"])
            calls.add_metric([direction], totals[f"{short}_calls"])
        yield from (moved, calls)
        yield CounterMetricFamily(
            "linnix_socket_connections_total", "Ends of TCP connections that were established", totals["connects"]
        )

    def _filesystems(self) -> Iterator[Metric]:
        labels = ["mount", "kind"]
        size = GaugeMetricFamily("linnix_filesystem_size_bytes", "Size of the filesystem", labels=labels)
        used = GaugeMetricFamily("linnix_filesystem_used_bytes", "Bytes in use", labels=labels)
        avail = GaugeMetricFamily(
            "linnix_filesystem_avail_bytes", "What unprivileged users can still use", labels=labels
        )
        inodes = GaugeMetricFamily("linnix_filesystem_inodes", "Inodes; 0 where they are made as needed", labels=labels)
        inodes_used = GaugeMetricFamily("linnix_filesystem_inodes_used", "Inodes in use", labels=labels)
        seen = self._sights.filesystems
        for one in (seen.filesystems if seen else ())[:MAX_SERIES]:
            if one.size_bytes is None:
                continue
            names = [text(one.mount.point), one.mount.kind]
            for family, value in (
                (size, one.size_bytes),
                (used, one.used_bytes),
                (avail, one.avail_bytes),
                (inodes, one.inodes),
                (inodes_used, one.inodes_used),
            ):
                family.add_metric(names, float(value or 0))
        yield from (size, used, avail, inodes, inodes_used)


def _sum(one: Any, other: Any) -> Any:
    whole = one.copy()
    whole["sum_ns"] += other["sum_ns"]
    whole["counts"] += other["counts"]
    return whole


def _buckets(histogram: Any) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets by upper bound in seconds, and the sum in seconds."""
    below = histogram["counts"].cumsum()
    bounds = [(repr(BOUNDS_NS[at] / 10**9), float(below[at])) for at in range(0, len(BOUNDS_NS), _STEP)]
    return [*bounds, ("+Inf", float(below[-1]))], float(histogram["sum_ns"]) / 10**9
