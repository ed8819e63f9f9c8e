"""An address that cannot be had is told with the reason, and a port that is held with the name of who holds it."""

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from linnix.cli._errors import CommandError
from linnix.cli._ports import obstacle
from linnix.cli._service import Address, Service


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_port_that_somebody_listens_on_is_not_free_and_then_is(held: socket.socket) -> None:
    port = held.getsockname()[1]
    before = obstacle("127.0.0.1", port)
    held.close()

    me = f"{psutil.Process().name()} (pid {os.getpid()})"
    assert [f"the port is held by {me}", ""] == [before, obstacle("127.0.0.1", port)]


def test_an_address_that_is_not_ours_is_told_in_the_system_s_words() -> None:
    assert obstacle("192.0.2.1", 3000) == "Cannot assign requested address"


def test_a_service_refuses_a_port_that_is_held_and_says_by_whom(held: socket.socket) -> None:
    address = Address(*held.getsockname())
    service = Service("cognitod", ("true",), address, "/healthz")

    with pytest.raises(CommandError) as refused:
        service.refuse_if_taken("--port")

    me = f"{psutil.Process().name()} (pid {os.getpid()})"
    assert (str(refused.value), refused.value.advice) == (
        f"cognitod cannot listen on {address}: the port is held by {me}",
        "Stop that process, or choose another port with --port",
    )
