"""Who may ask what, on each of the two listeners."""

from __future__ import annotations

import pytest
from starlette.routing import Route
from world import Proc, World

from linnix.cognitod.api.app import OPERATIONAL, PAGES
from linnix.cognitod.config import Api, Config, Outputs

STREAMS = {"/stream", "/events", "/alerts", "/processes/live"}


def filled(path: str) -> str:
    filled_in = path.replace("{pid}", "1").replace("{ppid}", "1")
    return f"{filled_in}?pod=a&namespace=b" if path == "/attribution" else filled_in


ANSWERED = [filled(page.path) for page in PAGES if page.path not in STREAMS]


def secured() -> World:
    world = World(Config(api=Api(auth_token="s3cret")))
    world.sample(Proc(1, b"init", ppid=0), Proc(2))
    return world


@pytest.fixture(scope="module")
def world() -> World:
    return secured()


@pytest.mark.parametrize("path", [*ANSWERED, *sorted(STREAMS), "/no/such/path"])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "bearer s3cret"])
def test_with_a_token_set_nothing_at_all_is_served_without_it(
    world: World, path: str, authorization: str | None
) -> None:
    answer = world.get(path, headers={"Authorization": authorization} if authorization else {})
    assert (answer.status_code, answer.text) == (401, "Unauthorized")


@pytest.mark.parametrize("path", ANSWERED)
def test_with_the_token_every_route_answers(world: World, path: str) -> None:
    assert world.get(path, headers={"Authorization": "Bearer s3cret"}).status_code == 200


@pytest.mark.parametrize("path", [*ANSWERED, *sorted(STREAMS), "/no/such/path"])
def test_a_page_that_points_its_own_name_at_us_is_refused(world: World, path: str) -> None:
    answer = world.get(path, headers={"Host": "rebound.example", "Authorization": "Bearer s3cret"})
    assert answer.status_code == 400
    assert "rebound.example" in answer.json()["error"]


def test_no_answer_lets_another_origin_read_it(world: World) -> None:
    for path in [*ANSWERED, "/no/such/path"]:
        answer = world.get(path, headers={"Origin": "http://evil.example", "Authorization": "Bearer s3cret"})
        assert not [name for name in answer.headers if name.startswith("access-control-")], path
        assert answer.headers["x-content-type-options"] == "nosniff", path


def test_the_operational_listener_needs_no_token_and_serves_three_routes(world: World) -> None:
    served = [route.path for route in world.apps.operational.routes if isinstance(route, Route)]
    assert served == ["/healthz", "/readyz", "/metrics/prometheus"] == [page.path for page in OPERATIONAL]
    for path in served:
        assert world.get(path, world.apps.operational).status_code == 200
    for path in ("/processes", "/stream", "/facts", "/", "/status"):
        assert world.get(path, world.apps.operational).status_code == 404


def test_the_operational_listener_checks_the_host_while_it_is_on_loopback(world: World) -> None:
    answer = world.get("/healthz", world.apps.operational, headers={"Host": "rebound.example"})
    assert answer.status_code == 400


def test_the_operational_listener_answers_to_any_name_once_it_is_open_to_the_network() -> None:
    opened = World(Config(outputs=Outputs(metrics_listen_addr="0.0.0.0:9464")))
    answer = opened.get("/healthz", opened.apps.operational, headers={"Host": "linnix.monitoring.svc:9464"})
    assert answer.status_code == 200


def test_without_prometheus_the_operational_listener_has_no_such_route() -> None:
    quiet = World(Config(outputs=Outputs(prometheus=False)))
    assert quiet.get("/metrics/prometheus", quiet.apps.operational).status_code == 404
    assert quiet.get("/healthz", quiet.apps.operational).status_code == 200


def test_a_name_of_the_configuration_is_served() -> None:
    named = World(Config(api=Api(allowed_hosts=["box.example"])))
    assert named.get("/healthz", headers={"Host": "box.example:3000"}).status_code == 200


def test_an_unknown_path_says_where_the_known_ones_are(world: World) -> None:
    answer = world.get("/nowhere", headers={"Authorization": "Bearer s3cret"})
    assert (answer.status_code, answer.json()) == (404, {"error": "no such path: /nowhere; GET / lists them"})
    assert answer.headers["content-type"] == "application/json"


def test_the_index_lists_every_route(world: World) -> None:
    index = world.get("/", headers={"Authorization": "Bearer s3cret"}).json()
    assert [route["path"] for route in index["routes"]] == [page.path for page in PAGES]
