"""A data set tells nothing of what else the host did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from lab_recorded import HOST, facts, run

from linnix.faultlab import dataset
from linnix.faultlab.recording import FactsLine
from linnix.insight import facts as insight
from linnix.insight.facts import Filesystem, Job, OomKill

LAB = "/app.slice/app-12ab34cd.slice/worker.service"


def recorded() -> dataset.Run:
    """A run beside which the host did something that is nobody else's affair."""
    known = facts([("cpu_spin", "renderd")], {})
    homes = {"renderd": LAB, "child": LAB, "queued": "/", "maild": "/boxes/a", "cron": "/boxes/b"}
    processes = tuple(
        msgspec.structs.replace(each, cgroup=homes[each.comm], unit="x.service" if each.comm == "maild" else None)
        for each in known.processes
    )
    jobs = (
        Job(id="J1", parent="P1", comm="w", command="/home/me/runs/.app-12ab34cd/bin/0/w -x '/home/me/runs/.app-1/y'"),
        Job(id="J2", parent="P5", comm="psql", command="psql -c 'select secrets'", ended=3),
        Job(id="J3", parent="P5", comm="psql", command="psql -c 'select others'", ended=3),
        Job(id="J4", parent="P5", comm="psql", command="psql -c 'select secrets'", ended=3),
        Job(
            id="J5", parent="P1", comm="python3", command="/home/me/venv/bin/python3 -c 'x' /usr/lib/y /etc/z /home/me"
        ),
        Job(id="J6", parent="P5", comm="bash", command=""),
    )
    spaces = (
        Filesystem(id="D1", mount="/home/me/runs/.app-12ab34cd/srv", used_pct=99.0, available_bytes=1),
        Filesystem(id="D2", mount="/secret", used_pct=99.0, available_bytes=1),
        Filesystem(id="D3", mount="/", used_pct=99.0, available_bytes=1),
    )
    kills = (OomKill(id="K1", pid=9, comm="java", age_s=1, rss_bytes=1, cgroup="/boxes/a"),)
    known = msgspec.structs.replace(known, processes=processes, jobs=jobs, oom_kills=kills, filesystems=spaces)
    finding = {
        "id": "f-1",
        "process": {"pid": 40, "cgroup": "/boxes/b", "unit": None},
        "victims": [{"pid": 30, "cgroup": "/boxes/a", "unit": "x.service"}],
    }
    line = FactsLine(
        1.0,
        1.5,
        "injection",
        200,
        facts=msgspec.Raw(insight.encode(known)),
        findings=msgspec.Raw(msgspec.json.encode([finding, {"id": "f-2", "process": None}])),
    )
    status = {"version": "1", "top_cpu": [{"comm": "secretd"}], "rules": {"files": ["/home/me/rules.yaml"]}}
    meta = {"host": {"cores": 2, "hostname": "mine"}, "daemon": {"own": True, "status": status}}
    files = {
        "truth.json": run([]).read("truth.json"),
        "meta.json": msgspec.json.encode(meta),
        "facts.jsonl": msgspec.json.encode(line) + b"\n" + msgspec.json.encode(FactsLine(2, 3, "injection", 0)) + b"\n",
    }
    return dataset.Run("small-1", files.__getitem__)


def packed(tmp_path: Path) -> dataset.Run:
    dataset.pack([recorded()], tmp_path / "set")
    [found] = dataset.read(tmp_path / "set")
    return found


def test_only_the_laboratorys_own_command_lines_are_told(tmp_path: Path) -> None:
    line = next(packed(tmp_path).lines())
    told = insight.decode(bytes(line.facts))

    assert [(job.comm, job.command) for job in told.jobs] == [
        ("w", "/app/bin/0/w -x '/app/y'"),
        ("psql", "psql 1"),
        ("psql", "psql 2"),
        ("psql", "psql 1"),
        ("python3", "/app/python3 -c 'x' /usr/lib/y /etc/z /home/me"),
        ("bash", ""),
    ]
    assert [space.mount for space in told.filesystems] == ["/app/srv", "/mnt/2", "/"]
    assert told.host.hostname == "lab"


def test_groups_of_the_host_are_numbered_and_the_same_one_is_the_same_everywhere(tmp_path: Path) -> None:
    line = next(packed(tmp_path).lines())
    told = insight.decode(bytes(line.facts))
    said: list[dict[str, Any]] = json.loads(bytes(line.findings))

    assert [(each.comm, each.cgroup, each.unit) for each in told.processes] == [
        ("renderd", LAB, None),
        ("child", LAB, None),
        ("queued", "/", None),
        ("maild", "/host/1", None),
        ("cron", "/host/2", None),
    ]
    assert told.oom_kills[0].cgroup == "/host/1"
    assert said == [
        {
            "id": "f-1",
            "process": {"pid": 40, "cgroup": "/host/2", "unit": None},
            "victims": [{"pid": 30, "cgroup": "/host/1", "unit": None}],
        },
        {"id": "f-2", "process": None},
    ]


def test_everything_else_stays_as_it_was_recorded(tmp_path: Path) -> None:
    before, after = recorded(), packed(tmp_path)

    assert after.read("truth.json") == before.read("truth.json")
    assert json.loads(after.read("meta.json")) == {
        "host": {"cores": 2, "hostname": "lab"},
        "daemon": {"own": True, "status": {"version": "1"}},
    }
    facts_before, facts_after = (insight.decode(bytes(next(each.lines()).facts)) for each in (before, after))
    same = {"jobs": (), "oom_kills": (), "processes": (), "filesystems": (), "host": HOST}
    assert msgspec.structs.replace(facts_after, **same) == msgspec.structs.replace(facts_before, **same)
    assert [line.status for line in after.lines()] == [200, 0]
