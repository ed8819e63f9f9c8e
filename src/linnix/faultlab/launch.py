"""The program that becomes a command: it enters the control groups first, so that nothing is ever outside of them.

Its text and what to do go to an interpreter on standard input: a file and arguments are seen by whoever watches
processes, and would tell that they are of a laboratory. Refuses to import the package: it starts before every command
and must be quick. Invariant: the process that runs the command is the one that was started, so its pid and its start
are known beforehand.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def become(what: dict[str, Any]) -> None:
    """Do as is said, and become the command."""
    for group in what["groups"]:
        (Path(group) / "cgroup.procs").write_text("0")
    # The direct children of a laboratory that dies end with it; whatever else is in the group, its next start ends.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, what["death_signal"])
    if os.getppid() != what["parent"]:
        sys.exit("the laboratory is gone")
    os.sched_setaffinity(0, what["cpus"])
    os.setpriority(os.PRIO_PROCESS, 0, what["nice"])
    if what["file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (what["file_bytes"], what["file_bytes"]))
    os.chdir(what["folder"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored stays so over an exec
        signal.signal(number, signal.SIG_DFL)
    os.set_inheritable(what["told_by"], False)  # closed by the exec: that is how the laboratory hears of it
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.execv(what["file"], what["argv"])
    except OSError as error:
        sys.exit(f"{what['file']}: {error.strerror}")
