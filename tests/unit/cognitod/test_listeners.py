from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from linnix.cognitod.listeners import ListenError, bind_tcp, unix_socket


def test_a_busy_port_is_a_sentence() -> None:
    with bind_tcp("api.listen_addr", "127.0.0.1:0") as first:
        addr = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(ListenError) as caught:
            bind_tcp("api.listen_addr", addr)

    assert str(caught.value) == (
        f"cannot listen on {addr} (api.listen_addr): address already in use; is cognitod running already? "
        "Another address: set api.listen_addr"
    )


def test_a_name_that_does_not_resolve_is_a_sentence() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no.such.invalid:1 \(api.listen_addr\): "):
        bind_tcp("api.listen_addr", "no.such.invalid:1")


def test_both_families_can_be_bound() -> None:
    with bind_tcp("k", "[::1]:0") as six, bind_tcp("k", "localhost:0") as named:
        assert six.family == socket.AF_INET6
        assert named.getsockname()[0] in ("127.0.0.1", "::1")


def test_a_unix_socket_is_for_owner_and_group_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "run/linnix.sock"
    with unix_socket(path):
        mode = path.stat().st_mode

    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode), path.exists()) == (True, 0o660, False)


def test_a_stale_unix_socket_makes_way_and_one_in_use_does_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with unix_socket(path), pytest.raises(ListenError, match="another process serves on it"), unix_socket(path):
        pass


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="it exists and is no socket"), unix_socket(path):
        pass

    assert path.read_text() == "precious"
