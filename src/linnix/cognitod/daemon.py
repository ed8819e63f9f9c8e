"""The composition root: builds the parts, starts them, stops them, in that order.

Owns which sight is used and the life of the process. Refuses everything else. Invariant: whatever was opened is
closed, in reverse; SIGTERM and SIGINT end in exit code 0 within two seconds, with clients connected or not; SIGHUP
has the rules loaded anew; a part that dies takes the daemon down and says so.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop

from linnix import __version__
from linnix.cognitod import blaming, heap, instruments, listeners, metrics, rulebook, sinks
from linnix.cognitod.apart import Apart
from linnix.cognitod.api import app
from linnix.cognitod.blame.meter import BlameReading
from linnix.cognitod.bookkeeping import Bookkeeper
from linnix.cognitod.config import Config
from linnix.cognitod.detect import Alerts, Engine
from linnix.cognitod.detect.rules import RuleError
from linnix.cognitod.events import Instrument, Sight
from linnix.cognitod.explaining import Explaining
from linnix.cognitod.host import fallback
from linnix.cognitod.host.homes import NO_CGROUP2, Cluster
from linnix.cognitod.host.homes import find as find_homes
from linnix.cognitod.hub import Hub
from linnix.cognitod.ingest import Ingest
from linnix.cognitod.kernel import BpfSight, KernelError, probes
from linnix.cognitod.kernel import open_sight as open_bpf
from linnix.cognitod.metrics.blame import BlameCollector
from linnix.cognitod.metrics.explaining import ExplainingCollector
from linnix.cognitod.metrics.privacy import PrivacyCollector
from linnix.cognitod.metrics.rules import RulesCollector
from linnix.cognitod.metrics.sights import SightsCollector
from linnix.cognitod.pipeline import Pipeline
from linnix.cognitod.processes import Table
from linnix.cognitod.redact import Redactor
from linnix.cognitod.rulebook import Rulebook
from linnix.cognitod.sensing import Sensing
from linnix.cognitod.sights import Sights
from linnix.cognitod.snapshots import HostReader

log = logging.getLogger(__name__)

#: By then the ingest thread has loaded its programs, which takes memory that is free again afterwards.
SETTLED_S = 10
TIDY_S = 600

BPF_IS_OFF = "eBPF is switched off (LINNIX_BPF=off or runtime.bpf = false)"


class StartError(Exception):
    """The daemon cannot start; ``problems`` say why and what to do, one each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Handlers:
    """What ``--handler`` asked for."""

    jsonl: tuple[Path, ...] = ()
    rules: Path | None = None


def choose_sight(config: Config) -> tuple[Sight, tuple[str, ...]]:
    """eBPF where it can be used, else what sees most without it; and why something is not seen."""
    reasons: tuple[str, ...] = (BPF_IS_OFF,)
    if config.runtime.bpf:
        try:
            sight = open_bpf()
        except KernelError as error:
            reasons = error.reasons
        else:
            return sight, sight.degraded
    for reason in reasons:
        log.warning("degraded: %s", reason)
    spare = fallback.open_sight()
    return spare, (*reasons, *spare.degraded)


def open_rules(config: Config, handlers: Handlers) -> Rulebook:
    """The rule file that was named, else the rules that ship with the package, and what overrides them.

    ``StartError`` for a bad one.
    """
    try:
        return Rulebook(rulebook.sources(config, handlers.rules))
    except RuleError as error:
        raise StartError(*map(str, error.problems)) from error


def run(config: Config, handlers: Handlers) -> int:
    """Run until a signal. 0: stopped on request; 1: a part failed. ``StartError`` and ``ListenError`` before that."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a loop to take it: a reload must not end a start
    book = open_rules(config, handlers)
    heap.keep_little()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, handlers, book))


async def _serve(config: Config, handlers: Handlers, book: Rulebook) -> int:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[int] = loop.create_future()
    closing = asyncio.Event()
    hangup = asyncio.Event()

    def on_signal(received: signal.Signals) -> None:
        if over.done():
            log.error("%s again: giving up on an orderly end", received.name)
            os._exit(1)
        log.info("%s: stopping", received.name)
        over.set_result(0)

    def on_failure(error: BaseException) -> None:
        if not over.done():
            log.critical("events can no longer be taken in: stopping", exc_info=error)
            over.set_result(1)

    async with AsyncExitStack() as stack:
        sockets = _bind(config, stack)
        sight, degraded = choose_sight(config)
        stack.callback(sight.close)
        homes, home_reader = find_homes(cluster=_cluster(config))
        degraded += () if homes.cgroups.mount else (NO_CGROUP2,)
        hub = Hub()
        host = HostReader(psi_paths=config.psi_paths)
        stack.callback(host.close)
        alerts = sinks.LineFile(config.alerts_file)
        optional = instruments.choose(config)
        bookkeeper = Bookkeeper(sight.counters, instruments.idle_clock(optional.instruments))
        stack.callback(bookkeeper.close)
        processes = Table(retention_ns=config.telemetry.retention_seconds * 10**9)
        sights = Sights(tell=lambda finding: pipeline.judging.note(finding, book.off), identify=processes.youngest)
        meters = blaming.choose(config, homes.cgroups.mount)
        blame = blaming.keep(meters, processes, homes)
        eyes: list[Instrument] = [Apart(home_reader), *meters.engagements, *optional.instruments]
        clock = probes.RunClock(config.probes.stats, eyes)
        lines = probes.Table(
            sight.states if isinstance(sight, BpfSight) else partial(probes.unseen, degraded),
            eyes,
            [*optional.unwanted, *(probes.off(f"blame_{name}", why) for name, why in meters.absent.items())],
            clock,
        )
        pipeline = Pipeline(
            table=processes,
            engine=Engine(book.rules),
            gate=Alerts(book.rules, socket.gethostname()),
            hub=hub,
            sight_name=sight.name,
            degraded=degraded,
            homes=homes,
            read_counters=sight.counters,
            on_alert=(sinks.alert_sink(alerts), lambda alert: explaining.on_alert(alert)),
            on_reading={BlameReading: blame.on_reading, **sights.receivers},
            senses=Sensing(sights, blame, processes, lambda *who: pipeline.home_of(*who)),
            on_known=(instruments.watch(optional.instruments),),
        )
        inferences = ExplainingCollector()
        explaining = Explaining(
            pipeline.facts,
            config.reasoner,
            offline=config.runtime.offline,
            attach=pipeline.judging.explain,
            on_outcome=inferences.on_outcome,
            on_shown=inferences.on_shown,
        )
        privacy = config.privacy
        redactor = Redactor(privacy.redact_patterns, shown=privacy.allow_patterns, groups=privacy.redact_groups)
        collectors = (SightsCollector(sights, lines, pipeline.place), PrivacyCollector(redactor), RulesCollector(book))
        registry = metrics.build(pipeline, BlameCollector(blame), *collectors, inferences)
        apps = app.build(
            pipeline,
            config,
            closing=closing,
            registry=registry,
            books=blame,
            seen=sights,
            probes=lines,
            rules=book,
            explaining=explaining,
        )
        ingest = Ingest(
            sight,
            pipeline,
            loop,
            read_snapshot=host.read_snapshot,
            read_texts=host.read_texts,
            redact=redactor,
            interval_s=config.telemetry.sample_interval_ms / 1000,
            on_failure=on_failure,
            instruments=[clock, *eyes],
            read_books=bookkeeper.read,
            is_heard=lambda: len(hub) > 0,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal, number)
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
        files = [_follow(pipeline, path) for path in handlers.jsonl]
        ingest.start()
        servers = listeners.Servers()
        await servers.start(apps.api, sockets.api)
        await servers.start(apps.operational, sockets.operational)
        log.info("cognitod %s sees processes through %s, %d rules", __version__, sight.name, len(book.rules))
        log.info("API on http://%s, metrics on http://%s", *_told(config))
        gc.collect()
        gc.freeze()  # what start-up made stays: later collections need not look at it
        _tidy(loop, processes, SETTLED_S)

        tasks = [
            asyncio.create_task(rulebook.follow(book, pipeline.use_rules, hangup)),
            asyncio.create_task(explaining.run()),
        ]
        code = await over
        for task in tasks:
            task.cancel()

        if not ingest.stop():
            log.error("the ingest thread did not end in time")
            code = 1
        closing.set()
        hub.close()
        await asyncio.gather(servers.stop(), *files)
    log.info("stopped")
    return code


def _tidy(loop: asyncio.AbstractEventLoop, processes: Table, again_s: float) -> None:
    """Let go of what start-up needed, and then from time to time of what storms have left."""
    processes.tidy()
    heap.give_back()
    loop.call_later(again_s, _tidy, loop, processes, TIDY_S)


def _cluster(config: Config) -> Cluster | None:
    """Who is asked for more about pods than their names, where the configuration names one and lets us out."""
    wanted = config.kubernetes
    if wanted.api_url is None or config.runtime.offline:
        return None
    from linnix.cognitod.host.kubernetes import Access, ApiServer  # an HTTP client that few hosts need

    token_file = Path(wanted.token_file) if wanted.token_file else None
    ca_file = Path(wanted.ca_file) if wanted.ca_file else None
    node = wanted.node or socket.gethostname()
    return ApiServer(Access(url=wanted.api_url, node=node, token=wanted.token, token_file=token_file, ca_file=ca_file))


@dataclass(frozen=True, slots=True)
class _Sockets:
    api: list[socket.socket]
    operational: list[socket.socket]


def _bind(config: Config, stack: AsyncExitStack) -> _Sockets:
    api = [stack.enter_context(listeners.bind_tcp("api.listen_addr", config.api.listen_addr))]
    addr = config.outputs.metrics_listen_addr
    operational = [stack.enter_context(listeners.bind_tcp("outputs.metrics_listen_addr", addr))]
    if config.api.unix_socket:
        api.append(stack.enter_context(listeners.unix_socket(Path(config.api.unix_socket))))
    return _Sockets(api, operational)


def _follow(pipeline: Pipeline, path: Path) -> asyncio.Task[None]:
    subscription = sinks.subscribe_all(pipeline)
    return asyncio.create_task(sinks.write_events(pipeline, subscription, sinks.LineFile(path)))


def _told(config: Config) -> tuple[str, str]:
    return config.api.listen_addr, config.outputs.metrics_listen_addr
