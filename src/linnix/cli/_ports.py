"""Could a server listen on this address now, and if not, why: the words for it, with the name of who is in the way."""

import errno
import os
import socket


def obstacle(host: str, port: int) -> str:
    """Why nothing can listen on host:port now; empty where it can. Asked by binding, as the server itself will."""
    from linnix.modelserver.server import port_holder

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"the port is held by {port_holder(port)}"
            if error.errno == errno.EACCES:
                return "a port below 1024 needs root"
            return os.strerror(error.errno or 0)
    return ""
