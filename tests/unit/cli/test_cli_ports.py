"""A port that is held is told with the name of who holds it."""

import os
import socket

import psutil
import pytest

from linnix.cli._errors import CommandError
from linnix.cli._ports import Holder, holder_of, is_free
from linnix.cli._service import Address, Service


@pytest.fixture
def held() -> "socket.socket":  # type: ignore[misc]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener


def test_a_port_that_somebody_listens_on_is_not_free_and_then_is(held: socket.socket) -> None:
    port = held.getsockname()[1]
    before = is_free("127.0.0.1", port)
    held.close()

    assert (before, is_free("127.0.0.1", port)) == (False, True)


def test_the_holder_is_the_listening_process(held: socket.socket) -> None:
    port = held.getsockname()[1]

    assert Holder(port, os.getpid(), psutil.Process().name()) == holder_of(port)


def test_a_holder_that_we_may_not_see_is_said_to_be_invisible() -> None:
    assert str(Holder(3000, None, "")) == "a process that is not visible to you (as root its name would be shown)"


def test_a_hostile_name_is_shown_harmless() -> None:
    assert "\x1b" not in str(Holder(3000, 7, "\x1b[31mnginx"))


def test_a_service_refuses_a_port_that_is_held_and_says_by_whom(held: socket.socket) -> None:
    address = Address(*held.getsockname())
    service = Service("cognitod", ("true",), address, "/healthz")

    with pytest.raises(CommandError) as refused:
        service.refuse_if_taken("--port")

    me = f"{psutil.Process().name()} (pid {os.getpid()})"
    assert (
        f"cognitod cannot listen on {address}: the port is held by {me}",
        "Stop that process, or choose another port with --port",
    ) == (str(refused.value), refused.value.advice)
