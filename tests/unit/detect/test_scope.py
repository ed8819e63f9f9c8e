"""Whom a rule speaks of: an offender who is in its scope, and nobody else."""

from __future__ import annotations

import pytest
from detect_world import World

from linnix.cognitod.model import Home

HOMES = {
    300: Home(unit="nginx.service", cgroup="/system.slice/nginx.service"),
    301: Home(unit="cri-1.scope", cgroup="/kubepods/pod1/1", namespace="shop", pod="front-0"),
    302: Home(),
}


def named(scope: str) -> list[int | None]:
    """Who of three busy processes is found under a scope."""
    w = World(f"- {{name: hog, detector: cpu_pct, threshold: 80, duration: 0, scope: {scope}}}")
    w.homes = HOMES
    w.process(300, "nginx", cpu=99, uid=33)
    w.process(301, "java", cpu=99, uid=1000)
    w.process(302, "Nginx [1]", cpu=99, uid=0)
    w.step()
    return [finding.pid for finding in w.last]


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("{}", [300, 301, 302]),
        ("null", [300, 301, 302]),
        ("{comm: nginx}", [300]),
        ("{comm: 'n*'}", [300]),
        ("{comm: '[nN]ginx*'}", [300, 302]),
        ("{comm: ngin}", []),
        ("{comm: [java, nginx]}", [300, 301]),
        ("{comm: 'Nginx ?1?'}", [302]),
        ("{uid: 33}", [300]),
        ("{uid: 0}", [302]),
        ("{uid: [0, 1000]}", [301, 302]),
        ("{unit: '*.service'}", [300]),
        ("{unit: '*'}", [300, 301]),
        ("{cgroup: '/system.slice/*'}", [300]),
        ("{cgroup: /system.slice}", []),
        ("{cgroup: '/kube*/1'}", [301]),
        ("{pod: 'front-*'}", [301]),
        ("{pod: 'shop/*'}", [301]),
        ("{pod: 'shop'}", []),
        ("{pod: ['other/*', 'front-0']}", [301]),
        ("{comm: java, uid: 1000, pod: front-0}", [301]),
        ("{comm: java, uid: 33}", []),
        ("{comm: nginx, unit: java.service}", []),
    ],
)
def test_every_key_must_match_and_of_a_list_any(scope: str, found: list[int]) -> None:
    assert named(scope) == found


def test_a_finding_about_nobody_passes_only_without_a_scope() -> None:
    rule = "- {name: psi, detector: system_psi_cpu, threshold_pct: 40, duration: 0, scope: %s}"
    told = []
    for scope in ("{}", "{comm: '*'}", "{uid: 0}"):
        w = World(rule % scope)
        w.host["psi_cpu_some_avg10"] = 70.0
        told.append(len(w.step().last))
    assert told == [1, 0, 0]


def test_a_storm_by_somebody_else_is_no_finding_and_one_by_him_is() -> None:
    w = World("- {name: burst, detector: fork_burst, threshold: 30, window_seconds: 5, scope: {comm: make}}")
    w.fork(w.process(300, "sh"), 40)
    w.step()
    assert w.last == []
    w.step(10)
    w.fork(w.process(301, "make"), 40)
    w.step()
    assert [finding.comm for finding in w.last] == ["make"]


def test_homes_are_asked_for_offenders_only_and_only_when_name_and_user_fit() -> None:
    w = World("- {name: hog, detector: cpu_pct, threshold: 80, duration: 0, scope: {comm: busy, uid: 5, unit: '*'}}")
    w.process(300, "busy", cpu=99, uid=5)
    w.process(301, "busy", cpu=99, uid=6)
    w.process(302, "other", cpu=99, uid=5)
    for pid in range(400, 420):
        w.process(pid, "busy", cpu=1, uid=5)
    w.step()
    assert w.asked == [300]


def test_who_is_out_of_scope_does_not_run_up_the_time_that_a_condition_must_hold() -> None:
    w = World("- {name: hog, detector: cpu_pct, threshold: 80, duration: 0, for: 3s, scope: {unit: a.service}}")
    w.process(300, "busy", cpu=99)
    w.step(times=5)
    w.homes = {300: Home(unit="a.service")}
    told = [len(w.step().last) for _ in range(5)]
    assert told == [0, 0, 0, 1, 1]


def test_an_escaped_or_hostile_name_is_compared_as_it_is_told() -> None:
    w = World("- {name: hog, detector: cpu_pct, threshold: 80, duration: 0, scope: {comm: 'a?b'}}")
    w.process(300, b"a\nb", cpu=99)
    w.process(301, b"a\xffb", cpu=99)
    w.step()
    assert [finding.pid for finding in w.last] == [300, 301]
