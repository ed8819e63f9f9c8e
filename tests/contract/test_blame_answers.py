"""`/blame` and `/attribution`: what they answer, and that a link keeps its word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_original_shapes import differences
from world import Proc, S, World

from linnix.cognitod.blame.meter import BlameReading
from linnix.cognitod.host.waiting import Waiting
from linnix.cognitod.model import CGROUP_LEVEL, PROCESS_LEVEL, STALL, StallReading
from linnix.insight import facts

MS = 10**6
APP, HOG = 7, 8
APP_PATH, HOG_PATH = "/system.slice/app.service", "/batch.slice/hog's & co.service"
RECORDED = Path(__file__).parent / "recorded"


def row(**fields: int) -> Any:
    made = np.zeros(1, STALL)
    for name, value in fields.items():
        made[name] = value
    return made


class Stalled(World):
    """A host on which app (pid 10) waits for hog (pid 20), 300 ms in each second, 250 of them as pressure."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cgroups.remember(HOG, HOG_PATH)
        self.epoch = 0
        self._sample()

    def _sample(self) -> None:
        app, hog = Proc(10, b"app", cgroup_id=APP), Proc(20, b"hog\x1b", cgroup_id=HOG)
        self.sample(Proc(1, b"init", ppid=0), app, hog)

    def _tell(self, begin_ns: int, stall: StallReading | None, waited: Waiting | None, *, last: bool) -> None:
        assert self.pipeline.snapshot is not None
        offset_ns = int(self.pipeline.snapshot.timestamp * S) - self.pipeline.snapshot.ts_ns
        self.blame.on_reading(
            BlameReading(
                resource="cpu",
                epoch=self.epoch,
                begin_ns=begin_ns,
                end_ns=self.now_ns,
                wall_offset_ns=offset_ns,
                stall=stall,
                waited=waited,
                last=last,
            )
        )

    def attach(self) -> None:
        self.epoch += 1
        self._tell(self.now_ns, None, None, last=False)

    def stall(self, seconds: int = 1, *, last: bool = False) -> None:
        """Seconds pass."""
        for _ in range(seconds):
            begin_ns = self.now_ns
            self._sample()
            them = {"offender_pid": 20, "offender_start_ns": 1020, "offender_cgroup": HOG}
            me = {"victim_pid": 10, "victim_start_ns": 1010, "victim_cgroup": APP}
            pairs = np.concatenate(
                [
                    row(level=PROCESS_LEVEL, task_ns=300 * MS, stall_ns=280 * MS, **me, **them),
                    row(level=CGROUP_LEVEL, stall_ns=250 * MS, victim_cgroup=APP, **them),
                ]
            )
            stall = StallReading(
                resource="cpu",
                begin_ns=begin_ns,
                end_ns=self.now_ns,
                pairs=pairs,
                waited_ns=400 * MS,
                attributed_ns=300 * MS,
            )
            waited = Waiting(260_000, np.array([APP], np.uint64), np.array([255_000], np.uint64), True)
            self._tell(begin_ns, stall, waited, last=last)

    def ask(self, query: str = "", status: int = 200, path: str = "/blame") -> Any:
        answer = self.get(path + query)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def stalled() -> Stalled:
    world = Stalled()
    world.attach()
    world.stall(10)
    return world


APP_PROCESS = {"pid": 10, "start_ns": 1010, "comm": "app", "cgroup": APP_PATH, "unit": "app.service"}
HOG_PROCESS = {"pid": 20, "start_ns": 1020, "comm": "hog\x1b", "cgroup": HOG_PATH, "unit": "hog's & co.service"}


def test_the_whole_answer_in_the_order_of_its_fields(stalled: Stalled) -> None:
    told = stalled.ask()
    run = stalled.blame.run
    assert list(told.items()) == list(
        {
            "resource": "cpu",
            "from": 1763999951.0,
            "to": 1764000011.0,
            "pairs": [
                {
                    "victim": APP_PROCESS,
                    "offender": HOG_PROCESS,
                    "task_ms": 3000.0,
                    "stall_ms": 2800.0,
                    "share": 1.0,
                    "kind": "measured",
                }
            ],
            "attributed_ms": 2800.0,
            "psi_total_ms": None,
            "coverage": 0.125,
            "permalink": f"/blame?resource=cpu&by=process&from=1763999951.000000&to=1764000011.000000&top=20&run={run}",
            "by": "process",
            "victim": None,
            "pairs_total": 1,
            "inferred_ms": 0.0,
            "host_psi_ms": 2600.0,
            "waited_ms": 4000.0,
            "lost_ms": 0.0,
            "engaged_s": 10.0,
            "epochs": 1,
            "engaged": False,
            "reason": "not measured here",
        }.items()
    )


@pytest.mark.parametrize(
    ("query", "victim", "offender"),
    [
        ("?by=cgroup", APP_PATH, HOG_PATH),
        ("?by=unit", "app.service", "hog's & co.service"),
        ("?by=pod", "app.service", "hog's & co.service"),
        (f"?victim={APP_PATH}", APP_PATH, HOG_PATH),
        ("?victim=/system.slice/app.service/", APP_PATH, HOG_PATH),
        ("?victim=app.service", "app.service", "hog's & co.service"),
        ("?victim=/system.slice", "/system.slice", HOG_PATH),
        ("?victim=app.service&by=cgroup", APP_PATH, HOG_PATH),
        ("?victim=10", APP_PROCESS, HOG_PROCESS),
        ("?victim=10&by=unit", "app.service", "hog's & co.service"),
        ("?victim=app.service&by=process", APP_PROCESS, HOG_PROCESS),
    ],
)
def test_a_victim_is_named_as_the_question_names_its_level(
    stalled: Stalled, query: str, victim: Any, offender: Any
) -> None:
    (pair,) = stalled.ask(query)["pairs"]
    assert (pair["victim"], pair["offender"]) == (victim, offender)


def test_at_cgroup_level_the_kernels_own_count_stands_beside_ours(stalled: Stalled) -> None:
    told = stalled.ask("?victim=app.service")
    assert (told["attributed_ms"], told["psi_total_ms"], told["pairs"][0]["share"]) == (2500.0, 2550.0, 0.9804)


def test_bounds_are_those_that_were_really_covered(stalled: Stalled) -> None:
    told = stalled.ask("?from=1764000006.5&to=1764000007.25")
    assert (told["from"], told["to"], told["engaged_s"], told["coverage"]) == (1764000005.0, 1764000010.0, 5.0, 0.75)
    early = stalled.ask("?from=1763999000&to=1764000002")
    assert (early["from"], early["to"]) == (1763999000.0, 1764000005.0)


def test_a_permalink_gives_the_same_bytes_while_new_readings_come(stalled: Stalled) -> None:
    for query in ("", "?by=cgroup&top=1", "?victim=app.service&from=1764000003&to=1764000009"):
        first = stalled.get("/blame" + query)
        link = first.json()["permalink"]
        for _ in range(7):
            stalled.stall()
            assert stalled.get(link).content == first.content


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 15_000_000), st.integers(0, 15_000_000), st.sampled_from(["process", "cgroup", "unit"]))
def test_any_window_has_a_permalink_that_keeps_its_word(one: int, other: int, by: str) -> None:
    world = Stalled()
    world.attach()
    world.stall(7)
    begin, end = (f"{1764000000 + us / 10**6:.6f}" for us in sorted((one, other)))
    answer = world.get(f"/blame?from={begin}&to={end}&by={by}")
    if answer.status_code == 400:  # it begins in the future
        return
    world.stall(2, last=True)
    assert world.get(answer.json()["permalink"]).content == answer.content


def test_a_link_of_another_run_or_of_a_time_that_is_forgotten_is_gone(stalled: Stalled) -> None:
    link = stalled.ask("?from=1764000001")["permalink"]
    assert stalled.ask(link.removeprefix("/blame").replace(stalled.blame.run, "0badcafe"), 410) == {
        "error": "run='0badcafe': the daemon was started anew since, and blame is kept in memory only"
    }
    stalled.blame.ledgers["cpu"].forgotten_us = 1764000005 * 10**6
    gone = {"error": "blame is kept for an hour: nothing is left from before 1764000005.000000"}
    assert stalled.ask(link.removeprefix("/blame"), 410) == gone
    assert stalled.ask("?from=1&to=1764000004", 410) == gone
    assert stalled.ask("?from=1764000001&to=1764000009")["pairs"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?resource=net", "resource='net': unknown; valid are cpu, io, memory"),
        ("?by=thread", "by='thread': unknown; valid are process, cgroup, unit, pod"),
        ("?from=yesterday", "from='yesterday': expected unix seconds, as in 1764000000.5"),
        ("?to=1e9", "to='1e9': expected unix seconds, as in 1764000000.5"),
        ("?from=1764000009&to=1764000001", "from='1764000009': later than to='1764000001'"),
        ("?from=1864000000", "from='1864000000': expected a time that has come: it is 1764000011.000000"),
        ("?top=-1", "top='-1': expected a whole number"),
        ("?top=1001", "top='1001': expected a whole number up to 1000"),
        ("?victim=99999999", "victim='99999999': expected a process id, a cgroup path, a unit or namespace/pod"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(stalled: Stalled, query: str, error: str) -> None:
    assert stalled.ask(query, 400) == {"error": error}


@pytest.mark.parametrize("victim", ["4242", "/no/such", "no.service", "no/pod", "/system.slice/app"])
def test_an_unknown_victim_is_not_found_with_a_hint(stalled: Stalled, victim: str) -> None:
    error = stalled.ask(f"?victim={victim}", 404)["error"]
    assert error.startswith(f"victim={victim!r}: no ")


@pytest.mark.parametrize("victim", ["20", HOG_PATH, "hog's & co.service", "1"])
def test_a_victim_that_is_known_and_did_not_wait_has_no_pairs(stalled: Stalled, victim: str) -> None:
    assert stalled.ask(f"?victim={quote(victim)}")["pairs"] == []


def test_who_died_long_ago_is_still_named(stalled: Stalled) -> None:
    for _ in range(400):
        stalled.sample(Proc(1, b"init", ppid=0))
    assert stalled.get("/processes/10").status_code == 404
    told = stalled.ask("?victim=10&from=1764000001&to=1764000011")
    assert told["pairs"][0]["offender"] == HOG_PROCESS


def test_without_a_meter_the_answer_says_why_and_claims_nothing() -> None:
    world = World()
    world.sample(Proc(1, b"init", ppid=0))
    told = world.get("/blame").json()
    assert (told["pairs"], told["coverage"], told["reason"]) == ([], 0.0, "not measured here")


def test_attribution_begins_as_the_original_does(stalled: Stalled) -> None:
    told = stalled.ask("?pod=app.service&namespace=host", path="/attribution")
    assert differences(json.loads((RECORDED / "attribution.json").read_text()), told) == []


def test_attribution_is_measured_and_each_event_has_its_own_row(stalled: Stalled) -> None:
    told = stalled.ask("?pod=app.service&namespace=host&from=1764000001&to=1764000011", path="/attribution")
    rows = told["attributions"]
    # from a reading's end at :02 on: three seconds of the first bucket, five, and one that the question sealed
    assert [(each["timestamp"], each["stall_us"]) for each in rows] == [
        (1764000010, 1_250_000),
        (1764000005, 1_000_000),
        (1764000011, 250_000),
    ]
    assert {
        (each["offender_pod"], each["offender_namespace"], each["attributed_stall_us"] == each["stall_us"])
        for each in rows
    } == {("hog's & co.service", "host", True)}
    assert [each["blame_score"] for each in rows] == [1.25, 1.0, 0.25]
    assert {(each["cpu_share"], each["reason"]) for each in rows} == {(1.0, "high_cpu_contention")}
    assert len({each["event_id"] for each in rows}) == 3


def test_a_link_of_attribution_has_the_same_rows_while_new_events_come(stalled: Stalled) -> None:
    first = stalled.get("/attribution?pod=app.service&namespace=&window=10")
    link = first.json()["permalink"]
    assert parse_qs(urlsplit(link).query)["max_id"] == ["3"]
    stalled.stall(8)
    assert stalled.get(link).content == first.content


def test_one_event_can_be_asked_for(stalled: Stalled) -> None:
    query = "?pod=app.service&namespace=host"
    (first, *_) = stalled.ask(query, path="/attribution")["attributions"]
    told = stalled.ask(f"{query}&event={first['event_id']}", path="/attribution")
    assert told["attributions"] == [first]
    assert told["permalink"].endswith(f"&event={first['event_id']}")


def test_a_permalink_is_encoded_but_for_what_the_original_leaves(stalled: Stalled) -> None:
    told = stalled.ask("?pod=a%20b%26c~d.e-f_g%2Fh&namespace=host&from=1&to=2", path="/attribution")
    assert told["permalink"] == "/attribution?pod=a%20b%26c~d.e-f_g%2Fh&namespace=host&from=1&to=2&max_id=3"


@pytest.mark.parametrize("query", ["", "?pod=a", "?namespace=host", "?pod=&namespace=host"])
def test_pod_and_namespace_are_required(stalled: Stalled, query: str) -> None:
    assert "is missing: /attribution?pod=NAME&namespace=NAME" in stalled.ask(query, 400, "/attribution")["error"]


@pytest.mark.parametrize(
    ("query", "bounds"),
    [
        ("&from=100&to=400", (100, 400, 5)),
        ("&from=1763999411", (1763999411, 1764000011, 10)),
        ("&to=1000&window=2", (880, 1000, 2)),
        ("&window=1", (1763999951, 1764000011, 1)),
        ("", (1763999711, 1764000011, 5)),
    ],
)
def test_bounds_of_attribution_are_the_originals(stalled: Stalled, query: str, bounds: tuple[int, int, int]) -> None:
    told = stalled.ask("?pod=a&namespace=b" + query, path="/attribution")
    assert (told["from"], told["to"], told["window_minutes"]) == bounds


def test_facts_name_who_made_whom_wait_by_their_short_ids(stalled: Stalled) -> None:
    told = facts.decode(stalled.get("/facts").content)
    ids = {process.pid: process.id for process in told.processes}
    assert told.blame == (
        facts.Blame(
            id="B1",
            resource="cpu",
            victim=ids[10],
            offender=ids[20],
            task_ms=2700.0,
            share=1.0,
            kind="measured",
            stall_ms=2520.0,
            window_s=9.0,
            same_cgroup=False,
        ),
    )
    assert stalled.get("/facts").content == stalled.get("/facts").content


def test_facts_blame_nobody_for_what_is_over(stalled: Stalled) -> None:
    stalled.stall(last=True)
    for _ in range(12):
        stalled._sample()
    assert facts.decode(stalled.get("/facts").content).blame == ()


PARAMETERS = ["resource", "by", "victim", "from", "to", "top", "run", "pod", "namespace", "window", "max_id", "event"]
ANY = Stalled()
ANY.attach()
ANY.stall(3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["/blame", "/attribution"]),
    st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=12) | st.sampled_from(["1", "/", "a/b"]), max_size=4),
)
def test_no_query_is_answered_with_a_fault_of_ours(path: str, query: dict[str, str]) -> None:
    answer = ANY.get(path, params=query)
    assert answer.status_code in (200, 400, 404, 410)
    if answer.status_code != 200:
        assert list(json.loads(answer.content)) == ["error"]


def test_series_of_the_original_are_live_on_a_plain_host(stalled: Stalled) -> None:
    stalled.stall(5)
    lines = stalled.get("/metrics/prometheus").text.splitlines()
    induced = [line for line in lines if line.startswith("linnix_stall_induced_seconds_total{")]
    assert induced == [
        'linnix_stall_induced_seconds_total{offender_namespace="host",offender_pod="hog\'s & co.service",'
        'victim_namespace="host",victim_pod="app.service"} 3.5'
    ]
    (pressure,) = [line for line in lines if line.startswith("linnix_pod_psi_pressure_total{")]
    assert pressure.startswith('linnix_pod_psi_pressure_total{node="')
    assert pressure.endswith('victim_namespace="host",victim_pod="app.service"} 3.57e+06')
