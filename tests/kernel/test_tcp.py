"""Connections that fail, are reset or go unanswered, in prime numbers, each charged to the process that made them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from linnix.cognitod.kernel.tcp import JUDGE_NS, TCP_KINDS, Tcp, TcpReading
from linnix.cognitod.kernel.thrift import MAX_REST_NS, Thrift
from support.groups import cgroup2

REFUSED, RESETS, SILENT, UNREACHABLE = 7, 11, 5, 3

pytestmark = pytest.mark.usefixtures("ebpf")


@pytest.fixture
def tcp() -> Iterator[Tcp]:
    instrument = Tcp()
    instrument.open()
    assert [(state.state, state.reason) for state in instrument.states()] == [("on", "")]
    instrument.collect(time.monotonic_ns())
    yield instrument
    instrument.close()


def told_of(reading: TcpReading | None, pid: int) -> dict[str, int]:
    """What a reading says of one process, what is 0 left out."""
    assert reading is not None
    counts = reading.counts["counts"][reading.keys["pid"] == pid].sum(axis=0)
    return {kind: int(count) for kind, count in zip(TCP_KINDS, counts, strict=True) if count}


def refuse(times: int) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        for _ in range(times):
            with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
                caller.connect(taken.getsockname())


def test_refused_connections_are_charged_to_who_tried(tcp: Tcp) -> None:
    refuse(REFUSED)

    assert told_of(tcp.collect(time.monotonic_ns()), os.getpid()) == {
        "connects": REFUSED,
        "refused": REFUSED,
        "resets_received": REFUSED,
    }


_ABORT = f"""
import socket, struct, sys
for _ in range({RESETS}):
    caller = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    caller.sendall(b"x")
    assert caller.recv(1) == b"y"
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()
"""


def test_a_reset_is_charged_to_both_ends_each_on_its_side(tcp: Tcp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller = subprocess.Popen([sys.executable, "-c", _ABORT, str(server.getsockname()[1])])
        for _ in range(RESETS):
            end, _ = server.accept()
            assert end.recv(1) == b"x"
            end.sendall(b"y")
            with pytest.raises(ConnectionResetError):
                end.recv(1)
            end.close()
        assert caller.wait(10) == 0
    reading = tcp.collect(time.monotonic_ns())

    assert told_of(reading, caller.pid) == {"connects": RESETS, "resets_sent": RESETS}
    assert told_of(reading, os.getpid()) == {"resets_received": RESETS}


def test_a_connection_that_nobody_has_read_from_is_its_listeners(tcp: Tcp) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=RESETS) as server:
        subprocess.run(
            [sys.executable, "-c", _ABORT.replace("sendall", "send").replace('assert caller.recv(1) == b"y"', ""),
             str(server.getsockname()[1])],
            check=True,
        )  # fmt: skip
        reading = tcp.collect(time.monotonic_ns())

    assert told_of(reading, os.getpid()) == {"resets_received": RESETS}


#: Alone in a network of its own, where one server does not answer since its queue is full, and one neighbour does not
#: exist. Prints the kernel's own counters of that network. It keeps a CPU busy, so that the timers of its sockets
#: interrupt it and nobody else: a kernel may run no program while some process is current, and one does so for init.
_ALONE = f"""
import os, selectors, socket, subprocess, time
for line in (
    "link set lo up",
    "link add one type veth peer two",
    "link set one up",
    "link set two up",
    "address add 10.9.7.1/24 dev one",
):
    subprocess.run(["ip", *line.split()], check=True)
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
server = socket.create_server(("127.0.0.1", 0), backlog=0)
queued = socket.create_connection(server.getsockname())
waiting = selectors.DefaultSelector()
for address, count in ((server.getsockname(), {SILENT}), (("10.9.7.2", 9), {UNREACHABLE})):
    for _ in range(count):
        caller = socket.socket()
        caller.setblocking(False)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1 if address[1] != 9 else 6)
        assert caller.connect_ex(address) == 115
        waiting.register(caller, selectors.EVENT_WRITE)
until = time.monotonic() + 20
while waiting.get_map():
    assert time.monotonic() < until, "a connection never ended"
    for key, _ in waiting.select(0):
        waiting.unregister(key.fileobj)
server.close()  # resets what it did not accept
print(open("/proc/net/snmp").read())
"""


def test_retransmits_time_outs_and_absent_neighbours_are_those_that_the_kernel_counts(tcp: Tcp) -> None:
    if not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("needs ip and unshare: apt install iproute2 util-linux")
    caller = subprocess.Popen(["unshare", "--net", sys.executable, "-c", _ALONE], stdout=subprocess.PIPE, text=True)
    printed, _ = caller.communicate(timeout=60)
    assert caller.returncode == 0
    names, values = (line.split()[1:] for line in printed.splitlines() if line.startswith("Tcp:"))
    kernel = dict(zip(names, map(int, values), strict=True))

    assert told_of(tcp.collect(time.monotonic_ns()), caller.pid) == {
        "connects": kernel["ActiveOpens"],
        "retransmits": kernel["RetransSegs"],
        "timed_out": SILENT,
        "unreachable": UNREACHABLE,
        "resets_sent": kernel["OutRsts"],
        "resets_received": 1,
    }
    assert kernel["ActiveOpens"] == 1 + SILENT + UNREACHABLE
    assert kernel["AttemptFails"] == SILENT + UNREACHABLE


def test_the_group_is_the_one_in_which_the_socket_was_made(tcp: Tcp) -> None:
    body = "import sys, socket; sys.stdin.readline(); socket.socket().connect_ex(('127.0.0.1', 9))"
    with cgroup2("tcp") as (place, cgroup):
        process = subprocess.Popen([sys.executable, "-c", body], stdin=subprocess.PIPE)
        (place / "cgroup.procs").write_text(str(process.pid))
        process.communicate(b"\n", timeout=10)
        reading = tcp.collect(time.monotonic_ns())
    assert reading is not None
    mine = reading.keys[reading.keys["pid"] == process.pid]

    assert set(mine["cgroup_id"].tolist()) == {cgroup}


def test_all_that_is_told_by_owner_adds_up_to_the_totals(tcp: Tcp) -> None:
    refuse(2)
    start = tcp.collect(time.monotonic_ns())
    assert start is not None
    told, totals = [], start.totals
    for times in (2, 3, 5):
        refuse(times)
        reading = tcp.collect(time.monotonic_ns())
        assert reading is not None
        assert reading.lost == 0
        told.append(reading.counts["counts"].sum(axis=0))
        totals = reading.totals

    assert [now - then for now, then in zip(totals, start.totals, strict=True)] == np.sum(told, axis=0).tolist()


def test_where_reads_never_end_it_rests_and_says_so_and_all_else_is_still_seen(tcp: Tcp) -> None:
    tcp._thrift = Thrift(cost_ns=10_000_000)  # as if a read cost so much
    now_ns = time.monotonic_ns() + 2 * JUDGE_NS
    tcp.collect(now_ns)
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        for _ in range(REFUSED):
            near.sendall(b"x")
            far.recv(1)
        near.close()
        far.close()
    tcp.collect(now_ns + JUDGE_NS)
    resting = tcp.states()[0]
    refuse(REFUSED)
    told = told_of(tcp.collect(now_ns + JUDGE_NS + 1), os.getpid())
    tcp.collect(now_ns + JUDGE_NS + MAX_REST_NS)

    assert (resting.state, resting.reason[:15]) == ("on", "looks who reads")
    assert told["refused"] == REFUSED
    assert (tcp.states()[0].state, tcp.states()[0].reason) == ("on", "")
