"""Where a process lives: in every answer, and as what one may ask for."""

from __future__ import annotations

import pytest
from sse_text import frames
from world import Proc, World

from linnix.cognitod.events import Kind
from linnix.cognitod.host.names import Container, Pod
from linnix.cognitod.model import Alert, Finding

ID = "0123456789abcdef" * 4
UID = "5f6d1b2c-9a3e-4c1d-8e7f-0a1b2c3d4e5f"
GROUP = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope"
PLAIN = (None, None, None, None)
IN_POD = (
    GROUP,
    f"cri-containerd-{ID}.scope",
    {"id": ID, "runtime": "containerd", "name": "app"},
    {
        "pod_name": "front-0",
        "namespace": "shop",
        "container_name": "app",
        "owner_kind": "StatefulSet",
        "owner_name": "front",
        "priority": "high",
        "slo_tier": "gold",
    },
)
HOSTILE = '/evil\x1b[2J".slice/\ufffd'


def where(told: dict[str, object]) -> tuple[object, ...]:
    return told.get("cgroup"), told.get("unit"), told.get("container"), told.get("k8s")


def world() -> World:
    made = World()
    made.cgroups.remember(8, GROUP)
    made.cgroups.remember(9, HOSTILE)
    pod = Pod(
        namespace="shop", name="front-0", owner_kind="StatefulSet", owner_name="front", priority="high", slo_tier="gold"
    )
    made.cgroups.names.learn({ID: Container(name="app")}, {UID: pod})
    made.sample(
        Proc(10, b"app", cgroup_id=7), Proc(11, b"pod", cgroup_id=8), Proc(12, b"evil", cgroup_id=9), Proc(13, b"none")
    )
    return made


def events(made: World) -> None:
    made.happen(
        *[made.event(Kind.FORK, 100 + at, at, cgroup_id=group) for at, group in ((10, 7), (11, 8), (12, 9), (13, 0))]
    )


def test_every_process_says_where_it_lives() -> None:
    listed = {told["pid"]: told for told in world().get("/processes").json()}

    assert {pid: where(told) for pid, told in listed.items()} == {
        10: ("/system.slice/app.service", "app.service", None, None),
        11: IN_POD,
        12: (HOSTILE, 'evil\x1b[2J".slice', None, None),
        13: PLAIN,
    }
    assert (listed[11]["priority"], "priority" in listed[10]) == ("high", False)


def test_every_event_says_where_its_process_lives() -> None:
    made = world()
    told = frames("\n\n".join(made.listen("/stream", lambda: events(made), 5)))

    assert [where(data) for _, data in told] == [
        ("/system.slice/app.service", "app.service", None, None),
        IN_POD,
        (HOSTILE, 'evil\x1b[2J".slice', None, None),
        PLAIN,
    ]
    assert [where(each) for each in made.get("/context").json()] == [where(data) for _, data in told]


@pytest.mark.parametrize(
    ("wanted", "pids"),
    [
        ("unit=app.service", [10]),
        ("unit=system.slice", [10]),
        ("unit=app", []),
        ("cgroup=/system.slice/app.service", [10]),
        ("cgroup=/kubepods.slice", [11]),
        ("cgroup=/kube", []),
        ("cgroup=/", [10, 11, 12]),
        (f"container={ID}", [11]),
        ("container=0123456789ab", [11]),
        ("container=app", [11]),
        ("container=012", []),
        ("pod=shop/front-0", [11]),
        ("pod=shop/front", []),
        ("namespace=shop", [11]),
    ],
)
def test_one_may_ask_by_where_they_live(wanted: str, pids: list[int]) -> None:
    made = world()

    assert [told["pid"] for told in made.get("/processes", params={"filter": wanted}).json()] == pids
    if pids:
        told = frames("\n\n".join(made.listen(f"/stream?{wanted}", lambda: events(made), 1 + len(pids))))
        assert [data["ppid"] for _, data in told] == pids


def test_conditions_on_a_stream_hold_together_and_each_is_a_list() -> None:
    made = world()
    told = frames("\n\n".join(made.listen("/stream?unit=app.service,x.service&ppid=10,11", lambda: events(made), 2)))

    assert [data["ppid"] for _, data in told] == [10]


def test_an_alert_says_where_its_culprit_lived() -> None:
    made = world()
    finding = Finding(
        rule="r", cls="normal", severity="low", message="m", key="k", ts_ns=made.now_ns, timestamp=1.0, pid=11,
        start_ns=1011, comm="pod",
    )  # fmt: skip
    made.pipeline.judging.remember(Alert(id="alert-1", finding=finding, timestamp=1.0, host="box"))

    assert where(made.get("/timeline").json()[0]) == IN_POD


def test_a_process_that_is_forgotten_lives_where_its_group_says() -> None:
    assert world().pipeline.home_of(4711, 1, 7).unit == "app.service"


def test_facts_name_container_and_pod() -> None:
    made = world()
    made.sample(Proc(11, b"pod", cgroup_id=8, cpu_ns=10**9))
    told = [each for each in made.get("/facts").json()["processes"] if each["pid"] == 11]

    assert [(each["unit"], each["container"], each["container_name"], each["pod"]) for each in told] == [
        (f"cri-containerd-{ID}.scope", ID, "app", "shop/front-0")
    ]
