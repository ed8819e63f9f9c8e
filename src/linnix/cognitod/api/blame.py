"""Who makes whom wait: ``/blame``.

Owns the reading of the question, what an unknown victim is, and the permalink. Refuses to compute: ``blame.query``
does. Invariants: ``from`` and ``to`` of an answer are its real bounds, and the permalink, which names them, gives the
same pairs and sums for as long as the daemon runs and keeps that time; after that it is 410, never another answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from linnix.cognitod.api import params, wire
from linnix.cognitod.api.context import Context, context
from linnix.cognitod.api.errors import Json, RequestError, bad_request
from linnix.cognitod.blame import levels, query
from linnix.cognitod.blame.ledger import Ledger
from linnix.cognitod.blame.levels import Name, Scope, Who
from linnix.cognitod.model import RESOURCES, Home

DEFAULT_WINDOW_US = 60_000_000
DEFAULT_TOP, MAX_TOP = 20, 1000
#: How long an answer waits for the reading that closes a window ending now.
PATIENCE_S = 2.0
_STEP_S = 0.05

_SECONDS = re.compile(r"\d{1,11}(\.\d{1,9})?", re.ASCII)


async def blame(request: Request) -> Response:
    """Pairs of victim and offender, most painful first."""
    here = context(request)
    given = request.query_params
    resource = given.get("resource", "cpu")
    if resource not in RESOURCES:
        raise RequestError(400, f"resource={resource!r}: unknown; valid are {', '.join(RESOURCES)}")
    scope = read_scope(here, given.get("victim", ""))
    by = given.get("by") or (scope.level if scope else "process")
    if by not in levels.LEVELS:
        raise RequestError(400, f"by={by!r}: unknown; valid are {', '.join(levels.LEVELS)}")
    top = params.number(given, "top")
    if top is not None and top > MAX_TOP:
        raise bad_request("top", given["top"], f"a whole number up to {MAX_TOP}")
    ledger = here.blame.ledgers[resource]
    _refuse_what_is_gone(here, given, ledger)
    from_us, to_us = await _window(here, given, ledger)

    segments = ledger.window(from_us, to_us)
    if segments:
        from_us, to_us = min(from_us, segments[0].begin_us), max(to_us, segments[-1].end_us)
    told = query.answer(segments, here.blame.names.home, by=by, scope=scope, from_us=from_us, to_us=to_us)
    if scope is not None and not told.pairs and not _exists(here, scope):
        raise RequestError(404, _unknown(scope))
    shown = DEFAULT_TOP if top is None else top
    link: dict[str, str] = {"resource": resource, "by": by}
    if scope is not None:
        link["victim"] = scope.name
    link |= {"from": seconds(from_us), "to": seconds(to_us), "top": str(shown), "run": here.blame.run}
    engagement = here.blame.engagements.get(resource)
    return Json(
        wire.Blame(
            resource=resource,
            from_=from_us / 10**6,
            to=to_us / 10**6,
            pairs=[_pair(pair) for pair in told.pairs[:shown]],
            attributed_ms=_ms(told.attributed_ns),
            psi_total_ms=None if told.psi_us is None else told.psi_us / 1000,
            coverage=round(told.coverage, 4),
            permalink="/blame?" + urlencode(link, quote_via=quote, safe=""),
            by=by,
            victim=scope.name if scope else None,
            pairs_total=len(told.pairs),
            inferred_ms=_ms(told.inferred_ns),
            host_psi_ms=told.host_psi_us / 1000,
            waited_ms=_ms(told.waited_ns),
            lost_ms=_ms(told.lost_ns),
            engaged_s=told.engaged_us / 10**6,
            epochs=told.epochs,
            engaged=engagement is not None and engagement.engaged,
            reason=here.blame.reason(resource),
        )
    )


def _pair(pair: query.Pair) -> wire.BlamePair:
    return wire.BlamePair(
        victim=_name(pair.victim),
        offender=_name(pair.offender),
        task_ms=_ms(pair.task_ns),
        stall_ms=_ms(pair.stall_ns),
        share=round(pair.share, 4),
        kind=pair.kind,
    )


def _name(name: Name) -> wire.BlameProcess | str:
    if isinstance(name, Who):
        return wire.BlameProcess(
            pid=name.pid, start_ns=name.start_ns, comm=name.comm, cgroup=name.cgroup, unit=name.unit
        )
    return name


def _ms(ns: int) -> float:
    return round(ns / 10**6, 3)


def seconds(us: int) -> str:
    """Microseconds of unix time as a URL has them: exact, where a float would not be."""
    return f"{us // 10**6}.{us % 10**6:06d}"


def read_seconds(given: Mapping[str, str], name: str) -> int | None:
    """Unix seconds, fractions allowed, as microseconds; None if not given."""
    value = given.get(name)
    if value is None:
        return None
    if not _SECONDS.fullmatch(value):
        raise bad_request(name, value, "unix seconds, as in 1764000000.5")
    whole, _, fraction = value.partition(".")
    return int(whole) * 10**6 + int(fraction.ljust(6, "0")[:6])


def now_us(here: Context) -> int:
    """Unix time by the daemon's clock."""
    snapshot = here.snapshot()
    return int(snapshot.timestamp * 10**6) + (here.pipeline.now_ns() - snapshot.ts_ns) // 1000


def horizon_us(here: Context, ledger: Ledger) -> int:
    """Up to when everything that will ever be told is told already.

    An engaged meter tells from its last reading on. One that is not attached may be attached at any moment, but a
    sample is always handed over after the readings of its moment.
    """
    sampled_us = int(here.snapshot().timestamp * 10**6)
    overdue_us = 3000 * max(here.config.telemetry.sample_interval_ms, 1000)
    return ledger.horizon_us if ledger.engaged and sampled_us - ledger.horizon_us < overdue_us else sampled_us


async def _window(here: Context, given: Mapping[str, str], ledger: Ledger) -> tuple[int, int]:
    """From and to as asked for, no later than what is known. Waits a moment for a reading that is due."""
    from_us, to_us = read_seconds(given, "from"), read_seconds(given, "to")
    now = now_us(here)
    if from_us is not None and from_us > now:
        raise bad_request("from", given["from"], f"a time that has come: it is {seconds(now)}")
    if from_us is not None and to_us is not None and from_us > to_us:
        raise RequestError(400, f"from={given['from']!r}: later than to={given['to']!r}")
    if to_us is not None:
        waited_s = 0.0
        while ledger.engaged and ledger.horizon_us < min(to_us, now) and waited_s < PATIENCE_S:
            await asyncio.sleep(_STEP_S)
            waited_s += _STEP_S
    known = horizon_us(here, ledger)
    to_us = known if to_us is None else min(to_us, known)
    from_us = max(to_us - DEFAULT_WINDOW_US, 0) if from_us is None else from_us
    return min(from_us, to_us), to_us


def _refuse_what_is_gone(here: Context, given: Mapping[str, str], ledger: Ledger) -> None:
    run = given.get("run")
    if run is not None and run != here.blame.run:
        raise RequestError(410, f"run={run!r}: the daemon was started anew since, and blame is kept in memory only")
    from_us, to_us = read_seconds(given, "from"), read_seconds(given, "to")
    bound = from_us if run is not None else to_us
    if bound is not None and bound < ledger.forgotten_us:
        raise RequestError(
            410, f"blame is kept for an hour: nothing is left from before {seconds(ledger.forgotten_us)}"
        )


def read_scope(here: Context, victim: str) -> Scope | None:
    """Whom the parameter names; None for nobody in particular."""
    if not victim:
        return None
    if victim.isascii() and victim.isdigit():
        if len(victim) > 7 or int(victim) > params.PID_LIMIT:
            raise bad_request("victim", victim, "a process id, a cgroup path, a unit or namespace/pod")
        return Scope("process", victim, pid=int(victim))
    cgroups = here.pipeline.homes.cgroups
    if victim.startswith("/"):
        path = "/" + victim.strip("/")
        found = cgroups.id_of(path)
        return Scope("cgroup", path, path=path, ids=frozenset({found} if found else ()))
    namespace, slash, pod = victim.partition("/")
    if slash:
        return Scope("pod", victim, namespace=namespace, pod=pod, ids=frozenset(cgroups.ids_of_pod(namespace, pod)[:1]))
    return Scope("unit", victim, unit=victim, ids=frozenset(cgroups.ids_of_unit(victim)[:1]))


def _exists(here: Context, scope: Scope) -> bool:
    if scope.level == "process":
        return here.pipeline.table.find(scope.pid) is not None
    return bool(scope.ids) or any(scope.root_of(home) is not None for home in _homes(here))


def _homes(here: Context) -> Iterable[Home]:
    yield from here.blame.homes()
    rows = here.pipeline.table.rows()
    for cgroup, number in set(zip(rows["cgroup_id"].tolist(), rows["home"].tolist(), strict=True)):
        yield here.pipeline.place(cgroup, number)


def _unknown(scope: Scope) -> str:
    hint = {
        "process": "no such process lives, or has lived lately; GET /processes lists them",
        "cgroup": "no such group below the root of cgroup2; GET /processes tells that of each process",
        "unit": "no process is in a unit of this name; a cgroup path begins with a slash, a pod is namespace/pod",
        "pod": "no process is in a pod of this name",
    }[scope.level]
    return f"victim={scope.name!r}: {hint}"
