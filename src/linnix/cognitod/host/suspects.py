"""Whose threads are worth a look, because they may wait for locks or for storage.

Owns the choice. Refuses to look. Invariant: at most ``MAX_SUSPECTS``, none of them Linnix's own or the kernel's, and
none on a host on which nobody switches much and nobody writes.
"""

from __future__ import annotations

from linnix.cognitod.senses import Identity
from linnix.insight.facts import Facts, Process

MAX_SUSPECTS = 8
#: Who waits for a lock that is passed on gives up its CPU each time.
MIN_SWITCHES_PER_S = 100.0
#: Who syncs sleeps until the device has answered, and few devices answer in less than some milliseconds.
MIN_SYNCS_PER_S = 20.0
#: A lock that is held for long is passed on rarely.
MIN_RARE_SWITCHES_PER_S = 5.0


def _switches(process: Process) -> float:
    return process.voluntary_switches_per_s or 0.0


def _is_suspect(process: Process, known: Facts) -> bool:
    switches = _switches(process)
    if process.state == "D" or ((process.write_bytes_per_s or 0.0) > 0 and switches >= MIN_SYNCS_PER_S):
        return True
    return switches >= MIN_SWITCHES_PER_S and (process.threads >= 2 or _is_one_of_many(process, known))


def _is_one_of_many(process: Process, known: Facts) -> bool:
    """Whether others of its name live: what processes of one program share they may have to wait for."""
    return any(group.comm == process.comm for group in known.groups) or any(
        other.comm == process.comm and other.pid != process.pid for other in known.processes
    )


def _chosen(processes: list[Process], most: int) -> list[Identity]:
    ordered = sorted(processes, key=lambda process: (-_switches(process), process.pid))
    return [(process.pid, process.start_ns) for process in ordered[:most]]


def suspects(known: Facts) -> list[Identity]:
    """Those to look at often, who switches most first."""
    users = [one for one in known.processes if not (one.own or one.kernel_thread)]
    return _chosen([one for one in users if _is_suspect(one, known)], MAX_SUSPECTS)


def doubtful(known: Facts) -> list[Identity]:
    """Those to look at now and then: processes with threads that switch little, as if a lock were held for long."""
    often = suspects(known)
    rest = [
        one
        for one in known.processes
        if not (one.own or one.kernel_thread or (one.pid, one.start_ns) in often)
        and one.threads >= 2
        and _switches(one) >= MIN_RARE_SWITCHES_PER_S
    ]
    return _chosen(rest, MAX_SUSPECTS - len(often))
