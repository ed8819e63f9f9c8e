"""The host's totals: ``/system`` and ``/metrics/system``.

Owns nothing but their shape. Refuses to measure: the last sample is what there is.
"""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import sights, wire
from linnix.cognitod.api.context import context
from linnix.cognitod.api.errors import Json

MIB = 1 << 20


async def system(request: Request) -> Response:
    """Everything about the host as a whole."""
    here = context(request)
    snapshot = here.snapshot()
    pressure = {
        name: round(getattr(snapshot, name) or 0.0, 2)
        for name in (
            "psi_cpu_some_avg10",
            "psi_memory_some_avg10",
            "psi_memory_full_avg10",
            "psi_io_some_avg10",
            "psi_io_full_avg10",
        )
    }
    one, five, fifteen = snapshot.load_avg
    return Json(
        wire.System(
            timestamp=int(snapshot.timestamp),
            cpu_percent=round(snapshot.cpu_pct, 2),
            mem_percent=round(snapshot.mem_pct, 2),
            load_avg=(round(one, 2), round(five, 2), round(fifteen, 2)),
            disk_read_bytes=snapshot.disk_read_bytes,
            disk_write_bytes=snapshot.disk_write_bytes,
            net_rx_bytes=snapshot.net_rx_bytes,
            net_tx_bytes=snapshot.net_tx_bytes,
            **pressure,
            psi_available=snapshot.psi_cpu_some_avg10 is not None,
            hostname=snapshot.hostname,
            kernel=snapshot.kernel,
            cores=snapshot.cores,
            mem_total_bytes=snapshot.mem_total_bytes,
            mem_used_bytes=snapshot.mem_used_bytes,
            mem_available_bytes=snapshot.mem_available_bytes,
            swap_total_bytes=snapshot.swap_total_bytes,
            swap_used_bytes=snapshot.swap_used_bytes,
            uptime_s=round(snapshot.uptime_s, 1),
            runqueue_latency_us=sights.system_latency(here, "runqueue"),
            block_latency_us=sights.system_latency(here, "block"),
            oom_kills=here.sights.kills_total,
            blocked_threads=here.sights.blocked.total if here.sights.blocked else 0,
            tcp=sights.tcp_totals(here.sights.tcp_totals),
            filesystems=sights.system_filesystems(here),
        )
    )


async def metrics_system(request: Request) -> Response:
    """The short form that the original's dashboard polls."""
    here = context(request)
    snapshot = here.snapshot()
    return Json(
        wire.SystemMetrics(
            cpu_total_pct=round(snapshot.cpu_pct, 2),
            memory_total_mb=snapshot.mem_total_bytes // MIB,
            memory_used_mb=snapshot.mem_used_bytes // MIB,
            processes_total=int(np.count_nonzero(here.pipeline.table.rows()["alive"])),
            timestamp=int(snapshot.timestamp),
        )
    )
