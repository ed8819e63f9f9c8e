"""Arbitrary facts and arbitrary legal answers, for property tests."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from hosts import MB, NOW, facts, process
from hypothesis import strategies as st

from linnix.insight.classes import CLASSES, SEVERITIES
from linnix.insight.facts import Blame, Facts, Finding, Group, Trend

percent = st.floats(0, 100)
rate = st.one_of(st.just(0.0), st.floats(0, 2000))
comms = st.one_of(st.sampled_from(["sh", "java", "cc1"]), st.text(max_size=15))
maybe = st.one_of(st.none(), percent)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Facts as the schema allows them, consistent or not: ids exist, figures are arbitrary."""
    count = draw(st.integers(0, 6))
    processes = [
        process(
            n,
            draw(comms),
            ppid=draw(st.sampled_from([1, 2, 1001, 1002])),
            cpu_pct=draw(st.one_of(percent, st.floats(0, 6400))),
            rss_bytes=draw(st.integers(0, 10**12)),
            mem_pct=draw(percent),
            rss_delta_bytes=draw(st.integers(-(10**9), 10**10)),
            threads=draw(st.integers(0, 500)),
            state=draw(st.sampled_from("RSDZ")),
            age_s=draw(st.floats(0, 1e7)),
            forks_per_s=draw(rate),
            short_jobs_per_s=draw(rate),
            cgroup=draw(st.one_of(st.none(), st.text(max_size=9))),
            unit=draw(st.sampled_from([None, "a.service", "$(reboot).service"])),
            own=draw(st.booleans()),
        )
        for n in range(1, count + 1)
    ]
    ids = [p.id for p in processes]
    who = st.sampled_from([None, *ids])
    groups = tuple(
        Group(
            id=f"G{n}",
            comm=draw(comms),
            count=draw(st.integers(2, 99)),
            cpu_pct=draw(st.floats(0, 6400)),
            mem_pct=draw(percent),
            rss_bytes=draw(st.integers(0, 10**12)),
            members=tuple(i for i in ids if draw(st.booleans())),
        )
        for n in range(1, draw(st.integers(0, 2)) + 1)
    )
    keys = st.sampled_from(["share_pct", "subtree_cpu_pct", "of_culprit", "exhausted_in_s", "threshold"])
    findings = tuple(
        Finding(
            id=f"F{n}",
            cls=draw(st.sampled_from([*CLASSES, "of a later version"])),
            severity=draw(st.sampled_from(SEVERITIES)),
            rule="r",
            process=draw(who),
            group=draw(st.sampled_from([None, *(g.id for g in groups)])),
            since=draw(st.sampled_from([0.0, NOW - 30, NOW + 5])),
            evidence=draw(st.dictionaries(keys, st.floats(0, 1e6), max_size=3)),
        )
        for n in range(1, draw(st.integers(0, 4)) + 1)
    )
    blame = tuple(
        Blame(
            id=f"B{n}",
            resource=draw(st.sampled_from(["cpu", "io", "memory", "tape"])),
            victim=draw(st.sampled_from(ids)),
            offender=draw(st.sampled_from(ids)),
            task_ms=draw(st.floats(0, 1e5)),
            share=draw(st.floats(0, 1)),
        )
        for n in range(1, (draw(st.integers(0, 2)) if ids else 0) + 1)
    )
    metrics = st.sampled_from(["cpu_pct", "mem_pct", "psi_cpu", "psi_memory", "psi_io", "rss"])
    trends = tuple(
        Trend(
            id=f"T{n}",
            metric=draw(metrics),
            direction=draw(st.sampled_from(["rising", "falling", "steady"])),
            delta=draw(st.floats(-(10**9), 10**9)),
            window_s=draw(st.floats(1, 600)),
            process=draw(who),
        )
        for n in range(1, draw(st.integers(0, 3)) + 1)
    )
    host: dict[str, Any] = {
        "cpu_pct": draw(percent),
        "mem_pct": draw(percent),
        "cores": draw(st.integers(1, 64)),
        "load_avg": (draw(st.floats(0, 99)), 0.0, 0.0),
        "swap_used_bytes": draw(st.sampled_from([0, 500 * MB])),
    }
    pressure = {f"{name}_pct": draw(maybe) for name in ("cpu_some", "memory_some", "memory_full", "io_some", "io_full")}
    activity: dict[str, Any] = {
        "forks_per_s": draw(rate),
        "execs_per_s": draw(rate),
        "short_jobs_per_s": draw(rate),
        "failed_exits_per_s": draw(rate),
        "lost_events": draw(st.integers(0, 9)),
    }
    degraded = draw(st.sampled_from([(), ("no BTF",), ("\x1b[2J", "no PSI")]))
    return facts(
        *processes,
        host=host,
        pressure=pressure,
        activity=activity,
        groups=groups,
        findings=findings,
        blame=blame,
        trends=trends,
        degraded=degraded,
    )


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\(|\)\??|\||[a-z][a-z_0-9-]*')


def sample(grammar: str, chance: random.Random) -> str:
    """A random string of a GBNF or Lark grammar of the shape that ``insight.grammar`` writes, by its own reading."""
    rules: dict[str, list[str]] = {}
    for line in grammar.splitlines():
        if line and not line.startswith("%"):
            head, body = re.split(r"\s*::=\s*|:\s+", line, maxsplit=1)
            rules[head] = _TOKEN.findall(body)
    start = next(iter(rules))
    return _expand(iter(rules[start]), rules, chance)[0]


def _expand(tokens: Iterator[str], rules: dict[str, list[str]], chance: random.Random) -> tuple[str, str]:
    """One alternative up to the closing bracket, and that bracket."""
    options, text, end = [], "", ""
    for token in tokens:
        if token == "(":
            inner, closed = _expand(tokens, rules, chance)
            text += inner if closed == ")" or chance.random() < 0.5 else ""
        elif token.startswith(")"):
            end = token
            break
        elif token == "|":
            options.append(text)
            text = ""
        elif token.startswith('"'):
            text += token[1:-1].replace("\\n", "\n")
        else:
            text += _expand(iter(rules[token]), rules, chance)[0]
    return chance.choice([*options, text]), end
