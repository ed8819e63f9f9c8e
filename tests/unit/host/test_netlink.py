"""Messages of the process connector, as include/uapi/linux/cn_proc.h lays them out."""

from __future__ import annotations

import struct

import pytest

from linnix.cognitod.host.netlink import Connector, Message, What, parse


def datagram(what: int, *numbers: int, number: int = 5, cpu: int = 1, ts_ns: int = 99) -> bytes:
    event = struct.pack("=IIQ", what, cpu, ts_ns) + struct.pack(f"={len(numbers)}I", *numbers)
    body = struct.pack("=IIIIHH", 1, 1, number, 0, len(event), 0) + event
    return struct.pack("=IHHII", 16 + len(body), 3, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (datagram(1, 11, 10, 21, 21), Message(What.FORK, 99, 1, 21, 21, parent=10)),
        (datagram(1, 11, 10, 22, 10), Message(What.FORK, 99, 1, 22, 10, parent=10)),
        (datagram(2, 21, 21), Message(What.EXEC, 99, 1, 21, 21)),
        (datagram(0x80000000, 21, 21, 0x300, 17, 10, 10), Message(What.EXIT, 99, 1, 21, 21, parent=10, status=0x300)),
        (datagram(0x80000000, 21, 21, 9, 17), Message(What.EXIT, 99, 1, 21, 21, status=9)),
        (datagram(4, 21, 21, 0, 0), None),
    ],
    ids=["fork", "thread", "exec", "exit", "exit before 4.18", "uid change"],
)
def test_a_message_is_parsed(raw: bytes, message: Message | None) -> None:
    assert parse(raw) == (5, 1, message)


@pytest.mark.parametrize("length", [0, 20, 51, 53, 60])
def test_a_message_cut_short_is_an_error_and_not_half_a_message(length: int) -> None:
    with pytest.raises(struct.error):
        parse(datagram(1, 11, 10, 21, 21)[:length])


def test_gaps_in_a_cpus_numbers_are_losses() -> None:
    connector = Connector.__new__(Connector)  # without a socket
    connector.lost, connector._next = 0, {}
    for cpu, number in [(0, 7), (1, 100), (0, 8), (0, 11), (1, 101), (0, 12)]:
        connector._count(cpu, number)

    assert connector.lost == 2


def test_numbers_that_begin_anew_after_the_last_are_no_loss() -> None:
    connector = Connector.__new__(Connector)
    connector.lost, connector._next = 0, {}
    for number in (2**32 - 1, 0, 1):
        connector._count(0, number)

    assert connector.lost == 0
