"""Runs as a laboratory records them, made up: who was there, what was said of whom, and what was true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from linnix.faultlab.dataset import Run
from linnix.faultlab.recording import FactsLine
from linnix.faultlab.scenario import Also
from linnix.faultlab.truth import Clocks, Drawn, Ran, Span, Truth
from linnix.insight import facts as insight
from linnix.insight.facts import Activity, Facts, Finding, Host, Pressure, Process

HOST = Host(
    hostname="lab",
    kernel="6",
    cores=2,
    mem_total_bytes=1 << 30,
    mem_used_bytes=0,
    swap_total_bytes=0,
    swap_used_bytes=0,
    cpu_pct=0,
    mem_pct=0,
    load_avg=(0, 0, 0),
    uptime_s=0,
)
#: Who is there: the culprit, a helper of its tree, a second culprit, a decoy, and somebody of the host.
PEOPLE = {"renderd": 10, "child": 11, "queued": 20, "maild": 30, "cron": 40}
START_NS = 5_000_000_123
Said = tuple[str, str | None]  # class and whom it is about; a class that begins with "(" is only of severity info


def facts(said: Sequence[Said], cpu: Mapping[str, float], when: float = 1000.0) -> Facts:
    """Facts with these findings."""
    processes = [
        Process(
            id=f"P{at}",
            pid=pid,
            ppid=1,
            start_ns=START_NS,
            comm=comm,
            uid=0,
            cpu_pct=cpu.get(comm, 0.0),
            rss_bytes=0,
            mem_pct=0,
            rss_delta_bytes=0,
            threads=1,
            state="S",
            age_s=1,
            forks_per_s=0,
        )
        for at, (comm, pid) in enumerate(PEOPLE.items(), start=1)
    ]
    ids = {process.comm: process.id for process in processes}
    return Facts(
        timestamp=when,
        ts_ns=int(when * 1e9),
        host=HOST,
        pressure=Pressure(),
        activity=Activity(
            window_s=10,
            forks_per_s=0,
            execs_per_s=0,
            exits_per_s=0,
            short_jobs_per_s=0,
            failed_exits_per_s=0,
            lost_events=0,
        ),
        processes=tuple(processes),
        findings=tuple(
            Finding(
                id=f"F{at}",
                cls=cls.strip("()"),
                severity="info" if cls.startswith("(") else "medium",
                rule=f"rule_{cls}",
                process=ids[who] if who is not None else None,
            )
            for at, (cls, who) in enumerate(said, start=1)
        ),
    )


def run(
    *ticks: Sequence[Said],
    cls: str = "cpu_spin",
    also: str | None = None,
    part: str = "train",
    name: str = "small-1",
    warm_up: Sequence[Sequence[Said]] = ([],),
    cpu: Mapping[str, float] | None = None,
    start_ns: int = START_NS,
    started: float = 1000.0,
    failed: str = "",
    unanswered: int = 0,
) -> Run:
    """A run: a tick a second from 1000 on, after the warm-up; the culprit began then, or when it is said. ``failed``:
    why the daemon did; ``unanswered``: so many ticks of the injection at its end.
    """
    lines, when = [], 1000.0 - len(warm_up)
    for phase, said in [*(("warm_up", each) for each in warm_up), *(("injection", each) for each in ticks)]:
        body = insight.encode(facts(said, cpu or {}, when))
        lines.append(msgspec.json.encode(FactsLine(when, when + 0.5, phase, 200, facts=msgspec.Raw(body))))
        when += 1
    for at in range(unanswered):
        lines.append(msgspec.json.encode(FactsLine(when + at, when + at, "injection", 0, error="ConnectError")))
    truth = Truth(
        version=1,
        scenario=name.rpartition("-")[0],
        seed=1,
        cls=cls,
        culprit=None if cls == "normal" else "worker",
        also=(Also(also, "second"),) if also else (),
        part=part,
        intensity=Drawn(1, "x"),
        clocks=Clocks(0, 0, 0),
        phases={"injection": Span(1000, 1030)},
        commands=[
            _ran("worker", "renderd", [(10, start_ns), (11, start_ns)], started=started),
            _ran("second", "queued", [(20, start_ns)]),
            _ran("other", "maild", [(30, start_ns)], "decoy"),
        ],
    )
    meta = msgspec.json.encode({"failed": failed}) if failed else b"{}"
    files = {"truth.json": msgspec.json.encode(truth), "meta.json": meta, "facts.jsonl": b"\n".join(lines) + b"\n"}
    return Run(name, files.__getitem__)


def write(run: Run, out: Path) -> Path:
    """The folder that a laboratory would have recorded it to."""
    folder = out / run.name
    folder.mkdir(parents=True)
    for name in ("truth.json", "meta.json", "facts.jsonl"):
        (folder / name).write_bytes(run.read(name))
    (folder / "events.jsonl").write_bytes(b"")
    return folder


def _ran(
    name: str, shown: str, processes: list[tuple[int, int]], role: str = "command", started: float = 1000.0
) -> Ran:
    pid, start_ns = processes[0]
    return Ran(
        name=name,
        role=role,
        shown_as=shown,
        cgroup=f"/{shown}.service",
        pid=pid,
        start_ns=start_ns,
        started=started,
        started_monotonic_ns=0,
        stopped=1030.0,
        status=None,
        processes=processes,
    )
