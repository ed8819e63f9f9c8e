"""Alive and ready: ``/healthz`` and ``/readyz``, on both ports.

Owns what ready means. Refuses anything slow: an orchestrator asks every few seconds.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from linnix import __version__
from linnix.cognitod.api import wire
from linnix.cognitod.api.context import BTF, context
from linnix.cognitod.api.errors import Json
from linnix.cognitod.events import ProbeState


async def healthz(request: Request) -> Response:
    """200 while the daemon answers at all."""
    here = context(request)
    return Json(wire.Health("ok", here.kernel_instrumentation, here.transport, __version__))


def _told(state: ProbeState) -> str:
    return f"{state.state}: {state.reason}" if state.reason else state.state


async def readyz(request: Request) -> Response:
    """503 while something that should be seen cannot be, unless the configuration says that this will do."""
    here = context(request)
    reasons = list(here.pipeline.degraded)
    reasons += [
        f"{state.name}: {state.reason}"
        for state in here.probes.states()
        if state.required and state.state == "failed" and state.reason not in "; ".join(reasons)
    ]
    ready = (here.bpf and not reasons) or not here.config.api.require_kernel_instrumentation
    body = wire.Ready(
        ready=ready,
        kernel_instrumentation=here.kernel_instrumentation,
        transport=here.transport,
        btf_available=BTF.exists(),
        rss_probe=here.rss_probe,
        reason="; ".join(reasons) or None,
        reasons=reasons,
        probes={state.name: _told(state) for state in here.probes.states()},
    )
    return Json(body, 200 if ready else 503)
