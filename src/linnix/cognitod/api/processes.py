"""Processes: the list, one, a parent's children, the family, the recent past, and the live feed.

Owns selection and order. Refuses to describe: ``rows`` does. Invariant: what a parameter does not say clearly is
refused by name, never half applied.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping

import numpy as np
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from linnix.cognitod.api import params, rows, sse, where, wire
from linnix.cognitod.api.context import Context, context
from linnix.cognitod.api.errors import HEADERS, Json, RequestError, bad_request
from linnix.cognitod.api.graph import Node, family
from linnix.cognitod.host.homes import Homes
from linnix.cognitod.model import Rows, text

LIVE_INTERVAL_S = 2.0
#: Processes described at a time. After a storm the table holds tens of thousands: to describe them all at once would
#: hold up the event loop for a quarter of a second and take 40 MB.
CHUNK = 1000

_ABOVE = re.compile(r"(cpu_pct|mem_pct)>([0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_NAMED = re.compile(r"comm=(.+)", re.DOTALL)
_LIVES = re.compile(rf"({'|'.join(where.KEYS)})=(.+)", re.DOTALL)
_SHAPES = "cpu_pct>N, mem_pct>N, comm=NAME, unit=NAME, cgroup=PATH, container=ID, pod=NAMESPACE/NAME or namespace=NAME"
#: sort key → column and whether a larger value of the key is a larger value of the column
_SORTS = {
    "cpu_pct": ("cpu_pct", True),
    "mem_pct": ("mem_pct", True),
    "rss_bytes": ("rss_bytes", True),
    "age_sec": ("first_ns", False),
    "pid": ("pid", True),
}


def select(table: Rows, given: Mapping[str, str], homes: Homes) -> Rows:
    """The rows that ``filter`` lets through, in the order of ``sort``, at most ``limit`` of them."""
    chosen = _filtered(table, given.get("filter"), homes)
    chosen = _sorted(chosen, given.get("sort"))
    return chosen[: params.number(given, "limit")]


def _filtered(table: Rows, wanted: str | None, homes: Homes) -> Rows:
    if wanted is None:
        return table
    chosen: Rows
    if above := _ABOVE.fullmatch(wanted):
        chosen = table[table[above[1]] > float(above[2])]
    elif named := _NAMED.fullmatch(wanted):
        chosen = table[table["comm"] == named[1].encode()]
    elif lives := _LIVES.fullmatch(wanted):
        chosen = table.compress(homes.where(where.test(lives[1], lives[2]), table["cgroup_id"], table["home"]))
    else:
        raise bad_request("filter", wanted, _SHAPES)
    return chosen


def _sorted(table: Rows, wanted: str | None) -> Rows:
    if wanted is None:
        return table
    key, _, direction = wanted.partition(":")
    if key not in _SORTS or direction not in ("", "asc", "desc"):
        raise bad_request("sort", wanted, f"one of {', '.join(_SORTS)}, then :desc or :asc")
    column, grows = _SORTS[key]
    order = np.argsort(table[column], kind="stable")
    ascending = (direction != "desc") == grows
    chosen: Rows = table[order if ascending else order[::-1]]
    return chosen


def _array(here: Context, chosen: Rows) -> Response:
    """A JSON array of processes, in pieces where it is long."""
    if len(chosen) <= CHUNK:
        return Json(_describe(here, chosen))
    return StreamingResponse(_pieces(here, chosen), headers=HEADERS, media_type=Json.media_type)


async def _pieces(here: Context, chosen: Rows) -> AsyncGenerator[bytes, None]:
    before = b"["
    for start in range(0, len(chosen), CHUNK):
        part = chosen[start : start + CHUNK]
        now = here.pipeline.table.at(part["slot"].astype(np.intp))
        # Between two pieces the table may have forgotten some and given their slots to others.
        part = part[(now["pid"] == part["pid"]) & (now["start_ns"] == part["start_ns"])]
        if len(part):
            yield before + wire.encode(_describe(here, part))[1:-1]
            before = b","
        await asyncio.sleep(0)
    yield b"[]" if before == b"[" else b"]"


def _describe(here: Context, chosen: Rows) -> list[wire.Process]:
    return rows.describe(chosen, here.pipeline.table, here.pipeline.place, here.pipeline.now_ns())


async def processes(request: Request) -> Response:
    """All that are known, living and lately exited, or those asked for."""
    here = context(request)
    return _array(here, select(here.pipeline.table.rows(), request.query_params, here.pipeline.homes))


async def process(request: Request) -> Response:
    """The youngest process that has had this PID."""
    here = context(request)
    row = here.pipeline.table.find(params.path_pid(request, "pid"))
    if row is None:
        raise RequestError(404, "Not found")
    return Json(_describe(here, np.array([row]))[0])


async def children(request: Request) -> Response:
    """The processes whose parent this is."""
    here = context(request)
    return _array(here, here.pipeline.table.children(params.path_pid(request, "ppid")))


async def graph(request: Request) -> Response:
    """The family of a process."""
    pid = params.path_pid(request, "pid")
    table = context(request).pipeline.table.rows()
    nodes, truncated = family(table, pid)
    if not nodes:
        raise RequestError(404, "PID not found")
    return Json(wire.Graph(pid, [_node(table, node) for node in nodes], truncated))


def _node(table: Rows, node: Node) -> wire.GraphNode:
    if node.row is None:
        return wire.GraphNode(node.pid, 0, "", 0, 0, wire.UNKNOWN_EVENT_TYPE, node.relationship, node.level)
    row = table[node.row]
    return wire.GraphNode(
        pid=node.pid,
        ppid=int(row["ppid"]),
        comm=text(bytes(row["comm"])),
        uid=int(row["uid"]),
        gid=int(row["gid"]),
        event_type=rows.event_type(int(row["last_kind"])),
        relationship=node.relationship,
        level=node.level,
    )


async def live(request: Request) -> Response:
    """The living processes, again every two seconds."""
    here = context(request)
    return sse.EventStream(_live(here), here.closing)


async def _live(here: Context) -> AsyncGenerator[bytes, None]:
    while True:
        table = here.pipeline.table.rows()
        update = wire.LiveProcesses("update", _describe(here, table[table["alive"]]))
        yield sse.frame(wire.encode(update), "processes")
        await asyncio.sleep(LIVE_INTERVAL_S)


async def recent(request: Request) -> Response:
    """The processes of the last events, as they were then, oldest first."""
    here = context(request)
    return Json(rows.of_events(here.pipeline.history.frames, here.pipeline.place, here.pipeline.now_ns()))
