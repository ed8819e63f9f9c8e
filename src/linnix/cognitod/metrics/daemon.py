"""The daemon's own series: events, losses, sight, tables and the host.

Owns the names, types and labels of every series. Refuses to measure: it reads counters that the parts keep anyway, and
the daemon's own size; a scrape walks no process. Invariant: label values come from closed sets (causes, kinds,
resources) or from the daemon's own start, so the number of series is bounded; of flooders the first are named.

The first families are the original's, so that its dashboards find them; those of stall attribution are in ``blame``.
``rate_limited`` and ``perf_poll_errors`` stay 0: nothing is capped, nothing polls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from linnix import __version__
from linnix.cognitod import footprint
from linnix.cognitod.events import Kind
from linnix.cognitod.model import Snapshot
from linnix.cognitod.pipeline import Pipeline

_BTF = Path("/sys/kernel/btf/vmlinux")
#: ``linnix_rss_probe_mode``: the original's numbers
_RSS_DISABLED, _RSS_MM = 0, 2
_EVENT_TYPES = 8
#: Series of ``linnix_flood_lost_total``, beside the one of all others.
MAX_FLOODERS = 16

#: resource, scope and where in the snapshot
_PRESSURE = (
    ("cpu", "some", "psi_cpu_some_avg10"),
    ("memory", "some", "psi_memory_some_avg10"),
    ("memory", "full", "psi_memory_full_avg10"),
    ("io", "some", "psi_io_some_avg10"),
    ("io", "full", "psi_io_full_avg10"),
)


class PipelineCollector(Collector):
    """All families of the daemon."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def collect(self) -> Iterable[Metric]:
        """Read everything once."""
        yield from self._original()
        yield from self._events()
        yield from self._sight()
        yield from self._tables()
        if self._pipeline.snapshot is not None:
            yield from _host(self._pipeline.snapshot)

    def _original(self) -> Iterator[Metric]:
        pipeline = self._pipeline
        losses, totals = pipeline.losses(), pipeline.table.totals
        now_ns = pipeline.now_ns()
        uptime_s = max(now_ns - pipeline.started_ns, 1) / 10**9
        bpf = pipeline.sight_name == "bpf"
        yield _gauge("linnix_kernel_instrumentation_active", "1 while processes are seen through eBPF", bpf)
        yield _counter("linnix_events_total", "Lifecycle events processed", pipeline.events_total)
        yield _gauge("linnix_events_per_second", "Lifecycle events per second", pipeline.activity.events_per_s)
        yield _gauge("linnix_alerts_active", "Alerts that are not over", len(pipeline.judging.open_alerts))
        yield _counter("linnix_alerts_emitted_total", "Alerts raised", pipeline.judging.alerts_total)
        dropped = losses.events + losses.subscribers
        yield _counter("linnix_dropped_events_total", "Events lost, all causes; see linnix_events_lost_total", dropped)
        overflows = sum(losses.ring.values())
        yield _counter("linnix_ringbuf_overflows_total", "Records that the kernel found no room for", overflows)
        yield _counter("linnix_rate_limited_total", "Events left out by sampling: never, here", 0)
        yield _counter("linnix_perf_poll_errors_total", "Failed reads of a perf buffer: none is used", 0)
        yield _counter("linnix_lineage_hits_total", "Processes met at their fork", totals.forks)
        yield _counter("linnix_lineage_misses_total", "Processes met later than their fork", totals.missed_forks)
        yield _gauge("linnix_context_queue_depth", "Events queued for subscribers", pipeline.hub.queued)
        yield _gauge("linnix_subscribers", "Clients of the event and alert streams", len(pipeline.hub))
        yield _gauge("linnix_uptime_seconds", "Seconds since the daemon started", uptime_s)
        yield _gauge("linnix_kernel_btf_available", "1 if the kernel describes its types", _BTF.exists())
        mode = _RSS_MM if bpf else _RSS_DISABLED
        yield _gauge("linnix_rss_probe_mode", "0 none, 2 resident sizes from the task iterator", mode)
        cpu_pct = 100.0 * footprint.read_cpu_s() / uptime_s
        yield _gauge("linnix_process_cpu_percent", "CPU of the daemon since its start, percent of one core", cpu_pct)
        yield _gauge("linnix_process_rss_bytes", "Resident set of the daemon", footprint.read_rss_bytes())
        by_type = CounterMetricFamily(
            "linnix_dropped_events_by_type_total",
            "Events lost in the kernel, by number of the type",
            labels=["event_type"],
        )
        names = {int(kind): kind.name.lower() for kind in Kind}
        for number in range(_EVENT_TYPES):
            by_type.add_metric([str(number)], losses.ring.get(names.get(number, ""), 0))
        yield by_type

    def _events(self) -> Iterator[Metric]:
        pipeline = self._pipeline
        totals, counters = pipeline.table.totals, pipeline.counters
        kinds = CounterMetricFamily("linnix_events_by_kind_total", "Lifecycle events processed", labels=["kind"])
        for kind, count in (("exec", totals.execs), ("exit", totals.exits), ("fork", totals.forks)):
            kinds.add_metric([kind], count)
        yield kinds
        lost = CounterMetricFamily("linnix_events_lost_total", "Events lost, by cause", labels=["cause"])
        for cause, count in pipeline.losses().by_cause.items():
            lost.add_metric([cause], count)
        yield lost
        yield self._flooders()
        yield _counter("linnix_threads_created_total", "Threads created; never counted as forks", counters.threads)
        yield _counter("linnix_short_jobs_total", "Processes that lived less than a second", totals.short_jobs)
        yield _counter("linnix_failed_exits_total", "Exits with a code or by a signal", totals.failed_exits)
        yield _counter("linnix_exits_missed_total", "Processes gone without an exit event", totals.missed_exits)

    def _flooders(self) -> Metric:
        family = CounterMetricFamily(
            "linnix_flood_lost_total",
            "Events, texts and accounts lost to those who attempted more than their share",
            labels=["cgroup", "uid"],
        )
        losses = self._pipeline.losses()
        rest = sum(losses.flood.values()) + losses.queue
        for flooder in self._pipeline.flooders()[:MAX_FLOODERS]:
            lost = sum(flooder.lost.values())
            name = self._pipeline.place(flooder.cgroup_id).cgroup or str(flooder.cgroup_id)
            family.add_metric([name, str(flooder.uid)], lost)
            rest -= lost
        if rest > 0:  # of those that are not named, or no longer
            family.add_metric(["other", "other"], rest)
        return family

    def _sight(self) -> Iterator[Metric]:
        pipeline = self._pipeline
        yield InfoMetricFamily("linnix_build", "What runs", {"version": __version__})
        yield InfoMetricFamily(
            "linnix_sight", "How processes are seen: bpf, netlink or proc", {"sight": pipeline.sight_name}
        )
        yield _gauge("linnix_sight_degraded", "1 if something cannot be seen", bool(pipeline.degraded))
        reasons = GaugeMetricFamily(
            "linnix_sight_degraded_reason", "1 for each thing that cannot be seen", labels=["reason"]
        )
        for reason in dict.fromkeys(pipeline.degraded):
            reasons.add_metric([reason], 1)
        yield reasons
        yield _gauge("linnix_rules_active", "Detectors at work", len(pipeline.judging.engine.rules))

    def _tables(self) -> Iterator[Metric]:
        table = self._pipeline.table
        rows = table.rows()
        alive = int(rows["alive"].sum())
        sizes = GaugeMetricFamily("linnix_processes", "Processes in the table", labels=["state"])
        sizes.add_metric(["alive"], alive)
        sizes.add_metric(["exited"], len(rows) - alive)
        yield sizes
        evicted = table.totals.evicted
        yield _counter("linnix_processes_evicted_total", "Exited processes forgotten before their time", evicted)


def _host(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("linnix_host_cpu_percent", "CPU of the host, percent of all cores", snapshot.cpu_pct)
    yield _gauge("linnix_host_memory_used_bytes", "Memory in use on the host", snapshot.mem_used_bytes)
    yield _gauge("linnix_host_memory_total_bytes", "Memory of the host", snapshot.mem_total_bytes)
    pressure = GaugeMetricFamily(
        "linnix_psi_percent", "Pressure stall, percent of the last 10 s", labels=["resource", "scope"]
    )
    for resource, scope, name in _PRESSURE:
        value: float | None = getattr(snapshot, name)
        if value is not None:
            pressure.add_metric([resource, scope], value)
    yield pressure


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(name, what, value=value)
