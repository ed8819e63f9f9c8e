"""One child process of `linnix up` or `linnix run`: started in a group of its own, heard, stopped within a deadline.

Invariants: a child never outlives us (its parent-death signal is SIGTERM), its output is always read (a full pipe would
stop it) and only the last lines are kept, and after `stop_all` no process of its group is left.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from linnix.modelserver.server import describe_exit

_KEPT_LINES = 30
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    # Runs between fork and exec: one system call, nothing that allocates or takes a lock.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """A running child; `lines` are the last ones it wrote to standard output or error."""

    def __init__(
        self,
        name: str,
        command: Iterable[str],
        environment: Mapping[str, str],
        on_line: Callable[[str, str], None] | None = None,
        shares_output: bool = False,
    ) -> None:
        """Start `command` with `environment` added to ours.

        `on_line(name, line)` is called from a reader thread; with `shares_output` the child writes where we write.
        """
        self.name = name
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.started_at = time.monotonic()
        self._on_line = on_line
        # Its own session: Ctrl-C at the terminal reaches us only, and we decide how the children end.
        self._process = subprocess.Popen(
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=None if shares_output else subprocess.PIPE,
            stderr=None if shares_output else subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()  # with nothing to read it ends at once

    @property
    def pid(self) -> int:
        """The child's pid, which is also its process group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs.

        Looks without reaping: until `finish` the zombie keeps its pid, so the group we signal cannot be a stranger's.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    @property
    def last_line(self) -> str:
        """The last thing it said that is not empty."""
        return next((line for line in reversed(self.lines.copy()) if line.strip()), "")

    def describe_end(self) -> str:
        """How it ended, in words."""
        code = self.returncode
        return "is running" if code is None else describe_exit(code)

    def drain(self, timeout_s: float = 1.0) -> list[str]:
        """The last lines of a child that has ended, once its pipe is empty."""
        self._reader.join(timeout_s)
        return [line for line in self.lines if line.strip()]

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the child itself; it ends its own children."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGTERM)

    def finish(self, timeout_s: float) -> bool:
        """Wait for the end asked for, then clear its group and reap it. False where it had to be killed."""
        deadline = time.monotonic() + timeout_s
        while self.returncode is None and time.monotonic() < deadline:
            time.sleep(0.02)
        in_time = self.returncode is not None
        if self._process.returncode is None:
            # Ended or not: what a child that died badly left behind in its group goes with it.
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(0.5)
        return in_time

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as stream:
            for raw in stream:
                # A progress bar redraws its line with carriage returns: the last state is the one to keep.
                line = raw.decode("utf-8", errors="replace").rstrip("\r\n").rpartition("\r")[2]
                self.lines.append(line)
                if self._on_line is not None:
                    self._on_line(self.name, line)


def stop_all(children: Iterable[Child], timeout_s: float) -> None:
    """Ask all to stop at once, wait for all within one deadline, then make sure."""
    asked = list(children)
    deadline = time.monotonic() + timeout_s
    for child in asked:
        child.ask_to_stop()
    for child in asked:
        child.finish(deadline - time.monotonic())
