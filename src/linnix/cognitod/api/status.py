"""The daemon about itself: ``/status``, and the same as bare counters in ``/metrics``.

Owns how much was seen and how much was lost, as a client reads it. Refuses to walk /proc: everything but the daemon's
own size is in memory already. Invariant: produced = processed + every kind of loss + what is still on its way.
"""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from linnix import __version__
from linnix.cognitod import footprint
from linnix.cognitod.api import sights, wire
from linnix.cognitod.api.context import BTF, Context, context
from linnix.cognitod.api.errors import Json
from linnix.cognitod.events import Kind
from linnix.cognitod.model import RESOURCES, Flooder, Losses, Rows, text

TOP = 5


def _uptime_s(here: Context) -> float:
    return max(here.pipeline.now_ns() - here.pipeline.started_ns, 1) / 10**9


def _dropped(losses: Losses) -> int:
    return losses.events + losses.subscribers


def _coverage(here: Context, losses: Losses) -> wire.Coverage:
    pipeline = here.pipeline
    happened = pipeline.events_total + losses.events
    return wire.Coverage(
        pct=round(100.0 * pipeline.events_total / happened, 4) if happened else 100.0,
        produced=dict(pipeline.counters.produced),
        drained=pipeline.events_total + pipeline.queue_dropped,
        processed=pipeline.events_total,
        lost=losses.by_cause,
    )


def _fork_books(here: Context) -> wire.ForkBooks | None:
    births = here.pipeline.ledger.births()
    if births is None:
        return None
    return wire.ForkBooks(
        kernel_processes_delta=births.kernel_processes,
        forks=births.forks,
        threads=births.threads,
        workers=births.workers,
        unexplained=births.unexplained,
    )


def _conservation(here: Context) -> wire.Conservation | None:
    balance = here.pipeline.ledger.balance()
    if balance is None:
        return None
    return wire.Conservation(
        window_s=round(balance.window_ns / 10**9, 3),
        busy_pct=round(balance.busy_pct, 3),
        accounted_ns=balance.accounted_ns,
        interrupts_ns=balance.interrupts_ns,
        expected_ns=balance.expected_ns,
        error_pct=None if balance.error_pct is None else round(balance.error_pct, 4),
        holds=balance.holds,
    )


def _io_books(here: Context) -> wire.IoBooks | None:
    traffic = here.pipeline.ledger.traffic()
    if traffic is None:
        return None
    return wire.IoBooks(
        read_bytes=traffic.read_bytes,
        disk_read_bytes=traffic.disk_read_bytes,
        write_bytes=traffic.write_bytes,
        disk_write_bytes=traffic.disk_write_bytes,
        write_kind="inferred",
    )


def _flooder(here: Context, flooder: Flooder) -> wire.Flooder:
    home = here.pipeline.place(flooder.cgroup_id)
    return wire.Flooder(
        cgroup_id=flooder.cgroup_id,
        cgroup=home.cgroup,
        unit=home.unit,
        uid=flooder.uid,
        lost=dict(flooder.lost),
    )


def _rules(here: Context) -> wire.RulesInUse:
    count, book = len(here.pipeline.judging.engine.rules), here.rules
    if book is None:
        return wire.RulesInUse(count, [], None, None, [])
    return wire.RulesInUse(count, list(book.files), round(book.loaded_at, 3), book.error, list(book.ignored))


def _checked(here: Context) -> wire.Checked:
    """What findings are made from: which resources are looked at, and of which it is measured who waits for whom."""
    checked, snapshot = here.pipeline.judging.checked, here.pipeline.snapshot
    looked_at = {
        "cpu": True,
        "memory": True,
        "io": snapshot is not None and snapshot.psi_io_full_avg10 is not None,
        "disk": here.sights.filesystems is not None,
        "network": any(probe.name in ("tcp", "sockets") and probe.state == "on" for probe in here.probes.states()),
        "processes": True,
    }
    return wire.Checked(
        rules=checked.rules,
        detectors=checked.detectors,
        processes=checked.processes,
        judged_at=checked.judged_at,
        resources=[resource for resource, looked in looked_at.items() if looked],
        blame=[resource for resource in RESOURCES if here.blame.reason(resource) is None],
    )


def _top(living: Rows, column: str) -> Rows:
    chosen: Rows = living[np.argsort(living[column], kind="stable")[::-1][:TOP]]
    return chosen


async def status(request: Request) -> Response:
    """Sight, losses, sizes and cost."""
    here = context(request)
    pipeline, config = here.pipeline, here.config
    table = pipeline.table.rows()
    living = table[table["alive"]]
    losses = pipeline.losses()
    uptime_s = _uptime_s(here)
    rss_bytes = footprint.read_rss_bytes()
    body = wire.Status(
        version=__version__,
        uptime_s=int(uptime_s),
        offline=config.runtime.offline,
        cpu_pct=round(100.0 * footprint.read_cpu_s() / uptime_s, 3),
        rss_mb=rss_bytes >> 20,
        events_per_sec=round(pipeline.activity.events_per_s),
        rb_overflows=sum(losses.ring.values()),
        rate_limited=0,
        kernel_version=pipeline.snapshot.kernel if pipeline.snapshot else "",
        aya_version="none",
        transport=here.transport,
        active_rules=len(pipeline.judging.engine.rules),
        top_rss=[
            wire.TopMemory(int(row["pid"]), text(bytes(row["comm"])), round(float(row["mem_pct"]), 2), None)
            for row in _top(living, "rss_bytes")
        ],
        top_cpu=[
            wire.TopCpu(int(row["pid"]), text(bytes(row["comm"])), round(float(row["cpu_pct"]), 2), None)
            for row in _top(living, "cpu_pct")
        ],
        probes=wire.Probes(here.rss_probe, BTF.exists()),
        reasoner=wire.Reasoner(config.reasoner.enabled, config.reasoner.endpoint or None, config.reasoner.timeout_ms),
        incidents_last_1h=None,
        feedback_entries=0,
        slack_stats=wire.SlackStats(),
        perf_poll_errors=0,
        dropped_events_total=_dropped(losses),
        sight=pipeline.sight_name,
        degraded=list(pipeline.degraded),
        rss_bytes=rss_bytes,
        pss_bytes=footprint.read_pss_bytes(),
        coverage=_coverage(here, losses),
        fork_books=_fork_books(here),
        conservation=_conservation(here),
        io_books=_io_books(here),
        flooders=[_flooder(here, each) for each in here.pipeline.flooders()[:TOP]],
        tables=wire.Tables(
            processes=len(table),
            processes_alive=len(living),
            processes_exited=len(table) - len(living),
            processes_evicted=pipeline.table.totals.evicted,
            history=len(pipeline.history),
            alerts=len(pipeline.judging.alerts),
            subscriber_queues=pipeline.hub.queued,
        ),
        subscribers=len(pipeline.hub),
        probe_table=sights.probe_table(here.probes),
        rules=_rules(here),
        checked=_checked(here),
    )
    return Json(body)


async def metrics(request: Request) -> Response:
    """The counters as the original's JSON has them."""
    here = context(request)
    pipeline = here.pipeline
    losses, totals = pipeline.losses(), pipeline.table.totals
    uptime_s = _uptime_s(here)
    by_kind = {int(kind): losses.ring.get(kind.name.lower(), 0) for kind in Kind}
    body = wire.Metrics(
        cpu_percent=round(100.0 * footprint.read_cpu_s() / uptime_s, 3),
        rss=footprint.read_rss_bytes() // 1024,
        subscribers=len(pipeline.hub),
        queue_depth=pipeline.hub.queued,
        dropped_events_total=_dropped(losses),
        alerts_active=len(pipeline.judging.open_alerts),
        uptime_seconds=int(uptime_s),
        events_per_sec=round(pipeline.activity.events_per_s),
        perf_poll_errors=0,
        rate_limited=0,
        alerts_emitted=pipeline.judging.alerts_total,
        lineage_hits=totals.forks,
        lineage_misses=totals.missed_forks,
        drops_by_type=[wire.Drops(number, by_kind.get(number, 0)) for number in range(len(wire.EVENT_TYPES))],
        rss_probe_mode=here.rss_probe,
        kernel_btf_available=BTF.exists(),
        slack_sent=0,
        slack_failed=0,
        alerts_generated=pipeline.judging.alerts_total,
        losses=losses.by_cause,
    )
    return Json(body)
