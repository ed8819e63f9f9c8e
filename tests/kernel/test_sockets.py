"""Bytes, calls and connections over the loopback, in prime numbers, each charged to the process that made them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnix.cognitod.kernel.sockets import (
    LONGEST_REST_NS,
    NOT_TRACED,
    SHORT_NS,
    SOCKET_COUNTS,
    Sockets,
    SocketsReading,
)
from linnix.cognitod.kernel.thrift import Thrift

CALLS, SIZE, CONNECTIONS = 101, 7919, 13

pytestmark = pytest.mark.usefixtures("ebpf")

#: Sends, and receives one byte, over a connection or as datagrams.
_SENDER = f"""
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
with socket.socket(socket.AF_INET, kind) as caller:
    caller.connect(("127.0.0.1", int(sys.argv[2])))
    for _ in range({CALLS}):
        caller.send(b"x" * {SIZE})
        assert caller.recv(1) == b"y"
"""


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    instrument = Sockets()
    instrument.open()
    [line] = instrument.states()
    if line.reason == NOT_TRACED:
        pytest.skip(NOT_TRACED)
    assert (line.state, line.reason) == ("on", "")
    assert instrument.collect(time.monotonic_ns()) is None  # a window begins
    yield instrument
    instrument.close()


def told_of(reading: SocketsReading | None, pid: int) -> dict[str, int]:
    """What a reading says of one process, what is 0 left out."""
    assert reading is not None
    [row] = reading.counts[reading.keys["pid"] == pid]
    return {name: int(row[name]) for name in SOCKET_COUNTS.names or () if row[name]}


def test_what_goes_over_a_connection_is_told_of_both_ends(sockets: Sockets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller = subprocess.Popen([sys.executable, "-c", _SENDER, "tcp", str(server.getsockname()[1])])
        end, _ = server.accept()
        with end:
            reads = 0
            for _ in range(CALLS):
                left = SIZE
                while left:
                    end.recv(1, socket.MSG_PEEK)  # is no receiving
                    left -= len(end.recv(left))
                    reads += 1
                end.sendall(b"y")
            assert end.recv(1) == b""  # nor is the end
        assert caller.wait(10) == 0
    reading = sockets.collect(time.monotonic_ns())

    moved = CALLS * SIZE
    assert told_of(reading, caller.pid) == {
        "tx_bytes": moved, "tx_calls": CALLS, "rx_bytes": CALLS, "rx_calls": CALLS, "connects": 1,
    }  # fmt: skip
    assert told_of(reading, os.getpid()) == {
        "tx_bytes": CALLS, "tx_calls": CALLS, "rx_bytes": moved, "rx_calls": reads, "connects": 1,
    }  # fmt: skip


def test_datagrams_are_told_of_both_ends_and_only_once(sockets: Sockets) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        caller = subprocess.Popen([sys.executable, "-c", _SENDER, "udp", str(here.getsockname()[1])])
        for _ in range(CALLS):
            _, sender = here.recvfrom(SIZE)
            here.sendto(b"y", sender)
        assert caller.wait(10) == 0
    reading = sockets.collect(time.monotonic_ns())
    again = sockets.collect(time.monotonic_ns())

    moved = CALLS * SIZE
    assert told_of(reading, caller.pid) == {
        "tx_bytes": moved, "tx_calls": CALLS, "rx_bytes": CALLS, "rx_calls": CALLS,
    }  # fmt: skip
    assert told_of(reading, os.getpid()) == {
        "tx_bytes": CALLS, "tx_calls": CALLS, "rx_bytes": moved, "rx_calls": CALLS,
    }  # fmt: skip
    assert again is not None
    assert os.getpid() not in again.keys["pid"]


def test_connections_are_told_of_who_connects_and_of_who_listens(sockets: Sockets) -> None:
    body = "import socket, sys\nfor _ in range(int(sys.argv[2])): socket.create_connection(('::1', int(sys.argv[1])))"
    with socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=CONNECTIONS) as server:
        caller = subprocess.Popen([sys.executable, "-c", body, str(server.getsockname()[1]), str(CONNECTIONS)])
        assert caller.wait(10) == 0
        reading = sockets.collect(time.monotonic_ns())

    assert told_of(reading, caller.pid) == {"connects": CONNECTIONS}
    assert told_of(reading, os.getpid()) == {"connects": CONNECTIONS}


def test_unix_sockets_and_calls_that_move_nothing_are_not_counted(sockets: Sockets) -> None:
    near, far = socket.socketpair()
    with near, far, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        near.sendall(b"x" * SIZE)
        far.recv(SIZE)
        deaf.bind(("127.0.0.1", 0))
        deaf.setblocking(False)
        with pytest.raises(BlockingIOError):
            deaf.recv(1)
    reading = sockets.collect(time.monotonic_ns())

    assert reading is not None
    assert os.getpid() not in reading.keys["pid"]


def chatter() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        for _ in range(CALLS):
            here.sendto(b"x", here.getsockname())
            here.recv(1)


def test_where_calls_never_end_it_rests_and_says_so_and_looks_shortly_after(sockets: Sockets) -> None:
    sockets._thrift = Thrift(cost_ns=100_000_000)  # as if a call cost so much
    second, began_ns = 10**9, time.monotonic_ns() + 10**9
    sockets.collect(began_ns)
    chatter()
    last = sockets.collect(began_ns + second)
    line = sockets.states()[0]
    chatter()
    unseen = sockets.collect(began_ns + 2 * second)
    later_ns = began_ns + second + LONGEST_REST_NS
    first, short_ns = sockets.collect(later_ns), sockets.glance_ns - later_ns
    chatter()
    sockets.glance(later_ns + short_ns)
    chatter()
    seen, after = (sockets.collect(later_ns + seconds * second) for seconds in (1, 2))

    told = {"tx_bytes": CALLS, "tx_calls": CALLS, "rx_bytes": CALLS, "rx_calls": CALLS}
    assert (told_of(last, os.getpid()), unseen, first, after) == (told, None, None, None)
    assert (told_of(seen, os.getpid()), seen.window_ns if seen else 0) == (told, SHORT_NS)
    assert (line.state, line.reason[:5]) == ("on", "looks")


def test_when_calls_get_fewer_it_looks_all_the_time_again(sockets: Sockets) -> None:
    second, began_ns = 10**9, time.monotonic_ns() + 10**9
    sockets.collect(began_ns)
    sockets._thrift = Thrift(cost_ns=100_000_000)
    sockets.collect(began_ns + second)
    chatter()
    sockets.collect(began_ns + 2 * second)
    sockets._thrift = Thrift(cost_ns=1)
    later_ns = began_ns + 2 * second + LONGEST_REST_NS
    sockets.collect(later_ns)
    sockets.glance(later_ns + SHORT_NS)
    sockets.collect(later_ns + second)
    chatter()
    seen = sockets.collect(later_ns + 2 * second)

    assert told_of(seen, os.getpid())["tx_calls"] == CALLS
    assert (sockets.glance_ns, sockets.states()[0].reason) == (0, "")


def test_a_kernel_that_does_not_trace_it_is_named_as_the_reason(tmp_path: Path) -> None:
    types = tmp_path / "vmlinux"
    types.write_bytes(b"\0btf_trace_sock_rcvqueue_full\0")
    instrument = Sockets(types)
    instrument.open()

    assert [(line.state, line.reason) for line in instrument.states()] == [("off", NOT_TRACED)]
    assert instrument.collect(1) is None
    instrument.close()
