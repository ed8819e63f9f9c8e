"""The kernel's process connector: fork, exec and exit over netlink, for hosts where eBPF cannot be used.

Owns the socket and the message format (include/uapi/linux/cn_proc.h). Refuses to look anything up: a message says who
did what, no more. Invariant: each message carries its CPU's running number, so the books know exactly how many did not
arrive, though not of which kind they were.

Messages come for threads too, and are returned; who counts processes tells them apart by ``pid != tgid``.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC, _CN_VAL_PROC = 1, 1
_LISTEN, _IGNORE = 1, 2
_NLMSG_DONE = 3
#: struct nlmsghdr, struct cn_msg, then the head of struct proc_event
_ENVELOPE = struct.Struct("=IHHII IIIIHH IIQ")
_CN_MSG = struct.Struct("=IIIIHH")
_FORK = struct.Struct("=4I")  # parent pid and tgid, child pid and tgid
_EXEC = struct.Struct("=2I")
_EXIT = struct.Struct("=6I")  # pid, tgid, status, signal to the parent, parent pid and tgid
_EXIT_BEFORE_4_18 = struct.Struct("=4I")
#: Room for some 20,000 messages; SO_RCVBUFFORCE goes beyond net.core.rmem_max and needs CAP_NET_ADMIN, as we do anyway.
_BUFFER_BYTES = 16 << 20
_SO_RCVBUFFORCE = 33
_ANSWER_MS = 500
#: The CPU in the kernel's answers to requests, which are outside the numbering.
_NO_CPU = 0xFFFF_FFFF


class What(IntEnum):
    """The kinds of message that are read; the numbers are the kernel's."""

    NONE = 0
    FORK = 0x1
    EXEC = 0x2
    EXIT = 0x80000000


@dataclass(frozen=True, slots=True)
class Message:
    """``status`` as wait(2) gives it; ``parent`` is a tgid, 0 where it is not told."""

    what: What
    ts_ns: int
    cpu: int
    pid: int
    tgid: int
    parent: int = 0
    status: int = 0


def parse(datagram: bytes) -> tuple[int, int, Message | None]:
    """Running number, CPU, and the message if it is of a kind that is read. ``struct.error`` for what is cut short."""
    head = _ENVELOPE.unpack_from(datagram)
    number, kind, cpu, ts_ns = head[7], head[11], head[12], head[13]
    at = _ENVELOPE.size
    match kind:
        case What.FORK:
            _, parent, pid, tgid = _FORK.unpack_from(datagram, at)
            return number, cpu, Message(What.FORK, ts_ns, cpu, pid, tgid, parent)
        case What.EXEC:
            pid, tgid = _EXEC.unpack_from(datagram, at)
            return number, cpu, Message(What.EXEC, ts_ns, cpu, pid, tgid)
        case What.EXIT:
            told = _EXIT if len(datagram) >= at + _EXIT.size else _EXIT_BEFORE_4_18
            pid, tgid, status, _, *parents = told.unpack_from(datagram, at)
            return number, cpu, Message(What.EXIT, ts_ns, cpu, pid, tgid, parents[1] if parents else 0, status)
        case _:
            return number, cpu, None


class Connector:
    """A listening socket. ``OSError`` from the constructor says that it cannot be had here, and why."""

    def __init__(self) -> None:
        self.lost = 0
        self._next: dict[int, int] = {}  # CPU → the running number that is expected
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        try:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.bind((0, _CN_IDX_PROC))
            self._listen()
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def _listen(self) -> None:
        self._request(_LISTEN)
        # Outside the first user and pid namespace the kernel ignores the request without a word.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(_ANSWER_MS):
            raise OSError(errno.EACCES, "the kernel does not answer: not in the host's own namespaces")

    def _request(self, operation: int) -> None:
        body = struct.pack("=I", operation)
        wanted = _CN_MSG.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(body), 0) + body
        head = struct.pack("=IHHII", 16 + len(wanted), _NLMSG_DONE, 0, 0, os.getpid())
        self._socket.send(head + wanted)

    def fileno(self) -> int:
        """For polling."""
        return self._socket.fileno()

    def receive(self) -> list[Message]:
        """All messages that wait, in the order of arrival. Never blocks. Gaps in the numbers go to ``lost``."""
        messages: list[Message] = []
        while True:
            try:
                datagram = self._socket.recv(4096)
            except BlockingIOError:
                return messages
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # something was dropped: the numbers will tell how much
            with suppress(struct.error):
                number, cpu, message = parse(datagram)
                if cpu != _NO_CPU:
                    self._count(cpu, number)
                if message is not None:
                    messages.append(message)

    def _count(self, cpu: int, number: int) -> None:
        expected = self._next.get(cpu, number)
        self.lost += (number - expected) % 2**32
        self._next[cpu] = (number + 1) % 2**32

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._socket.fileno() >= 0:
            with suppress(OSError):  # the kernel counts listeners, and before 6.6 only a request lowers the count
                self._request(_IGNORE)
            self._socket.close()
