"""Who listens where: is a TCP port free, and if not, which process holds it.

Refuses to guess: the kernel shows the owner of a socket only to that user and to root, and then we say so.
"""

import errno
import socket
from dataclasses import dataclass

import psutil

from linnix.insight.render import clean


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port; `pid` is None where it belongs to somebody else and we are not root."""

    port: int
    pid: int | None
    name: str

    def __str__(self) -> str:
        """Words for an error message."""
        if self.pid is None:
            return "a process that is not visible to you (as root its name would be shown)"
        return f"{clean(self.name)} (pid {self.pid})"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on host:port now; asked by binding, as the server itself will."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def holder_of(port: int) -> Holder:
    """The process listening on a port (any address). Reads /proc/net/tcp{,6} and the descriptors we may see."""
    pid: int | None = None
    for connection in psutil.net_connections(kind="tcp"):
        # An address is (host, port); an empty tuple where a socket has none.
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
            pid = connection.pid
            if pid is not None:
                break
    if pid is None:
        return Holder(port, None, "")
    try:
        return Holder(port, pid, psutil.Process(pid).name())
    except psutil.Error:  # it ended, or is another user's, between the two looks
        return Holder(port, pid, "?")
