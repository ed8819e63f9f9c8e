"""What can go wrong between user space and BPF. Owns one exception; refuses to handle it. Invariant: it says which
call failed, with which errno, and carries the verifier's log when there is one."""

from __future__ import annotations

import errno as codes
import os


class KernelError(Exception):
    """eBPF cannot be used. ``reasons`` are sentences for a person, one a cause, each saying how to mend it if known."""

    def __init__(self, *reasons: str, call: str = "", errno: int = 0, log: str = "") -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
        self.call = call
        self.errno = errno
        self.log = log

    @classmethod
    def from_call(cls, call: str, errno: int, log: str = "") -> KernelError:
        """The failure of one libbpf call; ``errno`` is positive."""
        name = codes.errorcode.get(errno, str(errno))
        told = f"{call} failed: {os.strerror(errno)} ({name})"
        last = _telling_line(log)
        return cls(f"{told}: {last}" if last else told, call=call, errno=errno, log=log)


def _telling_line(log: str) -> str:
    """The line of a libbpf log that names the cause: the verifier's last words before its statistics."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for at, line in enumerate(lines):
        if line.startswith("processed ") and at > 0:
            return lines[at - 1]
    return lines[0] if lines else ""
